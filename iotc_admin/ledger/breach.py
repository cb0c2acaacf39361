"""What the ledger keeps of a breach: what is suspect, which devices were blocked because of it, who did what.

Hidden here: two tables beside the journal. Whom a breach has blocked must outlive the process that did it:
only those may be let in again.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from iotc_admin.ledger.ledger import Event, Ledger, Run

Kind: TypeAlias = Literal["group", "device"]

_PREFIX: Final = "breach "


class State(StrEnum):
    """How a device stands in a breach."""

    BLOCKING = "blocking"
    """Begun; its answer may have been lost."""
    BLOCKED = "blocked"
    BEFORE = "blocked before"
    """By somebody else, before the breach or meanwhile: not this breach's to let in again."""
    RELEASING = "releasing"
    RELEASED = "released"
    GONE = "deleted"


SHUT: Final = (State.BLOCKING, State.BLOCKED, State.RELEASING)
"""Blocked by the breach, as far as is known."""
GROUP_DISABLED: Final = "group disabled"
BLOCKING_BEGUN: Final = "blocking begun"
SUSPECT_TOO: Final = "suspect, too"
CONTAINED: Final = (GROUP_DISABLED, BLOCKING_BEGUN, SUSPECT_TOO)
"""What the time line calls each step that shuts."""


@dataclass(frozen=True)
class Breach:
    """What is breached: an enrollment group whose CA is suspect, or one device."""

    kind: Kind
    id: str

    def __str__(self) -> str:
        return f"{self.kind} {self.id}"

    @property
    def option(self) -> str:
        """How the command line names it."""
        return f"--{self.kind} {self.id}"


@dataclass(frozen=True)
class Case:
    """One breach on record. `suspects`: SHA-1 thumbprints by slot, as they were when it was contained."""

    number: int
    breach: Breach
    suspects: Mapping[str, str]
    begun: datetime
    closed: datetime | None


def last_case(ledger: Ledger | None, app: str, breach: Breach) -> Case | None:
    """The open case of a group or device, or else the last one; None if there never was one."""
    if ledger is None:
        return None
    query = (
        "SELECT id, suspects, begun, closed FROM breaches WHERE app = ? AND kind = ? AND holder = ?"
        " ORDER BY id DESC LIMIT 1"
    )
    rows = ledger.rows(query, (app, breach.kind, breach.id))
    return next((_case(breach, *row) for row in rows), None)


def open_case(ledger: Ledger | None, app: str, breach: Breach) -> Case | None:
    """The case that is not closed yet, if there is one."""
    last = last_case(ledger, app, breach)
    return None if last is None or last.closed else last


def ever_suspect(ledger: Ledger) -> frozenset[str]:
    """Every certificate that was suspect in any breach on record, as SHA-1 thumbprints."""
    rows = ledger.rows("SELECT suspects FROM breaches", ())
    return frozenset(str(each) for (suspects,) in rows for each in json.loads(suspects).values())


def devices_of(ledger: Ledger, case: Case, *states: State) -> Iterator[tuple[str, State]]:
    """The devices of a case in the order they were taken up; only those in these states, if any are given."""
    query = "SELECT device, state FROM breach_devices WHERE breach = ? ORDER BY id"
    found = ((str(device), State(state)) for device, state in ledger.rows(query, (case.number,)))
    return (each for each in found if not states or each[1] in states)


def also_affected(ledger: Ledger, app: str, case: Case) -> Iterator[tuple[str, Breach]]:
    """The devices of a case that another open one of this application keeps out, too, and which that is."""
    query = (
        "SELECT other.device, kind, holder FROM breach_devices mine JOIN breach_devices other USING (device)"
        " JOIN breaches ON breaches.id = other.breach"
        " WHERE mine.breach = ? AND other.breach != mine.breach AND app = ? AND closed IS NULL"
        " AND other.state IN (?,?,?,?) ORDER BY mine.id"
    )
    rows = ledger.rows(query, (case.number, app, *(each.value for each in (*SHUT, State.BEFORE))))
    return ((str(device), Breach(kind, str(holder))) for device, kind, holder in rows)


def events_of(ledger: Ledger, case: Case) -> list[tuple[str, Event]]:
    """The time line: what happened, and its line in the journal, oldest first."""
    return [
        (line.event.removeprefix(_PREFIX), line)
        for line in ledger.events(prefix=_PREFIX)
        if line.details.get("case") == str(case.number)
    ]


@dataclass(frozen=True)
class Author:
    """Who acts in a breach, and when: writes its lines in the ledger."""

    run: Run
    actor: str
    clock: Callable[[], datetime]

    @property
    def ledger(self) -> Ledger:
        return self.run.ledger

    def begin(self, app: str, breach: Breach, suspects: Mapping[str, str]) -> Case:
        """The open case; a new one if there is none. Its suspects are these, with those on record."""
        held, at = json.dumps(dict(suspects)), self.clock().isoformat()
        with self.ledger.writing() as db:
            # One statement: of two who begin at once, one begins.
            new = db.execute(
                "INSERT INTO breaches (app, kind, holder, suspects, begun) SELECT ?,?,?,?,? WHERE NOT EXISTS"
                " (SELECT 1 FROM breaches WHERE app = ? AND kind = ? AND holder = ? AND closed IS NULL)",
                (app, breach.kind, breach.id, held, at, app, breach.kind, breach.id),
            ).rowcount
        case = open_case(self.ledger, app, breach)
        assert case is not None, "it was just written"  # noqa: S101
        if new:
            self.note(case, "begun", **suspects)
        return self._suspected(case, suspects)

    def _suspected(self, case: Case, suspects: Mapping[str, str]) -> Case:
        more = {slot: each for slot, each in suspects.items() if slot not in case.suspects}
        if not more:
            return case
        wider = replace(case, suspects={**case.suspects, **more})
        with self.ledger.writing() as db:
            values = (json.dumps(wider.suspects), case.number)
            db.execute("UPDATE breaches SET suspects = ? WHERE id = ?", values)
        self.note(case, SUSPECT_TOO, **more)
        return wider

    def mark(self, case: Case, devices: Iterable[str], state: State) -> None:
        """How these devices stand from now on. One that this breach has blocked is nobody else's block."""
        kept = (State.BLOCKED.value, State.BLOCKING.value, State.BEFORE.value)
        at = self.clock().isoformat()
        rows = [(case.number, device, state.value, at, *kept) for device in devices]
        with self.ledger.writing() as db:
            db.executemany(
                "INSERT INTO breach_devices (breach, device, state, at) VALUES (?,?,?,?)"
                " ON CONFLICT (breach, device) DO UPDATE SET state = excluded.state, at = excluded.at"
                " WHERE NOT (state = ? AND excluded.state IN (?,?))",
                rows,
            )

    def note(self, case: Case, what: str, **details: str) -> None:
        """A line of the time line."""
        named = {"case": str(case.number), case.breach.kind: case.breach.id, "actor": self.actor}
        self.run.note(f"{_PREFIX}{what}", self.clock(), **named, **details)

    def close(self, case: Case, **details: str) -> None:
        """The case is over: what comes after is another one."""
        with self.ledger.writing() as db:
            db.execute("UPDATE breaches SET closed = ? WHERE id = ?", (self.clock().isoformat(), case.number))
        self.note(case, "closed", **details)


def _case(breach: Breach, number: Any, suspects: Any, begun: Any, closed: Any) -> Case:
    over = datetime.fromisoformat(closed).astimezone(UTC) if closed else None
    return Case(
        int(number), breach, json.loads(suspects), datetime.fromisoformat(begun).astimezone(UTC), over
    )
