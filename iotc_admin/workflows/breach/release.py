"""Release: the group enabled and devices unblocked, only those that are named, in waves."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from iotc_admin.errors import PlanOutdated, UnsafePlan
from iotc_admin.ledger.breach import (
    SHUT,
    Author,
    Breach,
    Case,
    State,
    also_affected,
    devices_of,
    open_case,
)
from iotc_admin.workflows.apply import Hands
from iotc_admin.workflows.breach.meanwhile import observed, shut_again
from iotc_admin.workflows.breach.replace import standing_suspects
from iotc_admin.workflows.breach.turning import RELEASE, estimate, step_for, turn_devices
from iotc_admin.workflows.groups import Change, update_group
from iotc_admin.workflows.look import existing, look_at_attestation, look_at_devices, look_at_group
from iotc_admin.workflows.plan import Plan, UpdateDevice, UpdateGroup, short

if TYPE_CHECKING:
    from iotc_admin.client.client import Client
    from iotc_admin.ledger.ledger import Ledger

# IoT Central takes 200 registrations a minute: a wave that comes back at once stays below.
WAVE: Final = 150
PAUSE: Final = timedelta(minutes=1)


@dataclass(frozen=True)
class ReleasePlan:
    """What is to be done. `others`: named, but not blocked by this breach; they stay as they are.

    `opened`: found unblocked, be it by a release whose answer was lost.
    """

    breach: Breach
    plan: Plan
    opened: tuple[str, ...]
    others: tuple[str, ...]
    missing: tuple[str, ...]
    warnings: tuple[str, ...]
    wave: int
    pause: timedelta

    @property
    def releases(self) -> tuple[UpdateDevice, ...]:
        return tuple(step for step in self.plan.steps if isinstance(step, UpdateDevice))

    @property
    def waves(self) -> tuple[tuple[UpdateDevice, ...], ...]:
        steps = self.releases
        return tuple(steps[start : start + self.wave] for start in range(0, len(steps), self.wave))

    @property
    def takes(self) -> timedelta:
        """At 20 requests a second, with the pauses between waves."""
        return estimate(len(self.plan.steps)) + max(len(self.waves) - 1, 0) * self.pause

    def to_json(self) -> dict[str, Any]:
        """The plan as a document, with whom it leaves out."""
        return {
            **self.plan.to_json(),
            self.breach.kind: self.breach.id,
            "waves": len(self.waves),
            "seconds": int(self.takes.total_seconds()),
            "others": list(self.others),
            "missing": list(self.missing),
        }


def plan_release(
    client: Client,
    ledger: Ledger,
    breach: Breach,
    *,
    devices: Sequence[str] | None = (),
    enable_group: bool = False,
    false_alarm: str = "",
    wave: int = WAVE,
    pause: timedelta = PAUSE,
) -> ReleasePlan:
    """Look, decide. `devices`: whom to unblock, in this order; None: all whom this breach has blocked.

    Sends reads only. Raises `UnsafePlan` while a suspect certificate stands in a slot, unless it was a
    `false_alarm` (the reason why).
    """
    case = _case(client, ledger, breach)
    if not false_alarm:
        _require_replaced(client, case)
    steps = _enabling(client, breach) if enable_group else ()
    known = dict(devices_of(ledger, case))
    shut = [device for device, state in known.items() if state in SHUT]
    wanted = shut if devices is None else list(dict.fromkeys(devices))
    found = look_at_devices(client, [each for each in wanted if known.get(each) in SHUT])
    there = {device: each for device, each in found.items() if each is not None}
    releases = tuple(step_for(each, RELEASE) for each in there.values() if each.enabled is False)
    return ReleasePlan(
        breach,
        Plan(client.app, (*steps, *releases)),
        opened=tuple(device for device, each in there.items() if each.enabled is not False),
        others=tuple(each for each in wanted if known.get(each) not in (*SHUT, State.RELEASED)),
        missing=tuple(each for each in found if each not in there),
        warnings=(
            *_kept_out_elsewhere(client, ledger, case, releases),
            *_doubts(client, case, releases, enabling=bool(steps)),
        ),
        wave=wave,
        pause=pause,
    )


def release(
    planned: ReleasePlan,
    client: Client,
    author: Author,
    told: Callable[[int, int], None] = lambda *_: None,
    *,
    false_alarm: str = "",
) -> int:
    """Enable the group if that is planned, then unblock wave after wave. Returns how many were unblocked.

    Repeated, it does what is left; when nothing is, the case is closed. Raises `PlanOutdated`, and
    `RunIncomplete` when some could not be.
    """
    case = _case(client, author.ledger, planned.breach)
    if false_alarm:
        author.note(case, "false alarm", reason=false_alarm)
    enabling = tuple(step for step in planned.plan.steps if isinstance(step, UpdateGroup))
    if enabling:
        change = Change(planned.breach.id, enabled=True)
        update_group(client, change, Plan(client.app, enabling), Hands(run=author.run))
        author.note(case, "group enabled")
    author.mark(case, planned.missing, State.GONE)
    author.mark(case, planned.opened, State.RELEASED)
    released, begun = 0, observed(client, author.ledger, case)
    for number, wave in enumerate(planned.waves):
        if number:
            client.sleep(planned.pause.total_seconds())
            if shut := shut_again(begun, observed(client, author.ledger, case), false_alarm):
                raise _stopped(planned, released, shut)
        before = released

        def counted(now: int, _: int, before: int = before) -> None:
            told(before + now, len(planned.releases))

        released += turn_devices(client, case, wave, RELEASE, author, told=counted)
        author.note(case, "devices unblocked", devices=str(released - before))
    if _nothing_left(client, author.ledger, case):
        author.close(case)
    return released


def _stopped(planned: ReleasePlan, released: int, why: str) -> PlanOutdated:
    breach = planned.breach
    message = (
        f"{breach} {why} meanwhile: {released} of {len(planned.releases)} devices are unblocked, "
        "the others stay out"
    )
    hint = f"see who and why: iotc-admin breach report {breach.option}; then repeat, or contain it"
    return PlanOutdated(message, hint=hint)


def close_case(client: Client, breach: Breach, author: Author) -> None:
    """End the case. Whom it has blocked stays blocked, for others to let in. Nothing to do if it is over."""
    case = open_case(author.ledger, client.app, breach)
    if case is not None:
        left = sum(1 for _ in devices_of(author.ledger, case, *SHUT))
        author.close(case, devices=str(left))


def _nothing_left(client: Client, ledger: Ledger, case: Case) -> bool:
    """Whether all that this breach has shut is open again."""
    if any(devices_of(ledger, case, *SHUT)):
        return False
    return case.breach.kind == "device" or not _is_disabled(client, case.breach)


def _is_disabled(client: Client, breach: Breach) -> bool:
    """Whether the group is there, and disabled: one that was deleted has nothing to enable."""
    view = look_at_group(client, breach.id, ())
    return view is not None and not view.enabled


def _case(client: Client, ledger: Ledger, breach: Breach) -> Case:
    case = open_case(ledger, client.app, breach)
    if case is None:
        message = f"no open breach of {breach} is on record in this ledger: nothing is released"
        update = (
            f"iotc-admin group update {breach.id} --enable"
            if breach.kind == "group"
            else f"iotc-admin device update {breach.id} --unblock"
        )
        raise UnsafePlan(
            message, hint=f"use the ledger of who contained it; or, on your own account: {update}"
        )
    return case


def _require_replaced(client: Client, case: Case) -> None:
    standing = standing_suspects(client, case)
    if not standing:
        return
    places = ", ".join(f"{case.breach.id}/{slot} ({short(each)})" for slot, each in standing.items())
    message = f"what is suspect still stands in {places}: whoever has its key would be let in"
    slots = " ".join(f"--{slot} CERT" for slot in standing)
    hint = (
        f"iotc-admin breach replace {case.breach.option} {slots}; "
        "if nothing was stolen after all: --false-alarm REASON"
    )
    raise UnsafePlan(message, hint=hint)


def _enabling(client: Client, breach: Breach) -> tuple[UpdateGroup, ...]:
    view = existing(client, breach.id, ())
    return () if view.enabled else (UpdateGroup(breach.id, None, enabled=True, etag=view.etag),)


def _kept_out_elsewhere(
    client: Client, ledger: Ledger, case: Case, releases: Sequence[UpdateDevice]
) -> Iterator[str]:
    released = {step.device for step in releases}
    by_breach: dict[Breach, list[str]] = defaultdict(list)
    for device, breach in also_affected(ledger, client.app, case):
        if device in released:
            by_breach[breach].append(device)
    for breach, devices in by_breach.items():
        who = f"{devices[0]} is" if len(devices) == 1 else f"{devices[0]} and {len(devices) - 1} more are"
        yield f"{who} affected by the breach of {breach}, too, which is open"


def _doubts(client: Client, case: Case, releases: Sequence[UpdateDevice], *, enabling: bool) -> Iterator[str]:
    if not releases:
        return
    if case.breach.kind == "group" and not enabling and _is_disabled(client, case.breach):
        yield f"{case.breach.id} stays disabled: its devices cannot register; to enable it: --enable-group"
    yield (
        "a hub takes the certificate that a device registered with last: until a device registers anew, "
        "its old one lets it connect"
    )
    device = case.breach.id
    if case.breach.kind == "device" and look_at_attestation(client, device) is None:
        yield (
            f"{device} is let in by its group: whoever has its stolen certificate registers as it again; an "
            f"individual enrollment prevents that: iotc-admin device attach-cert {device} --primary CERT"
        )
