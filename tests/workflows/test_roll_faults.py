"""Every fault at every request of a roll: it succeeds or says what happened; repeated, it ends the same."""

from __future__ import annotations

import shutil
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

import httpx
import pytest

from iotc_admin import (
    CertificateAuthority,
    Client,
    Device,
    DeviceIdentity,
    IotcError,
    Ledger,
    SigningX509Certificate,
)
from iotc_admin.contract.enrollment_groups import Slot
from iotc_admin.emulator import Emulator, Fault
from iotc_admin.emulator.certificates import decoded
from iotc_admin.errors import PlanError, PlanOutdated
from iotc_admin.pki.description import sha1_thumbprint
from iotc_admin.workflows.attach import attach_certificates
from iotc_admin.workflows.enroll import Enrollment, carry_out, enroll_group, plan_enrollment
from iotc_admin.workflows.proof import encoded
from iotc_admin.workflows.roll import Roll, roll_certificate
from iotc_admin.workflows.rollover.journal import State

from ..conftest import InProcess, operator
from .test_enroll import GROUP, P, S, slots, verified
from .test_roll_device import PUMP, held, thumbprint
from .test_rollover import PUMPS, YEAR, aborted, all_of, history, retired, started

NOW = datetime.now(UTC)
OLD = CertificateAuthority.create("old", now=NOW, lifetime=YEAR)
SPARE = CertificateAuthority.create("spare", now=NOW, lifetime=YEAR)
NEW = CertificateAuthority.create("new", now=NOW, lifetime=9 * YEAR)
STRANGE = CertificateAuthority.create("strange", now=NOW, lifetime=9 * YEAR)
FIRST, SECOND, THIRD, FOURTH = (
    DeviceIdentity.self_signed(PUMP, now=NOW, lifetime=years * YEAR) for years in (1, 1, 2, 2)
)


class Watched(InProcess):
    """The wire, with an eye on the application after each request, past the door and its faults."""

    def __init__(self, emulator: Emulator) -> None:
        super().__init__(emulator)
        self._lock = threading.Lock()
        self.before_each: Callable[[int], None] = lambda _: None
        """Is told the number of each request, from 0."""
        self.sent = 0
        self.bare: list[str] = []
        """Requests after which nothing in the slots let a device in."""
        self.undone: list[str] = []
        """Requests that took the proof of a certificate that was proven."""
        self.needless: list[str] = []
        """Writes to a slot of what stood there already, proven."""

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        # Devices are asked several at a time; here they wait for each other: each request has a number.
        with self._lock:
            number, self.sent = self.sent, self.sent + 1
            self.before_each(number)
            return self._watched(request)

    def _watched(self, request: httpx.Request) -> httpx.Response:
        name = f"{request.method} {request.url.path}"
        had = proven(self.emulator)
        if request.method not in ("GET", "DELETE") and written(request) in had:
            self.needless.append(name)
        try:
            return super().handle_request(request)
        finally:
            has = proven(self.emulator)
            if not has:
                self.bare.append(name)
            if request.method != "DELETE" and sha1_thumbprint(NEW.certificate) in had - has:
                self.undone.append(name)


def proven(emulator: Emulator) -> set[str]:
    """The thumbprints by which devices are let in now."""
    state = emulator._running.service.state
    group, device = state.groups.get(GROUP), state.devices.get(PUMP)
    found = {each.thumbprint for each in group.slots.values() if each.verified} if group else set()
    attached = device.attestation.certificates.values() if device and device.attestation else ()
    return found | {sha1_thumbprint(decoded(each)) for each in attached}


def written(request: httpx.Request) -> str:
    """What this request is about: the new certificate, if it writes where that is to stand."""
    if request.url.path.endswith("/attestation"):
        return thumbprint(THIRD)
    return sha1_thumbprint(NEW.certificate) if "/secondary" in request.url.path else ""


@dataclass
class World:
    """One application, with the operator that is watched and one that comes in between."""

    emulator: Emulator
    ledger: Ledger
    wire: Watched
    client: Client
    stranger: Client
    books: Path


@contextmanager
def world(job: Job) -> Iterator[World]:
    """All that stands before the command is given."""
    with Emulator(throttle="off") as emulator, tempfile.TemporaryDirectory() as folder:
        made = entered(emulator, Path(folder))
        job.prepare(made)
        emulator.control.clear_requests()
        yield replace(made, wire=(wire := Watched(emulator)), client=client_of(emulator, wire))
        made.ledger.close()


def entered(emulator: Emulator, books: Path) -> World:
    wire = Watched(emulator)
    stranger = operator(emulator, InProcess(emulator))
    return World(emulator, Ledger(books / "ledger.db"), wire, client_of(emulator, wire), stranger, books)


