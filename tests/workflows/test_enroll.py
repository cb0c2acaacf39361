"""From whatever stands there to a group with verified certificates; and every reason to stop before."""

from __future__ import annotations

import base64
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta

import httpx
import pytest

from iotc_admin import (
    CertificateAuthority,
    Client,
    Conflict,
    DeviceIdentity,
    EnrollmentGroup,
    GroupAttestation,
    IotcError,
    Ledger,
    PlanError,
    SigningX509Certificate,
    Slot,
    X509VerificationCertificate,
)
from iotc_admin.emulator import Emulator, Fault, Switches
from iotc_admin.errors import (
    KeyMismatch,
    NotAllowedHere,
    OutsideValidity,
    PlanOutdated,
    SettingsError,
    UnsafePlan,
)
from iotc_admin.pki.description import sha1_thumbprint
from iotc_admin.workflows.enroll import Enrollment, carry_out, enroll_group, plan_enrollment
from iotc_admin.workflows.look import GroupView, look_at_group
from iotc_admin.workflows.plan import AskForCode, CreateGroup, Plan, Prove, PutCertificate
from iotc_admin.workflows.proof import encoded

from ..conftest import InProcess, operator
from ..outside import RemoteKey

GROUP = "plant-7"
P, S = Slot.PRIMARY, Slot.SECONDARY


def looked(client: Client, group: str = GROUP) -> GroupView:
    view = look_at_group(client, group)
    assert view is not None
    return view


def slots(client: Client, group: str = GROUP) -> dict[Slot, tuple[str, bool] | None]:
    return {s: (v.thumbprint, v.verified) if v else None for s, v in looked(client, group).slots.items()}


def writes(emulator: Emulator) -> list[str]:
    return [each.operation for each in emulator.control.requests if each.method != "GET"]


def count(emulator: Emulator, do: Callable[[], object]) -> int:
    emulator.control.clear_requests()
    do()
    return len(emulator.control.requests)


def verified(authority: CertificateAuthority) -> tuple[str, bool]:
    return sha1_thumbprint(authority.certificate), True


def unverified(authority: CertificateAuthority) -> tuple[str, bool]:
    return sha1_thumbprint(authority.certificate), False


def without_key(authority: CertificateAuthority) -> CertificateAuthority:
    return CertificateAuthority(authority.certificate)


def test_a_new_group_takes_six_requests_and_repeating_it_two(
    emulator: Emulator, client: Client, ca: CertificateAuthority
) -> None:
    first = count(emulator, lambda: enroll_group(client, GROUP, primary=ca))
    again = count(emulator, lambda: enroll_group(client, GROUP, primary=ca))

    assert (first, again) == (6, 2)
    assert slots(client) == {P: verified(ca), S: None}


def test_two_slots_take_ten_requests_and_repeating_it_three(
    emulator: Emulator, client: Client, ca: CertificateAuthority, other_ca: CertificateAuthority
) -> None:
    def enroll() -> None:
        enroll_group(client, GROUP, primary=ca, secondary=other_ca, type="iotEdge", display_name="Plant 7")

    assert (count(emulator, enroll), count(emulator, enroll)) == (10, 3)
    assert slots(client) == {P: verified(ca), S: verified(other_ca)}
    view = looked(client)
    assert (view.type, view.display_name, view.enabled) == ("iotEdge", "Plant 7", True)


def test_repeating_writes_nothing_whatever_the_group_is_called_or_whether_it_is_enabled(
    emulator: Emulator, client: Client, ca: CertificateAuthority
) -> None:
    enroll_group(client, GROUP, primary=ca, enabled=False)
    before = looked(client)
    emulator.control.clear_requests()

    enroll_group(client, GROUP, primary=ca, display_name="Another", enabled=True)

    assert writes(emulator) == []
    assert looked(client) == before


def test_the_same_certificate_unverified_gets_its_proof_and_no_new_put(
    emulator: Emulator, client: Client, ca: CertificateAuthority
) -> None:
    enroll_group(client, GROUP, primary=without_key(ca))
    emulator.control.clear_requests()

    enroll_group(client, GROUP, primary=ca)

    assert writes(emulator) == [
        "EnrollmentGroups_GenerateVerificationCodeX509",
        "EnrollmentGroups_VerifyX509",
    ]
    assert slots(client)[P] == verified(ca)


