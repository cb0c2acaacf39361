"""Whom the provisioning service lets in, and what it says to the others."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from urllib.parse import quote

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.x509.oid import NameOID

from iotc_admin.emulator import Switches
from tests.emulator.arrival import Arriving, attest, issued, self_signed, verified
from tests.emulator.world import App, Authority, authority, base64_pem, sha1

INVALID = "401002 Invalid certificate."
NO_CA = "401002 CA certificate not found."
NO_MATCH = "401002 Signing certificate info did not match chain elements."
THERMOSTAT = "dtmi:com:example:Thermostat;1"

Start = Callable[..., App]


@pytest.fixture
def app(started: Start) -> App:
    return started(retry_after=0)


@pytest.fixture(scope="module")
def plant(root: Authority) -> Authority:
    return authority("Plant", issuer=root)


def test_a_device_of_a_verified_ca_is_assigned_and_appears_in_the_application(
    app: App, root: Authority
) -> None:
    verified(app, "plant-7", root)
    state = issued(app, root).register()

    assert state["status"] == "assigned"
    assert (state["deviceId"], state["assignedHub"], state["substatus"]) == (
        "pump-1",
        "localhost",
        "initialAssignment",
    )
    assert state["x509"]["enrollmentGroupId"] == "plant-7"
    assert state["x509"]["signingCertificateInfo"] == {"sha1Thumbprint": sha1(root.certificate)}
    device = app.get("/devices/pump-1").json
    assert (device["provisioned"], device["enabled"]) == (True, True)
    assert "template" not in device


def test_the_model_it_names_gives_it_its_template(app: App, root: Authority) -> None:
    verified(app, "plant-7", root)
    issued(app, root).register(THERMOSTAT)
    issued(app, root, "pump-2").register("dtmi:nobody:knows;1")
    assert app.get("/devices/pump-1").json["template"] == THERMOSTAT
    assert "template" not in app.get("/devices/pump-2").json


def test_a_device_made_beforehand_keeps_its_template_and_its_case(app: App, root: Authority) -> None:
    verified(app, "plant-7", root)
    app.put("/devices/Pump-1", {"template": THERMOSTAT})
    state = issued(app, root).register("dtmi:com:example:TemperatureController;2")
    assert state["deviceId"] == "Pump-1"
    assert app.get("/devices/Pump-1").json["template"] == THERMOSTAT
    assert app.get("/devices/pump-1").status == 404


def test_both_slots_are_equal(app: App, root: Authority, other: Authority) -> None:
    verified(app, "plant-7", root, other)
    assert issued(app, root).register()["status"] == "assigned"
    assert issued(app, other).register()["status"] == "assigned"


def test_an_answer_takes_its_time(started: Start, root: Authority) -> None:
    app = started(retry_after=3)
    verified(app, "plant-7", root)
    device = issued(app, root)
    first = device.put()
    assert (first.status, first.json["status"], first.headers["retry-after"]) == (202, "assigning", "3")
    again = device.poll(first.json["operationId"])
    assert (again.status, again.json["status"], again.headers["retry-after"]) == (202, "assigning", "3")
    app.emulator.control.advance(timedelta(seconds=3))
    assert device.poll(first.json["operationId"]).json["status"] == "assigned"


def test_an_unverified_slot_does_not_count(app: App, root: Authority) -> None:
    app.group("plant-7", root.certificate)
    assert issued(app, root).refusal() == NO_CA


def test_an_intermediate_must_be_sent(app: App, root: Authority, plant: Authority) -> None:
    verified(app, "plant-7", root)
    assert issued(app, plant).refusal() == NO_CA
    assert issued(app, plant, "pump-1", plant).register()["status"] == "assigned"
    assert issued(app, plant, "pump-1", root, plant).register()["status"] == "assigned"


def test_an_intermediate_in_a_slot_need_not_be_sent(app: App, plant: Authority) -> None:
    verified(app, "plant-7", plant)
    assert issued(app, plant).register()["status"] == "assigned"


def test_the_nearest_signer_decides(app: App, root: Authority, plant: Authority) -> None:
    verified(app, "company", root)
    assert issued(app, plant, "pump-1", plant, root).register()["x509"]["enrollmentGroupId"] == "company"
    verified(app, "plant-7", plant)
    assert issued(app, plant, "pump-1", plant, root).register()["x509"]["enrollmentGroupId"] == "plant-7"


def test_a_disabled_group_decides_and_refuses(app: App, root: Authority, plant: Authority) -> None:
    verified(app, "company", root)
    group = verified(app, "plant-7", plant)
    app.patch(group, {"enabled": False})
    state = issued(app, plant, "pump-1", plant, root).register()
    assert (state["status"], state["x509"]["enrollmentGroupId"]) == ("disabled", "plant-7")
    app.delete(group)
    assert issued(app, plant, "pump-1", plant, root).register()["status"] == "assigned"


def test_a_chain_of_strangers_is_refused(app: App, root: Authority, other: Authority) -> None:
    verified(app, "plant-7", root)
    assert issued(app, other).refusal() == NO_CA
    assert issued(app, other, "pump-1", other).refusal() == NO_MATCH
    # A chain that does not belong to the certificate proves nothing.
    assert issued(app, other, "pump-1", root).refusal() == NO_MATCH


def test_a_ca_of_the_same_name_with_another_key_is_a_stranger(app: App, root: Authority) -> None:
    verified(app, "plant-7", root)
    assert issued(app, authority("Plant 7 Root")).refusal() == NO_CA


def test_a_self_signed_certificate_has_no_group(app: App, root: Authority) -> None:
    verified(app, "plant-7", root)
    assert Arriving(app, (self_signed(),)).refusal() == NO_CA


def test_a_device_cannot_vouch_for_another(app: App, root: Authority) -> None:
    verified(app, "plant-7", root)
    stolen = authority("pump-2", ca=False, issuer=root)
    forged = stolen.sign("pump-1")
    assert Arriving(app, (forged, stolen.certificate)).refusal() == INVALID


def test_a_ca_certificate_is_no_device(app: App, root: Authority) -> None:
    verified(app, "plant-7", root)
    below = authority("pump-1", issuer=root)
    assert Arriving(app, (below.certificate,)).refusal() == INVALID


def test_a_path_longer_than_a_ca_allows_is_refused(app: App, root: Authority) -> None:
    constrained = constrain(root, "Short", path_length=0)
    below = authority("Below", issuer=constrained)
    verified(app, "plant-7", root)
    sent = (below.sign("pump-1"), below.certificate, constrained.certificate)
    assert Arriving(app, sent).refusal() == INVALID
    assert issued(app, constrained, "pump-1", constrained).register()["status"] == "assigned"


def test_dates_are_those_of_the_emulators_clock(app: App, root: Authority) -> None:
    verified(app, "plant-7", root)
    tomorrow = datetime.now(UTC) + timedelta(days=1)
    device = Arriving(app, (root.sign("pump-1", not_before=tomorrow, days=1),))
    assert device.refusal() == INVALID
    app.emulator.control.set_clock(tomorrow + timedelta(hours=1))
    assert device.register()["status"] == "assigned"
    app.emulator.control.advance(timedelta(days=1))
    assert device.refusal() == INVALID


def test_an_expired_ca_in_a_slot_lets_nobody_in(app: App, root: Authority) -> None:
    verified(app, "plant-7", root)
    app.emulator.control.advance(timedelta(days=3651))
    late = root.sign("pump-1", not_before=app.emulator.control.now() - timedelta(hours=1))
    assert Arriving(app, (late,)).refusal() == INVALID


def test_a_ca_renewed_under_its_key_does_not_stand_for_older_certificates(
    started: Start, root: Authority
) -> None:
    old = root.sign("pump-1")
    renewed = constrain(root, "Plant 7 Root", key=root, start=timedelta(minutes=1))
    for switch, outcome in (("refused", NO_CA), ("matches", "assigned")):
        app = started(retry_after=0, switches=Switches.parse([f"renewed-ca={switch}"]))
        verified(app, "plant-7", renewed)
        app.emulator.control.advance(timedelta(minutes=2))
        device = Arriving(app, (old,))
        assert outcome in (device.refusal() if switch == "refused" else device.register()["status"])


def test_the_name_in_the_certificate_is_the_registration_id(app: App, root: Authority) -> None:
    verified(app, "plant-7", root)
    assert Arriving(app, (root.sign("pump-2"),), "pump-1").refusal() == INVALID
    assert Arriving(app, (root.sign("PUMP-1"),), "pump-1").register()["deviceId"] == "pump-1"


def test_a_letter_that_only_looks_alike_is_another_name(app: App, root: Authority) -> None:
    verified(app, "plant-7", root)
    assert Arriving(app, (root.sign("\u212ailn-1"),), "kiln-1").refusal() == INVALID


def test_two_names_are_no_name(app: App, root: Authority) -> None:
    verified(app, "plant-7", root)
    names = [x509.NameAttribute(NameOID.COMMON_NAME, each) for each in ("pump-1", "pump-2")]
    double = constrain(root, "any", subject=x509.Name(names), ca=False)
    assert Arriving(app, (double.certificate,)).refusal() == INVALID


def test_text_that_is_no_unicode_is_refused(app: App, root: Authority) -> None:
    verified(app, "plant-7", root)
    raw = b'{"registrationId": "pump-1", "payload": {"modelId": "\\ud800"}}'
    assert issued(app, root).put(raw=raw).json["errorCode"] == 400000


def test_an_individual_enrollment_goes_before_groups(app: App, root: Authority) -> None:
    verified(app, "plant-7", root)
    own, spare = self_signed(), self_signed()
    attest(app, "pump-1", primary=own, secondary=spare)
    for certificate in (own, spare):
        state = Arriving(app, (certificate,)).register()
        assert (state["status"], "enrollmentGroupId" in state["x509"]) == ("assigned", False)
    assert issued(app, root).refusal() == INVALID
    assert Arriving(app, (self_signed(),)).refusal() == INVALID
    app.delete("/devices/pump-1/attestation")
    assert issued(app, root).register()["status"] == "assigned"


def test_an_individual_enrollment_by_key_takes_no_certificate(app: App, root: Authority) -> None:
    verified(app, "plant-7", root)
    app.put("/devices/pump-1", {})
    body = {"type": "symmetricKey", "symmetricKey": {"primaryKey": "YQ==", "secondaryKey": "Yg=="}}
    assert app.put("/devices/pump-1/attestation", body).status == 200
    assert issued(app, root).refusal() == INVALID


@pytest.mark.parametrize("individual", [False, True])
def test_a_blocked_device_is_refused_and_let_in_again(app: App, root: Authority, individual: bool) -> None:
    verified(app, "plant-7", root)
    certificate = self_signed()
    if individual:
        attest(app, "pump-1", primary=certificate)
    app.send("PUT", "/devices/pump-1", {"enabled": False})
    device = Arriving(app, (certificate,)) if individual else issued(app, root)
    state = device.register()
    assert (state["status"], state["errorCode"]) == ("failed", 400209)
    assert state["errorMessage"] == "Custom allocation failed with status code: 401"
    assert "assignedHub" not in state
    app.patch("/devices/pump-1", {"enabled": True})
    assert device.register()["status"] == "assigned"


def test_an_edge_group_takes_edge_devices_only_and_no_other_group_does(
    app: App, root: Authority, other: Authority
) -> None:
    edge = {"@type": ["ModelDefinition", "EdgeModel"], "capabilityModel": {"@type": "Interface"}}
    app.put("/deviceTemplates/dtmi:plant:gateway;1", edge)
    app.put(
        "/enrollmentGroups/edge", {"displayName": "edge", "type": "iotEdge", "attestation": {"type": "x509"}}
    )
    verified_slot(app, "edge", root)
    verified(app, "plant-7", other)
    outcomes = {
        (by.certificate.subject.rfc4514_string(), model): issued(app, by, f"d-{number}").register(model)[
            "status"
        ]
        for number, (by, model) in enumerate(
            (by, model) for by in (root, other) for model in (None, THERMOSTAT, "dtmi:plant:gateway;1")
        )
    }
    assert list(outcomes.values()) == ["assigned", "failed", "assigned", "assigned", "assigned", "failed"]


def test_another_scope_is_not_found(app: App, root: Authority) -> None:
    verified(app, "plant-7", root)
    answer = issued(app, root).put(scope="0ne00000000")
    assert (answer.status, answer.json["errorCode"]) == (404, 404002)


@pytest.mark.parametrize("name", ["pump 1", "pump.", "x" * 129, "pümp"])
def test_an_id_beyond_the_rules_is_refused(app: App, root: Authority, name: str) -> None:
    assert Arriving(app, (root.sign("pump-1"),), quote(name)).refusal() == "400004 Invalid RegistrationId."


def test_without_a_certificate_there_is_nothing_to_judge(app: App) -> None:
    assert Arriving(app, ()).refusal().startswith("401000 ")


@pytest.mark.parametrize("raw", [b"[]", b"{", b"[" * 50_000, b'"x"'])
def test_a_body_that_is_no_object_is_refused(app: App, root: Authority, raw: bytes) -> None:
    verified(app, "plant-7", root)
    assert issued(app, root).put(raw=raw).json["errorCode"] == 400000


def test_a_body_about_another_device_is_refused(app: App, root: Authority) -> None:
    verified(app, "plant-7", root)
    assert issued(app, root).put({"registrationId": "pump-2"}).json["errorCode"] == 400004


def test_the_api_version_is_asked_for(app: App, root: Authority) -> None:
    assert issued(app, root).put(query="").json["errorCode"] == 400002
    assert issued(app, root).put(query="api-version=1999-01-01").json["errorCode"] == 400002


def test_an_error_says_when_and_which(app: App, root: Authority) -> None:
    body = issued(app, root).put().json
    assert sorted(body) == ["errorCode", "message", "timestampUtc", "trackingId"]
    told = datetime.fromisoformat(body["timestampUtc"])
    assert abs(told - app.emulator.control.now()) < timedelta(seconds=5)


def test_an_operation_belongs_to_its_certificate(app: App, root: Authority) -> None:
    verified(app, "plant-7", root)
    operation = issued(app, root).put().json["operationId"]
    assert issued(app, root).poll(operation).json["errorCode"] == 401002
    device = issued(app, root)
    device.put()
    assert device.poll("5.no.such").json["errorCode"] == 404204


def test_so_many_registrations_in_a_minute_and_no_more(started: Start, root: Authority) -> None:
    app = started(registrations_per_minute=2, retry_after=0)
    verified(app, "plant-7", root)
    device = issued(app, root)
    statuses = [device.put().status for _ in range(3)]
    assert statuses == [202, 202, 429]
    assert device.put().headers["retry-after"] == "5"
    assert app.get("/devices/pump-1").status == 200


def verified_slot(app: App, group: str, by: Authority) -> None:
    body = {"certificate": base64_pem(by.certificate), "verified": True}
    assert app.put(f"/enrollmentGroups/{group}/certificates/primary", body).status == 200


def constrain(
    issuer: Authority,
    name: str,
    *,
    path_length: int | None = None,
    key: Authority | None = None,
    start: timedelta = timedelta(minutes=-5),
    subject: x509.Name | None = None,
    ca: bool = True,
) -> Authority:
    """A CA below `issuer` with a path length, or `issuer` itself anew under its own key."""
    own = key or authority(name)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject or own.certificate.subject)
        .issuer_name(issuer.certificate.subject)
        .public_key(own.key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(datetime.now(UTC) + start)
        .not_valid_after(datetime.now(UTC) + timedelta(days=100))
        .add_extension(x509.BasicConstraints(ca=ca, path_length=path_length), critical=True)
        .sign(issuer.key, hashes.SHA256())
    )
    return Authority(certificate, own.key)
