"""Status: every slot of an application beside what the ledger knows of it, as frozen values. Reads only."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from iotc_admin.pki.lifetime import Policy, days_left, due, due_from
from iotc_admin.pki.validity import Validity
from iotc_admin.workflows import findings
from iotc_admin.workflows.findings import KINDS, WAITING, Finding
from iotc_admin.workflows.known import Known, Place, newest_leafs
from iotc_admin.workflows.look import BOTH, GroupView, group_view, look_at_attestations

if TYPE_CHECKING:
    from datetime import datetime

    from iotc_admin.client.client import Client
    from iotc_admin.contract.enrollment_groups import EnrollmentGroup
    from iotc_admin.ledger.ledger import Entry, Ledger

_AT_ONCE: Final = 8
OK: Final = "ok"
EMPTY: Final = "empty"
STATES: Final = (*KINDS, OK, EMPTY)
"""The worst first."""


@dataclass(frozen=True)
class Held:
    """What the application says of one slot; of a device without slots, the leaf that the ledger knows."""

    place: Place
    display_name: str
    enabled: bool
    """Whether the group or device lets anybody in."""
    thumbprint: str
    """SHA-1, upper-case hex; empty as the slot is."""
    verified: bool | None
    """None where there is nothing to prove: of devices and empty slots."""


@dataclass(frozen=True)
class SlotStatus:
    """One slot, judged. `entry`, `dates` and what follows from them are None where the ledger has nothing."""

    held: Held
    entry: Entry | None
    dates: Validity | None
    due_from: datetime | None
    days_left: int | None
    """Whole days; negative when it has expired."""
    due: bool | None
    """An expired certificate is due, too."""
    findings: tuple[Finding, ...]
    """The worst first."""

    @property
    def state(self) -> str:
        """The worst finding's kind, or one of `ok` and `empty`."""
        if self.findings:
            return self.findings[0].kind
        return OK if self.held.thumbprint else EMPTY

    @property
    def waits(self) -> bool:
        """Whether a person has something to do before devices are refused."""
        return any(each.kind in WAITING for each in self.findings)


@dataclass(frozen=True)
class Status:
    """All slots of an application at one time, the worst first; `others` are groups without certificates."""

    app: str
    at: datetime
    policy: Policy
    slots: tuple[SlotStatus, ...]
    others: tuple[str, ...] = ()

    @property
    def waits(self) -> bool:
        """Whether something is due, expired, or waits for its proof of possession."""
        return any(each.waits for each in self.slots)

    @property
    def count(self) -> Mapping[str, int]:
        """How many slots are in which state, the worst first; no zeros."""
        counted = Counter(each.state for each in self.slots)
        return {state: counted[state] for state in STATES if counted[state]}


def look_at_status(
    client: Client, ledger: Ledger | None = None, policy: Policy | None = None, *, devices: bool = False
) -> Status:
    """Every slot of every X.509 group; with `devices` individual enrollments, and leafs the ledger knows.

    Sends one request for each page of groups and two for each X.509 group; with `devices` one for each page
    of devices and one for each device. A certificate is due by `policy`, else after two thirds of its life.
    """
    views = _look_at_groups(client)
    held = [slot for view in views for slot in _held_by_group(view)]
    held += _look_at_devices(client, ledger) if devices else []
    known = Known.read(ledger, client.app, (each.thumbprint for each in held if each.thumbprint))
    others = tuple(view.id for view in views if not view.takes_certificates)
    policy, now = policy or Policy(), client.now()
    return Status(client.app, now, policy, judge(held, known, policy, now), others)


def judge(held: Iterable[Held], known: Known, policy: Policy, now: datetime) -> tuple[SlotStatus, ...]:
    """Each slot with all that there is to say of it, the worst and those that expire first in front."""
    slots = list(held)
    sharing = _places_by_key(slots, known)
    judged = [_judge(each, sharing[_key(each, known)], known, policy, now) for each in slots]
    return tuple(sorted(judged, key=_urgency))


def _judge(held: Held, sharing: list[Place], known: Known, policy: Policy, now: datetime) -> SlotStatus:
    entry = known.entries.get(held.thumbprint)
    dates = Validity(entry.not_before, entry.not_after) if entry else None
    return SlotStatus(
        held=held,
        entry=entry,
        dates=dates,
        due_from=due_from(dates, policy) if dates else None,
        days_left=days_left(dates, now) if dates else None,
        due=due(dates, policy, now) if dates else None,
        findings=tuple(sorted(_found(held, sharing, known, policy, now), key=_severity)),
    )


def _found(
    held: Held, sharing: list[Place], known: Known, policy: Policy, now: datetime
) -> Iterator[Finding]:
    place, entry = held.place, known.entries.get(held.thumbprint)
    if entry:
        yield from findings.of_dates(place, Validity(entry.not_before, entry.not_after), policy, now)
        yield from findings.of_strength(place, entry, now)
    yield from findings.of_proof(place, held.verified)
    yield from findings.of_company(place, sharing)
    yield from findings.of_origin(held.thumbprint, entry)
    # Where there is no slot, nothing was put into one.
    if place.slot:
        yield from findings.of_change(place, held.thumbprint, entry, known.deeds.get(place))


def _severity(finding: Finding) -> int:
    return KINDS.index(finding.kind)


def _urgency(slot: SlotStatus) -> tuple[int, float, Place]:
    ends = slot.dates.not_after.timestamp() if slot.dates else float("inf")
    return STATES.index(slot.state), ends, slot.held.place


def _look_at_groups(client: Client) -> list[GroupView]:
    def look(group: EnrollmentGroup) -> GroupView:
        return group_view(client, group.id or "", group, BOTH)

    groups = list(client.enrollment_groups.list())
    # The pace of requests is the client's.
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        return list(pool.map(look, groups))


def _held_by_group(view: GroupView) -> Iterator[Held]:
    for slot, found in view.slots.items():
        thumbprint, verified = (found.thumbprint, found.verified) if found else ("", None)
        place = Place("group", view.id, slot.value)
        yield Held(place, view.display_name, view.enabled, thumbprint, verified)


def _look_at_devices(client: Client, ledger: Ledger | None) -> Iterator[Held]:
    devices = {device.id: device for device in client.devices.list() if device.id}
    leafs = newest_leafs(ledger)
    for id_, attestation in look_at_attestations(client, devices).items():
        slots: Mapping[str, str | None] = {}
        if attestation is None and (leaf := leafs.get(id_.lower())):
            slots = {"": leaf.sha1}
        elif attestation is not None and attestation.type == "x509":
            slots = {slot.value: thumbprint for slot, thumbprint in attestation.slots.items()}
        device = devices[id_]
        for slot, thumbprint in slots.items():
            place = Place("device", id_, slot)
            yield Held(place, device.display_name or id_, device.enabled is not False, thumbprint or "", None)


def _key(held: Held, known: Known) -> str:
    """What tells its key from others: of a certificate that nobody knows, at least itself."""
    entry = known.entries.get(held.thumbprint)
    return entry.spki_sha256 if entry else held.thumbprint


def _places_by_key(slots: Iterable[Held], known: Known) -> Mapping[str, list[Place]]:
    places: defaultdict[str, list[Place]] = defaultdict(list)
    for each in slots:
        if each.thumbprint:
            places[_key(each, known)].append(each.place)
    return places
