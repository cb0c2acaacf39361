"""A device's own certificates: from whatever stands there now, and every reason to stop before."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Literal

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID

from iotc_admin import (
    Attestation,
    BadRequest,
    CertificateAuthority,
    Client,
    Conflict,
    Device,
    DeviceIdentity,
    Ledger,
    NotFound,
    PlanError,
    ServiceDown,
    SettingsError,
    Slot,
)
from iotc_admin.contract.devices import Tpm
from iotc_admin.contract.enrollment_groups import SymmetricKey
from iotc_admin.emulator import Emulator, Fault
from iotc_admin.errors import KeyMismatch, NotAllowedHere, OutsideValidity, PlanOutdated, UnsafePlan
from iotc_admin.pki.description import sha1_thumbprint
from iotc_admin.pki.store import save_certificate
from iotc_admin.workflows.apply import Hands, apply
from iotc_admin.workflows.attach import (
    Attachment,
    attach_certificates,
    carry_out_attachment,
    doubts,
    plan_attachment,
    plan_detachment,
)
from iotc_admin.workflows.look import look_at_attestation
from iotc_admin.workflows.plan import PatchAttestation, Plan, PutAttestation

from ..conftest import InProcess, operator
from .test_crash import Killed, killer
from .test_enroll import count, writes

PUMP = "pump-1"
P, S = Slot.PRIMARY, Slot.SECONDARY
Make = Callable[..., x509.Certificate]


def certificate(now: datetime, device: str = PUMP) -> x509.Certificate:
    return DeviceIdentity.self_signed(device, now=now).certificate


@pytest.fixture
def first(now: datetime) -> x509.Certificate:
    return certificate(now)


@pytest.fixture
def second(now: datetime) -> x509.Certificate:
    return certificate(now)


@pytest.fixture
def device(client: Client) -> str:
    client.devices.create(PUMP, Device())
    return PUMP


def held(client: Client, device: str = PUMP) -> dict[Slot, str | None] | None:
    view = look_at_attestation(client, device)
    return None if view is None else dict(view.slots)


def thumbprint(of: x509.Certificate) -> str:
    return sha1_thumbprint(of)


def test_the_first_certificates_are_put_and_a_repeat_changes_nothing_and_asks_once(
    emulator: Emulator, client: Client, device: str, first: x509.Certificate, second: x509.Certificate
) -> None:
    def attach() -> None:
        attach_certificates(client, device, primary=first, secondary=second)

    assert (count(emulator, attach), count(emulator, attach)) == (4, 1)
    assert held(client) == {P: thumbprint(first), S: thumbprint(second)}


def test_a_second_slot_is_filled_by_a_patch_of_just_that_slot(
    client: Client, wire: InProcess, device: str, first: x509.Certificate, second: x509.Certificate
) -> None:
    attach_certificates(client, device, primary=first)
    bodies: list[bytes] = []
    wire.before = lambda request: bodies.append(request.content) if request.method == "PATCH" else None

    attach_certificates(client, device, secondary=second)

    assert list(json.loads(bodies[0])["x509"]["clientCertificates"]) == ["secondary"]
    assert held(client) == {P: thumbprint(first), S: thumbprint(second)}


def test_a_slot_that_holds_another_certificate_gets_this_one_and_the_plan_says_so(
    client: Client, device: str, first: x509.Certificate, second: x509.Certificate
) -> None:
    attach_certificates(client, device, primary=first)
    wanted = Attachment(device, {P: second})

    plan = plan_attachment(client, wanted)
    carry_out_attachment(client, wanted, plan)

    (step,) = plan.steps
    assert step == PatchAttestation(device, thumbprint(second), "", thumbprint(first), "")
    assert ", replacing " in str(step)
    assert plan.to_json()["steps"][0]["replacesPrimary"] == thumbprint(first)
    assert held(client) == {P: thumbprint(second), S: None}


def test_two_certificates_may_change_places_in_one_patch(
    emulator: Emulator, client: Client, device: str, first: x509.Certificate, second: x509.Certificate
) -> None:
    attach_certificates(client, device, primary=first, secondary=second)
    emulator.control.clear_requests()

    attach_certificates(client, device, primary=second, secondary=first)

    assert writes(emulator) == ["Devices_UpdateAttestation"]
    assert held(client) == {P: thumbprint(second), S: thumbprint(first)}


def test_what_is_sent_stands_in_the_ledger_before_and_begun_and_done_in_its_journal(
    client: Client, wire: InProcess, ledger: Ledger, device: str, first: x509.Certificate, now: datetime
) -> None:
    known: list[tuple[bool, list[str]]] = []

    def look(request: httpx.Request) -> None:
        if request.method == "PUT":
            entry = ledger.find(thumbprint(first))
            known.append((entry is not None, [event.event for event in ledger.events()]))

    wire.before = look
    attach_certificates(client, device, primary=first, run=ledger.run("device attach-cert", now))

    ((found, events),) = known
    assert found
    assert [event.partition(":")[0] for event in events] == ["begin"]
    assert [event.event.partition(":")[0] for event in ledger.events()] == ["begin", "done"]
    entry = ledger.find(thumbprint(first))
    assert entry is not None
    assert [(seen.holder, seen.slot, seen.app) for seen in entry.sightings] == [
        (device, "primary", client.app)
    ]


def test_without_a_certificate_yet_the_first_must_be_the_primary(
    emulator: Emulator, client: Client, device: str, first: x509.Certificate
) -> None:
    emulator.control.clear_requests()

    with pytest.raises(UnsafePlan, match="its first must be the primary") as caught:
        attach_certificates(client, device, secondary=first)

    assert "--primary CERT" in caught.value.hint
    assert writes(emulator) == []


def test_a_device_that_is_not_there_is_to_be_made_first(client: Client, first: x509.Certificate) -> None:
    with pytest.raises(NotFound, match="there is no device pump-1") as caught:
        attach_certificates(client, PUMP, primary=first)

    assert caught.value.hint == "make it first: iotc-admin device create pump-1"


@pytest.mark.parametrize(
    "other",
    [
        Attestation(
            type="symmetricKey", symmetric_key=SymmetricKey(primary_key="AAAA", secondary_key="AAAA")
        ),
        Attestation(type="tpm", tpm=Tpm(endorsement_key="AAAA")),
    ],
    ids=["symmetricKey", "tpm"],
)
def test_a_device_that_attests_otherwise_is_left_as_it_is_and_the_way_out_is_said(
    emulator: Emulator, client: Client, device: str, first: x509.Certificate, other: Attestation
) -> None:
    client.devices.create_attestation(device, other)
    emulator.control.clear_requests()

    with pytest.raises(UnsafePlan, match=f"attests by {other.type}") as caught:
        attach_certificates(client, device, primary=first)

    assert "iotc-admin device detach-cert pump-1" in caught.value.hint
    assert writes(emulator) == []
    apply(plan_detachment(client, device), client, Hands())
    attach_certificates(client, device, primary=first)


def test_the_certificate_of_the_other_slot_is_refused(
    client: Client, device: str, first: x509.Certificate
) -> None:
    attach_certificates(client, device, primary=first)

    with pytest.raises(UnsafePlan, match="pump-1/primary holds this certificate already"):
        attach_certificates(client, device, secondary=first)


def expired(now: datetime) -> x509.Certificate:
    return certificate(now - timedelta(days=400))


def not_yet_valid(now: datetime) -> x509.Certificate:
    return certificate(now + timedelta(days=2))


def another_devices(now: datetime) -> x509.Certificate:
    return certificate(now, "pump-2")


def a_ca(now: datetime) -> x509.Certificate:
    return CertificateAuthority.create(PUMP, now=now).certificate


def too_short_a_key(now: datetime) -> x509.Certificate:
    key = rsa.generate_private_key(public_exponent=65537, key_size=1024)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, PUMP)])
    builder = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
    dated = builder.not_valid_before(now - timedelta(days=1)).not_valid_after(now + timedelta(days=9))
    return dated.sign(key, hashes.SHA256())


@pytest.mark.parametrize(
    ("make", "error", "said"),
    [
        (expired, OutsideValidity, "the primary certificate expired on"),
        (not_yet_valid, OutsideValidity, "is not valid before"),
        (another_devices, NotAllowedHere, "has the common name 'pump-2', not 'pump-1'"),
        (a_ca, NotAllowedHere, "is a CA certificate"),
        (too_short_a_key, NotAllowedHere, "RSA 1024 is shorter than 2048 bits"),
    ],
)
def test_a_certificate_that_cannot_serve_is_refused_before_the_first_request(
    emulator: Emulator, client: Client, now: datetime, make: Make, error: type[Exception], said: str
) -> None:
    with pytest.raises(error, match=said):
        attach_certificates(client, PUMP, primary=make(now))

    assert emulator.control.requests == ()


def test_one_certificate_or_one_key_in_both_slots_is_refused_before_the_first_request(
    emulator: Emulator, client: Client, now: datetime
) -> None:
    one = DeviceIdentity.self_signed(PUMP, now=now)
    again = DeviceIdentity.self_signed(PUMP, now=now, key=one.key)

    with pytest.raises(KeyMismatch, match="the same certificate"):
        attach_certificates(client, PUMP, primary=one.certificate, secondary=one.certificate)
    with pytest.raises(KeyMismatch, match="share one key"):
        attach_certificates(client, PUMP, primary=one.certificate, secondary=again.certificate)

    assert emulator.control.requests == ()


def test_nothing_given_and_an_impossible_id_are_refused_before_the_first_request(
    emulator: Emulator, client: Client, first: x509.Certificate
) -> None:
    with pytest.raises(SettingsError, match="no certificate is given"):
        attach_certificates(client, PUMP)
    with pytest.raises(NotAllowedHere, match="holds characters the service does not accept"):
        attach_certificates(client, "pump 1", primary=first)

    assert emulator.control.requests == ()


def test_a_name_that_differs_in_case_and_an_issuer_of_its_own_are_doubts_not_refusals(
    client: Client, now: datetime, ca: CertificateAuthority
) -> None:
    client.devices.create("Pump-1", Device())
    issued = ca.issue(PUMP, now=now).certificate
    wanted = Attachment("Pump-1", {P: issued})

    said = list(doubts(wanted, now))
    carry_out_attachment(client, wanted, plan_attachment(client, wanted))

    assert [text for text in said if "has the common name 'pump-1', not 'Pump-1'" in text]
    assert [text for text in said if "is issued by CN=plant7, not by itself" in text]
    assert held(client, "Pump-1") == {P: thumbprint(issued), S: None}
    assert list(doubts(Attachment(PUMP, {P: certificate(now)}), now)) == []


def test_what_changed_after_it_was_looked_at_is_not_replaced(
    client: Client, device: str, first: x509.Certificate, second: x509.Certificate, now: datetime
) -> None:
    attach_certificates(client, device, primary=first)
    wanted = Attachment(device, {P: second})
    plan = plan_attachment(client, wanted)
    somebody = certificate(now)
    attach_certificates(client, device, primary=somebody)

    with pytest.raises(PlanOutdated, match="was changed meanwhile") as caught:
        carry_out_attachment(client, wanted, plan)

    assert "iotc-admin device show pump-1" in caught.value.hint
    assert held(client) == {P: thumbprint(somebody), S: None}


def test_a_secondary_that_changed_meanwhile_is_not_replaced_either(
    client: Client, device: str, first: x509.Certificate, second: x509.Certificate, now: datetime
) -> None:
    attach_certificates(client, device, primary=first)
    wanted = Attachment(device, {S: second})
    plan = plan_attachment(client, wanted)
    attach_certificates(client, device, secondary=certificate(now))

    with pytest.raises(PlanOutdated):
        carry_out_attachment(client, wanted, plan)


def test_what_somebody_else_has_done_meanwhile_is_nothing_to_do(
    client: Client, device: str, first: x509.Certificate, second: x509.Certificate
) -> None:
    attach_certificates(client, device, primary=first)
    wanted = Attachment(device, {S: second})
    plan = plan_attachment(client, wanted)
    attach_certificates(client, device, secondary=second)

    assert carry_out_attachment(client, wanted, plan).done == ()


def test_an_enrollment_removed_meanwhile_is_not_made_anew_unasked(
    client: Client, device: str, first: x509.Certificate, second: x509.Certificate
) -> None:
    attach_certificates(client, device, primary=first)
    wanted = Attachment(device, {P: second})
    plan = plan_attachment(client, wanted)
    client.devices.delete_attestation(device)

    with pytest.raises(PlanOutdated):
        carry_out_attachment(client, wanted, plan)

    assert held(client) is None


def test_an_enrollment_removed_in_the_last_moment_is_outdated(
    emulator: Emulator, client: Client, device: str, first: x509.Certificate
) -> None:
    attach_certificates(client, device, primary=first)
    emulator.control.fault(Fault(kind="status", status=404, match="Devices_UpdateAttestation"))

    with pytest.raises(PlanOutdated, match="was changed meanwhile"):
        apply(Plan(client.app, (patch_of(first),)), client, hands(first))


def patch_of(one: x509.Certificate) -> PatchAttestation:
    return PatchAttestation(PUMP, thumbprint(one), "", thumbprint(one), "")


def hands(*certificates: x509.Certificate) -> Hands:
    return Hands(certificates={thumbprint(each): each for each in certificates})


def test_a_device_deleted_meanwhile_is_said_so(client: Client, device: str, first: x509.Certificate) -> None:
    wanted = Attachment(device, {P: first})
    plan = plan_attachment(client, wanted)
    client.devices.delete(device)

    with pytest.raises(PlanOutdated, match="device pump-1 was deleted meanwhile"):
        apply(Plan(client.app, (PutAttestation(device, thumbprint(first), ""),)), client, hands(first))
    with pytest.raises(NotFound, match="there is no device pump-1"):
        carry_out_attachment(client, wanted, plan)


@pytest.mark.parametrize("operation", ["Devices_CreateAttestation", "Devices_UpdateAttestation"])
@pytest.mark.parametrize("status", [409, 422])
def test_what_the_application_refuses_stays_its_refusal(
    emulator: Emulator,
    client: Client,
    device: str,
    first: x509.Certificate,
    second: x509.Certificate,
    operation: str,
    status: int,
) -> None:
    if operation == "Devices_UpdateAttestation":
        attach_certificates(client, device, primary=first)
    emulator.control.fault(Fault(kind="status", status=status, match=operation))

    with pytest.raises(Conflict if status == 409 else BadRequest) as caught:
        attach_certificates(client, device, primary=second)

    assert status != 409 or caught.value.hint == "look at it: iotc-admin device show pump-1"


@pytest.mark.parametrize(
    "operation",
    ["Devices_CreateAttestation", "Devices_UpdateAttestation", "Devices_GetAttestation"],
)
@pytest.mark.parametrize("kind", ["lose-answer", "reset"])
def test_one_lost_answer_at_any_step_is_recovered_from_without_help(
    emulator: Emulator,
    client: Client,
    device: str,
    first: x509.Certificate,
    second: x509.Certificate,
    operation: str,
    kind: Literal["lose-answer", "reset"],
) -> None:
    emulator.control.fault(Fault(kind=kind, match=operation))

    attach_certificates(client, device, primary=first)
    attach_certificates(client, device, secondary=second)

    assert held(client) == {P: thumbprint(first), S: thumbprint(second)}


def test_a_patch_that_failed_for_good_is_said_so(
    emulator: Emulator, client: Client, device: str, first: x509.Certificate, second: x509.Certificate
) -> None:
    attach_certificates(client, device, primary=first)
    emulator.control.fault(Fault(kind="status", status=500, match="Devices_UpdateAttestation", times=6))

    with pytest.raises(ServiceDown):
        attach_certificates(client, device, secondary=second)


def test_certificates_that_show_late_are_waited_for_and_those_that_never_show_are_reported(
    emulator: Emulator, client: Client, device: str, first: x509.Certificate, second: x509.Certificate
) -> None:
    late = Fault(kind="status", status=404, match="Devices_GetAttestation", skip=1, times=3)
    emulator.control.fault(late)
    attach_certificates(client, device, primary=first)
    emulator.control.fault(late.model_copy(update={"skip": 2, "times": 30}))

    with pytest.raises(PlanError, match="were accepted, but do not show") as caught:
        attach_certificates(client, device, primary=second)

    assert "iotc-admin device show pump-1" in caught.value.hint


def test_a_detached_device_has_no_enrollment_and_detaching_again_is_nothing_to_do(
    client: Client, device: str, first: x509.Certificate
) -> None:
    attach_certificates(client, device, primary=first)

    apply(plan_detachment(client, device), client, Hands())

    assert held(client) is None
    assert plan_detachment(client, device).steps == ()
    with pytest.raises(NotFound, match="there is no device nowhere"):
        plan_detachment(client, "nowhere")


def test_an_enrollment_that_changed_after_it_was_shown_is_not_removed(
    client: Client, device: str, first: x509.Certificate, second: x509.Certificate
) -> None:
    attach_certificates(client, device, primary=first)
    plan = plan_detachment(client, device)
    attach_certificates(client, device, secondary=second)

    with pytest.raises(PlanOutdated, match="was changed meanwhile"):
        apply(plan, client, Hands())

    assert held(client) == {P: thumbprint(first), S: thumbprint(second)}


def test_an_enrollment_that_somebody_else_removed_is_gone_all_the_same(
    emulator: Emulator, client: Client, device: str, first: x509.Certificate
) -> None:
    attach_certificates(client, device, primary=first)
    plan = plan_detachment(client, device)
    emulator.control.fault(Fault(kind="status", status=404, match="Devices_RemoveAttestation", work=True))

    apply(plan, client, Hands())
    apply(plan, client, Hands())

    assert held(client) is None


@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize("step", range(8))
def test_killed_at_any_request_and_repeated_it_ends_the_same(
    emulator: Emulator,
    client: Client,
    device: str,
    first: x509.Certificate,
    second: x509.Certificate,
    step: int,
    moment: Literal["before", "after"],
) -> None:
    def both(with_client: Client) -> None:
        attach_certificates(with_client, device, primary=first)
        attach_certificates(with_client, device, secondary=second)

    wire = InProcess(emulator)
    setattr(wire, moment, killer(step))
    with pytest.raises(Killed):
        both(operator(emulator, wire))

    both(client)

    assert held(client) == {P: thumbprint(first), S: thumbprint(second)}


@pytest.mark.parametrize("passed", range(1, 5))
def test_a_command_killed_for_real_is_repeated_as_it_was(
    tmp_path: Path, emulator: Emulator, client: Client, device: str, first: x509.Certificate, passed: int
) -> None:
    save_certificate(tmp_path, PUMP, first)
    command = [sys.executable, "-m", "iotc_admin", "device", "attach-cert", PUMP]
    command += ["--primary", f"{PUMP}_cert.pem"]
    environment = {
        **os.environ,
        "HOME": str(tmp_path),
        "IOTC_APP": emulator.app,
        "IOTC_API_TOKEN": emulator.api_token,
        "IOTC_CA_FILE": str(emulator.ca_file),
        "IOTC_LEDGER": str(tmp_path / "ledger.db"),
    }
    emulator.control.clear_requests()
    emulator.control.fault(Fault(kind="delay", delay=30, skip=passed - 1))
    with subprocess.Popen(command, cwd=tmp_path, env=environment, stdout=subprocess.DEVNULL) as process:
        while len(emulator.control.requests) < passed:
            time.sleep(0.01)
        process.kill()
    emulator.control.clear_faults()

    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)

    assert (done.returncode, done.stderr.count("error:")) == (0, 0)
    assert held(client) == {P: thumbprint(first), S: None}
