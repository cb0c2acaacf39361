"""A device tries a new certificate, at the emulator: it commits, falls back, and dies at every step."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from iotc_admin import (
    CertificateAuthority,
    Client,
    Device,
    DeviceIdentity,
    PkiError,
    ProvisioningRefused,
    SettingsError,
    workflows,
)
from iotc_admin.device.endpoint import Transport
from iotc_admin.device.hub import open_hub
from iotc_admin.device.renewal import Renewal, Way
from iotc_admin.emulator import Emulator
from iotc_admin.pki import store
from iotc_admin.pki.description import sha1_thumbprint
from tests.conftest import InProcess, operator

DYING = Path(__file__).with_name("dying.py")


@pytest.fixture
def emulator() -> Iterator[Emulator]:
    with Emulator(throttle="off", retry_after=0, registrations_per_minute=None) as running:
        yield running


@pytest.fixture
def client(emulator: Emulator, ca: CertificateAuthority) -> Iterator[Client]:
    with operator(emulator, InProcess(emulator)) as opened:
        workflows.enroll_group(opened, "plant-7", primary=ca)
        yield opened


@pytest.fixture
def old(ca: CertificateAuthority, now: datetime) -> DeviceIdentity:
    return ca.issue("pump-042", now=now, lifetime=timedelta(days=90))


@pytest.fixture
def new(ca: CertificateAuthority, now: datetime) -> DeviceIdentity:
    return ca.issue("pump-042", now=now, lifetime=timedelta(days=180))


@pytest.fixture
def firmware(emulator: Emulator, client: Client, tmp_path: Path) -> Callable[..., Renewal]:
    """The device's program, started; a second call is the same device after power was lost."""

    def start(**options: Any) -> Renewal:
        return Renewal(tmp_path / "device", way(emulator, **options))

    return start


def way(emulator: Emulator, **options: Any) -> Way:
    settings: dict[str, Any] = {
        "id_scope": emulator.id_scope,
        "clock": lambda: datetime.now(UTC),
        "dps_host": emulator.dps_host,
        "mqtt_port": emulator.mqtt_port,
        "ca_file": emulator.ca_file,
        "sleep": lambda _: None,
    }
    return Way(**settings | options)


def takes(firmware: Callable[..., Renewal], identity: DeviceIdentity) -> bool:
    """Whether this is the identity in use, on disk as at DPS and hub."""
    return firmware().start().identity == identity == firmware().identity


def trying(directory: Path) -> bool:
    return "trying" in (directory / "current").read_text()


@pytest.mark.parametrize("transport", ["mqtt", "mqtt-ws"])
def test_a_new_certificate_is_tried_then_in_use_and_reported_as_properties(
    firmware: Callable[..., Renewal],
    client: Client,
    old: DeviceIdentity,
    new: DeviceIdentity,
    transport: Transport,
) -> None:
    device = firmware(transport=transport, clock=lambda: datetime(2026, 12, 24, 18, 30, tzinfo=UTC))
    device.begin(old)

    standing = device.renew(new)

    assert standing.failure is None
    assert client.devices.properties("pump-042").to_wire() == {
        "certificateThumbprint": sha1_thumbprint(new.certificate),
        "certificateNotAfter": f"{new.certificate.not_valid_after_utc:%Y-%m-%dT%H:%M:%SZ}",
        "lastRegistration": "2026-12-24T18:30:00Z",
    }
    assert takes(firmware, new)


def test_what_the_hub_does_not_keep_is_an_error(
    firmware: Callable[..., Renewal], emulator: Emulator, old: DeviceIdentity
) -> None:
    found = firmware().begin(old).assignment
    deep: dict[str, Any] = {}
    for _ in range(40):
        deep = {"more": deep}

    with (
        pytest.raises(ProvisioningRefused, match="400"),
        open_hub(
            old, assigned_hub=found.assigned_hub, device_id="pump-042", dps_host=emulator.dps_host,
            mqtt_port=emulator.mqtt_port, transport="mqtt", ca_file=emulator.ca_file, sleep=lambda _: None,
        ) as hub,
    ):  # fmt: skip
        hub.report(deep)