def test_without_the_key_all_is_done_but_the_proof_and_each_repeat_gives_a_new_code(
    client: Client, ca: CertificateAuthority
) -> None:
    first = enroll_group(client, GROUP, primary=without_key(ca)).codes[P]
    second = enroll_group(client, GROUP, primary=without_key(ca)).codes[P]

    assert first != second
    assert slots(client)[P] == unverified(ca)
    for code, works in ((first, False), (second, True)):
        proof = X509VerificationCertificate(certificate=encoded(ca.prove(code, now=client.now())))
        if works:
            client.enrollment_groups.verify(GROUP, P, proof)
        else:
            with pytest.raises(IotcError):
                client.enrollment_groups.verify(GROUP, P, proof)
    assert slots(client)[P] == verified(ca)


def make_symmetric(client: Client, _: CertificateAuthority) -> None:
    body = EnrollmentGroup(display_name="s", type="iot", attestation=GroupAttestation(type="symmetricKey"))
    client.enrollment_groups.create(GROUP, body)


def make_edge(client: Client, other: CertificateAuthority) -> None:
    enroll_group(client, GROUP, primary=other, type="iotEdge")


def occupy_primary(client: Client, other: CertificateAuthority) -> None:
    enroll_group(client, GROUP, primary=other)


@pytest.mark.parametrize(
    ("prepare", "message"),
    [
        (make_symmetric, "attests by symmetricKey"),
        (make_edge, "of type iotEdge, not iot"),
        (occupy_primary, "holds another certificate"),
    ],
)
def test_what_stands_in_the_way_is_refused_before_any_write(
    emulator: Emulator,
    client: Client,
    ca: CertificateAuthority,
    other_ca: CertificateAuthority,
    prepare: Callable[[Client, CertificateAuthority], None],
    message: str,
) -> None:
    prepare(client, other_ca)
    emulator.control.clear_requests()

    with pytest.raises(UnsafePlan, match=message) as caught:
        enroll_group(client, GROUP, primary=ca)

    assert caught.value.hint
    assert writes(emulator) == []


def test_a_certificate_that_the_other_slot_holds_is_refused_before_any_write(
    emulator: Emulator, client: Client, ca: CertificateAuthority
) -> None:
    enroll_group(client, GROUP, primary=ca)
    emulator.control.clear_requests()

    with pytest.raises(UnsafePlan, match="plant-7/primary holds this certificate already"):
        wanted = Enrollment(GROUP, {S: ca}, create=False)
        plan_enrollment(client, wanted)

    assert writes(emulator) == []


def expired(now: datetime) -> CertificateAuthority:
    return CertificateAuthority.create("old", now=now - timedelta(days=30), lifetime=timedelta(days=10))


def not_yet_valid(now: datetime) -> CertificateAuthority:
    return CertificateAuthority.create("early", now=now + timedelta(days=30))


def a_leaf(now: datetime) -> CertificateAuthority:
    return CertificateAuthority(DeviceIdentity.self_signed("pump", now=now).certificate)


@pytest.mark.parametrize(
    ("make", "error"),
    [(expired, OutsideValidity), (not_yet_valid, OutsideValidity), (a_leaf, NotAllowedHere)],
)
def test_a_certificate_that_cannot_serve_is_refused_before_the_first_request(
    emulator: Emulator,
    client: Client,
    now: datetime,
    make: Callable[[datetime], CertificateAuthority],
    error: type[Exception],
) -> None:
    with pytest.raises(error, match="the primary certificate"):
        enroll_group(client, GROUP, primary=make(now))

    assert emulator.control.requests == ()


def test_one_certificate_or_one_key_for_both_slots_is_refused_before_the_first_request(
    emulator: Emulator, client: Client, now: datetime, ca: CertificateAuthority
) -> None:
    renewed = CertificateAuthority.create("renewed", now=now, key=ca.key)

    for secondary, message in ((ca, "same certificate"), (renewed, "share one key")):
        with pytest.raises(KeyMismatch, match=message):
            enroll_group(client, GROUP, primary=ca, secondary=secondary)

    assert emulator.control.requests == ()


