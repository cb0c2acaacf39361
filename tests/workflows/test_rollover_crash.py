"""A roll of a CA cut short or refused anywhere, and repeated: the same end state."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import pytest

from iotc_admin import CertificateAuthority, Client, IotcError, Ledger, Slot
from iotc_admin.emulator import Emulator, Fault

from ..conftest import InProcess, operator
from .test_crash import Killed, killer
from .test_enroll import P, S, slots, verified, writes
from .test_rollover import PUMPS, all_of, history, retired, started


def whole(client: Client, ledger: Ledger, new: CertificateAuthority) -> None:
    started(client, ledger, new)
    retired(client, ledger, all_of(*PUMPS))


@pytest.mark.usefixtures("group")
@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize("step", range(20))
def test_killed_at_any_request_and_repeated_it_ends_the_same(
    emulator: Emulator, client: Client, ledger: Ledger, new: CertificateAuthority, step: int,
    moment: Literal["before", "after"],
) -> None:  # fmt: skip
    wire = InProcess(emulator)
    setattr(wire, moment, killer(step))
    with pytest.raises(Killed):
        whole(operator(emulator, wire), ledger, new)
    assert any(each and each[1] for each in slots(client).values())
    emulator.control.clear_requests()

    whole(client, ledger, new)

    assert slots(client) == {P: None, S: verified(new)}
    assert history(client, ledger)[-1] == "closed"
    assert writes(emulator).count("EnrollmentGroups_CreateX509") <= 1


@pytest.mark.usefixtures("group")
@pytest.mark.parametrize("status", [401, 409, 412, 429, 500, 503])
@pytest.mark.parametrize(
    "operation",
    [
        "EnrollmentGroups_Get",
        "EnrollmentGroups_GetX509",
        "EnrollmentGroups_CreateX509",
        "EnrollmentGroups_GenerateVerificationCodeX509",
        "EnrollmentGroups_VerifyX509",
        "EnrollmentGroups_RemoveX509",
    ],
)
@pytest.mark.parametrize("work", [True, False])
def test_refused_or_lost_at_any_step_it_ends_the_same_when_repeated(
    emulator: Emulator, client: Client, ledger: Ledger, new: CertificateAuthority, operation: str,
    status: int, work: bool,
) -> None:  # fmt: skip
    emulator.control.fault(Fault(match=operation, status=status, work=work, times=3))
    calmly(lambda: whole(client, ledger, new))
    assert any(each and each[1] for each in held(client, emulator).values())

    whole(client, ledger, new)

    assert slots(client) == {P: None, S: verified(new)}


def calmly(do: Callable[[], None]) -> None:
    """Whatever comes of it, it is an error of ours that says what to do next."""
    try:
        do()
    except IotcError as error:
        assert error.hint, repr(error)  # noqa: PT017


def held(client: Client, emulator: Emulator) -> dict[Slot, tuple[str, bool] | None]:
    emulator.control.clear_faults()
    return slots(client)
