"""The report of a breach: what was done when and by whom, which certificates, which devices stand how."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Final

from iotc_admin.errors import UnsafePlan
from iotc_admin.ledger.breach import Breach, Case, State, devices_of, events_of, last_case
from iotc_admin.workflows.look import (
    SlotView,
    look_at_attestation,
    look_at_device,
    look_at_devices,
    look_at_group,
)

if TYPE_CHECKING:
    from iotc_admin.client.client import Client
    from iotc_admin.contract.devices import Device
    from iotc_admin.ledger.ledger import Entry, Event, Ledger

_ABOUT_THE_LINE: Final = ("case", "actor", "group", "device")
STANDINGS: Final = (
    "not blocked yet",
    "blocked",
    "released",
    "blocked before",
    "blocked again",
    "unblocked by others",
    "deleted",
)
"""How a device may stand, what matters most in front."""


@dataclass(frozen=True)
class Happening:
    """One line of the time line."""

    at: datetime
    what: str
    actor: str
    details: Mapping[str, str]


@dataclass(frozen=True)
class Standing:
    """A certificate of the case. `entry`: what the ledger knows of it."""

    slot: str
    thumbprint: str
    entry: Entry | None
    verified: bool | None
    """Whether it counts in its slot now; None: it does not stand there."""


@dataclass(frozen=True)
class Report:
    """`devices` by how they stand; the application was asked, so what others did since shows."""

    app: str
    case: Case
    at: datetime
    shut: bool
    """Whether the group is disabled, or the device blocked; what was deleted is."""
    there: bool
    """False: the group or device was deleted."""
    suspects: tuple[Standing, ...]
    current: tuple[Standing, ...]
    devices: Mapping[str, tuple[str, ...]]
    timeline: tuple[Happening, ...]

    @property
    def waits(self) -> bool:
        """Whether something is left for a person to do."""
        return self.case.closed is None

    @property
    def replaced(self) -> bool:
        """Whether nothing suspect stands in a slot any more."""
        return all(each.verified is None for each in self.suspects)


def look_at_breach(client: Client, ledger: Ledger | None, breach: Breach) -> Report:
    """The last breach of a group or device. Sends reads only. Raises `UnsafePlan` if there never was one."""
    case = last_case(ledger, client.app, breach)
    if ledger is None or case is None:
        message = f"no breach of {breach} is on record in this ledger"
        hint = f"contain one: iotc-admin breach contain {breach.option}; or use the ledger of who did"
        raise UnsafePlan(message, hint=hint)
    held, shut, there = _held(client, breach)
    suspects = (
        Standing(slot, each, ledger.find(each), _counts(held, each)) for slot, each in case.suspects.items()
    )
    current = (
        Standing(slot, each.thumbprint, ledger.find(each.thumbprint), each.verified)
        for slot, each in held.items()
    )
    return Report(
        client.app,
        case,
        client.now(),
        shut,
        there,
        tuple(suspects),
        tuple(current),
        _by_standing(client, ledger, case),
        tuple(_happening(what, line) for what, line in events_of(ledger, case)),
    )


def _held(client: Client, breach: Breach) -> tuple[dict[str, SlotView], bool, bool]:
    """The filled slots, whether nobody gets in by them, and whether it is there: deleted, it is shut."""
    if breach.kind == "group":
        view = look_at_group(client, breach.id)
        slots = {slot.value: each for slot, each in view.slots.items() if each} if view else {}
        return slots, view is None or not view.enabled, view is not None
    device = look_at_device(client, breach.id)
    attestation = look_at_attestation(client, breach.id)
    held = {
        slot.value: SlotView(each, verified=True, etag="")
        for slot, each in (attestation.slots if attestation else {}).items()
        if each
    }
    return held, device is None or device.enabled is False, device is not None


def _counts(held: Mapping[str, SlotView], thumbprint: str) -> bool | None:
    return next((each.verified for each in held.values() if each.thumbprint == thumbprint), None)


def _by_standing(client: Client, ledger: Ledger, case: Case) -> dict[str, tuple[str, ...]]:
    states = dict(devices_of(ledger, case))
    found = look_at_devices(client, states)
    by_standing: dict[str, list[str]] = defaultdict(list)
    for device, state in states.items():
        by_standing[_standing(state, found[device])].append(device)
    return {standing: tuple(by_standing[standing]) for standing in STANDINGS if standing in by_standing}


def _standing(state: State, device: Device | None) -> str:
    """What the ledger has on record beside what the application shows now."""
    if device is None:
        return "deleted"
    blocked = device.enabled is False
    if state is State.BLOCKING and not blocked:
        return "not blocked yet"
    if state in (State.BLOCKED, State.BLOCKING) or (state is State.RELEASING and blocked):
        return "blocked" if blocked else "unblocked by others"
    if state in (State.RELEASED, State.RELEASING):
        return "blocked again" if blocked else "released"
    return "blocked before" if blocked else "unblocked by others"


def _happening(what: str, line: Event) -> Happening:
    details = {name: each for name, each in line.details.items() if name not in _ABOUT_THE_LINE}
    return Happening(line.at, what, line.details.get("actor", ""), details)
