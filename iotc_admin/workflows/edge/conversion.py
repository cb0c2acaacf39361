"""From the file of 1.1 to that of 1.2 and later: what goes over, and why a key does not."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from iotc_admin.errors import SettingsError
from iotc_admin.workflows.edge.format import Format, Path, where
from iotc_admin.workflows.edge.rendering import render
from iotc_admin.workflows.edge.settings import put, uri_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from iotc_admin.workflows.edge.reading import Document

_URIS: Final = ("identity_cert", "identity_pk", "edge_ca_cert", "edge_ca_pk", "trust_bundle")
_HOSTNAMES: Final = ("hostname", "parent_hostname")
_KEPT: Final = ("agent", "connect", "listen", "watchdog", "moby_runtime")
_SETTINGS: Final = (
    "source",
    "global_endpoint",
    "id_scope",
    "method",
    "registration_id",
    *_URIS,
    "quick_start_days",
)
_SOCKETS: Final = {
    "fd://iotedge.mgmt.socket": "fd://aziot-edged.mgmt.socket",
    "fd://iotedge.socket": "fd://aziot-edged.workload.socket",
}
_FLAGS: Final = {
    ("provisioning", "dynamic_reprovisioning"): "Dynamic",
    ("provisioning", "always_reprovision_on_startup"): "AlwaysOnStartup",
}
_OLDEST_ID: Final = ("provisioning", "registration_id")
_SYMMETRIC_KEY: Final = ("provisioning", "attestation", "symmetric_key")
_AGENT_IMAGE: Final = ("agent", "config", "image")
_OLD_IMAGE: Final = re.compile(r":1\.[01]\b")
_REASONS: Final = {
    ("homedir",): "1.2 and later keep their state in folders of their own",
    ("provisioning", "attestation", "device_id"): "DPS says the device id: it is the registration id",
    ("certificates", "auto_generated_ca_lifetime_days"): "there is an Edge CA: none is generated",
}


@dataclass(frozen=True)
class Conversion:
    """`text` is the new file. `dropped` and `noted` say for a key why it went, or what became of it."""

    text: str
    dropped: dict[str, str]
    noted: dict[str, str]


def _same(value: Any) -> Any:
    return value


@dataclass
class _Move:
    """The old file, the values of the new one, and which keys went over."""

    old: Document
    data: dict[str, Any] = field(default_factory=dict)
    taken: set[Path] = field(default_factory=set)
    noted: dict[str, str] = field(default_factory=dict)

    def take(self, source: Path, target: Path, change: Callable[[Any], Any] = _same) -> None:
        value = self.old.at(source)
        if value is not None:
            self.taken.add(source)
            put(self.data, target, change(value))


def convert(old: Document) -> Conversion:
    """The file of 1.1 as one of 1.2. SettingsError for a file that gives a device no identity through DPS."""
    _require_dps(old)
    move = _Move(old)
    for name in _HOSTNAMES:
        move.take((name,), (name,))
    _mode(move)
    for setting in _SETTINGS:
        if setting != "quick_start_days" or old.get("edge_ca_cert") is None:
            change = _uri if setting in _URIS else _same
            move.take(where(setting, Format.YAML), where(setting, Format.TOML), change)
    _attestation(move)
    _agent(move)
    for name in _KEPT:
        move.take((name,), (name,), _without_nothing)
    return Conversion(render(move.data, Format.TOML), _dropped(move), move.noted)


def _require_dps(old: Document) -> None:
    hint = "write a new file: iotc-admin edge config ID --cert CERT --key KEY"
    for fault in old.faults:
        raise SettingsError(f"the old file {fault.what}", hint=hint)
    source = old.get("source")
    if source != "dps":
        message = f"provisioning.source is {source!r}: IoT Central lets devices in through DPS only"
        raise SettingsError(message, hint=hint)
    if old.get("method") is None and old.at(_OLDEST_ID) is None:
        raise SettingsError("provisioning has no attestation", hint=hint)


def _uri(value: Any) -> Any:
    return uri_of(value) if isinstance(value, str) else value


def _mode(move: _Move) -> None:
    # Where both are set, the old runtime let the dynamic one go first; where none is, it waited for an error.
    modes = [mode for path, mode in _FLAGS.items() if _is_true(move.old.at(path))]
    mode = (modes or ["OnErrorOnly"])[0]
    put(move.data, ("auto_reprovisioning_mode",), mode)
    for path in _FLAGS:
        if move.old.at(path) is not None:
            move.taken.add(path)
            move.noted[".".join(path)] = f'is now auto_reprovisioning_mode = "{mode}"'


def _is_true(value: Any) -> bool:
    # The old runtime took these words for it, too.
    return value is True or str(value).lower() in ("true", "yes", "on")


def _attestation(move: _Move) -> None:
    """The other forms of attestation, which this tool neither makes nor judges, go over as they are."""
    if move.old.get("method") is None:
        move.take(_OLDEST_ID, where("registration_id", Format.TOML))
        put(move.data, where("method", Format.TOML), "tpm")
    move.take(_SYMMETRIC_KEY, (*_SYMMETRIC_KEY, "value"))
    method = move.data["provisioning"]["attestation"]["method"]
    if method != "x509":
        move.noted["provisioning.attestation"] = (
            f"attests by {method} as before: the group must be of that kind; "
            "for an X.509 identity write a new file: iotc-admin edge config ID --cert CERT --key KEY"
        )


def _agent(move: _Move) -> None:
    image = move.old.at(_AGENT_IMAGE)
    if isinstance(image, str) and _OLD_IMAGE.search(image):
        move.noted[".".join(_AGENT_IMAGE)] = (
            f"is {image} still: name an image of the release that is installed"
        )


def _dropped(move: _Move) -> dict[str, str]:
    dropped: dict[str, str] = {}
    for path in _leaves(move.old.data):
        if move.old.at(path) is None:
            dropped[".".join(path)] = "it has no value"
        elif not any(path[: len(each)] == each for each in move.taken):
            dropped[".".join(path)] = _REASONS.get(path, "1.2 and later know no such key")
    return dropped


def _without_nothing(value: Any) -> Any:
    """TOML has no null; sockets of systemd have other names now."""
    match value:
        case dict():
            return {name: _without_nothing(each) for name, each in value.items() if each is not None}
        case list():
            return [_without_nothing(each) for each in value if each is not None]
        case str():
            return _SOCKETS.get(value, value)
    return value


def _leaves(value: Any, path: Path = ()) -> Iterator[Path]:
    if isinstance(value, dict) and (value or not path):
        for name, each in value.items():
            yield from _leaves(each, (*path, name))
    else:
        yield path
