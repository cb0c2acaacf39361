"""`iotc-admin edge ...` as people and pipelines meet it."""

from __future__ import annotations

import json
import tomllib
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from iotc_admin import CertificateAuthority, Client, Device
from iotc_admin.emulator import Emulator
from iotc_admin.pki.store import save_authority, save_identity
from iotc_admin.workflows.edge.settings import path_of

from ..workflows.test_enroll import writes
from .test_door import Environment, environment, shell

__all__ = ["environment"]

EDGE = "edge-01"
CONFIG = f"iotc-admin edge config {EDGE} --cert {EDGE}_cert.pem --key {EDGE}_key.pem --id-scope 0ne00112233"


@pytest.fixture
def files(ca: CertificateAuthority, tmp_path: Path, now: datetime) -> Path:
    """A folder with a root and an identity below it."""
    save_authority(tmp_path, "plant7", ca)
    save_identity(tmp_path, EDGE, ca.issue(EDGE, now=now))
    return tmp_path


def toml(folder: Path) -> dict[str, Any]:
    return tomllib.loads((folder / "config.toml").read_text(encoding="utf-8"))


def error(line: str, folder: Path, environment: Environment) -> tuple[int, str]:
    """The exit code, and message and hint as a program reads them."""
    done = shell(f"{line} -o json", folder, environment)
    found = json.loads(done.stdout)["error"]
    return done.returncode, f"{found['message']} {found['hint']}"


def lint(folder: Path, environment: Environment, options: str = "") -> tuple[int, list[str]]:
    done = shell(f"iotc-admin edge lint config.toml -o json {options}", folder, environment)
    return done.returncode, [each["code"] for each in json.loads(done.stdout)["findings"]]


def test_a_file_is_written_with_what_stands_beside_the_certificate(
    files: Path, environment: Environment
) -> None:
    done = shell(f"{CONFIG.replace(f'--key {EDGE}_key.pem', '')} -o json", files, environment)

    assert done.returncode == 0
    document = json.loads(done.stdout)
    assert (document["file"], document["format"], document["idScope"]) == (
        "config.toml",
        "toml",
        "0ne00112233",
    )
    assert [each["code"] for each in document["findings"]] == ["edge-ca-quick-start"]
    attestation = toml(files)["provisioning"]["attestation"]
    assert path_of(attestation["identity_cert"]) == files / f"{EDGE}_fullchain.pem"
    assert path_of(attestation["identity_pk"]) == files / f"{EDGE}_key.pem"
    assert (files / "config.toml").stat().st_mode & 0o777 == 0o600
    assert lint(files, environment) == (0, ["edge-ca-quick-start"])


def test_no_application_is_needed_where_the_scope_is_given(files: Path, environment: Environment) -> None:
    alone = {name: value for name, value in environment.items() if name not in ("IOTC_APP", "IOTC_API_TOKEN")}

    assert shell(CONFIG, files, alone).returncode == 0
    given = {**alone, "IOTC_ID_SCOPE": "0ne99999999"}
    line = CONFIG.replace("--id-scope 0ne00112233", "--out other")
    assert shell(line, files, given).returncode == 0
    assert toml(files / "other")["provisioning"]["id_scope"] == "0ne99999999"


def test_else_the_scope_is_asked_of_the_application(
    files: Path, environment: Environment, client: Client, emulator: Emulator
) -> None:
    client.devices.create("pump-1", Device())

    assert shell(CONFIG.replace("--id-scope 0ne00112233", ""), files, environment).returncode == 0
    assert toml(files)["provisioning"]["id_scope"] == emulator.id_scope


def test_where_dps_is_comes_from_the_setting(files: Path, environment: Environment) -> None:
    assert shell(CONFIG, files, {**environment, "IOTC_DPS_HOST": "localhost:8443"}).returncode == 0
    assert toml(files)["provisioning"]["global_endpoint"] == "https://localhost:8443"


def test_repeated_it_changes_nothing_and_another_file_stays(files: Path, environment: Environment) -> None:
    shell(CONFIG, files, environment)
    before = (files / "config.toml").stat()

    again = shell(CONFIG, files, environment)
    code, message = error(f"{CONFIG} --hostname gw", files, environment)

    assert (again.returncode, "nothing to do" in again.stderr) == (0, True)
    assert (files / "config.toml").stat().st_mtime_ns == before.st_mtime_ns
    assert (code, "exists already" in message, "--replace" in message) == (1, True, True)
    assert shell(f"{CONFIG} --hostname gw --replace", files, environment).returncode == 0
    assert toml(files)["hostname"] == "gw"


def test_a_dry_run_sends_reads_only_and_writes_nothing(
    files: Path, environment: Environment, emulator: Emulator
) -> None:
    before = sorted(files.iterdir())
    lines = [
        CONFIG,
        CONFIG.replace("--id-scope 0ne00112233", ""),
        f"iotc-admin edge ca {EDGE} --issuer plant7_cert.pem",
        "iotc-admin edge bundle plant7_cert.pem",
    ]

    assert [shell(f"{each} --dry-run", files, environment).returncode for each in lines] == [3, 3, 3, 3]
    assert sorted(set(files.iterdir()) - {files / ".local"}) == before
    assert writes(emulator) == []

    shell(CONFIG, files, environment)
    assert shell(f"{CONFIG} --dry-run", files, environment).returncode == 0


