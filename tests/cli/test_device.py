"""`iotc-admin device ...` as people and pipelines meet it."""

from __future__ import annotations

import json
import os
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from iotc_admin import CertificateAuthority, Client, Device, DeviceIdentity, Ledger
from iotc_admin.emulator import Emulator, Fault
from iotc_admin.pki.store import save_authority, save_identity
from iotc_admin.workflows import attach_certificates, enroll_group
from iotc_admin.workflows.scope import PREFIX

from ..workflows.test_enroll import writes
from .test_door import Environment, environment, shell, write_profile

__all__ = ["environment"]

PUMP = "pump-1"


@pytest.fixture
def pump(client: Client, tmp_path: Path, now: datetime) -> DeviceIdentity:
    """A device that is there, and its files."""
    client.devices.create(PUMP, Device())
    identity = DeviceIdentity.self_signed(PUMP, now=now)
    save_identity(tmp_path, PUMP, identity)
    return identity


def error(line: str, folder: Path, environment: Environment) -> tuple[int, str]:
    """The exit code, and the message as a program reads it."""
    done = shell(f"{line} -o json", folder, environment)
    return done.returncode, json.loads(done.stdout)["error"]["message"]


def test_attaching_needs_no_key_and_reads_none(
    emulator: Emulator, tmp_path: Path, environment: Environment, pump: DeviceIdentity
) -> None:
    key = tmp_path / f"{PUMP}_key.pem"
    key.unlink()
    os.mkfifo(key)

    done = shell(f"iotc-admin device attach-cert {PUMP} --primary {PUMP}_cert.pem", tmp_path, environment)

    assert (done.returncode, done.stdout) == (0, "pump-1: done\n")


def test_a_dry_run_of_anything_sends_reads_only_and_leaves_no_ledger(
    emulator: Emulator, tmp_path: Path, environment: Environment, pump: DeviceIdentity, client: Client
) -> None:
    attach_certificates(client, PUMP, primary=pump.certificate)
    emulator.control.clear_requests()
    lines = [
        "create pump-2",
        f"update {PUMP} --block",
        f"delete {PUMP}",
        f"detach-cert {PUMP}",
        f"attach-cert {PUMP} --secondary {PUMP}_cert.pem",
        f"connect {PUMP} --cert {PUMP}_cert.pem",
        f"show {PUMP}",
    ]

    codes = [shell(f"iotc-admin device {line} --dry-run", tmp_path, environment).returncode for line in lines]

    assert codes == [3, 3, 3, 3, 1, 3, 0]
    assert writes(emulator) == []
    ledger = Ledger(tmp_path / "ledger.db")
    assert (ledger.entries(), ledger.events(), ledger.id_scope(client.app)) == ([], [], None)
    ledger.close()


@pytest.mark.parametrize(
    "line",
    [
        "attach-cert pump-1",
        "update pump-1",
        "update pump-1 --block --unblock",
        "update pump-1 --display-name ''",
        "create pump-1 --template ' '",
        "create pump-1 --organization ''",
        "connect pump-1 --cert c --telemetry '{'",
        "connect pump-1 --cert c --telemetry '[1]'",
        "connect pump-1 --cert c --count 0",
        "connect pump-1 --cert c --interval inf",
        "connect pump-1 --cert c --mqtt-port 0",
        "connect pump-1 --cert c --transport amqp",
        "connect pump-1",
    ],
)
def test_wrong_usage_is_2_and_sends_nothing(
    emulator: Emulator, tmp_path: Path, environment: Environment, line: str
) -> None:
    assert shell(f"iotc-admin device {line}", tmp_path, environment).returncode == 2
    assert emulator.control.requests == ()


@pytest.mark.parametrize("line", ["update pump-1 --block", "delete pump-1", "detach-cert pump-1"])
def test_what_asks_is_refused_without_a_terminal_and_names_the_option(
    emulator: Emulator,
    tmp_path: Path,
    environment: Environment,
    pump: DeviceIdentity,
    client: Client,
    line: str,
) -> None:
    attach_certificates(client, PUMP, primary=pump.certificate)
    emulator.control.clear_requests()

    done = shell(f"iotc-admin device {line}", tmp_path, environment)

    assert (done.returncode, "--yes" in done.stderr) == (1, True)
    assert writes(emulator) == []


def test_a_show_gives_the_services_own_device_and_what_else_there_is(
    emulator: Emulator, tmp_path: Path, environment: Environment, pump: DeviceIdentity
) -> None:
    bare = json.loads(shell(f"iotc-admin device show {PUMP} -o json", tmp_path, environment).stdout)
    shell(f"iotc-admin device attach-cert {PUMP} --primary {PUMP}_cert.pem", tmp_path, environment)
    own = json.loads(shell(f"iotc-admin device show {PUMP} -o json", tmp_path, environment).stdout)

    assert set(bare) == {
        *("id", "etag", "displayName", "enabled", "provisioned", "simulated"),
        *("idScope", "attestation"),
    }
    assert (bare["idScope"], bare["attestation"]) == (emulator.id_scope, None)
    attestation = own["attestation"]
    assert (attestation["type"], attestation["secondary"]) == ("x509", None)
    assert set(attestation["primary"]) == {"sha1Thumbprint", "certificate"}
    assert set(attestation["primary"]["certificate"]) == {
        *("subject", "issuer", "notBefore", "notAfter", "sha256Thumbprint"),
    }
    (tmp_path / "ledger.db").unlink()
    unknown = json.loads(shell(f"iotc-admin device show {PUMP} -o json", tmp_path, environment).stdout)
    assert unknown["attestation"]["primary"]["certificate"] is None
    listed = json.loads(shell("iotc-admin device list -o json", tmp_path, environment).stdout)
    assert listed == [unknown]


