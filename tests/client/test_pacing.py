"""The pace: one queue for all processes of a user, faster with success, slower with refusals."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from iotc_admin import Pacer
from iotc_admin.client.pacing import CEILING


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def paces(pacer: Pacer, times: int) -> list[float]:
    return [round(pacer.take(), 3) for _ in range(times)]


def test_the_first_ten_requests_do_not_wait_the_rest_keep_their_distance(clock: Clock) -> None:
    pacer = Pacer("a", clock=clock)

    waits = paces(pacer, 60)

    assert waits[:10] == [0.0] * 10
    assert waits[15] == pytest.approx(15 / CEILING - 0.5, abs=0.001)


def test_no_second_ever_holds_more_than_twenty_whatever_ran_ahead(clock: Clock) -> None:
    pacer = Pacer("a", clock=clock)

    places = paces(pacer, 200)

    assert all(later - earlier > 1 for earlier, later in zip(places, places[20:], strict=False))
    assert places[-1] < 200 / 19


def test_an_idle_second_is_not_saved_up(clock: Clock) -> None:
    pacer = Pacer("a", ahead=0, clock=clock)
    pacer.take()
    clock.now += 100

    assert paces(pacer, 2) == [0.0, pytest.approx(1 / CEILING, abs=0.001)]
    pacer.close()


def test_two_processes_stand_in_one_queue_two_applications_in_two(tmp_path: Path, clock: Clock) -> None:
    file = tmp_path / "folder" / "pace.db"
    one, two = (Pacer("a", file=file, ahead=0, clock=clock) for _ in range(2))
    other = Pacer("b", file=file, ahead=0, clock=clock)

    assert [one.take(), two.take(), one.take()] == pytest.approx([0, 1 / CEILING, 2 / CEILING])
    assert other.take() == 0
    for pacer in (one, two, other):
        pacer.close()


def test_a_refusal_cuts_the_rate_once_a_second_and_success_raises_it_again(clock: Clock) -> None:
    pacer = Pacer("a", ceiling=10, ahead=0, clock=clock)

    def distance() -> float:
        first = pacer.take()
        return pacer.take() - first

    for _ in range(5):
        pacer.was_refused()
    assert distance() == pytest.approx(1 / 8)
    clock.now += 1
    pacer.was_refused()
    assert distance() == pytest.approx(1 / 6.4)
    for _ in range(1000):
        pacer.went_well()
    assert distance() == pytest.approx(1 / 10)
    pacer.close()


def test_a_place_left_by_a_clock_that_was_wrong_is_forgotten(clock: Clock) -> None:
    pacer = Pacer("a", ahead=0, clock=clock)
    clock.now += 10**8
    pacer.take()
    clock.now -= 10**8

    assert pacer.take() == 0
    pacer.close()


def test_a_file_that_cannot_be_used_paces_this_process_alone(tmp_path: Path, clock: Clock) -> None:
    (tmp_path / "pace.db").write_bytes(b"not a database" * 100)

    pacer = Pacer("a", file=tmp_path / "pace.db", ahead=0, clock=clock)

    assert paces(pacer, 2) == [0.0, pytest.approx(1 / CEILING, abs=0.001)]
    pacer.close()


def test_a_database_that_is_locked_for_long_holds_nobody_up_for_ever(tmp_path: Path, clock: Clock) -> None:
    file = tmp_path / "pace.db"
    pacer = Pacer("a", file=file, clock=clock, patience=0.05)
    blocker = sqlite3.connect(file, isolation_level=None)
    blocker.execute("BEGIN EXCLUSIVE")

    assert pacer.take() == 0

    blocker.execute("ROLLBACK")
    blocker.close()
    pacer.close()
