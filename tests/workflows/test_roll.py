"""One slot rolled: what is done, and every reason to stop before the first write."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Literal

import httpx
import pytest

from iotc_admin import CertificateAuthority, Client, Ledger, Slot
from iotc_admin.emulator import Emulator, Fault
from iotc_admin.errors import (
    Conflict,
    KeyMismatch,
    NotFound,
    OutsideValidity,
    PlanError,
    PlanOutdated,
    SettingsError,
    UnsafePlan,
)
from iotc_admin.workflows.apply import Outcome
from iotc_admin.workflows.enroll import enroll_group
from iotc_admin.workflows.plan import ConfirmVerified
from iotc_admin.workflows.roll import (
    Reason,
    Roll,
    carry_out_roll,
    only_group,
    plan_roll,
    roll_certificate,
)

from ..conftest import InProcess, operator
from .test_crash import Killed, killer
from .test_enroll import GROUP, P, S, slots, unverified, verified, writes

YEAR = timedelta(days=365)
PUMP = "pump-1"


@pytest.fixture
def next_ca(now: datetime) -> CertificateAuthority:
    return CertificateAuthority.create("plant9", now=now, lifetime=20 * YEAR)


def enrolled(
    client: Client,
    ledger: Ledger,
    primary: CertificateAuthority,
    secondary: CertificateAuthority | None = None,
) -> None:
    run = ledger.run("group create", client.now())
    enroll_group(client, GROUP, primary=primary, secondary=secondary, run=run)


def roll(
    client: Client,
    ledger: Ledger,
    authority: CertificateAuthority,
    slot: Slot = S,
    *,
    reason: Reason = "expiry",
    renew_same_key: bool = False,
) -> Outcome:
    wanted = Roll("group", GROUP, slot, authority, reason, renew_same_key=renew_same_key)
    return roll_certificate(client, wanted, run=ledger.run("roll", client.now()))


def refused(emulator: Emulator, do: Callable[[], object], error: type[Exception], words: str) -> Exception:
    emulator.control.clear_requests()
    with pytest.raises(error, match=words) as caught:
        do()
    assert writes(emulator) == []
    assert getattr(caught.value, "hint", "")
    return caught.value


def test_a_slot_gets_the_new_certificate_proven_while_the_other_stays(
    client: Client, ledger: Ledger, ca: CertificateAuthority, other_ca: CertificateAuthority,
    next_ca: CertificateAuthority,
) -> None:  # fmt: skip
    enrolled(client, ledger, ca, other_ca)

    roll(client, ledger, next_ca)

    assert slots(client) == {P: verified(ca), S: verified(next_ca)}


def test_a_free_slot_is_filled(
    client: Client, ledger: Ledger, ca: CertificateAuthority, next_ca: CertificateAuthority
) -> None:
    enrolled(client, ledger, ca)

    roll(client, ledger, next_ca)

    assert slots(client) == {P: verified(ca), S: verified(next_ca)}


def test_rolled_already_there_is_nothing_to_do(
    emulator: Emulator,
    client: Client,
    ledger: Ledger,
    ca: CertificateAuthority,
    next_ca: CertificateAuthority,
) -> None:
    enrolled(client, ledger, ca, next_ca)
    emulator.control.clear_requests()

    assert roll(client, ledger, next_ca).done == ()

    assert writes(emulator) == []


def test_an_open_proof_is_finished_without_a_second_upload(
    emulator: Emulator,
    client: Client,
    ledger: Ledger,
    ca: CertificateAuthority,
    next_ca: CertificateAuthority,
) -> None:
    enrolled(client, ledger, ca)
    without_key = CertificateAuthority(next_ca.certificate, None)
    outcome = roll(client, ledger, without_key)
    assert list(outcome.codes) == [S]
    assert slots(client)[S] == unverified(next_ca)
    emulator.control.clear_requests()

    roll(client, ledger, next_ca)

    assert slots(client)[S] == verified(next_ca)
    assert "EnrollmentGroups_CreateX509" not in writes(emulator)


def test_the_only_verified_certificate_is_not_taken_away(
    emulator: Emulator,
    client: Client,
    ledger: Ledger,
    ca: CertificateAuthority,
    next_ca: CertificateAuthority,
) -> None:
    enrolled(client, ledger, ca)

    error = refused(
        emulator,
        lambda: roll(client, ledger, next_ca, P),
        UnsafePlan,
        "only verified .* nothing in the other",
    )

    assert "--slot secondary" in getattr(error, "hint", "")
    roll(client, ledger, next_ca, P, reason="breach")
    assert slots(client) == {P: verified(next_ca), S: None}


def test_an_unverified_certificate_in_the_other_slot_is_none_to_rely_on(
    emulator: Emulator, client: Client, ledger: Ledger, ca: CertificateAuthority,
    other_ca: CertificateAuthority, next_ca: CertificateAuthority,
) -> None:  # fmt: skip
    enrolled(client, ledger, ca)
    roll(client, ledger, CertificateAuthority(other_ca.certificate, None))

    refused(
        emulator, lambda: roll(client, ledger, next_ca, P), UnsafePlan, "unverified certificate in the other"
    )

    # The unverified one lets no device in: it may go.
    roll(client, ledger, next_ca, S)
    assert slots(client) == {P: verified(ca), S: verified(next_ca)}


def test_an_expired_certificate_in_the_other_slot_is_none_to_rely_on(
    emulator: Emulator, client: Client, ledger: Ledger, now: datetime, other_ca: CertificateAuthority
) -> None:
    short = CertificateAuthority.create("short", now=now, lifetime=timedelta(days=5))
    enrolled(client, ledger, other_ca, short)
    emulator.control.advance(timedelta(days=6))
    with operator_then(emulator) as later:
        young = CertificateAuthority.create("young", now=later.now(), lifetime=20 * YEAR)

        refused(
            emulator, lambda: roll(later, ledger, young, P), UnsafePlan, "only verified .*outside its dates"
        )

        roll(later, ledger, young, S)
        assert slots(later) == {P: verified(other_ca), S: verified(young)}


def operator_then(emulator: Emulator) -> Client:
    """An operator whose clock goes with the emulator's."""
    return operator(emulator, InProcess(emulator), clock=emulator.control.now)


