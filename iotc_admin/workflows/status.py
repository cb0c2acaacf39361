"""Status: every slot of an application beside what the ledger knows of it, as frozen values. Reads only."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

from iotc_admin.pki.description import common_name, is_ca
from iotc_admin.pki.lifetime import Policy, days_left, due, due_from, expired
from iotc_admin.pki.lint import lint
from iotc_admin.pki.pem import read_certificate
from iotc_admin.pki.validity import Validity
from iotc_admin.workflows.look import BOTH, GroupView, group_view, look_at_attestations
from iotc_admin.workflows.plan import DeleteDevice, DeleteGroup, RemoveAttestation, RemoveCertificate, short

if TYPE_CHECKING:
    from datetime import datetime

    from cryptography import x509

    from iotc_admin.client.client import Client
    from iotc_admin.contract.enrollment_groups import EnrollmentGroup
    from iotc_admin.ledger.ledger import Entry, Event, Ledger

_AT_ONCE: Final = 8
_NAMED: Final = 3
_WAITING: Final = ("expired", "due", "unverified")
_WEAK: Final = ("key-unsupported", "signature-weak")

HolderKind: TypeAlias = Literal["group", "device"]


@dataclass(frozen=True)
class Finding:
    """A remark about a slot. `kind` is stable: unmanaged, unverified, expired, due, early, weak, shared, drift."""

    kind: str
    message: str
    hint: str


@dataclass(frozen=True)
class Held:
    """What the application says of one slot; of a device under a group, the leaf that the ledger knows."""

    kind: HolderKind
    holder: str
    slot: str
    """Empty for a device that has no individual enrollment."""
    thumbprint: str | None
    """SHA-1, upper-case hex; None: the slot is empty."""
    verified: bool | None
    """None where there is nothing to prove: for devices, and empty slots."""

    def __str__(self) -> str:
        return f"{self.holder}/{self.slot}" if self.slot else self.holder


@dataclass(frozen=True)
class SlotStatus:
    """One slot, judged. What only a certificate can tell is None where the ledger has none."""

    held: Held
    subject: str | None
    dates: Validity | None
    due_from: datetime | None
    days_left: int | None
    due: bool | None
    findings: tuple[Finding, ...]

    @property
    def waits(self) -> bool:
        """Whether a person has something to do before devices are refused."""
        return any(each.kind in _WAITING for each in self.findings)


@dataclass(frozen=True)
class Status:
    """All slots of an application at one time. `without`: groups that attest by other means."""

    app: str
    at: datetime
    slots: tuple[SlotStatus, ...]
    without: tuple[str, ...] = ()

    @property
    def waits(self) -> bool:
        """Whether something is due, expired, or waits for its proof of possession."""
        return any(each.waits for each in self.slots)


@dataclass(frozen=True)
class Known:
    """What the ledger knows of one application."""

    app: str
    entries: tuple[Entry, ...] = ()
    events: tuple[Event, ...] = ()

    @classmethod
    def read(cls, ledger: Ledger | None, app: str) -> Known:
        if ledger is None:
            return cls(app)
        events = (event for event in ledger.events() if event.details.get("app") == app)
        return cls(app, tuple(ledger.entries()), tuple(events))

    @cached_property
    def by_thumbprint(self) -> Mapping[str, Entry]:
        return {entry.sha1: entry for entry in self.entries}

    @cached_property
    def certificates(self) -> Mapping[str, x509.Certificate]:
        return {entry.sha1: read_certificate(entry.pem.encode()) for entry in self.entries}

    @cached_property
    def last_seen(self) -> Mapping[tuple[HolderKind, str, str], Sighted]:
        """By slot, what was bound for it last."""
        found: dict[tuple[HolderKind, str, str], Sighted] = {}
        for entry in self.entries:
            # A group and a device may have the same name: the one holds CAs only, the other none.
            kind: HolderKind = "group" if is_ca(self.certificates[entry.sha1]) else "device"
            for seen in entry.sightings:
                place = (kind, seen.holder, seen.slot)
                if seen.app == self.app and (place not in found or found[place].at <= seen.at):
                    found[place] = Sighted(entry.sha1, seen.at, seen.command)
        return found

    @cached_property
    def done(self) -> Mapping[str, Event]:
        """What was done, by its words; of equal ones the last."""
        return {event.event.removeprefix("done: "): event for event in self.events}

    def newest_leafs(self) -> Mapping[str, Entry]:
        """By device id in lower case, as DPS compares, the leaf that was issued last."""
        leafs: dict[str, Entry] = {}
        for entry in sorted(self.entries, key=lambda each: (each.not_before, each.not_after)):
            certificate = self.certificates[entry.sha1]
            if not is_ca(certificate) and (name := common_name(certificate)):
                leafs[name.lower()] = entry
        return leafs


@dataclass(frozen=True)
class Sighted:
    """When which certificate was bound for a slot, and by which command."""

    thumbprint: str
    at: datetime
    command: str


def look_at_status(
    client: Client, ledger: Ledger | None, policy: Policy = Policy(), *, devices: bool = False  # noqa: B008 - frozen
) -> Status:
    """Every slot of every X.509 group; with `devices` those of devices, and leafs that the ledger knows."""
    known = Known.read(ledger, client.app)
    views = _look_at_groups(client)
    held = [slot for view in views for slot in _held_by_group(view)]
    held += _look_at_devices(client, known) if devices else []
    without = tuple(view.id for view in views if not view.takes_certificates)
    return Status(client.app, now := client.now(), tuple(judge(held, known, policy, now)), without)


def judge(held: Iterable[Held], known: Known, policy: Policy, now: datetime) -> Iterator[SlotStatus]:
    """Each slot with all that there is to say about it, the worst first."""
    slots = list(held)
    sharing = _places_by_key(slots, known)
    for each in slots:
        entry = known.by_thumbprint.get(each.thumbprint or "")
        dates = Validity(entry.not_before, entry.not_after) if entry else None
        findings = [*_unverified(each), *_drift(each, known), *_unmanaged(each, entry)]
        if entry and dates:
            findings[:0] = _timing(each, dates, policy, now)
            findings += _weak(each, known.certificates[entry.sha1], now)
        findings += _shared(each, sharing[_key(each, known)])
        yield SlotStatus(
            held=each,
            subject=entry.subject if entry else None,
            dates=dates,
            due_from=due_from(dates, policy) if dates else None,
            days_left=days_left(dates, now) if dates else None,
            due=due(dates, policy, now) if dates else None,
            findings=tuple(findings),
        )


def _look_at_groups(client: Client) -> list[GroupView]:
    def look(group: EnrollmentGroup) -> GroupView:
        return group_view(client, group.id or "", group, BOTH)

    groups = list(client.enrollment_groups.list())
    # The pace of requests is the client's.
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        return list(pool.map(look, groups))


def _held_by_group(view: GroupView) -> Iterator[Held]:
    for slot, found in view.slots.items():
        thumbprint, verified = (found.thumbprint, found.verified) if found else (None, None)
        yield Held("group", view.id, slot.value, thumbprint, verified)


def _look_at_devices(client: Client, known: Known) -> Iterator[Held]:
    ids = [device.id for device in client.devices.list() if device.id]
    leafs = known.newest_leafs()
    for device, attestation in look_at_attestations(client, ids).items():
        if attestation is None:
            if leaf := leafs.get(device.lower()):
                yield Held("device", device, "", leaf.sha1, None)
        elif attestation.type == "x509":
            for slot, thumbprint in attestation.slots.items():
                yield Held("device", device, slot.value, thumbprint, None)


def _timing(held: Held, dates: Validity, policy: Policy, now: datetime) -> Iterator[Finding]:
    end = f"{dates.not_after:%Y-%m-%d}"
    if expired(dates, now):
        yield Finding("expired", f"expired on {end}", _renewal(held))
    elif due(dates, policy, now):
        since = f"{due_from(dates, policy):%Y-%m-%d}"
        days = days_left(dates, now)
        yield Finding(
            "due", f"is due since {since}: it expires on {end}, in {_counted(days, 'day')}", _renewal(held)
        )
    if now < dates.not_before:
        yield Finding(
            "early",
            f"is not valid before {dates.not_before:%Y-%m-%d %H:%M} UTC",
            "check the clock of this computer: iotc-admin doctor; or wait",
        )


def _renewal(held: Held) -> str:
    if held.kind == "group":
        return f"make a new CA and roll to it: iotc-admin roll plan --group {held.holder} --cert NEW"
    if held.slot:
        return f"iotc-admin roll --device {held.holder} --slot {held.slot} --cert NEW"
    return f"issue a new one, and let the device register with it: iotc-admin cert device {held.holder} --issuer CERT"


def _unverified(held: Held) -> Iterator[Finding]:
    if held.verified is False:
        yield Finding(
            "unverified",
            "is not verified: no device is let in by it",
            f"prove possession of its key: iotc-admin group verify {held.holder} --slot {held.slot} --key KEY",
        )


def _unmanaged(held: Held, entry: Entry | None) -> Iterator[Finding]:
    if held.thumbprint is not None and entry is None:
        yield Finding(
            "unmanaged",
            "is unmanaged: the ledger does not hold it, so nobody here knows when it expires",
            "adopt it: iotc-admin ledger import CERT",
        )


def _weak(held: Held, certificate: x509.Certificate, now: datetime) -> Iterator[Finding]:
    role: Literal["root", "device"] = "root" if held.kind == "group" else "device"
    for found in lint(certificate, role=role, now=now):
        if found.code in _WEAK:
            yield Finding("weak", f"{found.what}: {found.cause}", _renewal(held))


def _key(held: Held, known: Known) -> str:
    """What tells its key from others: of a certificate that nobody knows, at least itself."""
    entry = known.by_thumbprint.get(held.thumbprint or "")
    return entry.spki_sha256 if entry else held.thumbprint or ""


def _places_by_key(slots: Iterable[Held], known: Known) -> Mapping[str, list[Held]]:
    places: defaultdict[str, list[Held]] = defaultdict(list)
    for each in slots:
        places[_key(each, known)].append(each)
    return places


def _shared(held: Held, places: list[Held]) -> Iterator[Finding]:
    if held.thumbprint is None or len(places) == 1:
        return
    # Of hundreds that share one key, a few names will do.
    named = [str(each) for each in places[: _NAMED + 1] if each is not held][:_NAMED]
    more = len(places) - 1 - len(named)
    others = ", ".join(named) + (f" and {more} more" if more else "")
    yield Finding("shared", f"has the same key as {others}", f"one loss is the loss of all; {_renewal(held)}")


def _drift(held: Held, known: Known) -> Iterator[Finding]:
    last = known.last_seen.get((held.kind, held.holder, held.slot))
    if last is None or not held.slot or last.thumbprint == held.thumbprint:
        return
    emptied = _emptied(held, last, known)
    if emptied and held.thumbprint is None:
        return
    holds = f"holds {held.thumbprint}" if held.thumbprint else "is empty"
    when = "{0.at:%Y-%m-%d %H:%M} UTC by {0.command}".format(emptied or last)
    ledger = "saw it emptied" if emptied else f"saw {last.thumbprint} bound for it"
    yield Finding(
        "drift",
        f"{holds}, but the ledger last {ledger}, on {when}",
        "ask who changed it, or repeat the command that did not finish; see: iotc-admin "
        f"{held.kind} show {held.holder}",
    )


def _emptied(held: Held, last: Sighted, known: Known) -> Event | None:
    """When this tool itself took the certificate away, after it was seen last."""
    if held.kind == "group":
        removal = RemoveCertificate(held.holder, _slot(held), last.thumbprint)
        words = [str(removal), str(DeleteGroup(held.holder))]
    else:
        words = [*_detachments(held, known), str(DeleteDevice(held.holder))]
    found = [known.done[each] for each in words if each in known.done]
    return next((each for each in found if each.at >= last.at), None)