def client_of(emulator: Emulator, wire: Watched) -> Client:
    token = emulator.issue_token("short", expiry=emulator.control.now() + timedelta(hours=1))
    return operator(emulator, wire, token=token, clock=emulator.control.now)


def worlds(job: Job, wanted: Callable[[str], bool] = lambda _: True) -> Iterator[tuple[int, str, World]]:
    """For each request of the command that is wanted: its place, its operation, and the world anew."""
    with world(job) as first:
        first.ledger.close()
        database = first.emulator._running.service.state._store._connection
        kept = database.serialize()
        for at, operation in enumerate(requests_of(job)):
            if not wanted(operation):
                continue
            database.deserialize(kept)
            with tempfile.TemporaryDirectory() as folder:
                shutil.copy(first.ledger.file, folder)
                met = entered(first.emulator, Path(folder))
                yield at, operation, met
                met.ledger.close()
                met.emulator.control.clear_faults()
                met.emulator.control.set_clock(datetime.now(UTC))


@dataclass(frozen=True, eq=False)
class Job:
    """A command: what stands before it, what it does, and what stands after it."""

    name: str
    prepare: Callable[[World], object]
    do: Callable[[World], object]
    after: Callable[[Client], Mapping[Slot, object]]
    end: Mapping[Slot, object]
    state: str = ""


def group_of(world: World, secondary: CertificateAuthority | None = None) -> None:
    run = world.ledger.run("group create", NOW)
    enroll_group(world.stranger, GROUP, primary=OLD, secondary=secondary, run=run)


def begun(world: World) -> None:
    group_of(world)
    started(world.stranger, world.ledger, NEW)


def device_of(world: World) -> None:
    world.stranger.devices.create(PUMP, Device())
    attach_certificates(
        world.stranger, PUMP, primary=FIRST.certificate, secondary=SECOND.certificate,
        run=world.ledger.run("device attach-cert", NOW),
    )  # fmt: skip


def roll(world: World) -> None:
    wanted = Roll("group", GROUP, S, NEW)
    roll_certificate(world.client, wanted, run=world.ledger.run("roll", NOW))


def roll_device(world: World) -> None:
    wanted = Roll("device", PUMP, S, CertificateAuthority(THIRD.certificate, None))
    roll_certificate(world.client, wanted, run=world.ledger.run("roll", NOW))


BESIDE = {P: verified(OLD), S: verified(NEW)}
REPLACE = Job("roll", lambda world: group_of(world, SPARE), roll, slots, BESIDE)
FILL = Job("roll into a free slot", group_of, roll, slots, BESIDE)
START = Job(
    "roll start", group_of, lambda w: started(w.client, w.ledger, NEW), slots, BESIDE, State.VERIFIED.value
)
RETIRE = Job(
    "roll retire", begun, lambda w: retired(w.client, w.ledger, all_of(*PUMPS)),
    slots, {P: None, S: verified(NEW)}, State.CLOSED.value,
)  # fmt: skip
ABORT = Job(
    "roll abort", begun, lambda w: aborted(w.client, w.ledger, all_of(), listed=True),
    slots, {P: verified(OLD), S: None}, State.ABORTED.value,
)  # fmt: skip
DEVICE = Job("roll of a device", device_of, roll_device, held, {P: thumbprint(FIRST), S: thumbprint(THIRD)})
JOBS = [REPLACE, FILL, START, RETIRE, ABORT, DEVICE]


def named(job: Job) -> str:
    return job.name.replace(" ", "-")


@cache
def requests_of(job: Job) -> tuple[str, ...]:
    """What it sends when nothing goes wrong, as the emulator saw it."""
    with world(job) as calm:
        job.do(calm)
        sent = tuple(each.operation for each in calm.emulator.control.requests)
        settled(job, calm)
        return sent


def settled(job: Job, world: World) -> None:
    assert job.after(world.stranger) == job.end
    if job.state:
        assert history(world.client, world.ledger)[-1] == job.state


def calmly(job: Job, world: World) -> IotcError | None:
    """The error it ends with, if any: one of ours, that says what happened and what to do next."""
    try:
        job.do(world)
    except IotcError as error:
        assert str(error)  # noqa: PT017
        assert error.hint, repr(error)  # noqa: PT017
        return error
    return None


