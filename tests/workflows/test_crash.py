"""Cut short anywhere, repeated as it was: the same end state."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from iotc_admin import CertificateAuthority, Client, IotcError, Slot
from iotc_admin.emulator import Emulator, Fault
from iotc_admin.pki.store import save_authority
from iotc_admin.workflows.enroll import enroll_group
from iotc_admin.workflows.look import look_at_group

from ..conftest import InProcess, operator
from .test_enroll import GROUP, slots, verified


class Killed(BaseException):
    """What stands for kill -9 in a test that lives on."""


def killer(at: int) -> Callable[[httpx.Request], None]:
    left = [at]

    def kill(_: httpx.Request) -> None:
        left[0] -= 1
        if left[0] < 0:
            raise Killed

    return kill


@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize("step", range(10))
def test_killed_at_any_request_and_repeated_it_ends_the_same(
    emulator: Emulator,
    ca: CertificateAuthority,
    other_ca: CertificateAuthority,
    step: int,
    moment: Literal["before", "after"],
) -> None:
    wire = InProcess(emulator)
    setattr(wire, moment, killer(step))
    with pytest.raises(Killed):
        enroll_group(operator(emulator, wire), GROUP, primary=ca, secondary=other_ca)

    client = operator(emulator, InProcess(emulator))
    outcome = enroll_group(client, GROUP, primary=ca, secondary=other_ca)

    assert outcome.codes == {}
    assert slots(client) == {Slot.PRIMARY: verified(ca), Slot.SECONDARY: verified(other_ca)}
    view = look_at_group(client, GROUP)
    assert view is not None
    assert (view.enabled, view.display_name) == (True, GROUP)


OPERATIONS = [
    "EnrollmentGroups_Get",
    "EnrollmentGroups_Create",
    "EnrollmentGroups_CreateX509",
    "EnrollmentGroups_GenerateVerificationCodeX509",
    "EnrollmentGroups_VerifyX509",
    "EnrollmentGroups_GetX509",
]


@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize("kind", ["lose-answer", "reset"])
def test_one_lost_answer_at_any_step_is_recovered_from_without_help(
    emulator: Emulator, client: Client, ca: CertificateAuthority, operation: str, kind: Literal["lose-answer"]
) -> None:
    emulator.control.fault(Fault(kind=kind, match=operation))

    enroll_group(client, GROUP, primary=ca)

    assert slots(client)[Slot.PRIMARY] == verified(ca)


FAULTS = st.builds(
    Fault,
    kind=st.sampled_from(["status", "html", "empty", "reset", "lose-answer", "truncate"]),
    match=st.sampled_from(OPERATIONS),
    times=st.integers(1, 7),
    skip=st.integers(0, 2),
    status=st.sampled_from([0, 401, 403, 404, 409, 412, 422, 429, 500, 503]),
    work=st.sampled_from([None, True, False]),
)


@settings(max_examples=40, deadline=None)
@given(faults=st.lists(FAULTS, max_size=4))
def test_whatever_the_service_does_errors_are_ours_and_a_repeat_in_peace_ends_the_same(
    faults: list[Fault],
) -> None:
    with Emulator(throttle="off") as emulator:
        client = operator(emulator, InProcess(emulator))
        ca = CertificateAuthority.create("ca", now=client.now())
        for fault in faults:
            emulator.control.fault(fault)
        try:
            enroll_group(client, GROUP, primary=ca)
        except IotcError as error:
            assert error.hint, repr(error)  # noqa: PT017 - any of them may come, each has a hint
        emulator.control.clear_faults()

        enroll_group(client, GROUP, primary=ca)

        assert slots(client) == {Slot.PRIMARY: verified(ca), Slot.SECONDARY: None}


@pytest.mark.parametrize("passed", range(1, 7))
def test_a_command_killed_for_real_is_repeated_as_it_was(
    tmp_path: Path, emulator: Emulator, client: Client, passed: int
) -> None:
    ca = CertificateAuthority.create("ca", now=client.now())
    save_authority(tmp_path, "ca", ca)
    command = [sys.executable, "-m", "iotc_admin", "group", "create", GROUP, "--root", "ca_cert.pem"]
    environment = {
        **os.environ,
        "HOME": str(tmp_path),
        "IOTC_APP": emulator.app,
        "IOTC_API_TOKEN": emulator.api_token,
        "IOTC_CA_FILE": str(emulator.ca_file),
        "IOTC_LEDGER": str(tmp_path / "ledger.db"),
    }
    # The work is done, the answer is on its way: the command waits for it when it is killed.
    emulator.control.fault(Fault(kind="delay", delay=30, skip=passed - 1))
    with subprocess.Popen(command, cwd=tmp_path, env=environment, stdout=subprocess.DEVNULL) as process:
        while len(emulator.control.requests) < passed:
            time.sleep(0.01)
        process.kill()
    emulator.control.clear_faults()

    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)

    assert (done.returncode, done.stderr.count("error:")) == (0, 0)
    assert slots(client) == {Slot.PRIMARY: verified(ca), Slot.SECONDARY: None}