def test_files_may_lie_elsewhere_on_the_device(files: Path, environment: Environment) -> None:
    there = "--device-certs '/var/my certs/' --device-keys 'C:\\keys'"
    assert shell(f"{CONFIG} {there}", files, environment).returncode == 0

    attestation = toml(files)["provisioning"]["attestation"]
    assert attestation["identity_cert"] == f"file:///var/my%20certs/{EDGE}_fullchain.pem"
    assert attestation["identity_pk"] == f"file:///C:/keys/{EDGE}_key.pem"
    assert lint(files, environment) == (1, ["file-absent", "file-absent", "edge-ca-quick-start"])
    assert lint(files, environment, "--certs .") == (0, ["edge-ca-quick-start"])


def test_a_gateway_has_an_edge_ca_and_a_bundle(files: Path, environment: Environment) -> None:
    shell(f"iotc-admin edge ca {EDGE} --issuer plant7_cert.pem --out ca", files, environment)
    shell("iotc-admin edge bundle plant7_cert.pem", files, environment)
    (files / f"ca/{EDGE}-edge-ca_key.pem").rename(files / "signer.key")
    line = f"{CONFIG} --edge-ca ca/{EDGE}-edge-ca_cert.pem --trust-bundle trust-bundle.pem --hostname gw"

    code, message = error(line, files, environment)
    assert (code, "no key lies beside" in message) == (1, True)
    assert shell(f"{line} --edge-ca-key signer.key", files, environment).stderr == ""
    found = toml(files)
    assert path_of(found["edge_ca"]["cert"]) == files / f"ca/{EDGE}-edge-ca_fullchain.pem"
    assert path_of(found["edge_ca"]["pk"]) == files / "signer.key"
    assert path_of(found["trust_bundle_cert"]) == files / "trust-bundle.pem"
    assert lint(files, environment) == (0, [])


def test_a_key_that_never_left_the_device_is_named_and_not_judged(
    files: Path, environment: Environment
) -> None:
    (files / f"{EDGE}_key.pem").unlink()

    code, message = error(CONFIG.replace(f"--key {EDGE}_key.pem", ""), files, environment)
    assert (code, "by its URI" in message) == (1, True)
    line = CONFIG.replace(f"--key {EDGE}_key.pem", "--key file:///var/b.pem")
    assert shell(line, files, environment).returncode == 0
    assert toml(files)["provisioning"]["attestation"]["identity_pk"] == "file:///var/b.pem"


def test_what_is_wrong_here_is_said_before_the_application_is_asked(
    files: Path, environment: Environment, emulator: Emulator
) -> None:
    line = CONFIG.replace("--id-scope 0ne00112233", "--yes").replace(f"{EDGE}_key", "plant7_key")

    assert error(line, files, environment)[0] == 1
    assert emulator.control.requests == ()


def test_a_key_in_a_token_is_named_with_its_library_and_without_its_pin(
    files: Path, environment: Environment
) -> None:
    line = CONFIG.replace(f"{EDGE}_key.pem", "'pkcs11:slot-id=0;object=edge%20id'")

    code, message = error(line, files, environment)
    assert (code, "pkcs11_lib_path" in message) == (1, True)
    assert shell(f"{line} --pkcs11-library /usr/lib/p11.so", files, environment).returncode == 0
    assert toml(files)["aziot_keys"] == {"pkcs11_lib_path": "/usr/lib/p11.so"}
    code, message = error(line.replace("id'", "id?pin-value=1234'"), files, environment)
    assert (code, "1234" in message, "command line" in message) == (1, False, True)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ((f"config {EDGE}", "config edge-02"), "has the common name 'edge-01', not 'edge-02'"),
        ((f"{EDGE}_cert", "plant7_cert"), "is a CA certificate"),
        ((f"{EDGE}_key", "plant7_key"), "is not the key of"),
        ((f"{EDGE}_cert", "absent_cert"), "no such file"),
        ((f"{EDGE}_key", "absent_key"), "is not there"),
        (("0ne00112233", "0ne00112233 --parent-hostname gw"), "SAS only"),
        (("0ne00112233", "0ne00112233 --device-certs certs"), "relative path"),
        (("0ne00112233", "0ne00112233 --edge-ca plant7_cert.pem --format yaml"), "no trusted_ca_certs"),
        (("0ne00112233", f"0ne00112233 --edge-ca {EDGE}_cert.pem"), "is not a CA certificate"),
    ],
)
def test_what_the_device_could_not_use_is_refused_and_not_written(
    change: tuple[str, str], said: str, files: Path, environment: Environment
) -> None:
    code, message = error(CONFIG.replace(*change), files, environment)

    assert code == 1
    assert said in message
    assert not list(files.glob("config.*"))