def test_whoever_may_not_read_credentials_sees_the_id_scope_by_the_ledger(
    emulator: Emulator, tmp_path: Path, environment: Environment, pump: DeviceIdentity, client: Client
) -> None:
    refused = Fault(kind="status", status=403, match="Devices_GetCredentials", times=2)
    emulator.control.fault(refused)

    first = json.loads(shell(f"iotc-admin device show {PUMP} -o json", tmp_path, environment).stdout)
    ledger = Ledger(tmp_path / "ledger.db")
    ledger.keep_id_scope(client.app, emulator.id_scope)
    ledger.close()
    second = json.loads(shell(f"iotc-admin device show {PUMP} -o json", tmp_path, environment).stdout)

    assert (first["idScope"], second["idScope"]) == (None, emulator.id_scope)


def test_a_show_works_where_no_ledger_can_be_written(
    tmp_path: Path, environment: Environment, pump: DeviceIdentity
) -> None:
    done = shell(f"iotc-admin device show {PUMP}", tmp_path, {**environment, "IOTC_LEDGER": "/proc/no/l.db"})

    assert done.returncode == 0


def test_a_group_shows_the_id_scope_once_it_is_known_and_asks_nobody_for_it(
    emulator: Emulator, tmp_path: Path, environment: Environment, pump: DeviceIdentity
) -> None:
    show = "iotc-admin group show SAS-IoT-Devices -o json"
    before = json.loads(shell(show, tmp_path, environment).stdout)
    shell(f"iotc-admin device credentials {PUMP}", tmp_path, environment)
    emulator.control.clear_requests()

    after = json.loads(shell(show, tmp_path, environment).stdout)

    assert "idScope" not in before
    assert after["idScope"] == emulator.id_scope
    assert [each.operation for each in emulator.control.requests] == ["EnrollmentGroups_Get"]
    listed = json.loads(shell("iotc-admin group list -o json", tmp_path, environment).stdout)
    assert {each["idScope"] for each in listed} == {emulator.id_scope}


def test_keys_are_printed_only_when_they_are_asked_for(
    tmp_path: Path, environment: Environment, pump: DeviceIdentity
) -> None:
    line = f"iotc-admin device credentials {PUMP} -o json"

    without = json.loads(shell(line, tmp_path, environment).stdout)
    with_keys = json.loads(shell(f"{line} --show-keys", tmp_path, environment).stdout)

    assert set(without) == {"idScope", "type"}
    assert set(with_keys["symmetricKey"]) == {"primaryKey", "secondaryKey"}
    assert "Key" not in shell(f"iotc-admin device show {PUMP} -o json", tmp_path, environment).stdout


@pytest.mark.parametrize(
    "line",
    [
        *("show nowhere", "update nowhere --unblock", "delete nowhere --yes", "detach-cert nowhere --yes"),
        *("credentials nowhere", "telemetry nowhere temperature"),
    ],
)
def test_a_device_that_is_not_there_is_said_so(tmp_path: Path, environment: Environment, line: str) -> None:
    assert error(f"iotc-admin device {line}", tmp_path, environment) == (1, "there is no device nowhere")


def test_doubts_are_warnings_and_the_certificate_is_taken(
    tmp_path: Path, environment: Environment, client: Client, ca: CertificateAuthority, now: datetime
) -> None:
    client.devices.create(PUMP, Device())
    save_identity(tmp_path, PUMP, ca.issue(PUMP, now=now))

    done = shell(f"iotc-admin device attach-cert {PUMP} --primary {PUMP}_cert.pem", tmp_path, environment)

    assert done.returncode == 0
    assert done.stderr.startswith("warning: the primary certificate is issued by CN=plant7, not by itself")


@pytest.fixture
def in_a_group(client: Client, tmp_path: Path, now: datetime) -> DeviceIdentity:
    """A device whose intermediate was issued by the root in a group."""
    root = CertificateAuthority.create("plant7", now=now)
    enroll_group(client, "plant-7", primary=root)
    line = root.issue_intermediate("line-3", now=now)
    identity = line.issue(PUMP, now=now)
    save_authority(tmp_path, "plant7", root)
    save_identity(tmp_path, PUMP, identity)
    return identity


