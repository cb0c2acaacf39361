"""`iotc-admin breach` as people and pipelines meet it."""

from __future__ import annotations

import json
import signal
import subprocess
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import pytest

from iotc_admin import CertificateAuthority, Client, Device, Ledger
from iotc_admin.emulator import Emulator, Fault
from iotc_admin.pki.store import save_authority
from iotc_admin.workflows import enroll_group

from ..workflows.test_breach import PUMPS, arrive, blocked
from ..workflows.test_enroll import GROUP, P, S, looked, slots, verified, writes
from .test_door import Environment, environment, shell
from .test_roll import said

__all__ = ["environment"]

CONTAIN = f"iotc-admin breach contain --group {GROUP} --yes"


@pytest.fixture
def emulator() -> Iterator[Emulator]:
    with Emulator(throttle="off", retry_after=0, registrations_per_minute=None) as running:
        yield running


@pytest.fixture
def old(tmp_path: Path, emulator: Emulator, client: Client, now: datetime) -> CertificateAuthority:
    """A group under this CA, with three devices, which the ledger knows."""
    authority = CertificateAuthority.create("old", now=now)
    save_authority(tmp_path, "old", authority)
    ledger = Ledger(tmp_path / "ledger.db")
    enroll_group(client, GROUP, primary=authority, run=ledger.run("group create", now))
    arrive(emulator, authority, *PUMPS, ledger=ledger)
    ledger.close()
    return authority


@pytest.fixture
def new(tmp_path: Path, now: datetime) -> CertificateAuthority:
    authority = CertificateAuthority.create("new", now=now)
    save_authority(tmp_path, "new", authority)
    return authority


@pytest.mark.usefixtures("old")
def test_the_documents_of_each_step_are_those_of_the_report(
    tmp_path: Path, environment: Environment, new: CertificateAuthority
) -> None:
    plan = said(f"iotc-admin breach contain --group {GROUP} --dry-run", tmp_path, environment, 3)
    assert [step["do"] for step in plan["steps"]] == ["UpdateGroup", *["UpdateDevice"] * 3]
    assert (plan["group"], plan["seconds"], plan["doubtful"]) == (GROUP, 0, [])

    contained = said(CONTAIN, tmp_path, environment)
    report = said(f"iotc-admin breach report --group {GROUP}", tmp_path, environment, 3)

    assert contained.keys() == report.keys()
    assert (report["open"], report["shut"], report["replaced"]) == (True, True, False)
    assert report["devices"] == {"blocked": {"count": 3, "ids": list(PUMPS)}}
    replaced = said(
        f"iotc-admin breach replace --group {GROUP} --primary new_cert.pem --yes", tmp_path, environment
    )
    assert (replaced["replaced"], replaced["shut"]) == (True, True)
    assert [each["sha1Thumbprint"] for each in replaced["slots"]] == [verified(new)[0]]
    line = f"iotc-admin breach release --group {GROUP} --enable-group --all --pause 0 --yes"
    plan = said(f"{line} --dry-run", tmp_path, environment, 3)
    assert (plan["waves"], len(plan["steps"])) == (1, 4)
    assert said(line, tmp_path, environment)["open"] is False
    report = said(f"iotc-admin breach report --group {GROUP}", tmp_path, environment)
    assert report["devices"] == {"released": {"count": 3, "ids": list(PUMPS)}}
    assert all(each["time"].endswith("Z") and each["actor"] for each in report["timeline"])


@pytest.mark.usefixtures("old")
def test_the_report_is_markdown_and_what_comes_from_elsewhere_is_no_markup(
    tmp_path: Path, environment: Environment
) -> None:
    line = f"iotc-admin breach contain --group {GROUP} --yes"
    shell(line, tmp_path, {**environment, "USER": "eve|<b>", "LOGNAME": "eve|<b>"})

    done = shell(f"iotc-admin breach report --group {GROUP}", tmp_path, environment)

    assert done.returncode == 3
    lines = done.stdout.splitlines()
    assert lines[0] == f"# Breach of group {GROUP}"
    assert [each for each in lines if each.startswith("## ")] == [
        "## Time line", "## Suspect certificates", "## In the slots now", "## Devices"
    ]  # fmt: skip
    assert "eve\\|\\<b\\>" in done.stdout
    assert "eve|" not in done.stdout


