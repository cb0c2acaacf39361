"""`iotc-admin doctor` as somebody in trouble meets it."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from iotc_admin.emulator import Emulator

from .test_door import Environment, environment, shell, write_profile

__all__ = ["environment"]


@pytest.fixture
def whole(environment: Environment, emulator: Emulator) -> Environment:
    """With the settings of DPS."""
    return {
        **environment,
        "IOTC_DPS_HOST": emulator.dps_host,
        "IOTC_MQTT_PORT": str(emulator.mqtt_port),
        "NO_PROXY": "localhost",
    }


def checks(line: str, folder: Path, environment: Environment, *, code: int) -> dict[str, dict[str, Any]]:
    done = shell(f"{line} -o json", folder, environment)
    document = json.loads(done.stdout)
    assert (done.returncode, done.stderr) == (code, "")
    assert document["healthy"] == (code == 0)
    assert [each["number"] for each in document["checks"]] == list(range(1, 13))
    return {each["name"]: each for each in document["checks"]}


def test_with_the_emulator_everything_is_in_order(tmp_path: Path, whole: Environment) -> None:
    shell("iotc-admin cert root plant7", tmp_path, whole)

    found = checks("iotc-admin doctor", tmp_path, whole, code=0)
    done = shell("iotc-admin doctor", tmp_path, whole)

    assert {each["state"] for each in found.values()} == {"ok"}
    assert set(found["TLS"]) == {"number", "name", "state", "seen", "cause", "fix", "details"}
    assert done.returncode == 0
    assert done.stdout.splitlines()[-1] == "12 ok"


def test_each_setting_is_shown_with_its_source_and_no_secret(
    emulator: Emulator, tmp_path: Path, whole: Environment
) -> None:
    (tmp_path / "token").write_text(emulator.api_token)
    (tmp_path / "token").chmod(0o600)
    write_profile(tmp_path, f'[profiles.p]\nca_file = "{emulator.ca_file}"\ntoken_file = "~/token"\n')
    del whole["IOTC_CA_FILE"], whole["IOTC_API_TOKEN"]

    line = f"iotc-admin doctor --profile p --app {emulator.app} --mqtt-port {emulator.mqtt_port}"
    done = shell(line, tmp_path, whole)
    details = checks(line, tmp_path, whole, code=0)["settings"]["details"]

    assert details == [
        "profile: p (--profile)",
        f"app: {emulator.app} (--app)",
        f"ca_file: {emulator.ca_file} (profile p)",
        "token_file: given, not shown (profile p)",
        "output: json (--output)",
        f"ledger: {tmp_path / 'ledger.db'} (IOTC_LEDGER)",
        "id_scope: asked when needed (default)",
        f"dps_host: {emulator.dps_host} (IOTC_DPS_HOST)",
        f"mqtt_port: {emulator.mqtt_port} (--mqtt-port)",
    ]
    assert emulator.api_token.partition("sig=")[2][:20] not in done.stdout + done.stderr


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("IOTC_APP=http://plain.example", "is not https"),
        ("IOTC_APP=", "no application is named"),
        ("IOTC_CA_FILE=/nowhere.pem", "cannot be used as a trust anchor"),
        ("IOTC_MQTT_PORT=many", "'many' is no port"),
        ("IOTC_DPS_HOST=https://x", "is no DPS host"),
        ("IOTC_PROFILE=nosuch", "there is no profile 'nosuch'"),
        ("SSL_CERT_FILE=/nowhere SSLKEYLOGFILE=/nowhere/x", "cannot be set up"),
    ],
)
def test_broken_settings_are_a_finding_and_no_error(
    setting: str, said: str, tmp_path: Path, whole: Environment
) -> None:
    done = shell(f"{setting} iotc-admin doctor", tmp_path, whole)
    found = checks(f"{setting} iotc-admin doctor", tmp_path, whole, code=1)

    assert (done.returncode, done.stderr) == (1, "")
    assert found["settings"]["state"] == "failed"
    assert said in found["settings"]["seen"]
    assert found["settings"]["fix"]
    assert found["ledger"]["state"] == "skipped"


def test_an_output_that_is_none_is_a_finding_told_to_people(tmp_path: Path, whole: Environment) -> None:
    done = shell("IOTC_OUTPUT=xml iotc-admin doctor", tmp_path, whole)

    assert (done.returncode, done.stderr) == (1, "")
    assert done.stdout.startswith(" 1  FAILED   settings        'xml' is no output\n")


@pytest.mark.parametrize("key", ["app", "ca_file", "token_file", "output", "ledger", "dps_host", "mqtt_port"])
def test_a_setting_of_the_wrong_kind_is_a_finding(key: str, tmp_path: Path, whole: Environment) -> None:
    write_profile(tmp_path, f"default = 'p'\n[profiles.p]\n{key} = 5\n")
    bare = {name: value for name, value in whole.items() if not name.startswith("IOTC_")}

    done = shell("iotc-admin doctor", tmp_path, bare)

    assert (done.returncode, done.stderr) == (1, "")
    assert done.stdout.startswith(" 1  FAILED   settings")
    assert "5" in done.stdout


def test_a_config_file_that_cannot_be_read_is_a_finding(tmp_path: Path, whole: Environment) -> None:
    write_profile(tmp_path, "nonsense")

    found = checks("iotc-admin doctor", tmp_path, whole, code=1)

    assert "config.toml cannot be read" in found["settings"]["seen"]
    assert found["role"]["state"] == "ok"


@pytest.mark.parametrize(
    "token", ["SharedAccessSignature sr=a&sig=SECRETSECRET&skn=b", "eyJhbGciOi.e30.SECRETSECRET"]
)
def test_a_token_that_is_none_is_never_shown(token: str, tmp_path: Path, whole: Environment) -> None:
    done = shell("iotc-admin doctor; iotc-admin doctor -o json", tmp_path, {**whole, "IOTC_API_TOKEN": token})

    assert "SECRETSECRET" not in done.stdout + done.stderr


@pytest.mark.parametrize("secret", ["a&sig=SECRETSECRET&b", "eyJhbGciOiJSUzI1NiJ9.SECRETSECRET.x"])
@pytest.mark.parametrize("name", ["APP", "CA_FILE", "DPS_HOST", "ID_SCOPE", "MQTT_PORT", "PROFILE", "LEDGER"])
def test_a_secret_in_the_wrong_place_is_not_shown(
    name: str, secret: str, tmp_path: Path, whole: Environment
) -> None:
    done = shell("iotc-admin doctor", tmp_path, {**whole, f"IOTC_{name}": secret})

    assert "***" in done.stdout
    assert "SECRETSECRET" not in done.stdout + done.stderr


@pytest.mark.parametrize(
    "proxy",
    [
        "http://user:geheim@127.0.0.1:9",
        "user:geheim@127.0.0.1:9",
        "http://user:x/geheim@127.0.0.1:9",
        "http://user:x@geheim@127.0.0.1:9",
        "foo://user:geheim@127.0.0.1:9",
        "http://user:geheim@[::1",
    ],
)
def test_a_proxys_password_is_never_shown(proxy: str, tmp_path: Path, whole: Environment) -> None:
    whole |= {"HTTPS_PROXY": proxy, "NO_PROXY": ""}

    done = shell("iotc-admin doctor; iotc-admin doctor -o json", tmp_path, whole)

    assert "//***@" in done.stdout
    assert "FAILED   proxy" in done.stdout
    assert "geheim" not in done.stdout + done.stderr


def test_a_token_file_that_is_not_there_is_a_finding(tmp_path: Path, whole: Environment) -> None:
    found = checks("iotc-admin doctor --token-file nowhere", tmp_path, whole, code=1)

    assert found["token"]["seen"] == "nowhere: no such file"


def test_the_modes_of_the_real_files_are_looked_at(
    emulator: Emulator, tmp_path: Path, whole: Environment
) -> None:
    shell("iotc-admin cert root plant7", tmp_path, whole)
    (tmp_path / "token").write_text(emulator.api_token)
    write_profile(tmp_path, "")
    for name, told in (
        ("token", "token is open to others"),
        ("ledger.db", "ledger.db is open to others"),
        (".config/iotc-admin/config.toml", "config.toml is open to others"),
    ):
        for each in ("token", "ledger.db", ".config/iotc-admin/config.toml"):
            (tmp_path / each).chmod(0o644 if each == name else 0o600)

        found = checks("iotc-admin doctor --token-file token", tmp_path, whole, code=0)

        assert found["file modes"]["state"] == "warning"
        assert told in found["file modes"]["seen"]


def test_rehearsals_under_a_moved_clock_are_healthy(
    tmp_path: Path, whole: Environment, emulator: Emulator
) -> None:
    from datetime import timedelta

    emulator.control.advance(timedelta(days=60))

    assert shell("iotc-admin doctor", tmp_path, whole).returncode == 1
    assert shell("IOTC_CLOCK=application iotc-admin doctor", tmp_path, whole).returncode == 0


def test_the_findings_come_as_they_are_made(tmp_path: Path, whole: Environment) -> None:
    done = shell("iotc-admin doctor | head -1", tmp_path, whole)

    assert done.stdout == " 1  ok       settings        9 settings\n"
    assert done.stderr == ""
    assert os.environ.get("HOME") != str(tmp_path)