def test_over_https_the_same_values_go_as_telemetry(
    firmware: Callable[..., Renewal], client: Client, old: DeviceIdentity
) -> None:
    firmware(transport="https").begin(old)

    told = client.devices.telemetry("pump-042", "certificateThumbprint").value

    assert told == sha1_thumbprint(old.certificate)


def test_a_certificate_that_dps_refuses_costs_the_device_nothing(
    firmware: Callable[..., Renewal],
    emulator: Emulator,
    old: DeviceIdentity,
    other_ca: CertificateAuthority,
    now: datetime,
    tmp_path: Path,
) -> None:
    device = firmware()
    device.begin(old)
    emulator.control.clear_requests()

    standing = device.renew(other_ca.issue("pump-042", now=now))

    assert isinstance(standing.failure, ProvisioningRefused)
    assert standing.failure.error_code == "401002"
    assert (standing.again, standing.identity) == (False, old)
    assert not trying(tmp_path / "device")
    # The hub was never told of the other one: no second registration is spent.
    assert [each.operation for each in emulator.control.requests] == ["DPS_Register"]
    assert takes(firmware, old)


def test_a_registration_that_is_throttled_is_made_again_at_the_next_start(
    firmware: Callable[..., Renewal], emulator: Emulator, old: DeviceIdentity, new: DeviceIdentity
) -> None:
    device = firmware()
    device.begin(old)
    emulator.control.fault(kind="status", status=429, match="DPS_Register", times=2)

    standing = device.renew(new)

    assert isinstance(standing.failure, ProvisioningRefused)
    assert (standing.again, standing.identity) == (True, old)
    assert takes(firmware, new)


def test_when_the_hub_took_the_new_thumbprint_and_then_fails_the_old_one_is_registered_anew(
    firmware: Callable[..., Renewal],
    emulator: Emulator,
    old: DeviceIdentity,
    new: DeviceIdentity,
    tmp_path: Path,
) -> None:
    device = firmware(transport="https")
    device.begin(old)
    emulator.control.fault(kind="status", status=403, match="Hub_Telemetry")

    standing = device.renew(new)

    assert isinstance(standing.failure, ProvisioningRefused)
    assert (standing.again, standing.identity) == (False, old)
    assert (sent(emulator)[-1], trying(tmp_path / "device")) == (sha1_thumbprint(old.certificate), False)


def sent(emulator: Emulator) -> list[str]:
    """The thumbprints that devices sent as telemetry, oldest first."""
    return [
        json.loads(each.payload)["certificateThumbprint"] for each in emulator.control.messages("pump-042")
    ]


@pytest.mark.parametrize("operation", ["DPS_Register", "DPS_Status", "Hub_Telemetry"])
@pytest.mark.parametrize("kind", ["reset", "lose-answer"])
def test_lost_answers_leave_the_device_with_a_certificate_that_the_hub_takes(
    firmware: Callable[..., Renewal],
    emulator: Emulator,
    old: DeviceIdentity,
    new: DeviceIdentity,
    operation: str,
    kind: str,
) -> None:
    device = firmware(transport="https")
    device.begin(old)
    emulator.control.fault(kind=kind, match=operation, times=2)

    standing = device.renew(new)

    assert (standing.again, standing.identity) == (True, old)
    assert takes(firmware, new)


def test_a_network_that_fails_altogether_is_told_and_the_next_start_goes_on(
    firmware: Callable[..., Renewal], emulator: Emulator, old: DeviceIdentity, new: DeviceIdentity
) -> None:
    device = firmware()
    device.begin(old)
    emulator.control.fault(kind="status", status=503, match="DPS_Register", times=4, skip=1)
    emulator.control.disconnect("pump-042")
    emulator.control.fault(kind="reset", match="DPS_Status")

    with pytest.raises(ProvisioningRefused, match="503"):
        device.renew(new)

    emulator.control.clear_faults()
    assert takes(firmware, new)


