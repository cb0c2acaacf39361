"""`iotc-admin status` as people, cron and pipelines meet it."""

from __future__ import annotations

import json
import os
import pty
import stat
import subprocess
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from iotc_admin import CertificateAuthority, Client, Device, DeviceIdentity, Ledger
from iotc_admin.contract.enrollment_groups import EnrollmentGroupPatch
from iotc_admin.emulator import Emulator
from iotc_admin.pki.description import sha1_thumbprint
from iotc_admin.workflows import enroll_group

from ..workflows.test_enroll import GROUP, without_key
from .test_door import Environment, environment, shell

__all__ = ["environment"]

DAY = timedelta(days=1)
BRIEF = 9


@pytest.fixture
def brief(client: Client, ledger: Ledger, now: datetime) -> CertificateAuthority:
    """A CA for nine days, in a slot; its ledger is the one that the commands read."""
    ca = CertificateAuthority.create("plant7", now=now, lifetime=BRIEF * DAY)
    enroll_group(client, GROUP, primary=ca, run=ledger.run("group create", now))
    return ca


@pytest.fixture
def later(environment: Environment, emulator: Emulator) -> Callable[[timedelta], Environment]:
    """The same commands so much later."""

    def moved(by: timedelta) -> Environment:
        emulator.control.advance(by)
        return {**environment, "IOTC_CLOCK": "application"}

    return moved


@pytest.mark.parametrize("options", ["", "--quiet", "-o json", "-o json --quiet", "--devices -o json"])
def test_what_is_due_exits_3_and_what_is_not_exits_0_however_it_is_asked(
    options: str,
    tmp_path: Path,
    environment: Environment,
    brief: CertificateAuthority,
    later: Callable[[timedelta], Environment],
) -> None:
    before = shell(f"iotc-admin status {options}", tmp_path, environment)
    half = shell(f"iotc-admin status {options}", tmp_path, later(5 * DAY))
    over = shell(f"iotc-admin status {options}", tmp_path, later(5 * DAY))

    assert [each.returncode for each in (before, half, over)] == [0, 3, 3]
    assert [each.stderr for each in (before, half, over)] == ["", "", ""]
    if "json" in options:
        slots = [json.loads(each.stdout)["slots"][0] for each in (before, half, over)]
        assert [each["state"] for each in slots] == ["ok", "due", "expired"]
        assert [each["due"] for each in slots] == [False, True, True]
        assert [each["daysLeft"] for each in slots] == [8, 3, -2]
    else:
        assert [each.stdout.splitlines()[1].split()[0] for each in (before, half, over)] == [
            "ok",
            "due",
            "expired",
        ]


def test_a_span_takes_the_place_of_the_age(
    tmp_path: Path, environment: Environment, brief: CertificateAuthority
) -> None:
    codes = [
        shell(f"iotc-admin status --within {span}", tmp_path, environment).returncode
        for span in ("8d", "10d", "1w", "2w", "300h")
    ]

    assert codes == [0, 3, 0, 3, 3]


def test_an_open_proof_exits_3(
    client: Client, ledger: Ledger, tmp_path: Path, environment: Environment, ca: CertificateAuthority
) -> None:
    enroll_group(client, GROUP, primary=without_key(ca), run=ledger.run("x", client.now()))

    done = shell("iotc-admin status", tmp_path, environment)

    assert done.returncode == 3
    assert "NOT VERIFIED" in done.stdout
    assert f"hint: prove possession of its key: iotc-admin group verify {GROUP} --slot primary" in done.stdout
    assert "1 of 1 certificate waits for a person" in done.stdout


def test_without_a_ledger_all_is_unmanaged_and_none_is_made(
    client: Client, tmp_path: Path, environment: Environment, ca: CertificateAuthority
) -> None:
    enroll_group(client, GROUP, primary=ca)
    environment["IOTC_LEDGER"] = str(tmp_path / "none.db")

    done = shell("iotc-admin status", tmp_path, environment)

    assert done.returncode == 0
    assert done.stdout.splitlines()[1].split() == ["unmanaged", f"{GROUP}/primary", "verified", "unknown"]
    assert "hint: adopt it: iotc-admin ledger import CERT" in done.stdout
    assert not (tmp_path / "none.db").exists()


