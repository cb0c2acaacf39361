"""For other people's tests: `-p iotc_admin.emulator.pytest_plugin` brings the fixture `iotc_emulator`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from iotc_admin.emulator import Emulator

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def iotc_emulator() -> Iterator[Emulator]:
    """A fresh application without a throttle; it forgets everything after the test."""
    with Emulator(throttle="off") as emulator:
        yield emulator
