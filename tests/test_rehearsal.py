"""A year on the emulator's clock: a correct roll refuses nobody, a breach cuts off exactly whom it should."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

REHEARSAL = Path(__file__).parent.parent / "scripts" / "rehearsal"


@pytest.fixture(scope="module")
def report() -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, REHEARSAL, "--devices", "200", "--json"], capture_output=True, text=True, check=False
    )
    assert done.stdout, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def check(report: dict[str, Any], start: str) -> dict[str, Any]:
    (found,) = [each for each in report["checks"] if each["check"].startswith(start)]
    return dict(found)


def test_everything_came_as_expected(report: dict[str, Any]) -> None:
    assert [each for each in report["checks"] if each["expected"] != each["found"]] == []
    assert report["asExpected"] is True


def test_in_a_correct_roll_no_registration_is_refused(report: dict[str, Any]) -> None:
    rounds = [each for each in report["checks"] if each["check"].startswith("nobody is refused")]

    assert (report["devices"], len(rounds)) == (200, 39)
    assert all(each["found"] == [] for each in rounds)
    assert report["refusedInTheRoll"] == 0
    assert report["registrations"] > 1000


def test_the_old_ca_waits_for_the_laggards_by_name(report: dict[str, Any]) -> None:
    names = [f"pump-{number:03}" for number in range(10)]

    assert check(report, "retiring waits")["found"] == names
    assert check(report, "who came too late")["found"] == names[:3]


def test_in_a_breach_exactly_the_affected_are_cut_off(report: dict[str, Any]) -> None:
    affected = ["intruder", *(f"pump-{number:03}" for number in range(50, 100))]

    assert check(report, "cut off")["found"] == affected
    assert check(report, "back in")["found"] == []
    last = check(report, "whoever has a certificate of the stolen CA")["found"]
    assert last == ["intruder", "pump-000", "pump-001", "pump-002"]
