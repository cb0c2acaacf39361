"""Contain a breach: nobody registers any more, and the affected devices are cut off from their hub."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from iotc_admin.contract.enrollment_groups import Slot
from iotc_admin.errors import UnsafePlan
from iotc_admin.ledger.breach import (
    BLOCKING_BEGUN,
    GROUP_DISABLED,
    SHUT,
    Author,
    Breach,
    Case,
    State,
    devices_of,
    open_case,
)
from iotc_admin.workflows.apply import Hands
from iotc_admin.workflows.breach.affected import Affected, by_group, named
from iotc_admin.workflows.breach.turning import BLOCK, estimate, step_for, turn_devices
from iotc_admin.workflows.groups import Change, update_group
from iotc_admin.workflows.known import last_removed
from iotc_admin.workflows.look import (
    BOTH,
    existing,
    existing_device,
    look_at_attestation,
    look_at_group,
)
from iotc_admin.workflows.plan import Plan, UpdateDevice, UpdateGroup

if TYPE_CHECKING:
    from iotc_admin.client.client import Client
    from iotc_admin.ledger.ledger import Ledger


@dataclass(frozen=True)
class Containment:
    """What is to be done. `suspects`: SHA-1 thumbprints by slot. `blocked`: blocked already.

    `before`: those of them whom this breach has not blocked. `unproven`: those of the blocks without
    evidence. `missing`, `doubtful`: see `Affected`.
    """

    breach: Breach
    plan: Plan
    suspects: Mapping[str, str]
    blocked: tuple[str, ...]
    before: tuple[str, ...]
    unproven: tuple[str, ...]
    missing: tuple[str, ...]
    doubtful: tuple[str, ...]

    @property
    def blocks(self) -> tuple[UpdateDevice, ...]:
        return tuple(step for step in self.plan.steps if isinstance(step, UpdateDevice))

    @property
    def takes(self) -> timedelta:
        """At 20 requests a second."""
        return estimate(len(self.plan.steps))

    def to_json(self) -> dict[str, Any]:
        """The plan as a document, with whom it leaves out."""
        return {
            **self.plan.to_json(),
            self.breach.kind: self.breach.id,
            "suspects": dict(self.suspects),
            "seconds": int(self.takes.total_seconds()),
            "blockedAlready": list(self.blocked),
            "unproven": list(self.unproven),
            "missing": list(self.missing),
            "doubtful": list(self.doubtful),
        }


def plan_containment(
    client: Client,
    ledger: Ledger | None,
    breach: Breach,
    *,
    devices: Sequence[str] | None = None,
    slots: Sequence[Slot] | None = None,
    told: Callable[[int], None] = lambda _: None,
) -> Containment:
    """Look, decide. `devices`: whom to block, in this order; None: whom the group is known to have let in.

    `slots`: the suspect ones; what is on record stays so. None: as on record, at first both. An empty slot
    counts with what the ledger saw removed from it. Sends reads only. Raises `NotFound`, and `UnsafePlan`
    where nothing is suspect. `told`: see `by_group`.
    """
    if breach.kind == "device":
        return _plan_device(client, ledger, breach, slots)
    case = open_case(ledger, client.app, breach)
    # A group that was deleted after all lets nobody in; whom it has let in is connected still.
    view = look_at_group(client, breach.id, BOTH) if case else existing(client, breach.id, BOTH)
    held = {slot.value: each.thumbprint for slot, each in view.slots.items() if each} if view else {}
    suspects = _suspects(case, held, slots) or last_removed(ledger, client.app, breach.id, slots or BOTH)
    if not suspects:
        raise _nothing_suspect(breach, slots or BOTH)
    affected = (
        by_group(client, ledger, breach.id, suspects.values(), told)
        if devices is None
        else named(client, devices)
    )
    shut = (UpdateGroup(breach.id, None, enabled=False, etag=view.etag),) if view and view.enabled else ()
    return _decided(client, ledger, breach, affected, suspects=suspects, shut=shut)


def contain(
    planned: Containment, client: Client, author: Author, told: Callable[[int, int], None] = lambda *_: None
) -> int:
    """Disable the group, then block the devices. Returns how many were blocked.

    Repeated, it does what is left. Raises `PlanOutdated` where somebody else changed the group meanwhile,
    `RunIncomplete` when some devices could not be blocked.
    """
    case = author.begin(client.app, planned.breach, planned.suspects)
    author.mark(case, planned.before, State.BEFORE)
    author.mark(case, [each for each in planned.blocked if each not in planned.before], State.BLOCKED)
    shut = tuple(step for step in planned.plan.steps if isinstance(step, UpdateGroup))
    if shut:
        disabling = Change(planned.breach.id, enabled=False)
        update_group(client, disabling, Plan(client.app, shut), Hands(run=author.run))
        author.note(case, GROUP_DISABLED)
    blocks = planned.blocks
    if not blocks:
        return 0
    author.note(case, BLOCKING_BEGUN, devices=str(len(blocks)))
    blocked = turn_devices(client, case, blocks, BLOCK, author, told=told)
    author.note(case, "devices blocked", devices=str(blocked))
    return blocked


def _plan_device(
    client: Client, ledger: Ledger | None, breach: Breach, slots: Sequence[Slot] | None
) -> Containment:
    device = existing_device(client, breach.id)
    view = look_at_attestation(client, breach.id)
    held = {slot.value: each for slot, each in view.slots.items() if each} if view else {}
    suspects = _suspects(open_case(ledger, client.app, breach), held, slots)
    return _decided(client, ledger, breach, Affected((device,)), suspects=suspects)


def _nothing_suspect(breach: Breach, slots: Sequence[Slot]) -> UnsafePlan:
    message = f"{breach.id} holds no certificate in {' or '.join(slots)}: nothing there can be breached"
    hint = (
        f"look at it: iotc-admin group show {breach.id}; if the CA was removed already, shut it by hand: "
        f"iotc-admin group update {breach.id} --disable, and iotc-admin device update ID --block"
    )
    return UnsafePlan(message, hint=hint)


def _suspects(case: Case | None, held: Mapping[str, str], slots: Sequence[Slot] | None) -> dict[str, str]:
    """What is suspect, by slot: what is on record, and what stands in the slots that are named."""
    recorded = case.suspects if case else {}
    # Of a breach on record only a person knows whether what came into a slot since is suspect.
    named = () if case and slots is None else (slots or BOTH)
    return {**{slot.value: held[slot] for slot in named if slot in held}, **recorded}


def _decided(
    client: Client,
    ledger: Ledger | None,
    breach: Breach,
    affected: Affected,
    *,
    suspects: Mapping[str, str],
    shut: tuple[UpdateGroup, ...] = (),
) -> Containment:
    case = open_case(ledger, client.app, breach)
    ours = {each for each, _ in devices_of(ledger, case, *SHUT)} if ledger and case else set()
    blocked = tuple(each.id or "" for each in affected.devices if each.enabled is False)
    blocks = tuple(step_for(each, BLOCK) for each in affected.devices if each.enabled is not False)
    return Containment(
        breach,
        Plan(client.app, (*shut, *blocks)),
        suspects,
        blocked,
        tuple(each for each in blocked if each not in ours),
        tuple(each for each in affected.unproven if each not in blocked),
        affected.missing,
        affected.doubtful,
    )
