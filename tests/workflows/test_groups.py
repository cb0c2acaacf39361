"""The smaller jobs: update, delete, remove a certificate, codes and proofs from elsewhere."""

from __future__ import annotations

import json
from datetime import datetime, timedelta

import httpx
import pytest

from iotc_admin import (
    BadRequest,
    CertificateAuthority,
    Client,
    EnrollmentGroupPatch,
    NotFound,
    PlanError,
    Slot,
)
from iotc_admin.emulator import Emulator, Fault
from iotc_admin.errors import BrokenChain, OutsideValidity, PlanOutdated, SettingsError, UnsafePlan
from iotc_admin.workflows.apply import Hands, apply
from iotc_admin.workflows.enroll import enroll_group
from iotc_admin.workflows.groups import (
    Change,
    check_proof,
    filled,
    plan_code,
    plan_deletion,
    plan_proof,
    plan_removal,
    plan_submission,
    plan_update,
    update_group,
)
from iotc_admin.workflows.plan import Plan, UpdateGroup

from ..conftest import InProcess, operator
from .test_enroll import GROUP, P, looked, slots, unverified, verified, without_key, writes


@pytest.fixture
def group(client: Client, ca: CertificateAuthority) -> str:
    enroll_group(client, GROUP, primary=ca)
    return GROUP


def test_an_update_sends_only_what_changes_and_never_re_enables(
    client: Client, wire: InProcess, group: str
) -> None:
    disable = Change(group, enabled=False)
    update_group(client, disable, plan_update(client, disable), Hands())
    bodies: list[bytes] = []
    wire.before = lambda request: bodies.append(request.content) if request.method == "PATCH" else None

    rename = Change(group, display_name="New")
    update_group(client, rename, plan_update(client, rename), Hands())

    assert {key for key in json.loads(bodies[0]) if key != "etag"} == {"displayName"}
    assert (looked(client).display_name, looked(client).enabled) == ("New", False)


def test_an_update_to_what_is_already_so_sends_nothing(client: Client, group: str) -> None:
    assert plan_update(client, Change(group, display_name=GROUP, enabled=True)).steps == ()


def test_an_update_with_a_stale_etag_is_planned_again(client: Client, group: str) -> None:
    change = Change(group, enabled=False)
    plan = plan_update(client, change)
    client.enrollment_groups.update(group, EnrollmentGroupPatch(display_name="Meanwhile"))

    update_group(client, change, plan, Hands())

    assert (looked(client).display_name, looked(client).enabled) == ("Meanwhile", False)


def test_an_update_that_stays_stale_fails_showing_both_etags(
    emulator: Emulator, client: Client, wire: InProcess, group: str
) -> None:
    rival = operator(emulator, InProcess(emulator))

    def interfere(request: httpx.Request) -> None:
        if request.method == "PATCH":
            rival.enrollment_groups.generate_verification_code(group, P)

    wire.before = interfere
    change = Change(group, enabled=False)

    with pytest.raises(PlanOutdated, match=r"changed meanwhile \(etag before: \S+, now: \S+\)"):
        update_group(client, change, plan_update(client, change), Hands())


def test_a_plan_never_grows_when_it_is_made_again() -> None:
    old = Plan("a", (UpdateGroup("g", None, False, "1"),))

    assert Plan("a", (UpdateGroup("g", None, False, "2"),)).within(old)
    assert not Plan("a", (UpdateGroup("g", "n", False, "2"),)).within(old)


def test_a_removed_certificate_is_gone_and_removing_it_again_is_nothing_to_do(
    client: Client, group: str
) -> None:
    apply(plan_removal(client, group, P), client, Hands())

    assert slots(client)[P] is None
    assert plan_removal(client, group, P).steps == ()


def test_a_slot_that_changed_after_it_was_shown_is_not_emptied(
    client: Client, group: str, ca: CertificateAuthority, other_ca: CertificateAuthority
) -> None:
    plan = plan_removal(client, group, P)
    client.enrollment_groups.delete_certificate(group, P)
    enroll_group(client, group, primary=other_ca)

    with pytest.raises(PlanOutdated, match="by now, not"):
        apply(plan, client, Hands())

    assert slots(client)[P] == verified(other_ca)


def test_a_deleted_group_is_gone(client: Client, group: str) -> None:
    apply(plan_deletion(client, group), client, Hands())

    with pytest.raises(NotFound):
        client.enrollment_groups.get(group)


@pytest.mark.parametrize(
    "plan",
    [
        lambda client: plan_deletion(client, "nowhere"),
        lambda client: plan_removal(client, "nowhere", P),
        lambda client: plan_code(client, "nowhere", P),
        lambda client: plan_update(client, Change("nowhere", enabled=True)),
    ],
)
def test_a_group_that_is_not_there_is_said_so(client: Client, plan: object) -> None:
    with pytest.raises(NotFound, match="there is no enrollment group nowhere"):
        plan(client)  # type: ignore[operator]


