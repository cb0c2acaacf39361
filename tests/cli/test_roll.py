"""`iotc-admin roll` as people and pipelines meet it."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from iotc_admin import CertificateAuthority, Client, Device, DeviceIdentity, Ledger
from iotc_admin.emulator import Emulator
from iotc_admin.pki.store import save_authority, save_identity
from iotc_admin.workflows import attach_certificates, enroll_group

from ..workflows.test_enroll import GROUP, P, S, slots, verified, writes
from .test_door import Environment, environment, shell

__all__ = ["environment"]

PUMP = "pump-1"
YEAR = timedelta(days=365)


@pytest.fixture
def old(tmp_path: Path, client: Client, now: datetime) -> CertificateAuthority:
    """A group under this CA, which the ledger knows."""
    authority = CertificateAuthority.create("old", now=now, lifetime=YEAR)
    save_authority(tmp_path, "old", authority)
    ledger = Ledger(tmp_path / "ledger.db")
    enroll_group(client, GROUP, primary=authority, run=ledger.run("group create", now))
    ledger.close()
    return authority


@pytest.fixture
def new(tmp_path: Path, now: datetime) -> CertificateAuthority:
    authority = CertificateAuthority.create("new", now=now, lifetime=9 * YEAR)
    save_authority(tmp_path, "new", authority)
    return authority


def said(line: str, folder: Path, environment: Environment, code: int = 0) -> Any:
    """The document on stdout, and nothing else there."""
    done = shell(f"{line} -o json", folder, environment)
    assert done.returncode == code, (done.stdout, done.stderr)
    return json.loads(done.stdout)


def test_one_slot_is_rolled_and_the_group_shown(
    tmp_path: Path,
    environment: Environment,
    client: Client,
    old: CertificateAuthority,
    new: CertificateAuthority,
) -> None:
    shown = said("iotc-admin roll --slot secondary --cert new_cert.pem --yes", tmp_path, environment)

    assert shown["slots"]["secondary"]["sha1Thumbprint"] == verified(new)[0]
    assert shown["slots"]["secondary"]["verified"] is True
    assert slots(client) == {P: verified(old), S: verified(new)}
    again = shell("iotc-admin roll --slot secondary --cert new_cert.pem", tmp_path, environment)
    assert (again.returncode, again.stdout) == (0, f"{GROUP}: nothing to do\n")


def test_without_a_terminal_it_is_not_asked_but_refused_and_a_dry_run_only_tells(
    emulator: Emulator, tmp_path: Path, environment: Environment, old: CertificateAuthority,
    new: CertificateAuthority,
) -> None:  # fmt: skip
    emulator.control.clear_requests()
    line = f"iotc-admin roll --group {GROUP} --slot secondary --cert new_cert.pem"

    done = shell(line, tmp_path, environment)
    assert (done.returncode, "--yes" in done.stderr) == (1, True)
    plan = said(f"{line} --dry-run", tmp_path, environment, 3)

    assert [step["do"] for step in plan["steps"]] == ["PutCertificate", "Prove"]
    assert writes(emulator) == []


def test_with_several_groups_the_error_names_them(
    tmp_path: Path, environment: Environment, client: Client, old: CertificateAuthority,
    new: CertificateAuthority, ca: CertificateAuthority,
) -> None:  # fmt: skip
    enroll_group(client, "plant-8", primary=ca)

    document = said("iotc-admin roll --slot secondary --cert new_cert.pem --yes", tmp_path, environment, 1)

    assert document["error"]["kind"] == "UnsafePlan"
    assert f"{GROUP}, plant-8" in document["error"]["message"]
    assert "--group" in document["error"]["hint"]


@pytest.mark.parametrize(
    "line",
    [
        "roll",
        "roll --slot primary",
        "roll --cert new_cert.pem",
        "roll --group a --device b --slot primary --cert new_cert.pem",
        "roll --slot primary --cert new_cert.pem --renew-same-key --reason breach",
        "roll --slot tertiary --cert new_cert.pem",
        "roll --slot primary --cert new_cert.pem --reason boredom",
        f"roll --group {GROUP} status",
        "roll status",
        "roll start --group a",
        "roll --group '' --slot secondary --cert new_cert.pem --yes",
        "roll --device '' --slot secondary --cert new_cert.pem --yes",
        "roll nonsense",
    ],
)
def test_wrong_usage_is_2_and_sends_nothing(
    emulator: Emulator, tmp_path: Path, environment: Environment, new: CertificateAuthority, line: str
) -> None:
    done = shell(f"iotc-admin {line}", tmp_path, environment)

    assert done.returncode == 2, done.stderr
    assert done.stderr.startswith("error: ")
    assert emulator.control.requests == ()


@pytest.mark.parametrize(
    ("line", "kind"),
    [
        ("roll start --group plant_7 --cert new_cert.pem --yes", "SettingsError"),
        ("roll start --group a --cert leaf_cert.pem --yes", "NotAllowedHere"),
        ("roll start --group a --cert new_cert.pem --key leaf_key.pem --yes", "KeyMismatch"),
        ("roll start --group a --cert new_cert.pem --reconnect soon --yes", "SettingsError"),
        ("roll start --group a --cert nowhere.pem --yes", "SettingsError"),
        ("roll status --group a --registered-since soon", "SettingsError"),
        ("roll retire --group a --adopted nowhere.txt --yes", "SettingsError"),
        ("roll retire --group a --accept-laggards commas.txt --yes", "SettingsError"),
        ("roll retire --group a --devices nobody.txt --yes", "SettingsError"),
        ("roll --device pump-2 --slot primary --cert leaf_cert.pem --yes", "NotAllowedHere"),
        ("roll --device leaf --slot primary --cert leaf_cert.pem --key new_key.pem --yes", "KeyMismatch"),
    ],
)
def test_what_can_be_checked_is_checked_before_the_first_request(
    emulator: Emulator, tmp_path: Path, environment: Environment, new: CertificateAuthority, now: datetime,
    line: str, kind: str,
) -> None:  # fmt: skip
    save_identity(tmp_path, "leaf", DeviceIdentity.self_signed("leaf", now=now))
    (tmp_path / "commas.txt").write_text("a,b\n")
    (tmp_path / "nobody.txt").write_text("\n")

    document = said(f"iotc-admin {line}", tmp_path, environment, 1)

    assert document["error"]["kind"] == kind, document
    assert document["error"]["hint"]
    assert emulator.control.requests == ()


def test_a_device_is_rolled_and_shown(
    tmp_path: Path, environment: Environment, client: Client, now: datetime
) -> None:
    client.devices.create(PUMP, Device())
    first = DeviceIdentity.self_signed(PUMP, now=now)
    attach_certificates(client, PUMP, primary=first.certificate)
    save_identity(tmp_path, "next", DeviceIdentity.self_signed(PUMP, now=now))

    line = f"iotc-admin roll --device {PUMP} --slot secondary --cert next_cert.pem --key next_key.pem --yes"
    shown = said(line, tmp_path, environment)

    assert shown["attestation"]["primary"]["sha1Thumbprint"] == verified_thumbprint(first)
    assert shown["attestation"]["secondary"]["certificate"]["subject"] == f"CN={PUMP}"


def verified_thumbprint(identity: DeviceIdentity) -> str:
    return verified(CertificateAuthority(identity.certificate, None))[0]


def test_the_procedure_waits_where_a_person_is_needed_and_ends_with_0(
    tmp_path: Path,
    environment: Environment,
    client: Client,
    old: CertificateAuthority,
    new: CertificateAuthority,
) -> None:
    roll = f"--group {GROUP}"
    (tmp_path / "all.txt").write_text("pump-1\r\npump-2\r\n")
    (tmp_path / "one.csv").write_text("display_name,device_id\nPump,pump-1\n")

    assert said(f"iotc-admin roll status {roll}", tmp_path, environment) == {
        "group": GROUP,
        "state": "baseline",
    }
    plan = said(f"iotc-admin roll plan {roll} --cert new_cert.pem", tmp_path, environment, 3)
    assert (plan["slot"], plan["because"], plan["old"]) == ("secondary", "it is free", verified(old)[0])
    document = said(f"iotc-admin roll start {roll} --cert new_cert.pem --yes", tmp_path, environment)
    assert (document["state"], document["new"]["verified"]) == ("verified", True)
    devices = "--devices all.txt --adopted one.csv"
    document = said(f"iotc-admin roll status {roll} {devices}", tmp_path, environment, 3)
    assert document["state"] == "overlapping"
    assert document["adoption"]["laggards"][0]["device"] == "pump-2"
    document = said(f"iotc-admin roll retire {roll} {devices} --yes", tmp_path, environment, 3)
    assert document["state"] == "overlapping"
    assert slots(client)[P] == verified(old)
    document = said(
        f"iotc-admin roll retire {roll} --devices all.txt --adopted all.txt --yes", tmp_path, environment
    )
    assert document["state"] == "closed"
    assert said(f"iotc-admin roll status {roll}", tmp_path, environment)["state"] == "closed"
    assert slots(client) == {P: None, S: verified(new)}
    assert said(f"iotc-admin roll retire {roll} --yes", tmp_path, environment)["state"] == "closed"


def test_with_the_key_elsewhere_the_code_is_told_and_resume_goes_on(
    tmp_path: Path,
    environment: Environment,
    client: Client,
    old: CertificateAuthority,
    new: CertificateAuthority,
) -> None:
    (tmp_path / "new_key.pem").rename(tmp_path / "safe.pem")
    roll = f"--group {GROUP}"

    document = said(f"iotc-admin roll start {roll} --cert new_cert.pem --yes", tmp_path, environment, 3)
    assert document["state"] == "staged"
    assert document["verificationCode"]
    document = said(f"iotc-admin roll resume {roll} --yes", tmp_path, environment, 3)
    assert document["verificationCode"]
    document = said(f"iotc-admin roll resume {roll} --key safe.pem --yes", tmp_path, environment)

    assert document["state"] == "verified"
    assert slots(client) == {P: verified(old), S: verified(new)}


def test_a_proof_from_elsewhere_is_seen_by_resume(
    tmp_path: Path, environment: Environment, old: CertificateAuthority, new: CertificateAuthority
) -> None:
    (tmp_path / "new_key.pem").rename(tmp_path / "safe.pem")
    started = said(
        f"iotc-admin roll start --group {GROUP} --cert new_cert.pem --yes", tmp_path, environment, 3
    )
    code = started["verificationCode"]
    sign = f"iotc-admin cert verification {code} --issuer new_cert.pem --issuer-key safe.pem"
    assert shell(sign, tmp_path, environment).returncode == 0
    verify = f"iotc-admin group verify {GROUP} --slot secondary --verification-cert verification_cert.pem"
    assert shell(verify, tmp_path, environment).returncode == 0

    document = said(f"iotc-admin roll resume --group {GROUP}", tmp_path, environment, 3)

    assert [each["step"] for each in document["history"]][:3] == ["prepared", "staged", "verified"]
    assert document["history"][0]["actor"]


def test_an_abort_is_told_and_a_roll_can_begin_again(
    tmp_path: Path,
    environment: Environment,
    client: Client,
    old: CertificateAuthority,
    new: CertificateAuthority,
) -> None:
    said(f"iotc-admin roll start --group {GROUP} --cert new_cert.pem --yes", tmp_path, environment)

    document = said(f"iotc-admin roll abort --group {GROUP} --yes", tmp_path, environment)

    assert document["state"] == "aborted"
    assert slots(client) == {P: verified(old), S: None}
    document = said(f"iotc-admin roll start --group {GROUP} --cert new_cert.pem --yes", tmp_path, environment)
    assert document["state"] == "verified"


def test_a_group_that_is_not_there_has_no_status(tmp_path: Path, environment: Environment) -> None:
    document = said("iotc-admin roll status --group nowhere", tmp_path, environment, 1)

    assert document["error"]["kind"] == "NotFound"


def test_what_is_over_is_told_by_resume_and_refused_by_the_others(
    tmp_path: Path, environment: Environment, old: CertificateAuthority, new: CertificateAuthority
) -> None:
    said(f"iotc-admin roll start --group {GROUP} --cert new_cert.pem --yes", tmp_path, environment)
    said(f"iotc-admin roll abort --group {GROUP} --yes", tmp_path, environment)

    assert said(f"iotc-admin roll resume --group {GROUP}", tmp_path, environment)["state"] == "aborted"
    assert said(f"iotc-admin roll abort --group {GROUP}", tmp_path, environment)["state"] == "aborted"
    document = said(f"iotc-admin roll retire --group {GROUP} --yes", tmp_path, environment, 1)
    assert document["error"]["kind"] == "UnsafePlan"
