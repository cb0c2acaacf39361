"""`iotc-admin roll start|retire|abort` killed for real after any request, and resumed: the same end state."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import pytest

from iotc_admin import CertificateAuthority, Client, Ledger, Slot
from iotc_admin.emulator import Emulator, Fault
from iotc_admin.pki.store import save_authority
from iotc_admin.workflows.enroll import enroll_group

from ..workflows.test_enroll import GROUP, P, S, slots, verified
from ..workflows.test_rollover import YEAR, history, started
from .test_door import Environment, environment

__all__ = ["environment"]

WAITS = 3


@dataclass(frozen=True)
class Command:
    """A line, how often it asks the application, and what it notes before anything goes."""

    line: str
    requests: int
    decided: str
    state: str
    end: Mapping[Slot, str]
    resumed: tuple[int, ...] = (0,)
    """How `resume` ends once that is noted, and before."""
    refused: tuple[int, ...] = (WAITS,)


COMMANDS = [
    Command("start --cert new_cert.pem", 11, "prepared", "verified", {P: "old", S: "new"}, (0, WAITS), (1,)),
    Command("retire --devices all.txt --adopted all.txt", 9, "retiring", "closed", {S: "new"}),
    Command("abort --devices all.txt --adopted none.txt", 11, "aborting", "aborted", {P: "old"}),
]


@pytest.fixture
def folder(tmp_path: Path, client: Client, now: datetime) -> Path:
    """A group under an old CA, the new one in files, and the lists."""
    old = CertificateAuthority.create("old", now=now, lifetime=YEAR)
    ledger = Ledger(tmp_path / "ledger.db")
    enroll_group(client, GROUP, primary=old, run=ledger.run("group create", now))
    ledger.close()
    save_authority(tmp_path, "old", old)
    save_authority(tmp_path, "new", CertificateAuthority.create("new", now=now, lifetime=9 * YEAR))
    (tmp_path / "all.txt").write_text("pump-1\n")
    (tmp_path / "none.txt").write_text("")
    return tmp_path


def begun(folder: Path, client: Client) -> None:
    ledger = Ledger(folder / "ledger.db")
    authority = CertificateAuthority.load(str(folder / "new_cert.pem"), str(folder / "new_key.pem"))
    ledger.run("cert root", client.now()).saw(authority.certificate, file=str(folder / "new_cert.pem"))
    started(client, ledger, authority)
    ledger.close()


def words(line: str) -> list[str]:
    name, *options = line.split()
    return [
        sys.executable,
        "-m",
        "iotc_admin",
        "--yes",
        "-o",
        "json",
        "roll",
        name,
        "--group",
        GROUP,
        *options,
    ]


def killed(line: str, passed: int, folder: Path, environment: Environment, emulator: Emulator) -> None:
    """The work of the last request is done, its answer on the way, when the command is killed."""
    emulator.control.clear_requests()
    emulator.control.fault(Fault(kind="delay", delay=30, skip=passed - 1))
    with subprocess.Popen(
        words(line), cwd=folder, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as process:
        while len(emulator.control.requests) < passed:
            assert process.poll() is None, "it sends fewer requests than that"
            time.sleep(0.01)
        process.kill()
    emulator.control.clear_faults()


def run(line: str, folder: Path, environment: Environment) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        words(line), cwd=folder, env=environment, capture_output=True, text=True, check=False, timeout=60
    )
    assert "Traceback" not in done.stderr
    return done


@pytest.mark.parametrize(
    ("command", "passed"),
    [(command, passed) for command in COMMANDS for passed in range(1, command.requests + 1)],
    ids=lambda each: each.line.split()[0] if isinstance(each, Command) else str(each),
)
def test_killed_after_any_request_and_resumed_it_ends_the_same(
    folder: Path, environment: Environment, emulator: Emulator, client: Client, command: Command, passed: int
) -> None:
    if command.decided != "prepared":
        begun(folder, client)
    killed(command.line, passed, folder, environment, emulator)
    assert any(each and each[1] for each in slots(client).values())

    # What was decided needs no evidence a second time; what was not is not decided by resuming.
    resumed = run("resume --devices all.txt", folder, environment)
    decided = command.decided in noted(folder, client)
    assert resumed.returncode in (command.resumed if decided else command.refused), resumed.stderr
    if not decided:
        assert run(command.line, folder, environment).returncode == 0

    assert {slot: each for slot, each in slots(client).items() if each} == {
        slot: verified(CertificateAuthority.load(str(folder / f"{name}_cert.pem")))
        for slot, name in command.end.items()
    }
    assert command.state in noted(folder, client)
    worked = [each.operation for each in emulator.control.requests if each.status in (200, 204)]
    once = ["EnrollmentGroups_CreateX509", "EnrollmentGroups_VerifyX509"]
    assert [worked.count(each) for each in once] == ([1, 1] if command.decided == "prepared" else [0, 0])


def noted(folder: Path, client: Client) -> list[str]:
    """The steps of the roll that are on record."""
    ledger = Ledger(folder / "ledger.db")
    found = history(client, ledger)
    ledger.close()
    return found
