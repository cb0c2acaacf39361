"""A device's whole way against the emulator: real sockets, real handshakes, every transport."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta

import pytest

from iotc_admin import (
    Attestation,
    CertificateAuthority,
    Client,
    Device,
    DeviceIdentity,
    Pacer,
    ProvisioningRefused,
    workflows,
)
from iotc_admin.client.credentials import ApiToken
from iotc_admin.device.connect import Connected, Transport, connect
from iotc_admin.device.hub import open_hub
from iotc_admin.device.provisioning import register
from iotc_admin.emulator import Emulator
from iotc_admin.pki import pem

TRANSPORTS: list[Transport] = ["https", "mqtt", "mqtt-ws"]
every_transport = pytest.mark.parametrize("transport", TRANSPORTS)


@pytest.fixture
def emulator() -> Iterator[Emulator]:
    with Emulator(throttle="off", retry_after=0) as running:
        yield running


@pytest.fixture
def operator(emulator: Emulator) -> Iterator[Client]:
    pacer = Pacer(emulator.app, ahead=1000, window=0)
    with Client(emulator.app, ApiToken(emulator.api_token), ca_file=emulator.ca_file, pacer=pacer) as client:
        yield client


@pytest.fixture
def group(operator: Client, ca: CertificateAuthority) -> None:
    workflows.enroll_group(operator, "plant-7", primary=ca)


def go(emulator: Emulator, device: DeviceIdentity, transport: Transport, count: int = 0) -> Connected:
    return connect(
        device,
        id_scope=emulator.id_scope,
        dps_host=emulator.dps_host,
        mqtt_port=emulator.mqtt_port,
        transport=transport,
        telemetry=[{"temperature": 20 + each} for each in range(count)],
        interval=0,
        ca_file=emulator.ca_file,
    )


@every_transport
@pytest.mark.usefixtures("group")
def test_a_device_of_a_group_reaches_its_hub(
    emulator: Emulator, device: DeviceIdentity, operator: Client, transport: Transport
) -> None:
    done = go(emulator, device, transport, count=2)

    assert (done.device_id, done.enrollment) == ("pump-042", "plant-7")
    assert [step.name for step in done.steps] == ["register", "poll", "connect", "telemetry"]
    assert operator.devices.get("pump-042").provisioned
    assert operator.devices.telemetry("pump-042", "temperature").value == 21


@every_transport
def test_a_device_with_an_enrollment_of_its_own_says_so(
    emulator: Emulator, operator: Client, now: datetime, transport: Transport
) -> None:
    device = DeviceIdentity.self_signed("pump-7", now=now)
    operator.devices.create("pump-7", Device())
    certificate = pem.certificate_pem(device.certificate).decode()
    operator.devices.create_attestation(
        "pump-7",
        Attestation.model_validate(
            {"type": "x509", "x509": {"clientCertificates": {"primary": {"certificate": certificate}}}}
        ),
    )

    assert go(emulator, device, transport, count=1).enrollment == "individual"


@every_transport
def test_a_device_nobody_enrolled_is_refused_with_a_reason(
    emulator: Emulator, device: DeviceIdentity, transport: Transport
) -> None:
    with pytest.raises(ProvisioningRefused) as refused:
        go(emulator, device, transport)

    assert refused.value.error_code == "401002"
    assert "device explain pump-042 --cert CERT" in refused.value.hint


@every_transport
@pytest.mark.usefixtures("group")
def test_a_blocked_device_is_told_how_to_be_let_in(
    emulator: Emulator, device: DeviceIdentity, operator: Client, transport: Transport
) -> None:
    go(emulator, device, transport)
    operator.devices.update("pump-042", Device(enabled=False))

    with pytest.raises(ProvisioningRefused) as refused:
        go(emulator, device, transport)

    assert "iotc-admin device update pump-042 --unblock" in refused.value.fix


@every_transport
@pytest.mark.usefixtures("group")
def test_the_hub_refuses_a_certificate_it_was_not_told_of(
    emulator: Emulator, device: DeviceIdentity, ca: CertificateAuthority, now: datetime, transport: Transport
) -> None:
    found = go(emulator, device, transport)
    renewed = ca.issue("pump-042", now=now, lifetime=timedelta(days=30))

    with (
        pytest.raises(ProvisioningRefused) as refused,
        open_hub(
            renewed,
            assigned_hub=found.assigned_hub,
            device_id=found.device_id,
            dps_host=emulator.dps_host,
            mqtt_port=emulator.mqtt_port,
            transport=transport,
            ca_file=emulator.ca_file,
        ) as hub,
    ):
        hub.send({"temperature": 1})

    assert "thumbprint" in refused.value.cause


@pytest.mark.usefixtures("group")
def test_a_dropped_connection_is_tried_once_more(emulator: Emulator, device: DeviceIdentity) -> None:
    emulator.control.fault(kind="reset", match="DPS_Register")
    waits: list[float] = []

    found = register(
        device,
        id_scope=emulator.id_scope,
        dps_host=emulator.dps_host,
        ca_file=emulator.ca_file,
        sleep=waits.append,
    )

    assert found.enrollment == "plant-7"
    assert waits[0] == 2.0