def test_a_blocked_device_keeps_both_and_tells_why(
    firmware: Callable[..., Renewal], client: Client, old: DeviceIdentity, new: DeviceIdentity
) -> None:
    device = firmware()
    device.begin(old)
    client.devices.update("pump-042", Device(enabled=False))

    with pytest.raises(ProvisioningRefused) as refused:
        device.renew(new)
    client.devices.update("pump-042", Device(enabled=True))

    assert "--unblock" in refused.value.fix
    assert takes(firmware, new)


def test_a_certificate_for_another_device_or_another_time_is_refused_before_anything_is_sent(
    firmware: Callable[..., Renewal],
    emulator: Emulator,
    old: DeviceIdentity,
    ca: CertificateAuthority,
    now: datetime,
) -> None:
    device = firmware()
    device.begin(old)
    emulator.control.clear_requests()
    unusable = [
        ca.issue("pump-043", now=now),
        ca.issue("pump-042", now=now - timedelta(minutes=5), lifetime=timedelta(seconds=1)),
        DeviceIdentity(ca.issue("pump-042", now=now).certificate),
    ]

    for each in unusable:
        with pytest.raises(PkiError):
            device.renew(each)

    assert emulator.control.requests == ()
    assert device.identity == old


def test_keys_are_private_never_written_over_and_older_ones_go_with_the_next_renewal(
    firmware: Callable[..., Renewal],
    old: DeviceIdentity,
    ca: CertificateAuthority,
    now: datetime,
    tmp_path: Path,
) -> None:
    device, directory = firmware(), tmp_path / "device"
    device.begin(old)
    for _ in range(3):
        device.renew(ca.issue("pump-042", now=now))

    keys = sorted(directory.glob("*_key.pem"))

    assert [path.name for path in keys] == ["0003_key.pem", "0004_key.pem"]
    assert {path.stat().st_mode & 0o777 for path in keys} == {0o600}
    assert (directory / "current").read_text() == "0004\n"


def test_a_device_has_one_first_certificate(
    firmware: Callable[..., Renewal], old: DeviceIdentity, new: DeviceIdentity
) -> None:
    with pytest.raises(SettingsError, match="holds no certificate"):
        firmware().start()
    firmware().begin(old)

    with pytest.raises(SettingsError, match="already"):
        firmware().begin(new)


def test_a_pointer_that_says_nothing_is_named(firmware: Callable[..., Renewal], old: DeviceIdentity) -> None:
    device = firmware()
    device.begin(old)
    (device._generations.directory / "current").write_text("the old one\n")

    with pytest.raises(SettingsError, match="does not say which"):
        firmware().start()


@pytest.mark.parametrize("transport", ["https", "mqtt"])
def test_whatever_kills_the_device_the_next_start_ends_with_a_certificate_that_the_hub_takes(
    emulator: Emulator,
    client: Client,
    old: DeviceIdentity,
    new: DeviceIdentity,
    tmp_path: Path,
    transport: Transport,
) -> None:
    for name, identity in (("old", old), ("new", new)):
        store.save_identity(tmp_path, name, identity)
    reached = {
        "id_scope": emulator.id_scope,
        "dps_host": emulator.dps_host,
        "mqtt_port": emulator.mqtt_port,
        "transport": transport,
        "ca_file": str(emulator.ca_file),
    }
    arguments = [tmp_path / "homes", tmp_path / "old_fullchain.pem", tmp_path / "new_fullchain.pem"]

    done = subprocess.run(
        [sys.executable, DYING, *arguments, json.dumps(reached)],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )

    assert done.returncode == 0, done.stderr
    deaths = [json.loads(line) for line in done.stdout.splitlines()]
    assert {each["ended"] for each in deaths[:-1]} == {-signal.SIGKILL}
    assert len(deaths) > 15
    prints = [sha1_thumbprint(each.certificate) for each in (old, new)]
    states = [(each["before"], each["after"]) for each in deaths]
    # Before the new one is being tried; while it is, and the old one in use; once it is in use.
    expected = [(prints[0], prints[0]), (prints[0], prints[1]), (prints[1], prints[1])]
    assert [state for at, state in enumerate(states) if state not in states[:at]] == expected
    for each in deaths:
        assert {path.stat().st_mode & 0o777 for path in Path(each["home"]).glob("*_key.pem")} == {0o600}