def test_neither_certificate_nor_key_of_the_other_slot_is_taken(
    emulator: Emulator, client: Client, ledger: Ledger, now: datetime, ca: CertificateAuthority,
    other_ca: CertificateAuthority,
) -> None:  # fmt: skip
    enrolled(client, ledger, ca, other_ca)
    twin = CertificateAuthority.create("twin", now=now, key=ca.key, lifetime=20 * YEAR)

    refused(emulator, lambda: roll(client, ledger, ca, S), UnsafePlan, "holds this certificate already")
    refused(emulator, lambda: roll(client, ledger, twin, S), KeyMismatch, "same key")
    breach: Reason = "breach"
    refused(emulator, lambda: roll(client, ledger, twin, S, reason=breach), KeyMismatch, "same key")


def test_the_key_of_the_replaced_certificate_is_renewed_only_when_told_and_never_in_a_breach(
    emulator: Emulator, client: Client, ledger: Ledger, now: datetime, ca: CertificateAuthority,
    other_ca: CertificateAuthority,
) -> None:  # fmt: skip
    enrolled(client, ledger, ca, other_ca)
    renewed = CertificateAuthority.create("plant8", now=now, key=other_ca.key, lifetime=20 * YEAR)

    refused(emulator, lambda: roll(client, ledger, renewed), KeyMismatch, "key of the one it replaces")
    refused(
        emulator,
        lambda: roll(client, ledger, renewed, reason="breach"),
        KeyMismatch,
        "key of the one it replaces",
    )
    refused(
        emulator,
        lambda: roll(client, ledger, renewed, reason="breach", renew_same_key=True),
        SettingsError,
        "never used again",
    )
    roll(client, ledger, renewed, renew_same_key=True)
    assert slots(client)[S] == verified(renewed)


def test_one_that_expires_before_the_one_it_replaces_is_refused_and_in_a_breach_warned_of(
    emulator: Emulator, client: Client, ledger: Ledger, now: datetime, ca: CertificateAuthority,
    other_ca: CertificateAuthority,
) -> None:  # fmt: skip
    enrolled(client, ledger, ca, other_ca)
    brief = CertificateAuthority.create("brief", now=now, lifetime=timedelta(days=30))

    refused(emulator, lambda: roll(client, ledger, brief), OutsideValidity, "before the one it replaces")

    planned = plan_roll(client, ledger, Roll("group", GROUP, S, brief, "breach"))
    assert any("before the one it replaces" in each for each in planned.warnings)


