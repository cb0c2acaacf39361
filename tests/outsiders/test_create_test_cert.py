"""Certificates as create_test_cert.js of the SDK for Node makes them register and connect, for a day."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from cryptography import x509

from iotc_admin import (
    DeviceIdentity,
    EnrollmentGroup,
    GroupAttestation,
    SigningX509Certificate,
    Slot,
    X509VerificationCertificate,
)
from iotc_admin.pki import store
from iotc_admin.workflows.proof import encoded

from ..outside import needed
from .create_test_cert import CreateTestCert, stem

if TYPE_CHECKING:
    from .world import Needed, World

GROUP, ROOT = "test-certs", "mytestrootcert"


@pytest.fixture(scope="module")
def tool(tmp_path_factory: pytest.TempPathFactory) -> CreateTestCert:
    """A root, an intermediate below it, and devices of both."""
    tool = CreateTestCert(tmp_path_factory.mktemp("certificates"), needed("openssl", probe="version"))
    tool.root(ROOT)
    tool.intermediate("mytestint", ROOT)
    tool.device("sample-device-01", ROOT)
    tool.device("sample-device-02", "mytestint")
    tool.device("sample-device-03")
    return tool


@pytest.fixture(scope="module")
def enrolled(mqtt_world: World, tool: CreateTestCert) -> World:
    """The root is in the slot of a group, and proven by a certificate of the tool."""
    groups = mqtt_world.client.enrollment_groups
    group = EnrollmentGroup(display_name=GROUP, type="iot", attestation=GroupAttestation(type="x509"))
    groups.create(GROUP, group)
    root = encoded(read(tool, stem(ROOT)))
    groups.put_certificate(GROUP, Slot.PRIMARY, SigningX509Certificate(certificate=root))
    code = groups.generate_verification_code(GROUP, Slot.PRIMARY).verification_code
    proof = encoded(read(tool, tool.verification(ROOT, code)))
    groups.verify(GROUP, Slot.PRIMARY, X509VerificationCertificate(certificate=proof))
    return mqtt_world


@pytest.fixture(scope="module", params=["python_sdk", "node_sdk"])
def sdk(request: pytest.FixtureRequest) -> Needed:
    found: Needed = request.getfixturevalue(request.param)
    return found


def read(tool: CreateTestCert, name: str) -> x509.Certificate:
    return store.load_certificates(tool.certificate(name))[0]


def test_they_are_what_the_tool_is_known_for(tool: CreateTestCert) -> None:
    root, device = read(tool, stem(ROOT)), read(tool, "sampleDevice01")

    assert device.not_valid_after_utc - device.not_valid_before_utc == timedelta(days=1)
    assert device.serial_number < 2**30 < root.serial_number
    assert [(each.oid._name, each.critical) for each in device.extensions] == [
        ("extendedKeyUsage", True),
        ("subjectKeyIdentifier", False),
        ("authorityKeyIdentifier", False),
    ]
    assert [(each.oid._name, each.critical) for each in root.extensions] == [
        ("basicConstraints", True),
        ("subjectKeyIdentifier", False),
    ]
    for name in ("mytestrootcert", "sampleDevice01", "sampleDevice02", "sampleDevice03"):
        assert tool.chain(name).read_text().endswith("-----END CERTIFICATE-----\nnull")


@pytest.mark.parametrize("device", ["sample-device-01", "sample-device-02"])
def test_devices_of_the_group_register_and_connect(
    sdk: Needed, enrolled: World, tool: CreateTestCert, device: str
) -> None:
    name, number = stem(device), next(enrolled.numbers)
    with enrolled.device_of_files(sdk, tool.chain(name), tool.key(name)) as outsider:
        outsider.connects(enrolled.emulator, device)
        outsider.does("send", "sent", payload={"number": number})

    assert enrolled.client.devices.telemetry(device, "number").value == number


def test_a_self_signed_device_is_enrolled_by_itself(
    sdk: Needed, enrolled: World, tool: CreateTestCert
) -> None:
    name, number = "sampleDevice03", next(enrolled.numbers)
    enrolled.enroll_individually("sample-device-03", DeviceIdentity(read(tool, name)))
    with enrolled.device_of_files(sdk, tool.chain(name), tool.key(name)) as outsider:
        outsider.connects(enrolled.emulator, "sample-device-03")
        outsider.does("send", "sent", payload={"number": number})

    assert enrolled.client.devices.telemetry("sample-device-03", "number").value == number


def test_on_the_second_day_they_are_refused(
    python_sdk: Needed, enrolled: World, tool: CreateTestCert
) -> None:
    name, control = "sampleDevice01", enrolled.emulator.control
    with enrolled.device_of_files(python_sdk, tool.chain(name), tool.key(name)) as device:
        device.connects(enrolled.emulator, "sample-device-01")
        device.does("close", "closed")
        control.advance(timedelta(hours=25))
        try:
            asked = {"scope": enrolled.emulator.id_scope, "registration": "sample-device-01"}
            refusal = device.does("register", "refused", host="localhost", **asked)
            assert '"errorCode": 401002' in refusal["bodies"][-1]
            refusal = device.does("connect", "refused", hub="localhost", device="sample-device-01")
            assert refusal["errors"][0] == "CredentialError"
        finally:
            control.advance(timedelta(hours=-25))