def test_a_symmetric_group_holds_no_certificates(client: Client) -> None:
    with pytest.raises(UnsafePlan, match="it holds no certificates"):
        plan_removal(client, "SAS-IoT-Devices", P)


def test_ids_are_checked_before_the_first_request(emulator: Emulator, client: Client) -> None:
    with pytest.raises(SettingsError):
        plan_deletion(client, "no_such")

    assert emulator.control.requests == ()


def test_a_proof_signed_elsewhere_completes_the_slot(client: Client, ca: CertificateAuthority) -> None:
    code = enroll_group(client, GROUP, primary=without_key(ca)).codes[P]
    proof = ca.prove(code, now=client.now())
    check_proof(proof, ca.certificate, client)

    apply(plan_submission(client, GROUP, P, filled(client, GROUP, P)), client, Hands(proof=proof))

    assert slots(client)[P] == verified(ca)
    assert plan_submission(client, GROUP, P, filled(client, GROUP, P)).steps == ()


def test_a_proof_for_an_older_code_is_refused_with_the_way_on(
    client: Client, ca: CertificateAuthority
) -> None:
    code = enroll_group(client, GROUP, primary=without_key(ca)).codes[P]
    apply(plan_code(client, GROUP, P), client, Hands())
    proof = ca.prove(code, now=client.now())

    with pytest.raises(BadRequest) as caught:
        apply(plan_submission(client, GROUP, P, filled(client, GROUP, P)), client, Hands(proof=proof))

    assert "iotc-admin group code plant-7 --slot primary" in caught.value.hint
    assert slots(client)[P] == unverified(ca)


@pytest.mark.parametrize("kind", ["lose-answer", "reset"])
def test_a_proof_whose_answer_was_lost_is_looked_up_not_sent_again(
    emulator: Emulator, client: Client, ca: CertificateAuthority, kind: str
) -> None:
    code = enroll_group(client, GROUP, primary=without_key(ca)).codes[P]
    proof = ca.prove(code, now=client.now())
    plan = plan_submission(client, GROUP, P, filled(client, GROUP, P))
    emulator.control.fault(Fault.model_validate({"kind": kind, "match": "EnrollmentGroups_VerifyX509"}))
    emulator.control.clear_requests()

    if kind == "lose-answer":
        apply(plan, client, Hands(proof=proof))
    else:
        with pytest.raises(Exception, match="answer was lost"):
            apply(plan, client, Hands(proof=proof))

    assert writes(emulator).count("EnrollmentGroups_VerifyX509") <= 1


def test_a_proof_of_another_ca_or_another_time_is_refused_here(
    client: Client, now: datetime, ca: CertificateAuthority, other_ca: CertificateAuthority
) -> None:
    with pytest.raises(BrokenChain, match="not signed by the certificate in the slot"):
        check_proof(other_ca.prove("A", now=now), ca.certificate, client)
    with pytest.raises(OutsideValidity):
        check_proof(ca.prove("A", now=now), ca.certificate, operator_in(client, now + timedelta(days=3)))


def operator_in(client: Client, moment: datetime) -> Client:
    from iotc_admin import ApiToken

    token = ApiToken("SharedAccessSignature sr=a&sig=b&skn=c&se=4102444800000")
    return Client(
        client.app, token, transport=httpx.MockTransport(lambda _: httpx.Response(500)), clock=lambda: moment
    )


def test_the_wrong_ca_stops_before_a_code_is_spent(
    emulator: Emulator, client: Client, group: str, other_ca: CertificateAuthority
) -> None:
    view = filled(client, group, P)
    emulator.control.clear_requests()

    with pytest.raises(
        UnsafePlan, match=r"holds certificate \w{4}\.\.\w{4}, but this CA is \w{4}\.\.\w{4}"
    ) as caught:
        plan_proof(client, group, P, view, other_ca)

    assert caught.value.hint.startswith(
        "upload this CA first: iotc-admin group set-cert plant-7 --slot primary"
    )
    assert emulator.control.requests == ()


def test_a_verified_slot_needs_no_proof(client: Client, group: str, ca: CertificateAuthority) -> None:
    assert plan_proof(client, group, P, filled(client, group, P), ca).steps == ()


def test_an_empty_slot_has_no_code(client: Client, group: str) -> None:
    with pytest.raises(PlanError, match="plant-7/secondary is empty"):
        plan_code(client, group, Slot.SECONDARY)


def test_an_update_whose_answer_was_lost_is_looked_up_not_sent_again(
    emulator: Emulator, client: Client, group: str
) -> None:
    change = Change(group, enabled=False)
    plan = plan_update(client, change)
    emulator.control.fault(Fault(kind="lose-answer", match="EnrollmentGroups_Update"))
    emulator.control.clear_requests()

    update_group(client, change, plan, Hands())

    assert writes(emulator) == ["EnrollmentGroups_Update"]
    assert not looked(client).enabled