def test_what_the_ledger_does_not_know_cannot_be_compared_and_is_said(
    client: Client, ledger: Ledger, ca: CertificateAuthority, other_ca: CertificateAuthority,
    next_ca: CertificateAuthority,
) -> None:  # fmt: skip
    enroll_group(client, GROUP, primary=ca, secondary=other_ca)

    planned = plan_roll(client, ledger, Roll("group", GROUP, S, next_ca))

    unmanaged = [each for each in planned.warnings if "the ledger does not know" in each]
    assert len(unmanaged) == 3
    assert all("ledger import" in each for each in unmanaged)


def test_whoever_is_under_the_replaced_certificate_is_named_as_cut_off(
    client: Client, ledger: Ledger, ca: CertificateAuthority, other_ca: CertificateAuthority,
    next_ca: CertificateAuthority,
) -> None:  # fmt: skip
    enrolled(client, ledger, ca, other_ca)

    planned = plan_roll(client, ledger, Roll("group", GROUP, S, next_ca))

    assert any("no longer register" in each for each in planned.warnings)
    assert isinstance(planned.plan.steps[0], ConfirmVerified)


def test_the_other_certificate_is_looked_at_once_more_before_this_one_goes(
    emulator: Emulator, client: Client, ledger: Ledger, ca: CertificateAuthority,
    other_ca: CertificateAuthority, next_ca: CertificateAuthority,
) -> None:  # fmt: skip
    enrolled(client, ledger, ca, other_ca)
    wanted = Roll("group", GROUP, S, next_ca)
    planned = plan_roll(client, ledger, wanted)
    client.enrollment_groups.delete_certificate(GROUP, P)

    with pytest.raises(UnsafePlan, match="nothing in the other slot"):
        carry_out_roll(client, wanted, planned.plan, ledger.run("roll", client.now()))

    assert slots(client) == {P: None, S: verified(other_ca)}


def test_a_slot_that_somebody_else_filled_meanwhile_is_left_alone(
    client: Client, ledger: Ledger, now: datetime, ca: CertificateAuthority, other_ca: CertificateAuthority,
    next_ca: CertificateAuthority,
) -> None:  # fmt: skip
    enrolled(client, ledger, ca)
    wanted = Roll("group", GROUP, S, next_ca)
    planned = plan_roll(client, ledger, wanted)
    roll(client, ledger, other_ca, S)

    with pytest.raises(PlanOutdated, match="by now"):
        carry_out_roll(client, wanted, planned.plan, ledger.run("roll", client.now()))

    assert slots(client) == {P: verified(ca), S: verified(other_ca)}


@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize("step", range(8))
def test_killed_at_any_request_and_repeated_it_ends_the_same_and_never_without_a_verified_one(
    emulator: Emulator, ledger: Ledger, ca: CertificateAuthority, other_ca: CertificateAuthority,
    next_ca: CertificateAuthority, step: int, moment: Literal["before", "after"],
) -> None:  # fmt: skip
    client = operator(emulator, InProcess(emulator))
    enrolled(client, ledger, ca, other_ca)
    wire = InProcess(emulator)
    setattr(wire, moment, killer(step))
    with pytest.raises(Killed):
        roll(operator(emulator, wire), ledger, next_ca)
    assert any(each and each[1] for each in slots(client).values())

    roll(client, ledger, next_ca)

    assert slots(client) == {P: verified(ca), S: verified(next_ca)}


@pytest.mark.parametrize("status", [409, 412, 429, 500, 503])
@pytest.mark.parametrize(
    "operation",
    [
        "EnrollmentGroups_CreateX509",
        "EnrollmentGroups_GenerateVerificationCodeX509",
        "EnrollmentGroups_VerifyX509",
    ],
)
@pytest.mark.parametrize("work", [True, False])
def test_refused_or_lost_at_any_write_it_ends_the_same_at_the_latest_when_repeated(
    emulator: Emulator, client: Client, ledger: Ledger, ca: CertificateAuthority,
    other_ca: CertificateAuthority, next_ca: CertificateAuthority, operation: str, status: int, work: bool,
) -> None:  # fmt: skip
    enrolled(client, ledger, ca, other_ca)
    emulator.control.fault(Fault(match=operation, status=status, work=work, times=2))
    try:
        roll(client, ledger, next_ca)
    except PlanError as error:
        assert error.hint  # noqa: PT017
    except Exception as error:  # noqa: BLE001
        assert getattr(error, "hint", "")  # noqa: PT017
    assert slots(client)[P] == verified(ca)
    emulator.control.clear_faults()

    roll(client, ledger, next_ca)

    assert slots(client) == {P: verified(ca), S: verified(next_ca)}


