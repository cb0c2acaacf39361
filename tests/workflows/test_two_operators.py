"""Two operators and an unreliable service at once, in any order of their requests.

Each works in a thread of its own, which stands still at every request until it is its turn.
"""

from __future__ import annotations

import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import httpx
from hypothesis import HealthCheck, event, example, given, note, settings
from hypothesis import strategies as st

from iotc_admin import CertificateAuthority, Client, IotcError, Ledger, Slot
from iotc_admin.emulator import Emulator, Fault
from iotc_admin.errors import PlanError
from iotc_admin.workflows.adoption import Asked
from iotc_admin.workflows.enroll import enroll_group
from iotc_admin.workflows.roll import Roll, roll_certificate
from iotc_admin.workflows.rollover.journal import ABORTING, State, last_rollover
from iotc_admin.workflows.rollover.progress import look, note_progress

from ..conftest import InProcess, operator
from .test_enroll import GROUP, P, S, slots, verified
from .test_rollover import YEAR, aborted, retired, scribe, started

PUMP = "pump-1"
NOW = datetime.now(UTC)
OLD = CertificateAuthority.create("old", now=NOW, lifetime=YEAR)
NEW = tuple(CertificateAuthority.create(f"new {each}", now=NOW, lifetime=9 * YEAR) for each in "ab")
FINAL_LOOK: Final = 3
"""Requests with which a command ends: the group and its slots."""

Held = Mapping[Slot, tuple[str, bool]]


@dataclass(frozen=True)
class Passed:
    """One request, and what stood in the slots after it."""

    who: int
    method: str
    path: str
    before: Held
    after: Held

    @property
    def bared(self) -> bool:
        """Whether the last verified certificate went with it."""
        return any_verified(self.before) and not any_verified(self.after)


def any_verified(held: Held) -> bool:
    return any(proven for _, proven in held.values())


def held_by(emulator: Emulator) -> Held:
    # Past the door: a look through it would be met by the faults that are meant for the operators.
    record = emulator._running.service.state.groups.get(GROUP)
    return {slot: (each.thumbprint, each.verified) for slot, each in record.slots.items()} if record else {}


@dataclass
class Turns:
    """Lets one request pass at a time, each of the operator whose turn it is."""

    order: list[int]
    log: list[Passed] = field(default_factory=list)
    broken: list[BaseException] = field(default_factory=list)
    _wanting: list[int] = field(default_factory=lambda: [0, 0])
    _gone: list[bool] = field(default_factory=lambda: [False, False])
    _turn: int | None = None
    _change: threading.Condition = field(default_factory=threading.Condition)

    def run(self, operators: list[Callable[[], None]]) -> None:
        threads = [threading.Thread(target=self._work, args=(who, do)) for who, do in enumerate(operators)]
        for each in threads:
            each.start()
        for each in threads:
            each.join(60)
            assert not each.is_alive()

    def _work(self, who: int, do: Callable[[], None]) -> None:
        try:
            do()
        except BaseException as error:  # noqa: BLE001 - told to the test
            self.broken.append(error)
        with self._change:
            self._gone[who] = True
            self._next()

    def wait(self, who: int) -> None:
        with self._change:
            self._wanting[who] += 1
            self._next()
            assert self._change.wait_for(lambda: self._turn == who, timeout=30)
            self._wanting[who] -= 1
            self._turn = -1  # under way

    def passed(self, one: Passed) -> None:
        with self._change:
            self.log.append(one)
            self._turn = None
            self._next()

    def _next(self) -> None:
        """Whose turn it is, as soon as everybody waits or is gone."""
        if self._turn is not None:
            return
        if not all(gone or wants for gone, wants in zip(self._gone, self._wanting, strict=True)):
            return
        wanted = self.order.pop(0) if self.order else 0
        self._turn = next((each for each in (wanted, 1 - wanted) if self._wanting[each]), None)
        self._change.notify_all()


class OneAtATime(InProcess):
    """The wire of one operator, open when it is its turn."""

    def __init__(self, emulator: Emulator, turns: Turns, who: int) -> None:
        super().__init__(emulator)
        self._turns, self._who = turns, who

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        self._turns.wait(self._who)
        before = held_by(self.emulator)
        try:
            return super().handle_request(request)
        finally:
            after = held_by(self.emulator)
            self._turns.passed(Passed(self._who, request.method, request.url.path, before, after))