FAULTS = {
    "lost answer": Fault(kind="lose-answer"),
    "answers lost for long": Fault(kind="lose-answer", times=8),
    "reset": Fault(kind="reset"),
    "resets for long": Fault(kind="reset", times=8),
    "412": Fault(status=412),
    "412 after the work": Fault(status=412, work=True),
    "409": Fault(status=409),
    "409 after the work": Fault(status=409, work=True),
    "a few 429": Fault(status=429, times=4),
    "a storm of 429": Fault(status=429, times=40),
    "500": Fault(status=500),
    "500 after the work": Fault(status=500, work=True),
    "503 for long": Fault(status=503, times=8),
    "an answer cut short": Fault(kind="truncate"),
    "a proxy's page": Fault(kind="html", status=200),
}
# All that can happen to a look.
LOOKS = {"lost answer", "a few 429", "a storm of 429", "503 for long", "a proxy's page"}
WRITES = {
    "EnrollmentGroups_CreateX509",
    "EnrollmentGroups_GenerateVerificationCodeX509",
    "EnrollmentGroups_VerifyX509",
    "EnrollmentGroups_RemoveX509",
    "Devices_UpdateAttestation",
}
# One of these is got over without help, wherever it comes.
PASSING = {"lost answer", "reset", "a few 429", "500", "500 after the work", "an answer cut short"}


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("job", JOBS, ids=named)
def test_it_succeeds_or_says_what_happened_and_repeated_it_ends_as_if_nothing_had_been(
    job: Job, fault: str
) -> None:
    for at, operation, met in worlds(job, lambda each: each in WRITES or fault in LOOKS):
        met.emulator.control.fault(FAULTS[fault].model_copy(update={"skip": at}))
        error = calmly(job, met)
        met.emulator.control.clear_faults()
        if error is None:
            settled(job, met)
        assert not (error and fault in PASSING), (operation, error)

        job.do(met)

        settled(job, met)
        assert met.wire.bare == [], operation
        assert met.wire.undone == [], operation
        assert met.wire.needless == [], operation


@pytest.mark.parametrize("job", JOBS, ids=named)
def test_a_token_that_expires_midway_is_named_and_with_another_it_goes_on(job: Job) -> None:
    for at, _, met in worlds(job):
        met.wire.before_each = expiring(met, at)
        error = calmly(job, met)
        assert error is not None
        assert "token" in f"{error} {error.hint}"
        met.wire.before_each = lambda _: None
        met.client = operator(met.emulator, met.wire, clock=met.emulator.control.now)

        job.do(met)

        settled(job, met)
        assert (met.wire.bare, met.wire.undone, met.wire.needless) == ([], [], [])


def expiring(met: World, at: int) -> Callable[[int], None]:
    """Time passes before this request: the application refuses it, and the next is not even sent."""

    def before(number: int) -> None:
        if number == at:
            met.emulator.control.advance(timedelta(hours=2))

    return before


def replacing(slot: Slot) -> Callable[[World], object]:
    """Somebody puts a certificate of his own into this slot, and proves it."""

    def intrude(world: World) -> None:
        wanted = Enrollment(GROUP, {slot: STRANGE}, replace=True, create=False)
        carry_out(world.stranger, wanted, plan_enrollment(world.stranger, wanted))

    return intrude


def emptied(slot: Slot) -> Callable[[World], object]:
    """Somebody empties this slot, as long as the other one is proven."""

    def intrude(world: World) -> None:
        other = slots(world.stranger)[slot.other]
        if other is not None and other[1]:
            world.stranger.enrollment_groups.delete_certificate(GROUP, slot)

    return intrude


def unproven(world: World) -> None:
    """Somebody uploads the new certificate once more, as long as the other one is proven."""
    now = slots(world.stranger)
    if now[S] == verified(NEW) and now[P] == verified(OLD):
        again = SigningX509Certificate(certificate=encoded(NEW.certificate))
        world.stranger.enrollment_groups.put_certificate(GROUP, S, again)


def patched(slot: str) -> Callable[[World], object]:
    def intrude(world: World) -> None:
        certificates: dict[str, Any] = {slot: FOURTH.certificate}
        attach_certificates(world.stranger, PUMP, **certificates)

    return intrude


def same(job: Job) -> Callable[[World], object]:
    """Somebody does the very same, with a ledger of his own that knows as much."""

    def intrude(world: World) -> None:
        ledger = Ledger(world.books / "other.db")
        for each in (OLD, SPARE, NEW):
            ledger.run("ledger import", NOW).saw(each.certificate)
        twin = World(world.emulator, ledger, world.wire, world.stranger, world.stranger, world.books)
        if job in (RETIRE, ABORT):
            started(world.stranger, ledger, NEW)
        job.do(twin)
        ledger.close()

    return intrude


INTRUSIONS = {
    "replaces the slot": (JOBS[:5], replacing(S)),
    "replaces the other": (JOBS[:5], replacing(P)),
    "empties the slot": (JOBS[:5], emptied(S)),
    "empties the other": (JOBS[:5], emptied(P)),
    "takes the proof": ([REPLACE, FILL, START, RETIRE, ABORT], unproven),
    "patches the slot": ([DEVICE], patched("secondary")),
    "patches the other": ([DEVICE], patched("primary")),
}