def test_without_a_name_the_only_group_is_meant_and_several_are_listed(
    client: Client, ledger: Ledger, ca: CertificateAuthority, other_ca: CertificateAuthority
) -> None:
    with pytest.raises(UnsafePlan, match="no enrollment group that holds certificates"):
        only_group(client)
    enrolled(client, ledger, ca)
    assert only_group(client) == GROUP
    enroll_group(client, "plant-8", primary=other_ca)
    with pytest.raises(UnsafePlan, match=f"2 groups .*{GROUP}, plant-8"):
        only_group(client)


def test_a_group_that_is_not_there_is_said(
    client: Client, ledger: Ledger, next_ca: CertificateAuthority
) -> None:
    with pytest.raises(NotFound, match=GROUP):
        roll(client, ledger, next_ca)


def after_the_upload(wire: InProcess, do: Callable[[], object]) -> None:
    """Somebody else acts right after the first upload."""

    def intrude(request: httpx.Request) -> None:
        if request.method == "PUT":
            wire.after = lambda _: None
            do()

    wire.after = intrude


def test_a_code_for_what_somebody_else_put_there_is_not_handed_out(
    emulator: Emulator, ledger: Ledger, ca: CertificateAuthority, other_ca: CertificateAuthority,
    next_ca: CertificateAuthority,
) -> None:  # fmt: skip
    wire = InProcess(emulator)
    client, stranger = operator(emulator, wire), operator(emulator, InProcess(emulator))
    enrolled(client, ledger, ca)
    after_the_upload(wire, lambda: roll(stranger, ledger, other_ca, reason="breach"))

    with pytest.raises(PlanOutdated, match="somebody else changed it"):
        roll(client, ledger, CertificateAuthority(next_ca.certificate, None))


@pytest.mark.parametrize("kind", ["lose-answer", "status"])
def test_an_upload_into_a_free_slot_is_not_repeated_over_what_somebody_did_in_the_pause(
    emulator: Emulator, ledger: Ledger, ca: CertificateAuthority, next_ca: CertificateAuthority,
    kind: Literal["lose-answer", "status"],
) -> None:  # fmt: skip
    wire = InProcess(emulator)
    client, stranger = operator(emulator, wire), operator(emulator, InProcess(emulator))
    enrolled(client, ledger, ca)
    emulator.control.fault(
        Fault(kind=kind, status=429 if kind == "status" else 0, match="EnrollmentGroups_CreateX509")
    )
    looks: list[bool] = []

    def intrude(request: httpx.Request) -> None:
        # The first request after the upload was refused, or its answer lost.
        if any(each.method == "PUT" for each in emulator.control.requests):
            wire.before = lambda _: None
            looks.append(request.method == "GET")
            roll(stranger, ledger, next_ca)

    wire.before = intrude
    emulator.control.clear_requests()

    roll(client, ledger, next_ca)

    assert looks == [True]
    assert slots(client) == {P: verified(ca), S: verified(next_ca)}


def test_an_old_etag_is_not_taken_for_a_ca_of_another_group(
    emulator: Emulator, client: Client, ledger: Ledger, ca: CertificateAuthority,
    other_ca: CertificateAuthority, next_ca: CertificateAuthority,
) -> None:  # fmt: skip
    enrolled(client, ledger, ca, other_ca)
    for status, words in ((412, "look at it again"), (409, "one group only")):
        emulator.control.fault(Fault(status=status, match="EnrollmentGroups_CreateX509"))
        with pytest.raises(Conflict) as caught:
            roll(client, ledger, next_ca)
        assert words in caught.value.hint


def test_a_certificate_that_cannot_serve_is_called_the_new_one(
    emulator: Emulator, client: Client, ledger: Ledger, now: datetime, ca: CertificateAuthority,
    other_ca: CertificateAuthority,
) -> None:  # fmt: skip
    enrolled(client, ledger, ca, other_ca)
    expired = CertificateAuthority.create("gone", now=now - YEAR, lifetime=timedelta(days=1))
    early = CertificateAuthority.create("early", now=now + YEAR, lifetime=YEAR)

    refused(emulator, lambda: roll(client, ledger, expired), OutsideValidity, "the new certificate expired")
    refused(
        emulator, lambda: roll(client, ledger, early), OutsideValidity, "the new certificate is not valid"
    )
