"""Pipes, colours, narrow terminals, and files and paths as Windows makes them."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import re
import struct
import subprocess
import termios
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from iotc_admin.emulator import Emulator

from ..outside import needed
from .test_door import Environment, environment, shell, write_profile

__all__ = ["environment"]

Rewritten = Callable[[bytes], bytes]

WINDOWS: dict[str, Rewritten] = {
    "CRLF": lambda data: data.replace(b"\n", b"\r\n"),
    "BOM": lambda data: b"\xef\xbb\xbf" + data,
    "BOM and CRLF": lambda data: b"\xef\xbb\xbf" + data.replace(b"\n", b"\r\n"),
    "UTF-16 of PowerShell": lambda data: data.replace(b"\n", b"\r\n").decode().encode("utf-16"),
}
TEXT = list(WINDOWS.values())[:3]


def terminal(line: str, columns: int, folder: Path, environment: Environment) -> str:
    """What a terminal of this width is sent."""
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    shown = b""
    own = {name: value for name, value in environment.items() if name != "COLUMNS"}
    with subprocess.Popen(
        ["bash", "-c", line],
        stdin=slave,
        stdout=slave,
        stderr=slave,
        cwd=folder,
        env={**own, "TERM": "xterm-256color"},
    ):
        os.close(slave)
        with suppress(OSError):
            while data := os.read(master, 4096):
                shown += data
    os.close(master)
    return shown.decode()


@pytest.fixture
def group(tmp_path: Path, environment: Environment) -> str:
    """A group with a certificate; its thumbprint."""
    shell(
        "iotc-admin cert root plant7 && iotc-admin group create g --root plant7_cert.pem",
        tmp_path,
        environment,
    )
    found = json.loads(shell("iotc-admin cert show plant7_cert.pem -o json", tmp_path, environment).stdout)
    return str((found[0] if isinstance(found, list) else found)["sha1Thumbprint"])


@pytest.mark.parametrize(
    "line",
    ["ledger list", "group show g", "status", "cert show plant7_cert.pem"],
)
def test_what_people_copy_is_whole_on_a_narrow_terminal(
    line: str, group: str, tmp_path: Path, environment: Environment
) -> None:
    shown = terminal(f"iotc-admin {line}", 40, tmp_path, environment)

    assert group in shown


def test_a_device_id_is_whole_in_a_narrow_table(tmp_path: Path, environment: Environment) -> None:
    name = "pump-" + "0123456789" * 5
    shell(f"iotc-admin device create {name}", tmp_path, environment)

    assert name in terminal("iotc-admin device list", 40, tmp_path, environment)
    assert name in terminal(
        "iotc-admin profile add p --app " + name + "; iotc-admin profile list", 40, tmp_path, environment
    )


def test_a_fix_is_whole_on_a_narrow_terminal(
    emulator: Emulator, tmp_path: Path, environment: Environment
) -> None:
    environment["IOTC_DPS_HOST"] = emulator.dps_host

    shown = terminal("iotc-admin doctor --mqtt-port 1", 40, tmp_path, environment)

    assert (
        "let devices connect over the HTTPS port: iotc-admin device connect ID --transport mqtt-ws" in shown
    )


@pytest.mark.parametrize("line", ["group list", "status", "doctor", "ledger list"])
def test_colour_is_for_terminals_and_no_color_switches_it_off(
    line: str, group: str, tmp_path: Path, environment: Environment
) -> None:
    environment = {
        name: value for name, value in environment.items() if name not in ("NO_COLOR", "FORCE_COLOR")
    }

    assert "\x1b[" in terminal(f"iotc-admin {line}", 100, tmp_path, environment)
    assert "\x1b[" not in terminal(f"NO_COLOR=1 iotc-admin {line}", 100, tmp_path, environment)
    assert "\x1b[" not in terminal(f"iotc-admin {line} | cat", 100, tmp_path, environment)


@pytest.mark.parametrize(
    "line",
    ["--help", "group create --help", "doctor", "completion bash", "profile list -o json", "group list"],
)
def test_a_reader_that_has_seen_enough_is_no_error(
    line: str, tmp_path: Path, environment: Environment
) -> None:
    done = shell(f"set -o pipefail; iotc-admin {line} | head -c 1 > /dev/null", tmp_path, environment)

    assert done.stderr == ""


def test_a_path_of_windows_is_a_file_and_no_place_for_keys(tmp_path: Path, environment: Environment) -> None:
    drive = r"C:\certs\plant7"

    shell("iotc-admin cert root plant7", tmp_path, environment)
    for ending in ("_cert.pem", "_key.pem"):
        (tmp_path / f"plant7{ending}").rename(tmp_path / f"{drive}{ending}")
    line = (
        rf"iotc-admin cert device pump --issuer '{drive}_cert.pem' --issuer-key '{drive}_key.pem'"
        r" --out 'D:\out' --ledger 'D:\data\ledger.db'"
        rf" && iotc-admin group create g --root '{drive}_cert.pem' --root-key '{drive}_key.pem'"
        r" --ledger 'D:\data\ledger.db'"
        r" && iotc-admin doctor --ledger 'D:\data\ledger.db' -o json"
    )
    done = shell(line, tmp_path, environment)

    assert (tmp_path / r"D:\out" / "pump_cert.pem").exists()
    assert (tmp_path / r"D:\data\ledger.db").exists()
    assert "g: done" in done.stdout
    assert r"D:\\data\\ledger.db is sound" in done.stdout


@pytest.mark.parametrize("rewritten", WINDOWS.values(), ids=WINDOWS)
def test_a_token_file_may_come_from_windows(
    rewritten: Rewritten, emulator: Emulator, tmp_path: Path, environment: Environment
) -> None:
    (tmp_path / "token").write_bytes(rewritten(f"{emulator.api_token}\n".encode()))
    del environment["IOTC_API_TOKEN"]

    done = shell("iotc-admin group list --token-file token", tmp_path, environment)

    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("rewritten", WINDOWS.values(), ids=WINDOWS)
def test_a_password_file_may_come_from_windows(
    rewritten: Rewritten, tmp_path: Path, environment: Environment
) -> None:
    (tmp_path / "unix").write_bytes(b"correct horse\n")
    (tmp_path / "windows").write_bytes(rewritten(b"correct horse\n"))

    shell("iotc-admin cert root a --key-password-file windows", tmp_path, environment)
    done = shell(
        "iotc-admin cert device d --issuer a_cert.pem --key-password-file unix", tmp_path, environment
    )

    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("rewritten", TEXT, ids=list(WINDOWS)[:3])
def test_certificates_keys_and_requests_may_come_from_windows(
    rewritten: Rewritten, tmp_path: Path, environment: Environment
) -> None:
    shell("iotc-admin cert root plant7", tmp_path, environment)
    openssl = needed("openssl", probe="version")
    new = f"{openssl} req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=pump"
    shell(f"{new} -keyout k -out pump.csr", tmp_path, environment)
    for name in ("plant7_cert.pem", "plant7_key.pem", "pump.csr"):
        (tmp_path / name).write_bytes(rewritten((tmp_path / name).read_bytes()))

    done = shell("iotc-admin cert sign pump.csr --issuer plant7_cert.pem", tmp_path, environment)

    assert (done.returncode, done.stderr) == (0, "")
    assert (tmp_path / "pump_cert.pem").exists()


@pytest.mark.parametrize("rewritten", WINDOWS.values(), ids=WINDOWS)
@pytest.mark.parametrize("text", ["pump-1\npump-2\n", "device_id,note\npump-1,x\npump-2,\n"])
def test_a_list_of_devices_may_come_from_windows(text: str, rewritten: Rewritten, tmp_path: Path) -> None:
    from iotc_admin.cli.idfile import read_ids

    (tmp_path / "ids").write_bytes(rewritten(text.encode()))

    assert read_ids(str(tmp_path / "ids")) == ["pump-1", "pump-2"]


@pytest.mark.parametrize("rewritten", TEXT, ids=list(WINDOWS)[:3])
def test_a_config_file_may_come_from_windows_and_may_be_edited(
    rewritten: Rewritten, tmp_path: Path, environment: Environment
) -> None:
    write_profile(tmp_path, "")
    file = tmp_path / ".config" / "iotc-admin" / "config.toml"
    file.write_bytes(rewritten(b'# mine\ndefault = "p"\n\n[profiles.p]\noutput = "json" # for jq\n'))

    shell("iotc-admin profile add q --app other", tmp_path, environment)
    done = shell("iotc-admin group list; iotc-admin profile list", tmp_path, environment)

    assert done.stdout.startswith("[")
    assert re.findall("^[pq] .*", done.stdout, re.MULTILINE) == [
        "p     *             ",
        "q              other",
    ]
    assert b"# mine" in file.read_bytes()
    assert b"# for jq" in file.read_bytes()


@pytest.mark.parametrize("rewritten", TEXT, ids=list(WINDOWS)[:3])
def test_an_edge_configuration_may_come_from_windows(
    rewritten: Rewritten, tmp_path: Path, environment: Environment
) -> None:
    shell(
        "iotc-admin cert root plant7; iotc-admin cert device edge-01 --issuer plant7_cert.pem; iotc-admin "
        "edge config edge-01 --cert edge-01_cert.pem --key edge-01_key.pem --id-scope 0ne1 --out e",
        tmp_path,
        environment,
    )
    before = shell("iotc-admin edge lint e/config.toml", tmp_path, environment)
    file = tmp_path / "e" / "config.toml"
    file.write_bytes(rewritten(file.read_bytes()))
    after = shell("iotc-admin edge lint e/config.toml", tmp_path, environment)

    assert before.returncode == 0
    assert (after.returncode, after.stdout) == (before.returncode, before.stdout)
