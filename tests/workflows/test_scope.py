"""The ID scope: from the ledger, from any device, or by a device made for the moment that never stays."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from datetime import datetime
from pathlib import Path
from typing import Literal

import pytest

from iotc_admin import Client, Device, IotcError, Ledger, SettingsError
from iotc_admin.emulator import Emulator, Fault
from iotc_admin.errors import UnsafePlan
from iotc_admin.ledger.ledger import Run
from iotc_admin.workflows.scope import PREFIX, find_id_scope, known_id_scope

from ..conftest import InProcess, operator
from .test_crash import Killed, killer
from .test_enroll import count, writes


def yes() -> bool:
    return True


def no() -> bool:
    return False


@pytest.fixture
def run(ledger: Ledger, now: datetime) -> Run:
    return ledger.run("device connect", now)


def devices(client: Client) -> list[str | None]:
    return [device.id for device in client.devices.list()]


def test_the_ledger_is_asked_first_and_no_request_is_sent(
    emulator: Emulator, client: Client, run: Run
) -> None:
    run.ledger.keep_id_scope(client.app, "0ne00112233")

    assert find_id_scope(client, run=run, agree=no) == "0ne00112233"
    assert emulator.control.requests == ()


def test_any_device_tells_it_and_the_ledger_keeps_it(emulator: Emulator, client: Client, run: Run) -> None:
    client.devices.create("pump-1", Device())

    assert find_id_scope(client, run=run, agree=no) == emulator.id_scope
    assert run.ledger.id_scope(client.app) == emulator.id_scope
    assert count(emulator, lambda: find_id_scope(client, run=run, agree=no)) == 0


def test_it_is_read_without_a_ledger_too(emulator: Emulator, client: Client) -> None:
    assert known_id_scope(client, None) is None
    client.devices.create("pump-1", Device())
    assert known_id_scope(client, None) == emulator.id_scope


def test_without_a_device_one_is_made_for_the_moment_noted_before_and_removed(
    emulator: Emulator, client: Client, wire: InProcess, run: Run
) -> None:
    noted: list[list[str]] = []
    wire.before = lambda request: (
        noted.append([event.event for event in run.ledger.events()]) if request.method == "PUT" else None
    )

    assert find_id_scope(client, run=run, agree=yes) == emulator.id_scope

    assert noted == [["temporary device begun"]]
    assert writes(emulator) == ["Devices_Create", "Devices_Remove"]
    assert devices(client) == []
    begun, removed = run.ledger.events()
    assert begun.details["device"].startswith(PREFIX)
    assert removed.details == begun.details
    assert run.ledger.id_scope(client.app) == emulator.id_scope


def test_no_device_is_made_without_a_yes_and_the_way_out_is_said(
    emulator: Emulator, client: Client, run: Run
) -> None:
    with pytest.raises(UnsafePlan, match="no device is there to tell it") as caught:
        find_id_scope(client, run=run, agree=no)

    assert "--id-scope" in caught.value.hint
    assert writes(emulator) == []
    assert run.ledger.events() == []


def test_no_device_is_made_without_a_ledger_to_note_it_in(emulator: Emulator, client: Client) -> None:
    with pytest.raises(SettingsError, match="no ledger is given"):
        find_id_scope(client, run=None, agree=yes)

    assert writes(emulator) == []


@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize("step", range(4))
def test_killed_at_any_request_the_next_run_leaves_nothing_behind(
    emulator: Emulator, client: Client, run: Run, step: int, moment: Literal["before", "after"]
) -> None:
    wire = InProcess(emulator)
    fatal = killer(step)
    setattr(wire, moment, fatal)
    with pytest.raises(Killed):
        find_id_scope(operator(emulator, wire), run=run, agree=yes)

    assert find_id_scope(client, run=run, agree=yes) == emulator.id_scope

    assert devices(client) == []
    last = {event.details["device"]: event.event for event in run.ledger.events()}
    assert set(last.values()) <= {"temporary device removed"}


def test_it_is_removed_though_its_credentials_could_not_be_read(
    emulator: Emulator, client: Client, run: Run
) -> None:
    emulator.control.fault(Fault(kind="status", status=403, match="Devices_GetCredentials"))

    with pytest.raises(IotcError):
        find_id_scope(client, run=run, agree=yes)

    assert devices(client) == []


def test_what_another_application_or_another_name_left_is_not_touched(
    emulator: Emulator, client: Client, run: Run, now: datetime
) -> None:
    for device in (f"{PREFIX}1", "pump-1"):
        client.devices.create(device, Device())
    run.note("temporary device begun", now, app="https://other.invalid", device=f"{PREFIX}1")
    run.note("temporary device begun", now, app=client.app, device="pump-1")

    find_id_scope(client, run=run, agree=no)

    assert devices(client) == [f"{PREFIX}1", "pump-1"]


@pytest.mark.parametrize("passed", range(2, 5))
def test_a_command_killed_for_real_leaves_nothing_that_the_next_would_not_remove(
    tmp_path: Path, emulator: Emulator, client: Client, passed: int
) -> None:
    program = (
        "import sys; from datetime import datetime, UTC; from pathlib import Path\n"
        "from iotc_admin import ApiToken, Client, Ledger\n"
        "from iotc_admin.workflows import find_id_scope\n"
        "app, token, ca, ledger = sys.argv[1:]\n"
        "with Client(app, ApiToken(token), ca_file=Path(ca)) as client:\n"
        "    run = Ledger(Path(ledger)).run('x', datetime.now(UTC))\n"
        "    print(find_id_scope(client, run=run, agree=lambda: True))\n"
    )
    command = [sys.executable, "-c", program, emulator.app, emulator.api_token]
    command += [str(emulator.ca_file), str(tmp_path / "ledger.db")]
    emulator.control.fault(Fault(kind="delay", delay=30, skip=passed - 1))
    with subprocess.Popen(command, env={**os.environ, "HOME": str(tmp_path)}) as process:
        while len(emulator.control.requests) < passed:
            time.sleep(0.01)
        process.kill()
    emulator.control.clear_faults()

    done = subprocess.run(command, capture_output=True, text=True, check=False)

    assert (done.stdout, done.stderr) == (f"{emulator.id_scope}\n", "")
    assert devices(client) == []