@pytest.mark.parametrize(
    ("job", "intrusion"),
    [(job, name) for name, (jobs, _) in INTRUSIONS.items() for job in jobs],
    ids=lambda each: named(each) if isinstance(each, Job) else each.replace(" ", "-"),
)
def test_what_somebody_else_does_in_between_is_seen_and_nothing_is_lost(job: Job, intrusion: str) -> None:
    for at, operation, met in worlds(job):
        met.wire.before_each = once(met, at, INTRUSIONS[intrusion][1])

        error = calmly(job, met)

        # Between the last look and the request after it nobody can look: the API has no lock.
        assert met.wire.bare == [] or (operation, intrusion) in UNGUARDED, operation
        assert error or proven(met.emulator), operation
        assert error or claimed(job, met), operation


UNGUARDED = {
    ("EnrollmentGroups_CreateX509", "empties the other"),
    ("EnrollmentGroups_RemoveX509", "empties the slot"),
    ("EnrollmentGroups_RemoveX509", "empties the other"),
    ("EnrollmentGroups_RemoveX509", "takes the proof"),
}


def once(met: World, at: int, do: Callable[[World], object]) -> Callable[[int], None]:
    """Before this request, and only then."""

    def before(number: int) -> None:
        if number == at:
            do(met)

    return before


def claimed(job: Job, met: World) -> bool:
    """Whether what it says it did is so."""
    now = job.after(met.stranger)
    if job is ABORT:
        return now[S] != verified(NEW)
    return now[S] == job.end[S] and (job is not RETIRE or now[P] != verified(OLD))


@pytest.mark.parametrize("job", JOBS[:5], ids=named)
def test_two_who_do_the_same_end_the_same(job: Job) -> None:
    for at, operation, met in worlds(job):
        met.wire.before_each = once(met, at, same(job))

        calmly(job, met)
        job.do(met)

        settled(job, met)
        assert met.wire.bare == [], operation
        # A slot that was looked at, empty, and filled the next instant: no etag can guard that.
        unguarded = operation == "EnrollmentGroups_CreateX509" and job in (FILL, START)
        assert met.wire.undone == [] or unguarded, operation


def test_who_empties_one_slot_while_the_other_is_emptied_is_told_at_once() -> None:
    for job, slot in ((RETIRE, S), (ABORT, P)):
        with world(job) as met:
            at = requests_of(job).index("EnrollmentGroups_RemoveX509")
            met.wire.before_each = once(met, at, emptied(slot))

            with pytest.raises(PlanOutdated, match="no verified certificate any more") as caught:
                job.do(met)

            assert "group set-cert" in caught.value.hint


def test_a_retry_after_a_pause_looks_again_at_what_it_counts_on() -> None:
    upload, removal = "EnrollmentGroups_CreateX509", "EnrollmentGroups_RemoveX509"
    for job, slot, operation in ((RETIRE, S, removal), (ABORT, P, removal), (REPLACE, P, upload)):
        with world(job) as met:
            at = requests_of(job).index(operation)
            met.emulator.control.fault(Fault(status=429, match=operation))
            met.wire.before_each = once(met, at + 1, emptied(slot))

            error = calmly(job, met)

            assert isinstance(error, PlanError), error
            assert proven(met.emulator)
            assert met.wire.bare == []


def test_an_old_ca_that_somebody_puts_back_is_not_called_retired() -> None:
    with world(RETIRE) as met:
        at = requests_of(RETIRE).index("EnrollmentGroups_RemoveX509")
        back = Enrollment(GROUP, {P: OLD}, create=False)
        met.wire.before_each = once(
            met, at + 1, lambda w: carry_out(w.stranger, back, plan_enrollment(w.stranger, back))
        )

        with pytest.raises(PlanOutdated, match="stands in plant-7/primary again"):
            RETIRE.do(met)

        assert "closed" not in history(met.client, met.ledger)
        RETIRE.do(met)
        settled(RETIRE, met)


@pytest.mark.parametrize(
    ("job", "operation"),
    [(FILL, "CreateX509"), (DEVICE, "UpdateAttestation")],
    ids=lambda each: named(each) if isinstance(each, Job) else each,
)
def test_what_was_done_though_its_answer_was_lost_is_told_as_done(job: Job, operation: str) -> None:
    with world(job) as met:
        met.emulator.control.fault(Fault(kind="lose-answer", match=f"EnrollmentGroups_{operation}"))
        met.emulator.control.fault(Fault(kind="lose-answer", match=f"Devices_{operation}"))

        job.do(met)

        told = [each.event for each in met.ledger.events() if each.command == "roll"]
        assert any(each.startswith("done: ") and ("upload" in each or "attach" in each) for each in told)