@pytest.mark.parametrize("group", ["under_score", "a/b", "", "x" * 256, "ü", "a b", "a\n"])
def test_an_impossible_group_id_is_refused_before_the_first_request(
    emulator: Emulator, client: Client, ca: CertificateAuthority, group: str
) -> None:
    with pytest.raises(SettingsError, match="cannot be the id"):
        enroll_group(client, group, primary=ca)

    assert emulator.control.requests == ()


def test_the_longest_id_works(client: Client, ca: CertificateAuthority) -> None:
    enroll_group(client, "x" * 255, primary=ca, display_name="long")

    assert slots(client, "x" * 255)[P] == verified(ca)


def test_a_code_that_somebody_else_replaced_is_recovered_from_once(
    emulator: Emulator, client: Client, wire: InProcess, ca: CertificateAuthority
) -> None:
    rival = operator(emulator, InProcess(emulator))
    left = [1]

    def interfere(request: httpx.Request) -> None:
        if request.url.path.endswith("/verify") and left:
            left.pop()
            rival.enrollment_groups.generate_verification_code(GROUP, P)

    wire.before = interfere

    enroll_group(client, GROUP, primary=ca)

    assert slots(client)[P] == verified(ca)
    assert writes(emulator).count("EnrollmentGroups_VerifyX509") == 2


def test_a_code_that_is_replaced_again_and_again_fails_showing_both_etags(
    emulator: Emulator, client: Client, wire: InProcess, ca: CertificateAuthority
) -> None:
    rival = operator(emulator, InProcess(emulator))

    def interfere(request: httpx.Request) -> None:
        if request.url.path.endswith("/verify"):
            rival.enrollment_groups.generate_verification_code(GROUP, P)

    wire.before = interfere

    with pytest.raises(PlanError, match=r"refused the proof twice.*\(etag before: \S+, now: \S+\)"):
        enroll_group(client, GROUP, primary=ca)

    assert writes(emulator).count("EnrollmentGroups_VerifyX509") == 2


def test_a_stale_etag_at_the_proof_is_recovered_from(
    emulator: Emulator, client: Client, ca: CertificateAuthority
) -> None:
    emulator.control.fault(Fault(kind="status", status=412, match="EnrollmentGroups_VerifyX509"))

    enroll_group(client, GROUP, primary=ca)

    assert slots(client)[P] == verified(ca)


def test_a_slot_that_somebody_else_fills_meanwhile_is_left_alone(
    emulator: Emulator, client: Client, ca: CertificateAuthority, other_ca: CertificateAuthority
) -> None:
    wanted = Enrollment(GROUP, {P: ca})
    plan = plan_enrollment(client, wanted)
    enroll_group(operator(emulator, InProcess(emulator)), GROUP, primary=other_ca)

    with pytest.raises(PlanError, match="holds another certificate"):
        carry_out(client, wanted, plan)

    assert slots(client)[P] == verified(other_ca)


def test_a_replacement_with_a_stale_etag_is_planned_again_when_nothing_else_changed(
    emulator: Emulator, client: Client, ca: CertificateAuthority, other_ca: CertificateAuthority
) -> None:
    enroll_group(client, GROUP, primary=ca)
    wanted = Enrollment(GROUP, {P: other_ca}, replace=True, create=False)
    plan = plan_enrollment(client, wanted)
    client.enrollment_groups.generate_verification_code(GROUP, P)

    carry_out(client, wanted, plan)

    assert slots(client)[P] == verified(other_ca)


def test_a_replacement_never_takes_the_place_of_what_was_not_planned_for(
    emulator: Emulator,
    client: Client,
    now: datetime,
    ca: CertificateAuthority,
    other_ca: CertificateAuthority,
) -> None:
    enroll_group(client, GROUP, primary=ca)
    wanted = Enrollment(GROUP, {P: other_ca}, replace=True, create=False)
    plan = plan_enrollment(client, wanted)
    third = CertificateAuthority.create("third", now=now)
    carry_out(client, rival := replace(wanted, authorities={P: third}), plan_enrollment(client, rival))

    with pytest.raises(PlanOutdated, match=r"held \S+ \(etag \S+\) and holds \S+ \(etag \S+\) by now"):
        carry_out(client, wanted, plan)

    assert slots(client)[P] == verified(third)