def test_the_document_has_the_services_names_and_times_in_utc(
    tmp_path: Path, environment: Environment, brief: CertificateAuthority, client: Client
) -> None:
    client.enrollment_groups.update(GROUP, EnrollmentGroupPatch(display_name="Plant 7"))

    document = json.loads(shell("iotc-admin status -o json --within 30d", tmp_path, environment).stdout)

    slot, empty = document["slots"]
    ends = brief.certificate.not_valid_after_utc
    assert (document["app"], document["waits"], document["count"]["due"]) == (client.app, True, 1)
    assert slot["sha1Thumbprint"] == sha1_thumbprint(brief.certificate)
    assert (slot["group"], slot["displayName"], slot["slot"]) == (GROUP, "Plant 7", "primary")
    assert slot["device"] is None
    assert (slot["verified"], slot["enabled"], slot["subject"]) == (True, True, "CN=plant7")
    assert slot["notAfter"] == f"{ends:%Y-%m-%dT%H:%M:%SZ}"
    assert slot["dueFrom"] == f"{ends - 30 * DAY:%Y-%m-%dT%H:%M:%SZ}"
    assert [set(each) for each in slot["findings"]] == [{"kind", "message", "hint"}]
    assert [empty[key] for key in ("sha1Thumbprint", "verified", "due", "notAfter")] == [None] * 4
    assert sorted(document["groupsWithoutCertificates"]) == ["SAS-IoT-Devices", "SAS-IoT-Edge-Devices"]


def test_devices_are_there_when_they_are_asked_for(
    client: Client, ledger: Ledger, tmp_path: Path, environment: Environment, now: datetime
) -> None:
    client.devices.create("pump-1", Device())
    ledger.run("cert device", now).saw(DeviceIdentity.self_signed("pump-1", now=now).certificate)

    without = shell("iotc-admin status", tmp_path, environment)
    done = shell("iotc-admin status --devices", tmp_path, environment)

    assert "pump-1" not in without.stdout
    assert "pump-1 (by its group)" in done.stdout


def test_a_line_fits_a_terminal_of_80_columns(
    tmp_path: Path, environment: Environment, brief: CertificateAuthority
) -> None:
    done = shell("iotc-admin status --within 30d", tmp_path, environment)

    assert [
        line for line in done.stdout.splitlines() if len(line) > 80 and not line.startswith("hint: ")
    ] == []


def on_a_terminal(line: str, folder: Path, environment: Environment) -> str:
    """What the command writes when somebody looks."""
    ours, theirs = pty.openpty()
    bare = {name: value for name, value in environment.items() if name not in ("NO_COLOR", "FORCE_COLOR")}
    with subprocess.Popen(["bash", "-c", line], cwd=folder, env={"TERM": "xterm", **bare}, stdout=theirs):
        os.close(theirs)
        said = b""
        with suppress(OSError):  # the end of a terminal is an error
            while more := os.read(ours, 4096):
                said += more
    os.close(ours)
    return said.decode()


def test_colour_is_for_a_terminal_and_for_those_who_want_it(
    tmp_path: Path, environment: Environment, brief: CertificateAuthority
) -> None:
    environment |= {"TERM": "xterm-256color"}
    line = "iotc-admin status --within 30d"

    seen = on_a_terminal(line, tmp_path, environment)

    assert "\x1b[1;33mdue" in seen
    assert "\x1b" not in on_a_terminal(f"NO_COLOR=1 {line}", tmp_path, environment)
    assert "\x1b" not in on_a_terminal(f"TERM=dumb {line}", tmp_path, environment)
    assert "\x1b" not in on_a_terminal(f"{line} -o json", tmp_path, environment)
    assert "\x1b" not in shell(f"FORCE_COLOR=1 {line}", tmp_path, environment).stdout


@pytest.mark.parametrize("name", ["a\x1b[31m\nfake\u202e", "[bold red]x[/]", "Ω" * 255])
def test_a_hostile_name_steers_no_terminal(
    name: str, tmp_path: Path, environment: Environment, brief: CertificateAuthority, client: Client
) -> None:
    client.enrollment_groups.update(GROUP, EnrollmentGroupPatch(display_name=name))

    seen = on_a_terminal("iotc-admin status", tmp_path, environment)
    piped = shell("iotc-admin status", tmp_path, environment).stdout

    shown = name.replace("\x1b", r"\x1b").replace("\n", r"\n").replace("\u202e", r"\u202e")
    assert shown in seen
    assert shown in piped
    assert not {"\x1b[31m", "\u202e"} & {each for each in ("\x1b[31m", "\u202e") if each in seen + piped}


