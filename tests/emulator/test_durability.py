"""What was answered survives, whatever ends the process."""

from __future__ import annotations

import json
import os
import random
import signal
import ssl
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from iotc_admin import ApiToken, CertificateAuthority, Client, Device, workflows
from iotc_admin.device.connect import connect
from iotc_admin.emulator import Emulator
from iotc_admin.errors import IotcError, SettingsError
from tests.emulator.paho_device import PahoDevice, tls
from tests.emulator.world import App, Authority

_CHILD = """
import json, sys, time
from pathlib import Path
from iotc_admin.emulator import Emulator
emulator = Emulator(data_dir=Path(sys.argv[1]), throttle="off", retry_after=0).start()
print(json.dumps([emulator.app, emulator.api_token, str(emulator.ca_file), emulator.id_scope]), flush=True)
time.sleep(600)
"""


def test_a_restart_keeps_everything(tmp_path: Path, root: Authority) -> None:
    with Emulator(data_dir=tmp_path, throttle="off") as emulator:
        app = App(emulator)
        slot = f"{app.group('plant-7', root.certificate)}/certificates/primary"
        code = app.code(slot)
        app.put("/devices/d", {})
        app.emulator.control.advance(timedelta(days=10))
        now, token, scope = emulator.control.now(), emulator.api_token, emulator.id_scope
        ca, keys = emulator.ca_file.read_bytes(), app.get("/devices/d/credentials").json
    with Emulator(data_dir=tmp_path, throttle="off") as emulator:
        app = App(emulator)
        assert emulator.api_token == token
        assert emulator.id_scope == scope
        assert emulator.ca_file.read_bytes() == ca
        assert timedelta() <= emulator.control.now() - now < timedelta(minutes=1)
        assert app.get("/devices/d/credentials").json == keys
        emulator.control.advance(timedelta(days=-10))
        assert app.verify(slot, root.sign(code)).status == 204


def test_without_a_directory_all_is_forgotten() -> None:
    emulator = Emulator(throttle="off")
    with emulator:
        App(emulator).put("/devices/d", {})
        token = emulator.api_token
    with emulator:
        assert App(emulator).get("/devices/d").status == 404
        assert emulator.api_token != token


def test_registrations_survive_kill_minus_nine(tmp_path: Path) -> None:
    ca = CertificateAuthority.create("plant7", now=datetime.now(UTC))
    pumps = [ca.issue(f"pump-{number}", now=datetime.now(UTC)) for number in range(20)]
    child, (app, token, ca_file, _) = _start(tmp_path)
    with Client(app, ApiToken(token), ca_file=Path(ca_file)) as client:
        workflows.enroll_group(client, "plant-7", primary=ca)
        client.devices.create("first", Device())
        scope = client.devices.get_credentials("first").id_scope
    done = []

    def register(number: int) -> None:
        host = app.removeprefix("https://")
        try:
            connect(
                pumps[number],
                id_scope=scope,
                dps_host=host,
                ca_file=Path(ca_file),
                telemetry=[{"count": number}],
                sleep=lambda _: None,
            )
        except IotcError:
            return
        done.append(number)

    with ThreadPoolExecutor(4) as pool:
        waiting = [pool.submit(register, number) for number in range(20)]
        while len(done) < 5:
            time.sleep(0.01)
        os.kill(child.pid, signal.SIGKILL)
        child.wait()
        _ = [each.result() for each in waiting]
    child.stdout.close() if child.stdout else None
    with Emulator(data_dir=tmp_path, throttle="off") as emulator:
        application = App(emulator)
        for number in done:
            assert application.get(f"/devices/pump-{number}").json["provisioned"] is True
            assert application.get(f"/devices/pump-{number}/telemetry/count").json["value"] == number
            context = tls(emulator, pumps[number], tmp_path)
            again = PahoDevice(emulator, context, f"pump-{number}")
            assert again.connected
            again.close()


def test_a_directory_is_for_one_emulator_at_a_time(tmp_path: Path) -> None:
    with Emulator(data_dir=tmp_path), pytest.raises(SettingsError) as refusal:
        Emulator(data_dir=tmp_path).start()
    assert "another emulator" in refusal.value.hint


def _start(directory: Path) -> tuple[subprocess.Popen[str], Any]:
    source = Path(__file__).parents[2]
    child = subprocess.Popen(
        [sys.executable, "-c", _CHILD, str(directory)],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(source)},
    )
    assert child.stdout is not None
    return child, json.loads(child.stdout.readline())


def _write_until_death(ready: Any, worker: str) -> list[str]:
    app, token, ca_file, _ = ready
    written = []
    with httpx.Client(
        base_url=f"{app}/api",
        verify=ssl.create_default_context(cafile=ca_file),
        headers={"authorization": token},
        params={"api-version": "2022-07-31"},
    ) as http:
        for number in range(100_000):
            try:
                if http.put(f"/devices/{worker}-{number}", json={}).status_code == 200:
                    written.append(f"{worker}-{number}")
            except httpx.TransportError:
                break
    return written


def test_kill_nine_at_any_moment_loses_nothing_that_was_answered(tmp_path: Path) -> None:
    chance = random.Random(2026)
    written: list[str] = []
    identities = set()
    for turn in range(3):
        child, ready = _start(tmp_path)
        identities.add(tuple(ready[1:]))
        with ThreadPoolExecutor(3) as pool:
            workers = [pool.submit(_write_until_death, ready, f"t{turn}w{n}") for n in range(3)]
            time.sleep(chance.uniform(0.2, 0.8))
            child.send_signal(signal.SIGKILL)
            child.communicate()
            for worker in workers:
                written += worker.result()
    assert len(identities) == 1
    assert len(written) > 50
    with Emulator(data_dir=tmp_path, throttle="off") as emulator:
        app = App(emulator)
        assert emulator.api_token == identities.pop()[0]
        lost = [device for device in written if app.get(f"/devices/{device}").status != 200]
    assert lost == []