@pytest.mark.parametrize(
    "line",
    [
        "config",
        f"config {EDGE}",
        f"config --cert {EDGE}_cert.pem",
        f"config {EDGE} --from config.yaml",
        "config --from config.yaml --format yaml",
        f"config {EDGE} --cert x --format json",
        "lint",
        f"ca {EDGE}",
        f"ca {EDGE} --issuer plant7_cert.pem --target 1.3",
        "bundle",
    ],
)
def test_wrong_usage_is_said_before_anything_is_done(
    line: str, files: Path, environment: Environment
) -> None:
    assert shell(f"iotc-admin edge {line}", files, environment).returncode == 2
    assert not (files / "ledger.db").exists()


def test_an_old_file_is_converted_without_a_word_of_its_secrets(
    tmp_path: Path, environment: Environment
) -> None:
    attestation = "{method: symmetric_key, registration_id: e, symmetric_key: U2VjcmV0}"
    old = f"provisioning: {{source: dps, scope_id: 0ne1, attestation: {attestation}}}\r\nhomedir: /x\r\n"
    (tmp_path / "config.yaml").write_bytes(b"\xef\xbb\xbf" + old.encode())

    done = shell("iotc-admin edge config --from config.yaml -o json", tmp_path, environment)

    assert done.returncode == 0
    document = json.loads(done.stdout)
    assert [each["key"] for each in document["dropped"]] == ["homedir"]
    assert [each["key"] for each in document["notes"]] == ["provisioning.attestation"]
    assert "U2VjcmV0" not in done.stdout + done.stderr
    assert toml(tmp_path)["provisioning"]["attestation"]["symmetric_key"] == {"value": "U2VjcmV0"}
    assert (tmp_path / "config.toml").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    "content", [b"\xff\xfex\0", b"a = 1\n", b"", b"\x00", b"provisioning: {source: manual}"]
)
def test_what_is_no_old_file_is_refused(content: bytes, tmp_path: Path, environment: Environment) -> None:
    (tmp_path / "config.yaml").write_bytes(content)

    code, _ = error("iotc-admin edge config --from config.yaml", tmp_path, environment)

    assert code == 1
    assert not (tmp_path / "config.toml").exists()


def test_lint_says_place_cause_and_fix_and_fails_on_errors_only(
    files: Path, environment: Environment
) -> None:
    shell(CONFIG, files, environment)
    file = files / "config.toml"
    windows = file.read_bytes().replace(b'"Dynamic"', b"Dynamic").replace(b"\n", b"\r\n")
    file.write_bytes(b"\xef\xbb\xbf" + windows)

    done = shell("iotc-admin edge lint config.toml", files, environment)

    assert done.returncode == 1
    first, cause, fix, *_ = done.stdout.splitlines()
    assert first.startswith("error: config.toml:1 has the value of auto_reprovisioning_mode without quotes")
    assert (cause.split(":")[0], fix.split(":")[0]) == ("  cause", "  fix")


@pytest.mark.parametrize("content", [b"\xff\xfex\0", b"\xff"])
def test_lint_of_what_is_no_text_is_an_error(
    content: bytes, tmp_path: Path, environment: Environment
) -> None:
    (tmp_path / "config.toml").write_bytes(content)

    assert error("iotc-admin edge lint config.toml", tmp_path, environment)[0] == 1
    assert error("iotc-admin edge lint absent.toml", tmp_path, environment)[0] == 1


def test_lint_asks_the_application_about_the_group_when_told(files: Path, environment: Environment) -> None:
    shell(CONFIG, files, environment)

    shell("iotc-admin group create pumps --root plant7_cert.pem", files, environment)
    shell("iotc-admin group create edges --root plant7_cert.pem --type iotEdge", files, environment)

    assert lint(files, environment, "--group pumps")[1][0] == "group-not-edge"
    assert lint(files, environment, "--group none") == (1, ["group-absent", "edge-ca-quick-start"])


def test_an_edge_ca_comes_with_its_chain_and_a_key_of_its_own(files: Path, environment: Environment) -> None:
    done = shell(f"iotc-admin edge ca {EDGE} --issuer plant7_cert.pem -o json", files, environment)

    document = json.loads(done.stdout)
    assert document["pathLength"] == 0
    assert (files / f"{EDGE}-edge-ca_fullchain.pem").read_text().count("BEGIN CERTIFICATE") == 2
    assert (files / f"{EDGE}-edge-ca_key.pem").stat().st_mode & 0o777 == 0o600
    assert error(f"iotc-admin edge ca {EDGE} --issuer plant7_cert.pem", files, environment)[0] == 1


def test_a_bundle_is_written_for_all_to_read_and_refuses_devices(
    files: Path, environment: Environment
) -> None:
    done = shell("iotc-admin edge bundle plant7_cert.pem --out b.pem -o json", files, environment)

    assert [each["subject"] for each in json.loads(done.stdout)["certificates"]] == ["CN=plant7"]
    assert (files / "b.pem").stat().st_mode & 0o777 == 0o644
    code, message = error(f"iotc-admin edge bundle {EDGE}_fullchain.pem --out c.pem", files, environment)
    assert (code, "SAS only" in message, (files / "c.pem").exists()) == (1, True, False)
