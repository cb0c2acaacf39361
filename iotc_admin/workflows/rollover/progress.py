"""Look: where the roll of a group stands, by its journal and by what the application shows now."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING

from iotc_admin.errors import PlanOutdated, SettingsError, UnsafePlan
from iotc_admin.workflows.adoption import Adoption, Asked, Signers, look_at_adoption
from iotc_admin.workflows.look import BOTH, SlotView, existing
from iotc_admin.workflows.plan import short
from iotc_admin.workflows.roll import known
from iotc_admin.workflows.rollover.journal import Rollover, Scribe, State, last_rollover

if TYPE_CHECKING:
    from iotc_admin.client.client import Client
    from iotc_admin.ledger.ledger import Ledger

_BY_LOOKING = (State.STAGED, State.VERIFIED, State.OVERLAPPING, State.DRAINED)


@dataclass(frozen=True)
class Progress:
    """Where a roll stands. `adoption` is None where it was not asked for, or no longer matters.

    `changed` says what somebody else did to the slot of the new CA; empty: nothing.
    """

    roll: Rollover
    state: State
    new: SlotView | None
    old: SlotView | None
    adoption: Adoption | None
    changed: str
    warnings: tuple[str, ...]

    @property
    def laggards(self) -> tuple[str, ...]:
        """The devices without evidence for the new CA."""
        return tuple(each.device for each in self.adoption.laggards) if self.adoption else ()

    @property
    def vouched(self) -> tuple[str, ...]:
        """Those that have come over by a person's word."""
        adopted = self.adoption.adopted if self.adoption else ()
        return tuple(each.device for each in adopted if each.vouched)


def look(client: Client, ledger: Ledger | None, group: str, asked: Asked | None = None) -> Progress:
    """Where the roll of a group stands; with `asked` also how many devices have come over.

    Sends reads only. Raises `UnsafePlan` if there never was one.
    """
    record = last_rollover(ledger, client.app, group)
    if record is None:
        message = f"no roll of {group} is on record in this ledger"
        hint = f"begin one: iotc-admin roll start --group {group} --cert NEW; or use the ledger of who did"
        raise UnsafePlan(message, hint=hint)
    view = existing(client, group, BOTH)
    new, old = view.slots[record.slot], view.slots[record.slot.other]
    state, changed = _state(record, new, old)
    adoption, unknown = None, list[str]()
    if asked is not None and state is State.VERIFIED:
        adoption = look_at_adoption(client, asked, _signers(ledger, record))
        unknown = sorted(asked.adopted - {each.device for each in adoption.standings})
        state = _counted(adoption)
    warnings = (
        *(f"{each} is on the list, and not among the devices that are asked for" for each in unknown),
        *_strangers(record, state, old),
        *_fading(record, state, ledger, client.now()),
    )
    return Progress(record, state, new, old, adoption, changed, warnings)


def note_progress(progress: Progress, scribe: Scribe) -> Progress:
    """Write down the states that a look has shown to be reached."""
    record = progress.roll
    if progress.state in _BY_LOOKING and not progress.changed:
        for state in _BY_LOOKING[: _BY_LOOKING.index(progress.state) + 1]:
            record = scribe.note(record, state, **evidence(progress))
    return replace(progress, roll=record)


def require_unchanged(progress: Progress) -> None:
    """Raises `PlanOutdated` when somebody else has changed the slot of the new CA."""
    if progress.changed:
        group = progress.roll.group
        hint = f"iotc-admin group show {group}; to end this roll: iotc-admin roll abort --group {group}"
        raise PlanOutdated(progress.changed, hint=hint)


def evidence(progress: Progress) -> dict[str, str]:
    """What is noted with a state: etags and counts."""
    found = {
        "etag": progress.new.etag if progress.new else "",
        "oldEtag": progress.old.etag if progress.old else "",
    }
    if progress.adoption is not None:
        found["devices"] = str(len(progress.adoption.standings))
        found["adopted"] = str(len(progress.adoption.adopted))
    return {name: value for name, value in found.items() if value}


def _state(record: Rollover, new: SlotView | None, old: SlotView | None) -> tuple[State, str]:
    """The state by what stands in the slots, and what somebody else has done to the new CA, if anything."""
    if record.over:
        return record.state, ""
    held = new.thumbprint if new else ""
    if held != record.new:
        if record.state is State.PREPARED and held == record.replaced:
            return State.PREPARED, ""
        holds = f"holds {short(held)}" if held else "is empty"
        place = f"{record.group}/{record.slot}"
        return record.state, f"{place} {holds}, not {short(record.new)}: somebody else changed it"
    if new is not None and not new.verified:
        return State.STAGED, ""
    there = old is not None and old.thumbprint == record.old
    return State.VERIFIED if there else State.RETIRED, ""


def _counted(adoption: Adoption) -> State:
    if not adoption.laggards:
        return State.DRAINED
    return State.OVERLAPPING if adoption.adopted else State.VERIFIED


def _signers(ledger: Ledger | None, record: Rollover) -> Signers:
    new = known(ledger, record.new)
    if new is None:
        message = f"the ledger does not hold the new CA of {record.group}, {record.new}"
        raise SettingsError(message, hint="iotc-admin ledger import CERT")
    return Signers(ledger, new, known(ledger, record.old))


def _strangers(record: Rollover, state: State, old: SlotView | None) -> Iterator[str]:
    if state is State.RETIRED and old is not None:
        place = f"{record.group}/{record.slot.other}"
        yield f"{place} holds {short(old.thumbprint)}, not {short(record.old)}: somebody else put it there"


def _fading(record: Rollover, state: State, ledger: Ledger | None, now: datetime) -> Iterator[str]:
    """A warning when more than half of the time is over in which both CAs stand."""
    old, since = known(ledger, record.old), record.moments.get(State.VERIFIED)
    if old is None or since is None or state not in (State.VERIFIED, State.OVERLAPPING):
        return
    end = old.not_valid_after_utc
    if now > end:
        yield f"the old CA expired on {end:%Y-%m-%d}: devices that depend on it can no longer register"
    elif now - since.at > (end - since.at) / 2:
        left = (end - now).days
        yield f"half of the overlap is over: the old CA expires on {end:%Y-%m-%d}, in {left} days"