@pytest.mark.usefixtures("old")
def test_one_device_is_no_devices(tmp_path: Path, environment: Environment) -> None:
    (tmp_path / "one.txt").write_text(f"{PUMPS[0]}\n")
    shell(f"{CONTAIN} --devices one.txt", tmp_path, environment)

    done = shell(f"iotc-admin breach report --group {GROUP}", tmp_path, environment)

    assert "| devices blocked: 1 device |" in done.stdout


@pytest.mark.usefixtures("old")
def test_without_a_terminal_nothing_is_asked_and_nothing_done(
    tmp_path: Path, environment: Environment, emulator: Emulator
) -> None:
    emulator.control.clear_requests()

    done = shell(f"iotc-admin breach contain --group {GROUP}", tmp_path, environment)

    assert (done.returncode, "disable group plant-7 and block 3 devices?" in done.stderr) == (1, True)
    assert "3 devices to block: about 1 s" in done.stderr
    assert writes(emulator) == []


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("contain", "give either --group or --device"),
        ("contain --group a --device b", "give either --group or --device"),
        ("contain --device b --devices x.txt", "--devices goes with --group"),
        ("replace --group a", "give --primary, --secondary or both"),
        ("release --group a", "nothing is released unasked"),
        ("release --group a --all --devices x.txt", "give either --devices or --all"),
        ("release --device a --enable-group", "go with --group"),
        ("release --group a --all --false-alarm ' '", "needs a reason"),
        ("release --group a --all --wave 0", "wave"),
        ("report", "give either --group or --device"),
    ],
)
def test_wrong_usage_is_told_before_any_request(
    line: str, why: str, tmp_path: Path, environment: Environment, emulator: Emulator
) -> None:
    done = shell(f"iotc-admin breach {line}", tmp_path, environment)

    assert (done.returncode, why in done.stderr) == (2, True), done.stderr
    assert emulator.control.requests == ()


@pytest.mark.usefixtures("old")
@pytest.mark.parametrize("content", ["", "\ufeffdevice_id\r\n", "\n \n"])
def test_a_list_that_names_nobody_is_told(tmp_path: Path, environment: Environment, content: str) -> None:
    (tmp_path / "none.txt").write_text(content)

    done = shell(f"{CONTAIN} --devices none.txt", tmp_path, environment)
    assert (done.returncode, "warning: none.txt names no device" in done.stderr) == (0, True), done.stderr
    line = f"iotc-admin breach release --group {GROUP} --devices none.txt --false-alarm drill --yes"
    done = shell(line, tmp_path, environment)
    assert (done.returncode, "warning: none.txt names no device" in done.stderr) == (0, True), done.stderr


@pytest.mark.usefixtures("old")
def test_devices_that_are_not_there_or_may_be_another_group_s_wait_for_a_person(
    tmp_path: Path, environment: Environment, emulator: Emulator, client: Client,
    other_ca: CertificateAuthority,
) -> None:  # fmt: skip
    (tmp_path / "risky.csv").write_text("device_id,why\r\npump-2,stolen\r\nghost,typo\r\n")

    done = shell(f"{CONTAIN} --devices risky.csv", tmp_path, environment)

    assert (done.returncode, "there is no such device: ghost" in done.stderr) == (3, True)
    assert blocked(client) == ["pump-2"]
    enroll_group(client, "plant-8", primary=other_ca)
    arrive(emulator, other_ca, "stranger")
    done = shell(CONTAIN, tmp_path, environment)
    assert (done.returncode, "1 device may come from another group" in done.stderr) == (3, True)
    assert blocked(client) == list(PUMPS)