def test_a_display_name_that_is_taken_is_said_so(client: Client, ca: CertificateAuthority) -> None:
    with pytest.raises(Conflict) as caught:
        enroll_group(client, GROUP, primary=ca, display_name="SAS-IoT-Devices")

    assert "--display-name" in caught.value.hint


def test_set_cert_needs_a_group_that_is_there(client: Client, ca: CertificateAuthority) -> None:
    with pytest.raises(UnsafePlan, match="there is no enrollment group"):
        plan_enrollment(client, Enrollment(GROUP, {P: ca}, create=False))


def test_clocks_that_disagree_stop_it_before_any_write(
    emulator: Emulator, client: Client, ca: CertificateAuthority
) -> None:
    emulator.control.advance(timedelta(minutes=6))

    with pytest.raises(UnsafePlan, match=r"clock is 0:0[56]:[0-9]{2} behind") as caught:
        enroll_group(client, GROUP, primary=ca)

    assert "NTP" in caught.value.hint
    assert writes(emulator) == []


def test_a_key_that_is_no_file_proves_possession_by_the_same_road(client: Client, now: datetime) -> None:
    key = RemoteKey()
    authority = CertificateAuthority.create("vault", now=now, key=key)

    enroll_group(client, GROUP, primary=authority)

    assert slots(client)[P] == verified(authority)


def attested(ca: CertificateAuthority) -> Enrollment:
    return Enrollment(GROUP, {P: ca}, attest="vendor CA, contract 4711")


def test_self_attestation_counts_as_verified_and_leaves_its_reason_in_the_ledger(
    emulator: Emulator, client: Client, now: datetime, ca: CertificateAuthority, ledger: Ledger
) -> None:
    wanted = attested(without_key(ca))
    outcome = carry_out(client, wanted, plan_enrollment(client, wanted), ledger.run("group create", now))

    assert outcome.codes == {}
    assert slots(client)[P] == verified(ca)
    assert [event.details["reason"] for event in ledger.events() if event.event == "attested"] == [
        "vendor CA, contract 4711"
    ]


def test_without_self_attestation_verified_is_never_sent(
    client: Client, wire: InProcess, ca: CertificateAuthority
) -> None:
    bodies: list[bytes] = []
    wire.before = lambda request: bodies.append(request.content)

    enroll_group(client, GROUP, primary=ca)

    assert not any(b"verified" in body for body in bodies)


def test_self_attestation_without_a_ledger_is_refused(
    emulator: Emulator, client: Client, ca: CertificateAuthority
) -> None:
    with pytest.raises(SettingsError, match="ledger"):
        carry_out(client, attested(ca), plan_enrollment(client, attested(ca)))

    assert writes(emulator) == []


def test_self_attestation_of_a_certificate_that_is_there_already_is_refused(
    client: Client, now: datetime, ca: CertificateAuthority, ledger: Ledger
) -> None:
    enroll_group(client, GROUP, primary=without_key(ca))

    with pytest.raises(UnsafePlan, match="holds this certificate already, unverified"):
        plan_enrollment(client, attested(ca))


@pytest.mark.parametrize(
    "switch",
    [f"{name}={value}" for name, values in Switches.values().items() for value in values[1:]],
)
def test_no_open_question_about_the_service_changes_the_end_state(
    switch: str, now: datetime, ca: CertificateAuthority, other_ca: CertificateAuthority
) -> None:
    with Emulator(throttle="off", switches=Switches.parse([switch])) as emulator:
        client = operator(emulator, InProcess(emulator))
        client.sleep = lambda seconds: emulator.control.advance(timedelta(seconds=seconds))

        enroll_group(client, GROUP, primary=without_key(ca))
        enroll_group(client, GROUP, primary=ca, secondary=other_ca)
        enroll_group(client, GROUP, primary=ca, secondary=other_ca)

        client.sleep(60)
        assert slots(client) == {P: verified(ca), S: verified(other_ca)}


