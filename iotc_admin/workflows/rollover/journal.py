"""What the ledger's journal tells of the roll of a group: hides the names and the form of its lines.

A roll is found again by application and group; the lines since it was prepared are its state. Each says who,
when, and which certificates.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from iotc_admin.contract.enrollment_groups import Slot

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from iotc_admin.client.client import Client
    from iotc_admin.ledger.ledger import Event, Ledger, Run


class State(StrEnum):
    """How far a roll has come, in this order; an aborted one is over."""

    BASELINE = "baseline"
    PREPARED = "prepared"
    STAGED = "staged"
    VERIFIED = "verified"
    OVERLAPPING = "overlapping"
    DRAINED = "drained"
    RETIRED = "retired"
    CLOSED = "closed"
    ABORTED = "aborted"


RETIRING: Final = "retiring"
ABORTING: Final = "aborting"
_NAMES: Final = {f"roll {each}": each for each in (*map(str, State), RETIRING, ABORTING)}
_OVER: Final = (State.CLOSED, State.ABORTED)


@dataclass(frozen=True)
class Rollover:
    """One roll of a group, by its journal. Thumbprints are SHA-1; an empty one: there was none."""

    group: str
    slot: Slot
    new: str
    old: str
    replaced: str
    """What stood in the slot before, if it was not free."""
    moments: Mapping[str, Event]
    """By state, and by `retiring` and `aborting`, which are noted before the deed; the first time of each."""

    @property
    def over(self) -> bool:
        return any(each in self.moments for each in _OVER)

    @property
    def state(self) -> State:
        """The furthest that was noted."""
        return max((each for each in State if each in self.moments), key=list(State).index)

    @property
    def accepted(self) -> frozenset[str]:
        """The laggards that were accepted when the old certificate was to go."""
        return self._named("accepted")

    @property
    def vouched(self) -> frozenset[str]:
        """Those that a person's word counted for then."""
        return self._named("vouched")

    @property
    def listed(self) -> bool:
        """Whether the abort was begun on a person's word that no other device has the new certificate."""
        noted = self.moments.get(ABORTING)
        return noted is not None and noted.details.get("listed") == "yes"

    def _named(self, what: str) -> frozenset[str]:
        noted = self.moments.get(RETIRING)
        return frozenset(json.loads(noted.details.get(what, "[]")) if noted else ())

    @property
    def began(self) -> datetime:
        return self.moments[State.PREPARED].at


def last_rollover(ledger: Ledger | None, app: str, group: str) -> Rollover | None:
    """The roll that is open for a group, or else the last one that was; None if there never was one."""
    if ledger is None:
        return None
    lines = [
        line
        for line in ledger.events(*_NAMES)
        if line.details.get("app") == app and line.details.get("group") == group
    ]
    starts = [place for place, line in enumerate(lines) if _NAMES[line.event] == State.PREPARED]
    return _read(group, lines[starts[-1] :]) if starts else None


def _read(group: str, lines: list[Event]) -> Rollover:
    details = lines[0].details
    moments: dict[str, Event] = {}
    for line in lines:
        moments.setdefault(_NAMES[line.event], line)
    slot = Slot(details["slot"])
    return Rollover(group, slot, details["new"], details["old"], details["replaced"], moments)


@dataclass(frozen=True)
class Scribe:
    """Writes the lines of one roll: what has happened once is noted once."""

    run: Run
    client: Client
    actor: str

    def prepared(self, group: str, slot: Slot, *, new: str, old: str, replaced: str) -> Rollover:
        """A roll begins."""
        details = {"slot": slot.value, "new": new, "old": old, "replaced": replaced}
        self._write(State.PREPARED, group, details)
        return self._again(group)

    def note(self, roll: Rollover, what: str, **details: str) -> Rollover:
        """A step of it, with the etags or counts that belong to it."""
        if what in roll.moments:
            return roll
        known = {"slot": roll.slot.value, "new": roll.new, "old": roll.old}
        self._write(what, roll.group, {**known, **details})
        return self._again(roll.group)

    def retiring(self, roll: Rollover, *, accepted: Iterable[str], vouched: Iterable[str]) -> Rollover:
        """The old certificate is about to go, on this ground: `resume` needs no other."""
        names = {"accepted": accepted, "vouched": vouched}
        return self.note(roll, RETIRING, **{name: json.dumps(sorted(each)) for name, each in names.items()})

    def aborting(self, roll: Rollover, *, listed: bool) -> Rollover:
        """The new certificate is about to go again, on this ground."""
        return self.note(roll, ABORTING, listed="yes" if listed else "no")

    def _write(self, what: str, group: str, details: Mapping[str, str]) -> None:
        now = self.client.now()
        self.run.note(f"roll {what}", now, app=self.client.app, group=group, actor=self.actor, **details)

    def _again(self, group: str) -> Rollover:
        found = last_rollover(self.run.ledger, self.client.app, group)
        assert found is not None, "it was just written"  # noqa: S101
        return found
