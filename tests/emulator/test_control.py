"""The control listener, over HTTP."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import httpx
import pytest

from tests.emulator.world import App


def test_the_clock_moves_by_http(app: App) -> None:
    url = app.emulator.control_url

    moved = httpx.post(f"{url}/clock", json={"set": "2031-05-01T12:00:00Z"})
    assert moved.status_code == 200
    assert moved.json()["now"].startswith("2031-05-01T12:00")
    httpx.post(f"{url}/clock", json={"advance": 86400})
    assert app.emulator.control.now() - datetime(2031, 5, 2, 12, tzinfo=UTC) < timedelta(minutes=1)
    httpx.post(f"{url}/clock", json={"date_skew": -3600})
    assert "11:0" in app.get("/devices").headers["date"]


@pytest.mark.parametrize("body", ["{", "[]", '{"advance": 1e300}', '{"advance": 1e12}', '{"colour": 1}'])
def test_a_clock_that_cannot_be_is_refused(app: App, body: str) -> None:
    before = app.emulator.control.now()

    assert httpx.post(f"{app.emulator.control_url}/clock", content=body).status_code == 400
    assert app.emulator.control.now() - before < timedelta(minutes=1)


def test_faults_come_and_go_by_http(app: App) -> None:
    url = f"{app.emulator.control_url}/faults"

    assert httpx.post(url, json={"kind": "status", "status": 503, "times": 5}).status_code == 204
    assert app.get("/devices").status == 503
    assert httpx.get(f"{app.emulator.control_url}/state").json()["faults"][0]["times"] == 4
    assert httpx.delete(url).status_code == 204
    assert app.get("/devices").status == 200
    assert httpx.post(url, json={"kind": "explode"}).status_code == 400


def test_the_journal_can_be_read_and_cleared_by_http(app: App) -> None:
    url = f"{app.emulator.control_url}/requests"
    app.get("/devices")

    served = {"operation": "Devices_List", "method": "GET", "path": "/api/devices", "status": 200}
    assert httpx.get(url).json() == [served]
    assert httpx.delete(url).status_code == 204
    assert httpx.get(url).json() == []


def test_the_state_is_a_summary_without_secrets(app: App) -> None:
    app.group("plant-7")
    answer = httpx.get(f"{app.emulator.control_url}/state")

    assert answer.json()["counts"]["enrollment group"] == 3
    assert "SharedAccessSignature" not in answer.text
    assert app.emulator.control_url.rpartition("/")[2] not in answer.text


def test_whoever_does_not_know_the_secret_finds_nothing(app: App) -> None:
    origin, _, secret = app.emulator.control_url.rpartition("/")

    assert len(secret) == 32
    wrong = ("", "/", "/state", f"/{secret[:-1]}/state", f"/{secret}x/state", f"/{secret}/nothing")
    for path in (*wrong, f"/{secret}"):
        assert httpx.get(f"{origin}{path}").status_code == 404
    assert httpx.put(f"{origin}/{secret}/clock").status_code == 404
    assert httpx.get(f"{app.emulator.app}/{secret}/state", verify=False).status_code == 404


def test_control_is_on_loopback_only(app: App) -> None:
    assert app.emulator.control_url.startswith("http://127.0.0.1:")
