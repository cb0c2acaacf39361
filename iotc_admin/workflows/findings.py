"""What there is to say of a slot: each remark with its kind, what is the matter, and what to do next."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

from iotc_admin.pki.lifetime import Policy, days_left, due, expired
from iotc_admin.pki.lint import lint
from iotc_admin.pki.pem import read_certificate
from iotc_admin.pki.validity import Validity
from iotc_admin.workflows.plan import short

if TYPE_CHECKING:
    from datetime import datetime

    from iotc_admin.ledger.ledger import Entry
    from iotc_admin.workflows.known import Deed, Place

KINDS: Final = ("expired", "due", "unverified", "drift", "early", "weak", "shared", "unmanaged")
"""The worst first."""
WAITING: Final = KINDS[:3]
"""Those that a person has to act on before devices are refused."""
_WEAK: Final = ("key-unsupported", "signature-weak")
_NAMED: Final = 3


@dataclass(frozen=True)
class Finding:
    """A remark. `kind` is one of `KINDS`; the message continues a sentence that begins with the slot."""

    kind: str
    message: str
    hint: str


def of_proof(place: Place, verified: bool | None) -> Iterator[Finding]:
    """That nobody has proved possession of the key."""
    if verified is False:
        hint = (
            f"prove possession of its key: iotc-admin group verify {place.id} --slot {place.slot} --key KEY"
        )
        yield Finding("unverified", "is not verified: no device is let in by it", hint)


def of_origin(thumbprint: str, entry: Entry | None) -> Iterator[Finding]:
    """That nobody here knows the certificate behind the thumbprint."""
    if thumbprint and entry is None:
        message = (
            "is unmanaged: the ledger does not hold its certificate, so nobody here knows when it expires"
        )
        yield Finding("unmanaged", message, "adopt it: iotc-admin ledger import CERT")


def of_dates(place: Place, dates: Validity, policy: Policy, now: datetime) -> Iterator[Finding]:
    """That it has to be renewed, or is not valid yet."""
    end = f"{dates.not_after:%Y-%m-%d}"
    if expired(dates, now):
        yield Finding("expired", f"expired on {end}", _renewal(place))
    elif due(dates, policy, now):
        left = _counted(days_left(dates, now), "day")
        yield Finding("due", f"is due: it expires on {end}, in {left}", _renewal(place))
    if now < dates.not_before:
        message = f"is not valid before {dates.not_before:%Y-%m-%d %H:%M} UTC"
        yield Finding("early", message, "check the clock of this computer, or wait")


def of_strength(place: Place, entry: Entry, now: datetime) -> Iterator[Finding]:
    """That its key or its signature is too weak."""
    role: Literal["root", "device"] = "root" if place.kind == "group" else "device"
    for found in lint(read_certificate(entry.pem.encode()), role=role, now=now):
        if found.code in _WEAK:
            yield Finding("weak", f"{found.what}: {found.cause}", _renewal(place))


def of_company(place: Place, sharing: Sequence[Place]) -> Iterator[Finding]:
    """That other slots hold the same key."""
    if len(sharing) > 1:
        # Of hundreds that share one key, a few names will do.
        named = [str(each) for each in sharing[: _NAMED + 1] if each != place][:_NAMED]
        more = len(sharing) - 1 - len(named)
        others = ", ".join(named) + (f" and {more} more" if more else "")
        hint = f"whoever has the key of one has that of all; {_renewal(place)}"
        yield Finding("shared", f"has the same key as {others}", hint)


def of_change(place: Place, thumbprint: str, entry: Entry | None, deed: Deed | None) -> Iterator[Finding]:
    """That the slot is not as this tool left it, and nobody has made the change known since."""
    if deed is None or thumbprint in {deed.thumbprint, *deed.begun}:
        return
    if entry and any(seen.at > deed.at for seen in entry.sightings):
        return
    holds = f"holds {short(thumbprint)}" if thumbprint else "is empty"
    left = f"{short(deed.thumbprint)} was put there" if deed.thumbprint else "it was emptied"
    message = f"{holds}, but by the ledger {left} on {deed.at:%Y-%m-%d %H:%M} UTC ({deed.command})"
    known = "if that is right: iotc-admin ledger import CERT" if thumbprint else "ask who changed it"
    yield Finding("drift", message, f"see iotc-admin {place.kind} show {shlex.quote(place.id)}; {known}")


def _renewal(place: Place) -> str:
    # An id comes from the service, and a hint is made to be pasted into a shell.
    name = shlex.quote(place.id)
    if place.kind == "group":
        return f"make a new CA and roll to it: iotc-admin roll plan --group {name} --cert NEW"
    if place.slot:
        return f"issue a new one, then: iotc-admin roll --device {name} --slot {place.slot} --cert NEW"
    return f"issue a new one, with which the device registers: iotc-admin cert device {name} --issuer CERT"


def _counted(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"
