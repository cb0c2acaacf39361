from __future__ import annotations

import json
from datetime import timedelta
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any

import pytest

from iotc_admin.emulator import Fault
from iotc_admin.emulator.faults import Throttle
from iotc_admin.errors import SettingsError
from tests.emulator.world import App

if TYPE_CHECKING:
    from collections.abc import Callable


class Ticks:
    """A clock that stands still until it is told."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_the_window_admits_twenty_in_any_second() -> None:
    ticks = Ticks()
    throttle = Throttle("window", monotonic=ticks)

    assert [throttle.admits() for _ in range(21)] == [True] * 20 + [False]
    ticks.now += 0.99
    assert not throttle.admits()
    ticks.now += 0.01
    assert [throttle.admits() for _ in range(21)] == [True] * 20 + [False]


def test_the_window_slides() -> None:
    ticks = Ticks()
    throttle = Throttle("window", monotonic=ticks)
    for _ in range(20):
        assert throttle.admits()
        ticks.now += 0.04
    assert not throttle.admits()
    ticks.now = 101.0
    assert throttle.admits()
    assert not throttle.admits()


def test_the_bucket_holds_twenty_and_fills_with_twenty_a_second() -> None:
    ticks = Ticks()
    throttle = Throttle("bucket", monotonic=ticks)

    assert [throttle.admits() for _ in range(21)] == [True] * 20 + [False]
    ticks.now += 0.125
    assert [throttle.admits() for _ in range(3)] == [True, True, False]
    ticks.now += 60
    assert [throttle.admits() for _ in range(21)] == [True] * 20 + [False]


def test_no_throttle_admits_everything() -> None:
    throttle = Throttle("off", monotonic=Ticks())

    assert all(throttle.admits() for _ in range(1000))


@pytest.mark.parametrize("kind", ["window", "bucket"])
def test_a_throttled_request_is_refused_with_429(started: Callable[..., App], kind: str) -> None:
    app = started(throttle=kind)
    answers = [app.put(f"/devices/d{n}", {}) for n in range(30)]
    refused = [answer for answer in answers if answer.status == 429]

    assert answers[0].status == 200
    assert refused
    assert refused[0].json["error"]["code"] == "TooManyRequests"
    assert "threshold" in refused[0].message


def test_the_throttle_is_on_by_default() -> None:
    from iotc_admin.emulator import Emulator

    with Emulator() as emulator:
        assert emulator.control.state()["throttle"] == "window"


def test_a_status_fault_hits_once_and_does_no_work(app: App) -> None:
    app.emulator.control.fault(status=503)

    assert app.put("/devices/d", {}).status == 503
    assert app.get("/devices/d").status == 404


def test_a_status_fault_may_do_the_work_first(app: App) -> None:
    app.emulator.control.fault(status=500, work=True)

    assert app.put("/devices/d", {}).status == 500
    assert app.get("/devices/d").status == 200


def test_a_fault_waits_for_its_operation_and_skips_and_counts(app: App) -> None:
    app.emulator.control.fault(Fault(match="Devices_Create", skip=1, times=2, status=500))
    statuses = [app.put("/devices/d", {}).status for _ in range(5)]

    assert app.get("/devices").status == 200
    assert statuses == [200, 500, 500, 200, 200]


def test_a_fault_may_match_method_and_path(app: App) -> None:
    app.emulator.control.fault(match="GET /api/devices/b", times=9, status=500)
    app.put("/devices/a", {})

    assert app.get("/devices/a").status == 200
    assert app.get("/devices/b").status == 500
    app.emulator.control.clear_faults()
    assert app.get("/devices/b").status == 404


def test_an_answer_can_be_html_or_empty_or_a_redirect(app: App) -> None:
    control = app.emulator.control
    for kind in ("html", "empty", "redirect"):
        control.fault(kind=kind)
    html, empty, redirect = (app.get("/devices") for _ in range(3))

    assert (html.status, html.headers["content-type"]) == (502, "text/html")
    assert b"<html>" in html.body
    assert (empty.status, empty.body) == (200, b"")
    assert redirect.status == 302
    assert redirect.headers["location"].startswith("https://")


def test_a_reset_comes_before_the_work_and_a_lost_answer_after_it(app: App) -> None:
    control = app.emulator.control
    control.fault(kind="reset")
    with pytest.raises(ConnectionResetError):
        app.put("/devices/d", {})
    assert app.get("/devices/d").status == 404
    control.fault(kind="lose-answer")
    with pytest.raises(ConnectionResetError):
        app.put("/devices/d", {})
    assert app.get("/devices/d").status == 200
    assert [served.status for served in control.requests] == [0, 404, 0, 200]


def test_random_faults_repeat_with_their_seed(started: Callable[..., App]) -> None:
    def run(seed: int) -> list[str]:
        app, fates = started(fault_rate=0.5, seed=seed), []
        for _ in range(40):
            try:
                fates.append(f"{app.get('/devices').status}")
            except ConnectionResetError:
                fates.append("reset")
        assert app.emulator.seed == seed
        assert app.emulator.control.state()["seed"] == seed
        return fates

    assert run(7) == run(7) != run(8)
    assert 5 < run(7).count("200") < 40


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("reset", Fault(kind="reset")),
        ("status,status=503,times=3,skip=1", Fault(status=503, times=3, skip=1)),
        ("delay,delay=0.5,match=Devices_List", Fault(kind="delay", delay=0.5, match="Devices_List")),
    ],
)
def test_a_fault_can_be_written_in_one_word(text: str, fault: Fault) -> None:
    assert Fault.parse(text) == fault


@pytest.mark.parametrize("text", ["", "explode", "reset,colour=red", "status,status=many", "reset,times=0"])
def test_what_is_no_fault_is_refused(text: str) -> None:
    with pytest.raises(SettingsError):
        Fault.parse(text)


def test_a_moved_clock_shows_in_errors_and_dates(app: App) -> None:
    app.emulator.control.advance(timedelta(days=400))
    answer = app.get("/devices/nobody")
    date = parsedate_to_datetime(answer.headers["date"])

    assert date == parsedate_to_datetime(answer.json["error"]["time"])
    assert abs(date - app.emulator.control.now()) < timedelta(seconds=5)


def test_a_skewed_date_moves_nothing_else(app: App) -> None:
    app.emulator.control.skew_date(timedelta(hours=3))
    answer = app.get("/devices/nobody")
    told = parsedate_to_datetime(answer.headers["date"])

    skew = told - parsedate_to_datetime(answer.json["error"]["time"])
    assert timedelta(hours=2, minutes=59) < skew < timedelta(hours=3, minutes=1)


def test_the_journal_names_what_was_served(app: App) -> None:
    app.put("/devices/d", {})
    app.get("/nothing")
    served: list[Any] = list(app.emulator.control.requests)

    assert [(s.operation, s.method, s.path, s.status) for s in served] == [
        ("Devices_Create", "PUT", "/api/devices/d", 200),
        ("", "GET", "/api/nothing", 404),
    ]
    app.emulator.control.clear_requests()
    assert app.emulator.control.requests == ()
    assert json.dumps(app.emulator.control.state())