def test_a_proof_that_is_accepted_but_never_shows_is_not_called_verified(
    client: Client, wire: InProcess, emulator: Emulator, ca: CertificateAuthority
) -> None:
    emulator.control.fault(Fault(kind="status", status=204, match="EnrollmentGroups_VerifyX509", work=False))

    with pytest.raises(PlanError, match="still does not show as verified"):
        enroll_group(client, GROUP, primary=ca)


def test_the_plan_is_a_value_without_secrets(client: Client, ca: CertificateAuthority) -> None:
    wanted = Enrollment(GROUP, {P: ca, S: without_key(CertificateAuthority.create("s", now=client.now()))})

    plan = plan_enrollment(client, wanted)

    assert [type(step) for step in plan.steps] == [
        CreateGroup,
        PutCertificate,
        Prove,
        PutCertificate,
        AskForCode,
    ]
    assert hash(plan) == hash(Plan(plan.app, tuple(plan.steps)))
    assert plan.to_json()["steps"][1] == {
        "do": "PutCertificate",
        "group": GROUP,
        "slot": "primary",
        "sha1Thumbprint": sha1_thumbprint(ca.certificate),
        "replaces": None,
        "etag": None,
        "attest": None,
    }
    assert look_at_group(client, GROUP) is None


def test_certificates_are_uploaded_as_base64_of_pem_text(
    client: Client, wire: InProcess, ca: CertificateAuthority
) -> None:
    bodies: list[bytes] = []
    wire.before = lambda request: (
        bodies.append(request.content) if "certificates/primary" in str(request.url) else None
    )

    enroll_group(client, GROUP, primary=ca)

    sent = SigningX509Certificate.model_validate_json(bodies[0], by_alias=True).certificate or ""
    assert base64.b64decode(sent, validate=True).startswith(b"-----BEGIN CERTIFICATE-----\n")


def test_what_somebody_else_did_meanwhile_is_done(
    emulator: Emulator, client: Client, now: datetime, ca: CertificateAuthority, ledger: Ledger
) -> None:
    run = ledger.run("group create", now)
    plan = plan_enrollment(client, attested(ca))
    rival = operator(emulator, InProcess(emulator))
    carry_out(rival, attested(ca), plan_enrollment(rival, attested(ca)), run)

    assert carry_out(client, attested(ca), plan, run).done == ()
    assert slots(client)[P] == verified(ca)


def test_a_replacement_whose_answer_was_lost_stands_in_the_journal(
    emulator: Emulator, client: Client, now: datetime, ca: CertificateAuthority, ledger: Ledger
) -> None:
    enroll_group(client, GROUP, primary=ca)
    other = CertificateAuthority.create("other", now=now)
    wanted = Enrollment(GROUP, {P: other}, replace=True, create=False)
    emulator.control.fault(Fault(kind="lose-answer", match="EnrollmentGroups_CreateX509"))

    carry_out(client, wanted, plan_enrollment(client, wanted), ledger.run("group set-cert", now))

    assert slots(client)[P] == verified(other)
    assert any("begin: plant-7/primary: upload" in event.event for event in ledger.events())


def test_a_ca_that_another_group_holds_is_refused_with_what_is_left_behind(
    client: Client, ca: CertificateAuthority
) -> None:
    enroll_group(client, "first", primary=ca)

    with pytest.raises(Conflict) as caught:
        enroll_group(client, "second", primary=ca)

    assert "one group only" in caught.value.hint
    assert "second/primary is as it was" in caught.value.hint
    assert "second was made and stays, empty: iotc-admin group delete second" in caught.value.hint


def test_a_group_that_was_there_before_is_not_said_to_be_made(
    client: Client, ca: CertificateAuthority, other_ca: CertificateAuthority
) -> None:
    enroll_group(client, "first", primary=ca)
    enroll_group(client, "second", primary=other_ca)

    with pytest.raises(Conflict) as caught:
        enroll_group(client, "second", primary=other_ca, secondary=ca)

    assert "second/secondary is as it was" in caught.value.hint
    assert "was made" not in caught.value.hint
