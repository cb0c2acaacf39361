"""What the ledger knows of an application: certificates, and what was last done to each slot."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from itertools import chain
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple, TypeAlias

from cryptography import x509

from iotc_admin.pki.chain import signed_by
from iotc_admin.pki.description import common_name, is_ca
from iotc_admin.pki.pem import read_certificate
from iotc_admin.workflows.look import BOTH
from iotc_admin.workflows.plan import (
    DeleteDevice,
    DeleteGroup,
    PatchAttestation,
    PutAttestation,
    PutCertificate,
    RemoveAttestation,
    RemoveCertificate,
)

if TYPE_CHECKING:
    from iotc_admin.contract.enrollment_groups import Slot
    from iotc_admin.ledger.ledger import Entry, Ledger

# A path of certificates longer than this is no path but a riddle.
_DEEPEST: Final = 10

Kind: TypeAlias = Literal["group", "device"]


class Place(NamedTuple):
    """Where a certificate stands. `slot` is empty for a device that its enrollment group lets in."""

    kind: Kind
    id: str
    slot: str

    def __str__(self) -> str:
        return f"{self.id}/{self.slot}" if self.slot else self.id


@dataclass(frozen=True)
class Deed:
    """What was last done to a slot: the certificate put there by its SHA-1, or empty if removed."""

    thumbprint: str
    at: datetime
    command: str
    begun: frozenset[str] = frozenset()
    """What was begun after that and may have happened: its answer never came."""


@dataclass(frozen=True)
class Known:
    """A part of the ledger: certificates by SHA-1 thumbprint, deeds by place."""

    entries: Mapping[str, Entry] = field(default_factory=dict)
    deeds: Mapping[Place, Deed] = field(default_factory=dict)

    @classmethod
    def read(cls, ledger: Ledger | None, app: str, thumbprints: Iterable[str]) -> Known:
        """What the ledger knows of these thumbprints and of this application's slots."""
        if ledger is None:
            return cls()
        found = {each: ledger.find(each) for each in set(thumbprints)}
        entries = {thumbprint: entry for thumbprint, entry in found.items() if entry}
        return cls(entries, _last_deeds(ledger, app))


def newest_leafs(ledger: Ledger | None) -> Mapping[str, Entry]:
    """By device id in lower case, as the provisioning service compares, the certificate issued last."""
    leafs: dict[str, Entry] = {}
    entries = ledger.entries() if ledger else []
    for entry in sorted(entries, key=lambda each: (each.not_before, each.not_after)):
        certificate = read_certificate(entry.pem.encode())
        name = common_name(certificate)
        # Beyond ASCII, different letters may have the same lower case.
        if name and name.isascii() and not is_ca(certificate):
            leafs[name.lower()] = entry
    return leafs


def issuers(
    ledger: Ledger | None, certificate: x509.Certificate, also: Iterable[x509.Certificate] = ()
) -> Iterator[x509.Certificate]:
    """Who signed it, and who signed that, nearest first, as far as the ledger knows them, or `also` holds."""
    given = list(also)
    for _ in range(_DEEPEST):
        candidates = chain(given, _with_subject(ledger, certificate.issuer.rfc4514_string()))
        issuer = next((each for each in candidates if signed_by(certificate, each)), None)
        if issuer is None or issuer == certificate:
            return
        yield issuer
        certificate = issuer


def last_removed(ledger: Ledger | None, app: str, group: str, slots: Iterable[Slot]) -> dict[str, str]:
    """What was last removed from these slots of a group by this tool, as SHA-1 thumbprints by slot."""
    events = ledger.events() if ledger else []
    removed = {
        str(each.details["slot"]): str(each.details["sha1Thumbprint"])
        for each in events
        if each.details.get("do") == RemoveCertificate.__name__
        and (each.details["app"], each.details["group"]) == (app, group)
    }
    return {slot.value: removed[slot.value] for slot in slots if slot.value in removed}


def _with_subject(ledger: Ledger | None, subject: str) -> Iterator[x509.Certificate]:
    entries = ledger.with_subject(subject) if ledger else []
    return (read_certificate(each.pem.encode()) for each in entries)


def _last_deeds(ledger: Ledger, app: str) -> Mapping[Place, Deed]:
    deeds: dict[Place, Deed] = {}
    for event in ledger.events():
        if event.details.get("app") != app:
            continue
        done = event.event.startswith("done: ")
        for place, thumbprint in _effects(event.details):
            if done and thumbprint is None:
                deeds.pop(place, None)
            elif done:
                deeds[place] = Deed(thumbprint or "", event.at, event.command)
            elif last := deeds.get(place):
                begun = last.begun | {thumbprint or ""}
                deeds[place] = Deed(last.thumbprint, last.at, last.command, begun)
    return deeds


def _effects(step: Mapping[str, Any]) -> Iterator[tuple[Place, str | None]]:
    """What a step of the journal makes of which slots: a thumbprint, empty, or None if the slot is gone."""
    match step.get("do"):
        case PutCertificate.__name__:
            yield Place("group", step["group"], step["slot"]), step["sha1Thumbprint"]
        case RemoveCertificate.__name__:
            yield Place("group", step["group"], step["slot"]), ""
        case DeleteGroup.__name__:
            yield from ((Place("group", step["group"], slot.value), None) for slot in BOTH)
        case PutAttestation.__name__ | PatchAttestation.__name__:
            filled = (slot.value for slot in BOTH if slot.value in step)
            yield from ((Place("device", step["device"], slot), step[slot]) for slot in filled)
        case RemoveAttestation.__name__:
            yield from ((Place("device", step["device"], slot.value), "") for slot in BOTH)
        case DeleteDevice.__name__:
            yield from ((Place("device", step["device"], slot.value), None) for slot in BOTH)