@pytest.mark.usefixtures("old")
def test_partly_done_is_exit_4_and_a_repeat_does_the_rest(
    tmp_path: Path, environment: Environment, emulator: Emulator, client: Client
) -> None:
    emulator.control.fault(Fault(match="PATCH /api/devices/pump-3", status=403, times=9))

    error = said(CONTAIN, tmp_path, environment, 4)["error"]

    assert error["kind"] == "RunIncomplete"
    assert "2 of 3 devices are blocked, the others wait" in error["message"]
    emulator.control.clear_faults()
    assert said(CONTAIN, tmp_path, environment)["devices"]["blocked"]["count"] == 3


@pytest.mark.usefixtures("old")
def test_without_the_ca_s_key_the_code_and_the_next_command_are_told(
    tmp_path: Path, environment: Environment, client: Client, new: CertificateAuthority
) -> None:
    (tmp_path / "new_key.pem").rename(tmp_path / "elsewhere.pem")
    shell(CONTAIN, tmp_path, environment)

    done = shell(
        f"iotc-admin breach replace --group {GROUP} --primary new_cert.pem --yes", tmp_path, environment
    )

    assert done.returncode == 3
    assert f"iotc-admin group verify {GROUP} --slot primary" in done.stderr
    assert slots(client) == {P: (verified(new)[0], False), S: None}
    line = f"iotc-admin group verify {GROUP} --slot primary --key elsewhere.pem"
    assert shell(line, tmp_path, environment).returncode == 0
    assert not looked(client).enabled


@pytest.mark.usefixtures("old")
def test_interrupted_between_two_waves_the_way_on_is_told(
    tmp_path: Path, environment: Environment, client: Client
) -> None:
    shell(CONTAIN, tmp_path, environment)
    line = (
        f"iotc-admin breach release --group {GROUP} --all --false-alarm drill --wave 1 --pause 86400"
        " --yes -o json"
    )
    with subprocess.Popen(
        line.split(), cwd=tmp_path, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stderr is not None
        assert any("1 of 3 devices unblocked" in said for said in process.stderr)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=30)

    assert (process.returncode, json.loads(out)["error"]["kind"]) == (130, "Interrupted")
    assert err == "error: interrupted\nhint: repeat: what is done is not done again\n"
    assert blocked(client) == ["pump-2", "pump-3"]


@pytest.mark.usefixtures("old")
@pytest.mark.parametrize("passed", [6, 8, 9, 10])
def test_killed_for_real_and_repeated_all_are_blocked(
    tmp_path: Path, environment: Environment, emulator: Emulator, client: Client, passed: int
) -> None:
    client.devices.create("bystander", Device(enabled=False))
    emulator.control.clear_requests()
    # The work is done, the answer is on its way: the command waits for it when it is killed.
    emulator.control.fault(Fault(kind="delay", delay=30, skip=passed - 1, times=99))
    with subprocess.Popen(
        CONTAIN.split(), cwd=tmp_path, env=environment, stdout=subprocess.DEVNULL
    ) as process:
        while len(emulator.control.requests) < passed:
            time.sleep(0.01)
        process.kill()
    emulator.control.clear_faults()

    report = said(CONTAIN, tmp_path, environment)

    assert report["devices"] == {"blocked": {"count": 3, "ids": list(PUMPS)}}
    assert not looked(client).enabled


@pytest.mark.usefixtures("old")
def test_a_token_that_ends_midway_leaves_what_is_done_and_says_so(
    tmp_path: Path, environment: Environment, emulator: Emulator, client: Client
) -> None:
    emulator.control.fault(Fault(match="Devices_Update", status=401, skip=1, times=99))

    done = shell(CONTAIN, tmp_path, environment)

    assert (done.returncode, "1 of 3 devices are blocked, the others wait" in done.stderr) == (4, True)
    assert "then repeat the command" in done.stderr
    emulator.control.clear_faults()
    shell(CONTAIN, tmp_path, environment)
    assert blocked(client) == list(PUMPS)