def here(environment: Environment, emulator: Emulator) -> Environment:
    """What a device is told: no application and no token, only where DPS is."""
    bare = {name: value for name, value in environment.items() if not name.startswith("IOTC_A")}
    return {**bare, "IOTC_ID_SCOPE": emulator.id_scope, "IOTC_DPS_HOST": emulator.dps_host}


def test_a_connection_needs_no_token_and_sends_the_chain_that_lies_beside_the_certificate(
    emulator: Emulator, tmp_path: Path, environment: Environment, in_a_group: DeviceIdentity, client: Client
) -> None:
    line = f"iotc-admin device connect {PUMP} --cert {PUMP}_cert.pem --telemetry '{{\"level\": 7}}' -o json"

    done = shell(line, tmp_path, here(environment, emulator))

    document = json.loads(done.stdout)
    assert (done.returncode, document["deviceId"], document["enrollment"]) == (0, PUMP, "plant-7")
    assert set(document) == {"registrationId", "deviceId", "assignedHub", "enrollment", "steps"}
    assert {frozenset(step) for step in document["steps"]} == {frozenset({"name", "milliseconds", "outcome"})}
    assert client.devices.telemetry(PUMP, "level").value == 7


def test_without_the_chain_the_device_is_refused_and_the_step_that_failed_is_shown(
    emulator: Emulator, tmp_path: Path, environment: Environment, in_a_group: DeviceIdentity
) -> None:
    (tmp_path / f"{PUMP}_fullchain.pem").unlink()

    done = shell(
        f"iotc-admin device connect {PUMP} --cert {PUMP}_cert.pem", tmp_path, here(environment, emulator)
    )

    assert done.returncode == 1
    assert done.stdout.startswith("register   failed (")
    assert "error: " in done.stderr


def test_a_full_chain_may_be_the_certificate_and_a_profile_may_say_where_dps_is(
    emulator: Emulator, tmp_path: Path, environment: Environment, in_a_group: DeviceIdentity
) -> None:
    write_profile(
        tmp_path,
        f'[profiles.p]\nid_scope = "{emulator.id_scope}"\ndps_host = "{emulator.dps_host}"\n'
        f'mqtt_port = "{emulator.mqtt_port}"\n',
    )
    bare = {name: value for name, value in environment.items() if not name.startswith("IOTC_A")}
    (tmp_path / f"{PUMP}_cert.pem").unlink()
    line = f"iotc-admin --profile p device connect {PUMP} --cert {PUMP}_fullchain.pem --transport mqtt"

    assert shell(line, tmp_path, bare).returncode == 0


def test_the_certificate_of_another_device_is_refused_before_anything_is_sent(
    emulator: Emulator, tmp_path: Path, environment: Environment, pump: DeviceIdentity
) -> None:
    emulator.control.clear_requests()
    line = f"iotc-admin device connect pump-2 --cert {PUMP}_cert.pem --id-scope 0neX"

    code, message = error(line, tmp_path, environment)

    assert (code, message) == (
        *(1,),
        f"{PUMP}_cert.pem has the common name 'pump-1', not 'pump-2': it is another device's",
    )
    assert emulator.control.requests == ()


def test_a_port_that_is_none_is_a_setting_to_mend(
    tmp_path: Path, environment: Environment, pump: DeviceIdentity
) -> None:
    odd = {**environment, "IOTC_MQTT_PORT": "9" * 5000, "IOTC_ID_SCOPE": "0neX"}

    done = shell(f"iotc-admin device connect {PUMP} --cert {PUMP}_cert.pem", tmp_path, odd)

    assert done.returncode == 1
    assert "IOTC_MQTT_PORT takes a number" in done.stderr


def test_an_id_scope_nobody_tells_is_not_got_by_making_a_device_unasked(
    emulator: Emulator, tmp_path: Path, environment: Environment, now: datetime
) -> None:
    save_identity(tmp_path, PUMP, DeviceIdentity.self_signed(PUMP, now=now))
    line = f"iotc-admin device connect {PUMP} --cert {PUMP}_cert.pem --dps-host {emulator.dps_host}"

    refused = shell(line, tmp_path, environment)
    assert (refused.returncode, writes(emulator)) == (1, [])
    assert "--id-scope" in refused.stderr
    assert "--yes" in refused.stderr

    shell(f"{line} --yes", tmp_path, environment)
    assert writes(emulator)[:2] == ["Devices_Create", "Devices_Remove"]
    ledger = Ledger(tmp_path / "ledger.db")
    assert ledger.id_scope(emulator.app) == emulator.id_scope
    assert ledger.events()[0].details["device"].startswith(PREFIX)
    ledger.close()


def test_an_expired_certificate_is_refused_before_it_is_attached(
    emulator: Emulator, tmp_path: Path, environment: Environment, now: datetime
) -> None:
    save_identity(tmp_path, PUMP, DeviceIdentity.self_signed(PUMP, now=now - timedelta(days=900)))
    line = f"iotc-admin device attach-cert {PUMP} --primary {PUMP}_cert.pem"

    code, message = error(line, tmp_path, environment)

    assert code == 1
    assert message.startswith("the primary certificate expired on")
    assert emulator.control.requests == ()