@contextmanager
def ledgers(shared: bool) -> Iterator[list[Ledger]]:
    """Two operators at one machine, or at two."""
    with tempfile.TemporaryDirectory() as folder:
        files = [Path(folder) / "a.db", Path(folder) / ("a.db" if shared else "b.db")]
        opened = [Ledger(each) for each in files]
        for book in opened:
            for each in (OLD, *NEW):
                book.run("ledger import", NOW).saw(each.certificate)
        yield opened
        for book in opened:
            book.close()


@dataclass(frozen=True)
class Operator:
    """One of the two: what is at hand, and what is on record of the application."""

    client: Client
    ledger: Ledger
    new: CertificateAuthority
    asked: Asked

    def act(self, name: str) -> Callable[[Held], bool]:
        """Does it. Returns what is claimed by its end, as a question to the slots."""
        match name:
            case "start" | "start secondary" | "start primary":
                slot = {"start secondary": S, "start primary": P}.get(name)
                put = started(self.client, self.ledger, self.new, slot).roll.slot
                return lambda held: held.get(put) == verified(self.new)
            case "status":
                progress = look(self.client, self.ledger, GROUP, self.asked)
                note_progress(progress, scribe(self.client, self.ledger))
            case "resume":
                return self.resume()
            case "retire":
                return self.retire()
            case "abort":
                return self.abort()
            case "roll primary" | "roll secondary":
                slot = Slot(name.removeprefix("roll "))
                wanted = Roll("group", GROUP, slot, self.new)
                roll_certificate(self.client, wanted, run=self.ledger.run("roll", NOW))
                return lambda held: held.get(slot) == verified(self.new)
        return lambda _: True

    def retire(self) -> Callable[[Held], bool]:
        record = look(self.client, self.ledger, GROUP).roll
        progress = retired(self.client, self.ledger, self.asked)
        if record.over or progress.state is not State.CLOSED:
            return lambda _: True
        place = record.slot
        return lambda held: (
            held.get(place) == (record.new, True)
            and held.get(place.other)
            != (
                record.old,
                True,
            )
        )

    def abort(self) -> Callable[[Held], bool]:
        progress = aborted(self.client, self.ledger, self.asked, listed=True)
        record = progress.roll
        if progress.state is not State.ABORTED:
            return lambda _: True
        return lambda held: any_verified(held) and held.get(record.slot) != (record.new, True)

    def resume(self) -> Callable[[Held], bool]:
        """What the command does: on with what was begun last."""
        progress = look(self.client, self.ledger, GROUP)
        if ABORTING in progress.roll.moments:
            return self.abort()
        if progress.state in (State.PREPARED, State.STAGED) and not progress.changed:
            again = {each.certificate: each for each in NEW}
            entry = next(each for each in again.values() if verified(each)[0] == progress.roll.new)
            started(self.client, self.ledger, entry, progress.roll.slot)
            return lambda held: held.get(progress.roll.slot) == verified(entry)
        return self.retire()


STARTS = ["start", "start", "start primary", "start secondary", "resume", "status"]
ENDS = ["retire", "retire", "abort", "roll primary", "roll secondary"]
ACTIONS = st.lists(st.sampled_from(STARTS + ENDS), min_size=1, max_size=4)
FAULTS = st.builds(
    Fault,
    kind=st.sampled_from(["status", "reset", "lose-answer", "empty"]),
    match=st.sampled_from(
        [
            "EnrollmentGroups_GetX509",
            "EnrollmentGroups_CreateX509",
            "EnrollmentGroups_GenerateVerificationCodeX509",
            "EnrollmentGroups_VerifyX509",
            "EnrollmentGroups_RemoveX509",
        ]
    ),
    times=st.integers(1, 7),
    skip=st.integers(0, 3),
    status=st.sampled_from([401, 409, 412, 429, 500, 503]),
    work=st.sampled_from([None, True, False]),
)
# Who goes on, and for how many requests: long stretches make commands overtake each other.
STRETCHES = st.lists(st.tuples(st.integers(0, 1), st.integers(1, 14)), max_size=14)


def in_order(stretches: list[tuple[int, int]]) -> list[int]:
    return [who for who, length in stretches for _ in range(length)]