@pytest.mark.parametrize("within", ["3x", "''", "-1d", "30"])
def test_a_span_that_is_none_is_wrong_usage_and_sends_nothing(
    within: str, emulator: Emulator, tmp_path: Path, environment: Environment
) -> None:
    done = shell(f"iotc-admin status --within={within} -o json", tmp_path, environment)

    assert done.returncode == 2
    assert "is no span of time" in json.loads(done.stdout)["error"]["message"]
    assert emulator.control.requests == ()


def test_reports_are_written_and_written_anew(
    tmp_path: Path,
    environment: Environment,
    brief: CertificateAuthority,
    later: Callable[[timedelta], Environment],
) -> None:
    line = "iotc-admin status --html s.html --prometheus s.prom"
    (tmp_path / "s.html").touch()

    done = shell(line, tmp_path, environment)
    first = {name: (tmp_path / name).read_text() for name in ("s.html", "s.prom")}
    # Who reads the old one goes on reading the old one: nobody sees half of the new one.
    with (tmp_path / "s.prom").open() as reading:
        again = shell(f"{line} --quiet", tmp_path, later(5 * DAY))
        assert reading.read() == first["s.prom"]

    assert (done.returncode, done.stderr) == (0, "s.html: written\ns.prom: written\n")
    assert (again.returncode, again.stderr) == (3, "")
    for name, text in first.items():
        assert (tmp_path / name).read_text() != text
        assert stat.S_IMODE((tmp_path / name).stat().st_mode) == 0o644
    assert sorted(each.name for each in tmp_path.glob(".iotc-*")) == []


def test_a_dry_run_writes_no_report(
    tmp_path: Path, environment: Environment, brief: CertificateAuthority
) -> None:
    done = shell("iotc-admin status --dry-run --html s.html", tmp_path, environment)

    assert (done.returncode, done.stderr) == (0, "would write s.html\n")
    assert not (tmp_path / "s.html").exists()


@pytest.mark.parametrize("option", ["--html", "--prometheus"])
@pytest.mark.parametrize(
    "file", ["key.pem", "folder", "link", "fifo", "other.html", "other.prom", "nowhere/x", "key.pem/x"]
)
def test_a_report_takes_the_place_of_nothing_but_a_report(
    option: str, file: str, emulator: Emulator, tmp_path: Path, environment: Environment
) -> None:
    (tmp_path / "key.pem").write_text("-----BEGIN PRIVATE KEY-----\n")
    (tmp_path / "folder").mkdir()
    (tmp_path / "link").symlink_to("target")
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "other.html").write_text("<!doctype html>\n<title>mine</title>")
    (tmp_path / "other.prom").write_text("# HELP up mine\n")
    before = sorted((each.name, each.lstat().st_mtime_ns) for each in tmp_path.iterdir())

    done = shell(f"iotc-admin status {option} {file}", tmp_path, environment)

    assert done.returncode == 1
    assert "is no such report" in done.stderr or "no folder to write in" in done.stderr
    assert "\nhint: " in done.stderr
    assert emulator.control.requests == ()
    assert sorted((each.name, each.lstat().st_mtime_ns) for each in tmp_path.iterdir()) == before


def test_one_file_is_not_both_reports(emulator: Emulator, tmp_path: Path, environment: Environment) -> None:
    done = shell("iotc-admin status --html s --prometheus ./s", tmp_path, environment)

    assert (done.returncode, emulator.control.requests) == (1, ())
    assert "cannot be both reports" in done.stderr


def test_without_the_extra_it_is_said_which_one_before_anything_is_sent(
    emulator: Emulator, tmp_path: Path, environment: Environment, brief: CertificateAuthority
) -> None:
    (tmp_path / "without").mkdir()
    (tmp_path / "without" / "jinja2.py").write_text("raise ImportError\n")
    environment["PYTHONPATH"] = str(tmp_path / "without")
    emulator.control.clear_requests()

    done = shell("iotc-admin status --html s.html", tmp_path, environment)

    assert (done.returncode, emulator.control.requests) == (1, ())
    assert "hint: pip install 'iotc-admin[report]'" in done.stderr
    assert shell("iotc-admin status --prometheus s.prom", tmp_path, environment).returncode == 0


def test_a_refusal_leaves_the_old_report_alone(
    tmp_path: Path, environment: Environment, brief: CertificateAuthority
) -> None:
    shell("iotc-admin status --prometheus s.prom", tmp_path, environment)
    text = (tmp_path / "s.prom").read_text()

    done = shell("IOTC_API_TOKEN=nonsense iotc-admin status --prometheus s.prom", tmp_path, environment)

    assert done.returncode == 1
    assert (tmp_path / "s.prom").read_text() == text
