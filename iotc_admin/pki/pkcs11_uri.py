"""Hides how a key in a token is written down: RFC 7512, as in `pkcs11:token=plant;object=root`."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final
from urllib.parse import unquote_to_bytes

from iotc_admin.errors import SettingsError

_EXAMPLE: Final = "write it as in pkcs11:token=plant;object=root"
_PATH: Final = ("token", "serial", "manufacturer", "model", "slot-id", "object", "id", "type")
_QUERY: Final = ("module-path", "pin-source")
# What may stand in a value as it is; path and query differ in what divides them.
_PLAIN: Final = {
    ";": re.compile(r"(?:[A-Za-z0-9\-._~:\[\]@!$'()*+,=&]|%[0-9A-Fa-f]{2})*"),
    "&": re.compile(r"(?:[A-Za-z0-9\-._~:\[\]@!$'()*+,=/?|]|%[0-9A-Fa-f]{2})*"),
}
_LONGEST_NUMBER: Final = 18


@dataclass(frozen=True, slots=True)
class TokenUri:
    """Which private key in which token; what is None is not asked for."""

    token: str | None = None
    serial: str | None = None
    manufacturer: str | None = None
    model: str | None = None
    slot_id: int | None = None
    object: str | None = None
    id: bytes | None = None
    module_path: str | None = None
    pin_source: str | None = None


def parse(where: str) -> TokenUri:
    """The parts of a `pkcs11:` URI, `pin_source` as the path of a file. Raises `SettingsError` with a reason.

    A PIN in the URI is refused: command lines are seen by others. What nobody knows is refused in the path,
    where it would widen what is meant, and ignored in the query.
    """
    path, _, query = where.partition(":")[2].partition("?")
    if re.search(r"[:;?&]pin-value\b", where, re.IGNORECASE):
        message = "pkcs11: a PIN in the URI would be seen by everyone on this machine: pin-value is refused"
        raise SettingsError(
            message, hint="put it in a file: --key-password-file, pin-source=file:, or IOTC_PIN"
        )
    named = _attributes(path, ";", _PATH)
    asked = _attributes(query, "&", _QUERY)
    unknown = sorted(set(named) - set(_PATH))
    if unknown:
        raise _malformed(f"{unknown[0]!r} is no attribute that keys are found by: {', '.join(_PATH)}")
    if "module-name" in asked:
        raise _malformed("module-name does not say where the module is: use module-path")
    if named.get("type", b"private") != b"private":
        raise _malformed(
            f"type={_text('type', named)} is not a private key: use type=private, or leave it out"
        )
    if not named.keys() & {"object", "id"}:
        raise _malformed("it names no key: object= or id= is missing")
    return TokenUri(
        token=_text("token", named),
        serial=_text("serial", named),
        manufacturer=_text("manufacturer", named),
        model=_text("model", named),
        slot_id=_number("slot-id", named),
        object=_text("object", named),
        id=named.get("id"),
        module_path=_text("module-path", asked),
        pin_source=_file(_text("pin-source", asked)),
    )


def _attributes(text: str, divider: str, known: tuple[str, ...]) -> dict[str, bytes]:
    found: dict[str, bytes] = {}
    for part in text.split(divider) if text else ():
        name, equals, value = part.partition("=")
        if not equals or not re.fullmatch(r"[A-Za-z0-9_-]+", name):
            raise _malformed(f"{part!r} is not name=value")
        if not _PLAIN[divider].fullmatch(value):
            raise _malformed(f"the value of {name} has a character that must be written as %XX")
        if name in found and (name in known or divider == ";"):
            raise _malformed(f"{name} stands there twice")
        found[name] = unquote_to_bytes(value)
    return found


def _text(name: str, found: dict[str, bytes]) -> str | None:
    value = found.get(name)
    if value is None:
        return None
    try:
        return value.decode()
    except UnicodeDecodeError:
        raise _malformed(f"the value of {name} is not UTF-8") from None


def _number(name: str, found: dict[str, bytes]) -> int | None:
    value = found.get(name)
    if value is not None and not (value.isdigit() and len(value) <= _LONGEST_NUMBER):
        raise _malformed(f"the value of {name} is not a number")
    return None if value is None else int(value)


def _file(source: str | None) -> str | None:
    if source is None:
        return None
    path = re.fullmatch(r"file:(?://(?:localhost)?)?(/.+)", source)
    if path is None:
        raise _malformed("pin-source takes a file, as in pin-source=file:/etc/plant.pin")
    return path[1]


def _malformed(why: str) -> SettingsError:
    return SettingsError(f"the pkcs11: URI is malformed: {why}", hint=_EXAMPLE)