@settings(
    max_examples=150, deadline=None, derandomize=True, database=None,
    suppress_health_check=[HealthCheck.too_slow],
)  # fmt: skip
@given(
    scripts=st.tuples(ACTIONS, ACTIONS),
    stretches=STRETCHES,
    faults=st.lists(FAULTS, max_size=3),
    shared=st.booleans(),
    rivals=st.booleans(),
    come_over=st.booleans(),
)
@example(
    # Held up between its look at an empty slot and its upload, while the other does a whole roll.
    scripts=(["start", "retire"], ["start"]), stretches=[(1, 7), (0, 40)],
    faults=[], shared=False, rivals=False, come_over=True,
)  # fmt: skip
@example(
    scripts=(["start"], ["start"]), stretches=[(0, 1), (1, 1)] * 20,
    faults=[], shared=False, rivals=False, come_over=True,
)  # fmt: skip
@example(
    scripts=(["start", "retire"], ["start", "abort"]), stretches=[(0, 1), (1, 1)] * 20,
    faults=[], shared=True, rivals=False, come_over=True,
)  # fmt: skip
@example(
    # A refusal gives the other time for a whole retirement before the upload is sent again.
    scripts=(["start", "retire"], ["start"]), stretches=[(1, 8), (0, 40)],
    faults=[Fault(match="EnrollmentGroups_CreateX509", status=429)],
    shared=False, rivals=False, come_over=True,
)  # fmt: skip
def test_no_order_of_requests_and_no_fault_takes_the_last_certificate_unseen(
    scripts: tuple[list[str], list[str]],
    stretches: list[tuple[int, int]],
    faults: list[Fault],
    shared: bool,
    rivals: bool,
    come_over: bool,
) -> None:
    note(f"{scripts} {stretches} {faults} shared={shared} rivals={rivals} come_over={come_over}")
    with Emulator(throttle="off") as emulator, ledgers(shared) as books:
        enroll_group(operator(emulator, InProcess(emulator)), GROUP, primary=OLD)
        asked = Asked(devices=(PUMP,), adopted=frozenset((PUMP,) if come_over else ()))
        turns = Turns(in_order(stretches))
        wires = [OneAtATime(emulator, turns, who) for who in (0, 1)]
        both = [
            Operator(operator(emulator, wires[who]), books[who], NEW[who if rivals else 0], asked)
            for who in (0, 1)
        ]
        for fault in faults:
            emulator.control.fault(fault)

        turns.run(
            [lambda: perform(both[0], scripts[0], turns, 0), lambda: perform(both[1], scripts[1], turns, 1)]
        )

        assert turns.broken == []
        for at, one in enumerate(turns.log):
            assert not one.bared or unforeseeable(turns.log, at), turns.log[: at + 1]
        emulator.control.clear_faults()
        settle(emulator, both[0])


def perform(one: Operator, script: list[str], turns: Turns, who: int) -> None:
    for name in script:
        try:
            claim = one.act(name)
        except IotcError as error:
            assert error.hint, repr(error)  # noqa: PT017
            continue
        seen = [each.after for each in turns.log if each.who == who][-FINAL_LOOK:]
        assert any(claim(held) for held in seen), (name, seen)


def unforeseeable(log: list[Passed], at: int) -> bool:
    """Whether somebody else wrote between this request and the one before it of the same operator.

    The API has no lock, so no client can prevent that; whatever else it could have seen.
    """
    one = log[at]
    since = next(place for place in range(at - 1, -1, -1) if log[place].who == one.who)
    found = any(each.method != "GET" for each in log[since + 1 : at])
    if found:
        event("the documented race")
    return found


def settle(emulator: Emulator, one: Operator) -> None:
    """Alone, and with a service that works, one of them comes to a clean end."""
    calm = Operator(
        operator(emulator, InProcess(emulator)), one.ledger, one.new, Asked((PUMP,), frozenset((PUMP,)))
    )
    if not any_verified(held_by(emulator)):
        repaired(calm)
    record = last_rollover(calm.ledger, calm.client.app, GROUP)
    if record is not None and not record.over:
        try:
            calm.resume()
            calm.resume()
        except PlanError as error:
            assert error.hint  # noqa: PT017
            none_has = Operator(calm.client, calm.ledger, calm.new, Asked((PUMP,)))
            none_has.abort()
        ended = last_rollover(calm.ledger, calm.client.app, GROUP)
        assert ended is not None
        assert ended.over
    assert any_verified(held_by(emulator))


def repaired(calm: Operator) -> None:
    """What the message tells to do when the race has happened."""
    wanted = Roll("group", GROUP, P, OLD, "breach")
    now = slots(calm.client)
    other = now[S]
    if other is not None and other[0] == verified(OLD)[0]:
        wanted = Roll("group", GROUP, S, OLD, "breach")
    roll_certificate(calm.client, wanted, run=calm.ledger.run("roll", NOW))
