"""Two operators and an unreliable service at once: the group always keeps a verified certificate."""

from __future__ import annotations

import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
from hypothesis import example, given, settings
from hypothesis import strategies as st

from iotc_admin import CertificateAuthority, Client, IotcError, Ledger
from iotc_admin.emulator import Emulator, Fault
from iotc_admin.workflows.adoption import Asked
from iotc_admin.workflows.enroll import enroll_group
from iotc_admin.workflows.roll import Roll, roll_certificate

from ..conftest import InProcess, operator
from .test_enroll import GROUP, S
from .test_rollover import YEAR, aborted, retired, started

PUMP = "pump-1"
# A slot that is empty has no etag, so a PUT into it cannot be held against what was seen. An operator who is
# held up right there while another does a whole roll resets that one's proof: no client can prevent it.
_LONGEST_WAIT = 5


class Turns:
    """Lets one request pass at a time, each of the operator whose turn it is."""

    def __init__(self, order: list[int], verified: Callable[[], bool]) -> None:
        self._order = order
        self._verified = verified
        self._change = threading.Condition()
        self._wanting = [0, 0]
        self._gone = [False, False]
        self._turn: int | None = None
        self._last: int | None = None
        self._in_a_row = 0
        self.broken: list[BaseException] = []
        self.bare = 0
        """After how many requests no certificate was verified."""

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

    def passed(self) -> None:
        with self._change:
            self.bare += not self._verified()
            self._turn = None
            self._next()

    def _next(self) -> None:
        """Whose turn it is, as soon as everybody waits or is gone."""
        if self._turn is not None:
            return
        if not all(gone or wants for gone, wants in zip(self._gone, self._wanting, strict=True)):
            return
        wanted = self._order.pop(0) if self._order else 0
        if self._in_a_row >= _LONGEST_WAIT and wanted == self._last:
            wanted = 1 - wanted
        who = next((each for each in (wanted, 1 - wanted) if self._wanting[each]), None)
        self._in_a_row = self._in_a_row + 1 if who == self._last else 1
        self._turn = self._last = who
        self._change.notify_all()


class OneAtATime(InProcess):
    """The wire of one operator, open when it is its turn."""

    def __init__(self, emulator: Emulator, turns: Turns, who: int) -> None:
        super().__init__(emulator)
        self._turns, self._who = turns, who

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        self._turns.wait(self._who)
        try:
            return super().handle_request(request)
        finally:
            self._turns.passed()


@contextmanager
def ledgers(shared: bool) -> Iterator[list[Ledger]]:
    """Two operators at one machine, or at two."""
    with tempfile.TemporaryDirectory() as folder:
        files = [Path(folder) / "a.db", Path(folder) / ("a.db" if shared else "b.db")]
        opened = [Ledger(each) for each in files]
        yield opened
        for each in opened:
            each.close()


def act(name: str, client: Client, ledger: Ledger, new: CertificateAuthority, asked: Asked) -> None:
    match name:
        case "start":
            started(client, ledger, new)
        case "retire":
            retired(client, ledger, asked)
        case "abort":
            aborted(client, ledger, asked, listed=True)
        case _:
            wanted = Roll("group", GROUP, S, new)
            roll_certificate(client, wanted, run=ledger.run("roll", client.now()))


ACTIONS = st.lists(st.sampled_from(["start", "start", "retire", "abort", "roll"]), min_size=1, max_size=4)
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
    times=st.integers(1, 4),
    skip=st.integers(0, 3),
    status=st.sampled_from([401, 409, 412, 429, 500, 503]),
    work=st.sampled_from([None, True, False]),
)


def any_verified(emulator: Emulator) -> bool:
    # Past the door: a look through it would be met by the faults that are meant for the operators.
    record = emulator._running.service.state.groups.get(GROUP)
    return record is not None and any(held.verified for held in record.slots.values())


@settings(max_examples=150, deadline=None)
@given(
    scripts=st.tuples(ACTIONS, ACTIONS),
    order=st.lists(st.integers(0, 1), max_size=60),
    faults=st.lists(FAULTS, max_size=3),
    shared=st.booleans(),
    come_over=st.booleans(),
)
@example(
    # An operator that is held up before its upload while the other rolls: each waits for the other in time.
    scripts=(["start", "retire"], ["start"]),
    order=[1] * 7 + [0] * 40,
    faults=[],
    shared=False,
    come_over=True,
)
@example(scripts=(["start"], ["start"]), order=[0, 1] * 20, faults=[], shared=False, come_over=True)
@example(
    scripts=(["start", "retire"], ["start", "abort"]),
    order=[0, 1] * 20,
    faults=[],
    shared=True,
    come_over=True,
)
def test_no_order_of_requests_and_no_fault_leaves_the_group_without_a_verified_certificate(
    scripts: tuple[list[str], list[str]], order: list[int], faults: list[Fault], shared: bool, come_over: bool
) -> None:
    with Emulator(throttle="off") as emulator, ledgers(shared) as books:
        bystander = operator(emulator, InProcess(emulator))
        now = bystander.now()
        old = CertificateAuthority.create("old", now=now, lifetime=YEAR)
        new = CertificateAuthority.create("new", now=now, lifetime=9 * YEAR)
        for book in books:
            book.run("import", now).saw(old.certificate)
        enroll_group(bystander, GROUP, primary=old)
        asked = Asked(devices=(PUMP,), adopted=frozenset((PUMP,) if come_over else ()))
        turns = Turns(order, lambda: any_verified(emulator))

        def script(who: int) -> None:
            client = operator(emulator, OneAtATime(emulator, turns, who))
            for name in scripts[who]:
                try:
                    act(name, client, books[who], new, asked)
                except IotcError as error:
                    assert error.hint, repr(error)  # noqa: PT017

        for fault in faults:
            emulator.control.fault(fault)
        turns.run([lambda: script(0), lambda: script(1)])

        assert turns.broken == []
        assert turns.bare == 0, [(each.operation, each.status) for each in emulator.control.requests]
