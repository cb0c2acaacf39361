"""The door under odd conditions: streams, terminals, settings, files. No traceback reaches a user."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from iotc_admin import CertificateAuthority
from iotc_admin.cli.output import plain
from iotc_admin.emulator import Emulator

from ..conftest import operator

Environment = dict[str, str]


@pytest.fixture
def environment(emulator: Emulator, tmp_path: Path) -> Environment:
    return {
        **os.environ,
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
        "HOME": str(tmp_path),
        "IOTC_APP": emulator.app,
        "IOTC_API_TOKEN": emulator.api_token,
        "IOTC_CA_FILE": str(emulator.ca_file),
        "IOTC_LEDGER": str(tmp_path / "ledger.db"),
    }


def shell(line: str | bytes, folder: Path, environment: Environment) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        ["bash", "-c", line],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        timeout=60,
        check=False,
    )
    assert "Traceback" not in done.stderr + done.stdout
    assert "fault in iotc-admin" not in done.stderr
    return done


@pytest.mark.parametrize(
    "line",
    [
        "iotc-admin group list -o json >&-",
        "iotc-admin group list >&-",
        "iotc-admin --version >&-",
        "iotc-admin --version > /dev/full",
        "iotc-admin group list > /dev/full",
        "iotc-admin group list -o json > /dev/full",
        "iotc-admin group list | true",
        "iotc-admin group delete x <&-",
        "iotc-admin group list 2>&-",
    ],
)
def test_streams_that_are_closed_or_full_end_quietly(
    line: str, tmp_path: Path, environment: Environment
) -> None:
    shell(line, tmp_path, environment)


def test_a_full_disk_is_said_and_fails(tmp_path: Path, environment: Environment) -> None:
    done = shell("iotc-admin group list > /dev/full", tmp_path, environment)

    assert done.returncode == 1
    assert "the output cannot be written: No space left on device" in done.stderr


def test_what_would_steer_a_terminal_is_shown_as_escapes(
    emulator: Emulator, tmp_path: Path, environment: Environment, ca: CertificateAuthority
) -> None:
    from iotc_admin.contract.enrollment_groups import EnrollmentGroupPatch
    from iotc_admin.workflows import enroll_group

    with operator(emulator) as client:
        enroll_group(client, "g", primary=ca)
        client.enrollment_groups.update("g", EnrollmentGroupPatch(display_name="a\x1b[31m\nfake\u202e"))

    done = shell("iotc-admin group show g; iotc-admin group list", tmp_path, environment)

    assert "\x1b" not in done.stdout
    assert "\u202e" not in done.stdout
    assert r"a\x1b[31m\nfake\u202e" in done.stdout
    assert plain("Plänt 7 ✓") == "Plänt 7 ✓"


def test_arguments_that_are_not_text_are_refused_before_anything_is_done(
    tmp_path: Path, environment: Environment
) -> None:
    done = shell(r"iotc-admin cert root xx --out $'d\xff'", tmp_path, environment)

    assert done.returncode == 2
    assert "not UTF-8" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_an_output_that_is_none_is_refused_before_anything_is_done(
    tmp_path: Path, environment: Environment
) -> None:
    done = shell("IOTC_OUTPUT=xml iotc-admin cert root q", tmp_path, environment)

    assert done.returncode != 0
    assert list(tmp_path.iterdir()) == []


def write_profile(folder: Path, text: str) -> None:
    config = folder / ".config" / "iotc-admin"
    config.mkdir(parents=True)
    (config / "config.toml").write_text(text)


def test_a_profile_gives_what_neither_option_nor_environment_gives(
    emulator: Emulator, tmp_path: Path, environment: Environment
) -> None:
    (tmp_path / "token").write_text(emulator.api_token + "\n")
    write_profile(
        tmp_path,
        f'[profiles.p]\napp = "{emulator.app}"\nca_file = "{emulator.ca_file}"\n'
        'token_file = "~/token"\noutput = "json"\n',
    )
    bare = {name: value for name, value in environment.items() if not name.startswith("IOTC_")}

    done = shell("iotc-admin --profile p group list", tmp_path, bare)
    assert [group["id"] for group in json.loads(done.stdout)] == ["SAS-IoT-Devices", "SAS-IoT-Edge-Devices"]
    assert (
        "SAS-IoT-Devices  "
        in shell("IOTC_OUTPUT=table iotc-admin group list --profile p", tmp_path, bare).stdout
    )
    failed = shell("iotc-admin --profile p group show nope", tmp_path, bare)
    assert json.loads(failed.stdout)["error"]["kind"] == "NotFound"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[profiles.p]\ntoken = 'x'", "unknown key: token"),
        ("[profiles.p]\napp = 5", "is 5, not text"),
        ("[profiles.q]", "there is no profile 'p'"),
        ("nonsense", "cannot be read"),
    ],
)
def test_a_profile_with_a_mistake_says_which(
    text: str, said: str, tmp_path: Path, environment: Environment
) -> None:
    write_profile(tmp_path, text)
    bare = {name: value for name, value in environment.items() if name not in ("IOTC_APP", "IOTC_LEDGER")}

    done = shell("iotc-admin --profile p group list", tmp_path, bare)

    assert done.returncode == 1
    assert said in done.stderr


@pytest.mark.parametrize(
    "setting",
    [
        "HTTPS_PROXY=foo://x",
        "HTTPS_PROXY='http://[::1'",
        "SSLKEYLOGFILE=/nowhere/x",
        "IOTC_APP=https://a_b..c",
        r"IOTC_APP=$'https://ev\x1bil.com'",
        "IOTC_APP=https://localhost:0",
    ],
)
def test_an_environment_that_cannot_work_is_a_setting_to_mend(
    setting: str, tmp_path: Path, environment: Environment
) -> None:
    done = shell(f"{setting} iotc-admin group list", tmp_path, environment)

    assert done.returncode == 1
    assert done.stderr.startswith("error: ")
    assert "\nhint: " in done.stderr


def test_a_proxy_that_is_not_there_is_named(tmp_path: Path, environment: Environment) -> None:
    done = shell("HTTPS_PROXY=http://127.0.0.1:9 NO_PROXY= iotc-admin group list", tmp_path, environment)

    assert "cannot be reached" in done.stderr
    assert "HTTPS_PROXY" in done.stderr


def test_a_name_that_no_server_has_is_said_so(tmp_path: Path, environment: Environment) -> None:
    done = shell("IOTC_APP=https://no-such-host.invalid iotc-admin group list", tmp_path, environment)

    assert "https://no-such-host.invalid cannot be reached" in done.stderr


@pytest.mark.parametrize(
    "option", ["cert show fifo", "--token-file fifo group list", "--ca-file fifo group list"]
)
def test_a_named_pipe_holds_nothing_up(option: str, tmp_path: Path, environment: Environment) -> None:
    os.mkfifo(tmp_path / "fifo")

    assert shell(f"iotc-admin {option}", tmp_path, environment).returncode == 1


def test_a_shells_substitution_may_hold_a_token(
    emulator: Emulator, tmp_path: Path, environment: Environment
) -> None:
    line = 'T=$IOTC_API_TOKEN; unset IOTC_API_TOKEN; iotc-admin --token-file <(echo "$T") group list'

    assert shell(line, tmp_path, environment).returncode == 0


def test_a_file_that_is_no_ledger_is_left_as_it_is(tmp_path: Path, environment: Environment) -> None:
    other = tmp_path / "other"
    other.write_text("mine")
    other.chmod(0o644)

    assert shell("iotc-admin --ledger other ledger list", tmp_path, environment).returncode == 1
    assert shell("iotc-admin --ledger /dev/zero ledger list", tmp_path, environment).returncode == 1

    assert (other.read_text(), other.stat().st_mode & 0o777) == ("mine", 0o644)


def test_a_dry_run_leaves_no_trace(tmp_path: Path, environment: Environment) -> None:
    shell("iotc-admin cert root a --out x && rm ledger.db*", tmp_path, environment)

    made = shell("iotc-admin group create g --root x/a_cert.pem --dry-run", tmp_path, environment)
    shell("iotc-admin ledger export --out e.pem --dry-run", tmp_path, environment)
    shell("iotc-admin cert root b --dry-run", tmp_path, environment)

    assert made.returncode == 3
    assert sorted(p.name for p in tmp_path.iterdir() if p.name != ".local") == ["ledger.db", "x"]
    assert json.loads(shell("iotc-admin ledger list -o json", tmp_path, environment).stdout) == []


def test_an_export_to_stdout_is_pem_as_others_read_it(tmp_path: Path, environment: Environment) -> None:
    shell("iotc-admin cert root a && iotc-admin cert root b", tmp_path, environment)

    exported = shell("iotc-admin ledger export > out.pem", tmp_path, environment)
    shell("iotc-admin ledger export --out file.pem", tmp_path, environment)
    read = shell("openssl storeutl -noout -certs out.pem", tmp_path, environment)
    imported = shell("iotc-admin ledger import out.pem --ledger fresh.db", tmp_path, environment)

    assert exported.returncode == 0
    assert (tmp_path / "out.pem").read_text() == (tmp_path / "file.pem").read_text()
    assert "Total found: 2" in read.stdout
    assert [line.split("  ")[1] for line in imported.stdout.splitlines()] == ["CN=a", "CN=b"]


@pytest.mark.parametrize(
    "line",
    ["cert device d --issuer ca.pem", "cert intermediate d --issuer ca.pem", "edge ca d --issuer ca.pem",
     "cert verification 0123 --issuer ca.pem"],
)  # fmt: skip
def test_a_key_that_is_not_here_is_asked_for_by_an_option_of_the_command(
    line: str, tmp_path: Path, environment: Environment
) -> None:
    shell(
        "iotc-admin cert root ca && mv ca_cert.pem ca.pem && mv ca_key.pem elsewhere.pem",
        tmp_path,
        environment,
    )

    done = shell(f"iotc-admin {line}", tmp_path, environment)
    named = shell(f"iotc-admin {line} --issuer-key elsewhere.pem", tmp_path, environment)

    assert (done.returncode, named.returncode) == (1, 0)
    assert "hint: say where it is with --issuer-key" in done.stderr


def test_what_is_only_a_warning_says_so(tmp_path: Path, environment: Environment) -> None:
    blocked = {**environment, "HOME": "/proc", "XDG_STATE_HOME": "/proc/nowhere"}

    done = shell("iotc-admin group list", tmp_path, blocked)

    assert done.returncode == 0
    assert done.stderr.startswith("warning: ")
    assert "other processes are paced apart" in done.stderr


@pytest.mark.parametrize("noun", ["", "group", "roll"])
def test_what_a_command_is_for_is_not_cut_short(noun: str, tmp_path: Path, environment: Environment) -> None:
    page = shell(f"COLUMNS=60 iotc-admin {noun} --help", tmp_path, environment).stdout
    listed = page.split("Commands:")[1].split("Exit codes:")[0]

    assert "..." not in listed
    assert len(listed.splitlines()) > 6


def test_completion_is_to_be_had_in_one_way(tmp_path: Path, environment: Environment) -> None:
    assert shell("iotc-admin --install-completion", tmp_path, environment).returncode == 2
    assert "--show-completion" not in shell("iotc-admin --help", tmp_path, environment).stdout


def test_enable_and_disable_exclude_each_other(tmp_path: Path, environment: Environment) -> None:
    assert shell("iotc-admin group update g --enable --disable", tmp_path, environment).returncode == 2


def test_a_ca_that_expires_soon_is_taken_with_a_warning(tmp_path: Path, environment: Environment) -> None:
    shell("iotc-admin cert root soon --days 5", tmp_path, environment)

    done = shell("iotc-admin group create g --root soon_cert.pem", tmp_path, environment)

    assert done.returncode == 0
    assert done.stderr.startswith("warning: soon_cert.pem ")


def test_verbose_tells_each_request_and_no_secret(
    emulator: Emulator, tmp_path: Path, environment: Environment
) -> None:
    done = shell("iotc-admin --verbose group list", tmp_path, environment)

    assert "GET /api/enrollmentGroups?api-version=2022-07-31 200 " in done.stderr
    assert emulator.api_token.partition("sig=")[2][:20] not in done.stderr + done.stdout


def test_exec_passes_codes_and_settings_on(tmp_path: Path, environment: Environment) -> None:
    bare = {name: value for name, value in environment.items() if not name.startswith("IOTC_")}
    run = "iotc-admin emulator exec --data-dir st --port 0"

    assert shell(f"{run} -- bash -c 'exit 7'", tmp_path, bare).returncode == 7
    assert shell(f"{run} -- bash -c 'kill -TERM $$'", tmp_path, bare).returncode == 143
    assert shell(f"{run} -- nosuchcommand", tmp_path, bare).returncode == 127
    inside = shell(f"{run} -- bash -c 'mkdir -p sub; cd sub; iotc-admin group list -o json'", tmp_path, bare)
    assert [each["id"] for each in json.loads(inside.stdout)] == ["SAS-IoT-Devices", "SAS-IoT-Edge-Devices"]
    names = shell(f"{run} -- env", tmp_path, bare).stdout
    for name in ("APP", "API_TOKEN", "CA_FILE", "ID_SCOPE", "DPS_HOST", "EMULATOR_CONTROL", "LEDGER"):
        assert f"IOTC_{name}=" in names


def test_a_moved_clock_carries_the_commands_inside_with_it(tmp_path: Path, environment: Environment) -> None:
    bare = {name: value for name, value in environment.items() if not name.startswith("IOTC_")}
    shell("iotc-admin cert root a --ledger l.db", tmp_path, bare)

    line = "iotc-admin emulator exec --clock 2030-01-01 -- iotc-admin group create g --root a_cert.pem"
    done = shell(line, tmp_path, bare)

    assert (done.stdout, done.returncode) == ("g: done\n", 0)


def test_run_prints_one_line_when_it_is_ready_and_ends_on_a_signal(
    tmp_path: Path, environment: Environment
) -> None:
    command = ["iotc-admin", "emulator", "run", "--port", "0"]
    with subprocess.Popen(
        command, env=environment, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        ready = json.loads(process.stdout.readline())
        process.terminate()
        rest, errors = process.communicate(timeout=20)

    assert set(ready) == {"app", "apiToken", "caFile", "idScope", "dpsHost", "mqttPort", "pid", "control"}
    assert (rest, errors, process.returncode) == ("", "", 0)
    assert not Path(ready["caFile"]).exists()
