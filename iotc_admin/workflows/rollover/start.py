"""The first half of a roll: choose the slot for the new CA, put it in, prove it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from cryptography import x509

from iotc_admin.contract.enrollment_groups import Slot
from iotc_admin.errors import OutsideValidity, PlanOutdated, UnsafePlan
from iotc_admin.pki.authority import CertificateAuthority
from iotc_admin.pki.description import sha1_thumbprint
from iotc_admin.workflows.adoption import known_leafs
from iotc_admin.workflows.apply import Outcome
from iotc_admin.workflows.enroll import Enrollment, carry_out
from iotc_admin.workflows.look import BOTH, existing
from iotc_admin.workflows.plan import Plan, PutCertificate, Step, short
from iotc_admin.workflows.roll import Roll, Standing, check_new_ca, plan_in_view, plan_roll, standing_in_group
from iotc_admin.workflows.rollover.journal import Rollover, Scribe, State, last_rollover
from iotc_admin.workflows.rollover.progress import Progress, look, note_progress, require_unchanged

if TYPE_CHECKING:
    from iotc_admin.client.client import Client
    from iotc_admin.ledger.ledger import Ledger


@dataclass(frozen=True)
class Start:
    """What is wanted: a new CA for a group, in this slot or in the one that no device needs.

    `reconnect`: within this time every device is expected to come back for its new certificate.
    """

    group: str
    authority: CertificateAuthority
    slot: Slot | None = None
    reconnect: timedelta = timedelta(days=7)

    @property
    def thumbprint(self) -> str:
        return sha1_thumbprint(self.authority.certificate)


@dataclass(frozen=True)
class StartPlan:
    """What `start` will do: the slot it chose and why, the steps, and what a person should know.

    `successors`: subjects of the ledger's certificates that the old CA signed; their devices need new ones.
    """

    roll: Roll
    because: str
    old: Standing | None
    replaced: Standing | None
    plan: Plan
    warnings: tuple[str, ...]
    successors: tuple[str, ...]


def check_start(wanted: Start, now: datetime) -> None:
    """All that can be checked without the application. Raises `SettingsError` or `PkiError`."""
    check_new_ca(wanted.group, wanted.authority.certificate, now)


def plan_start(client: Client, ledger: Ledger | None, wanted: Start) -> StartPlan:
    """Check, look, decide. Sends reads only. Raises before anything is done that could not be finished."""
    now = client.now()
    check_start(wanted, now)
    view = existing(client, wanted.group, BOTH)
    slots = standing_in_group(view, ledger)
    _require_no_other(wanted, last_rollover(ledger, client.app, wanted.group))
    slot, because = _choose(wanted, slots, now)
    old, there = slots.get(slot.other), slots.get(slot)
    replaced = there if there and there.thumbprint != wanted.thumbprint else None
    _check_outlasts(wanted.authority.certificate, old)
    roll = Roll("group", wanted.group, slot, wanted.authority)
    decided = plan_in_view(client, ledger, roll, view)
    if old is None and decided.plan.steps:
        message = f"{wanted.group}/{slot.other} is empty: there is no old CA beside this one to roll from"
        hint = f"iotc-admin roll --group {wanted.group} --slot {slot} --cert NEW"
        raise UnsafePlan(message, hint=hint)
    successors = known_leafs(ledger, old.certificate, now) if old and old.certificate else []
    warnings = (*decided.warnings, *_doubts(wanted, old, replaced, ledger, now))
    return StartPlan(roll, because, old, replaced, decided.plan, warnings, tuple(successors))


def start(
    client: Client,
    wanted: Start,
    planned: StartPlan,
    scribe: Scribe,
    told: Callable[[Step], None] = lambda _: None,
) -> Outcome:
    """Put the new CA in and prove it; every state is noted when it is reached.

    `outcome.codes` holds a verification code if the key is elsewhere. Raises `PlanOutdated` when somebody
    else changed the group meanwhile.
    """
    if planned.old is None:
        # It is the only one there: the roll to it is over.
        return Outcome()
    record = _recorded(wanted, planned, scribe, client.app)

    def noting(step: Step) -> None:
        told(step)
        if isinstance(step, PutCertificate):
            scribe.note(record, State.STAGED)

    def again() -> Plan:
        return plan_roll(client, scribe.run.ledger, planned.roll).plan

    enrollment = Enrollment(wanted.group, {planned.roll.slot: wanted.authority}, replace=True, create=False)
    outcome = carry_out(client, enrollment, planned.plan, scribe.run, told=noting, again=again)
    after = look(client, scribe.run.ledger, wanted.group)
    require_unchanged(after)
    _require_proven(after, outcome)
    note_progress(after, scribe)
    return outcome


def _require_proven(after: Progress, outcome: Outcome) -> None:
    if after.state is State.STAGED and not outcome.codes:
        message = (
            f"{after.roll.group}/{after.roll.slot} is not verified any more: somebody else uploaded it again"
        )
        raise PlanOutdated(message, hint=f"prove it again: iotc-admin roll resume --group {after.roll.group}")


def _recorded(wanted: Start, planned: StartPlan, scribe: Scribe, app: str) -> Rollover:
    """The roll in the journal: the open one if it is this one, else a new one."""
    slot, new = planned.roll.slot, wanted.thumbprint
    old = planned.old.thumbprint if planned.old else ""
    last = last_rollover(scribe.run.ledger, app, wanted.group)
    if last is not None and not last.over and (last.slot, last.new, last.old) == (slot, new, old):
        return last
    # Somebody may have begun another one since this one was planned.
    _require_no_other(wanted, last)
    replaced = planned.replaced.thumbprint if planned.replaced else ""
    return scribe.prepared(wanted.group, slot, new=new, old=old, replaced=replaced)


def _require_no_other(wanted: Start, last: Rollover | None) -> None:
    if last is None or last.over or last.new == wanted.thumbprint:
        return
    message = f"a roll of {wanted.group} to {short(last.new)} is open since {last.began:%Y-%m-%d %H:%M} UTC"
    raise UnsafePlan(message, hint=f"iotc-admin roll resume, retire or abort --group {wanted.group}")


def _choose(wanted: Start, slots: Mapping[Slot, Standing], now: datetime) -> tuple[Slot, str]:
    """The slot for the new CA, and why this one."""
    if not slots:
        message = f"{wanted.group} holds no certificate: there is nothing to roll"
        hint = f"iotc-admin group set-cert {wanted.group} --slot primary --cert CERT"
        raise UnsafePlan(message, hint=hint)
    free = [slot for slot in BOTH if slot not in slots]
    for slot, each in slots.items():
        if each.thumbprint == wanted.thumbprint:
            return _as_wanted(wanted, slot), "it holds this certificate already"
    if wanted.slot is not None:
        return wanted.slot, "it was asked for"
    return (free[0], "it is free") if free else _spare(wanted.group, slots, now)


def _as_wanted(wanted: Start, held: Slot) -> Slot:
    if wanted.slot in (None, held):
        return held
    message = f"{wanted.group}/{held} holds this certificate already"
    raise UnsafePlan(message, hint=f"go on there: --slot {held}")


def _spare(group: str, slots: Mapping[Slot, Standing], now: datetime) -> tuple[Slot, str]:
    """Of two filled slots the one that is unused, or else older."""
    for slot, each in slots.items():
        if not each.counts:
            return slot, "its certificate is unverified: no device comes by it"
    for slot, each in slots.items():
        if each.valid(now) is False:
            return slot, "its certificate is outside its dates: no device comes by it"
    begins = {slot: each.certificate.not_valid_before_utc for slot, each in slots.items() if each.certificate}
    if len(begins) < len(BOTH) or len(set(begins.values())) == 1:
        message = f"both slots of {group} are filled, and which is the older is not known"
        hint = "say which: --slot SLOT; or adopt what is there: iotc-admin ledger import CERT"
        raise UnsafePlan(message, hint=hint)
    return min(begins, key=begins.__getitem__), "its certificate is the older of the two"


def _check_outlasts(new: x509.Certificate, old: Standing | None) -> None:
    if old is None or old.certificate is None:
        return
    end = old.certificate.not_valid_after_utc
    if new.not_valid_after_utc <= end:
        until = f"{new.not_valid_after_utc:%Y-%m-%d}"
        message = f"the new CA expires on {until}, not after the old one, on {end:%Y-%m-%d}"
        raise OutsideValidity(message, hint="make one that lasts longer: iotc-admin cert root NAME --days N")


def _doubts(
    wanted: Start, old: Standing | None, replaced: Standing | None, ledger: Ledger | None, now: datetime
) -> Iterator[str]:
    if old is not None and not old.counts:
        yield f"{old.place} is not verified: no device comes by the CA that this roll is to replace"
    if old is not None and old.certificate is not None:
        end = old.certificate.not_valid_after_utc
        if end - now < wanted.reconnect:
            yield (
                f"the old CA expires on {end:%Y-%m-%d %H:%M} UTC: devices that do not come back before "
                "can no longer register to fetch their new certificate"
            )
    if replaced is not None and replaced.certificate is not None:
        leafs = known_leafs(ledger, replaced.certificate, now)
        if leafs:
            yield f"{len(leafs)} valid certificates in the ledger come from {short(replaced.thumbprint)}"
