"""The second half of a roll: the old CA out when no device needs it any more, or the new one out again."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from iotc_admin.errors import PlanOutdated, UnsafePlan
from iotc_admin.pki.validity import require_valid
from iotc_admin.workflows.apply import Hands, apply
from iotc_admin.workflows.plan import ConfirmVerified, Plan, RemoveCertificate, Step
from iotc_admin.workflows.roll import known
from iotc_admin.workflows.rollover.journal import Rollover, Scribe, State
from iotc_admin.workflows.rollover.progress import Progress, evidence, look, require_unchanged

if TYPE_CHECKING:
    from iotc_admin.client.client import Client
    from iotc_admin.ledger.ledger import Ledger

_NAMED: Final = 10


def remaining(progress: Progress, accepted: frozenset[str] = frozenset()) -> list[str]:
    """The devices that keep the old CA from going. `accepted`: laggards that a person lets go.

    What was decided when the old CA was to go, before that was cut short, stays decided.
    """
    decided = accepted | progress.roll.accepted | progress.roll.vouched
    return [each for each in progress.laggards if each not in decided]


def plan_retirement(
    client: Client, ledger: Ledger | None, progress: Progress, accepted: frozenset[str] = frozenset()
) -> Plan:
    """Take the old CA out, right after a look at the new one; nothing to do if it is out.

    Raises `UnsafePlan`, with names, while a device may still depend on the old CA.
    """
    record = progress.roll
    _require_not(record, State.ABORTED)
    if record.over or progress.state is State.RETIRED:
        return Plan(client.app, ())
    require_unchanged(progress)
    _require_drained(progress, accepted)
    new = known(ledger, record.new)
    if new is not None:
        require_valid(new, now=client.now())
    seen = ConfirmVerified(record.group, record.slot, record.new)
    return Plan(client.app, (seen, RemoveCertificate(record.group, record.slot.other, record.old)))


def retire(
    client: Client,
    progress: Progress,
    plan: Plan,
    scribe: Scribe,
    *,
    accepted: frozenset[str] = frozenset(),
    told: Callable[[Step], None] = lambda _: None,
) -> Progress:
    """Remove the old CA, read back, close the roll. Raises `PlanOutdated`."""
    record = progress.roll
    if record.over:
        return progress
    if plan.steps:
        record = scribe.note(record, State.DRAINED, **evidence(progress))
        scribe.retiring(
            record,
            accepted=[each for each in progress.laggards if each in accepted],
            vouched=progress.vouched,
        )
        apply(plan, client, Hands(run=scribe.run, told=told))
    after = look(client, scribe.run.ledger, record.group)
    _require_any(after)
    require_unchanged(after)
    _require_gone(after)
    record = scribe.note(scribe.note(after.roll, State.RETIRED, **evidence(after)), State.CLOSED)
    return replace(after, roll=record, state=State.CLOSED)


def plan_abortion(client: Client, ledger: Ledger | None, progress: Progress, *, listed: bool = False) -> Plan:
    """Take the new CA out again. Raises `UnsafePlan` when a device may depend on it.

    `listed`: a person has said which devices have the new certificate, so that silence means none.
    """
    record, group, new = progress.roll, progress.roll.group, progress.new
    _require_not(record, State.CLOSED)
    listed = listed or record.listed
    if record.over or new is None or new.thumbprint != record.new:
        return Plan(client.app, ())
    if progress.state is State.RETIRED:
        message = f"the old CA of {group} is gone: there is nothing to go back to"
        raise UnsafePlan(message, hint=f"finish this roll: iotc-admin roll resume --group {group}")
    if not new.verified:
        # Somebody else may prove it, and retire the old one, before this is carried out.
        return Plan(client.app, (RemoveCertificate(group, record.slot, record.new, unverified=True),))
    _require_unused(progress, listed=listed)
    old = known(ledger, record.old)
    if old is not None:
        require_valid(old, now=client.now())
    removal = RemoveCertificate(group, record.slot, record.new)
    return Plan(client.app, (ConfirmVerified(group, record.slot.other, record.old), removal))


def abort(
    client: Client,
    progress: Progress,
    plan: Plan,
    scribe: Scribe,
    *,
    listed: bool = False,
    told: Callable[[Step], None] = lambda _: None,
) -> Progress:
    """Remove the new CA and end the roll. What it had replaced does not come back. Raises `PlanOutdated`."""
    if progress.roll.over:
        return progress
    record = scribe.aborting(progress.roll, listed=listed)
    apply(plan, client, Hands(run=scribe.run, told=told))
    scribe.note(record, State.ABORTED)
    after = look(client, scribe.run.ledger, progress.roll.group)
    if plan.steps:
        _require_any(after)
    return after


def _require_not(record: Rollover, end: State) -> None:
    if record.state is end:
        message = (
            f"the roll of {record.group} is over: it was {end} on {record.moments[end].at:%Y-%m-%d %H:%M} UTC"
        )
        raise UnsafePlan(
            message, hint=f"to begin another: iotc-admin roll start --group {record.group} --cert NEW"
        )


def _require_any(after: Progress) -> None:
    # The API has no lock: two who empty the two slots in the same instant have both seen the other filled.
    if any(each is not None and each.verified for each in (after.new, after.old)):
        return
    group = after.roll.group
    message = (
        f"{group} holds no verified certificate any more: somebody else changed the other slot meanwhile"
    )
    hint = (
        f"no device can register now; put one back: iotc-admin group set-cert {group} --slot SLOT --cert CA"
    )
    raise PlanOutdated(message, hint=hint)


def _require_gone(after: Progress) -> None:
    if after.state is State.RETIRED:
        return
    place = f"{after.roll.group}/{after.roll.slot.other}"
    message = f"the old CA stands in {place} again, or the new one is not verified: somebody else changed it"
    raise PlanOutdated(message, hint=f"look at it: iotc-admin roll status --group {after.roll.group}")


def _require_drained(progress: Progress, accepted: frozenset[str]) -> None:
    group = progress.roll.group
    if progress.state in (State.PREPARED, State.STAGED):
        message = f"the new CA of {group} is {progress.state} only: the old one cannot go"
        raise UnsafePlan(message, hint=f"finish its proof: iotc-admin roll resume --group {group}")
    _require_counted(progress)
    left = remaining(progress, accepted)
    if left:
        message = f"{len(left)} devices of {group} are not known to have left the old CA: {_named(left)}"
        hint = f"see why: iotc-admin roll status --group {group}; to let them go: --accept-laggards FILE"
        raise UnsafePlan(message, hint=hint)


def _require_counted(progress: Progress) -> None:
    if progress.adoption is None:
        message = f"who has a certificate of the new CA of {progress.roll.group} was not asked"
        raise UnsafePlan(message, hint="look(client, ledger, group, Asked()) asks")


def _require_unused(progress: Progress, *, listed: bool) -> None:
    _require_counted(progress)
    group = progress.roll.group
    standings = progress.adoption.standings if progress.adoption else ()
    using = [each.device for each in standings if each.state == "adopted"]
    if using:
        message = f"{len(using)} devices of {group} have a certificate of the new CA: {_named(using)}"
        raise UnsafePlan(message, hint="they would be refused: let them register under the old CA first")
    silent = [each.device for each in standings if each.state == "unknown"]
    if silent and not listed:
        message = f"{len(silent)} devices of {group} do not tell which CA they depend on: {_named(silent)}"
        hint = "name those that have the new certificate, in an empty list if none has: --adopted FILE"
        raise UnsafePlan(message, hint=hint)


def _named(devices: list[str]) -> str:
    more = len(devices) - _NAMED
    return ", ".join(devices[:_NAMED]) + (f" and {more} more" if more > 0 else "")
