"""One emulator per test, and a CA for all of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from iotc_admin.emulator import Emulator
from tests.emulator.world import App, Authority, authority

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@pytest.fixture
def app() -> Iterator[App]:
    with Emulator(throttle="off") as emulator:
        yield App(emulator)


@pytest.fixture
def started() -> Iterator[Callable[..., App]]:
    """Starts emulators with settings of the test's own; stops them after it."""
    running: list[Emulator] = []

    def start(**settings: object) -> App:
        emulator = Emulator(**{"throttle": "off", **settings})  # type: ignore[arg-type]
        running.append(emulator.start())
        return App(emulator)

    yield start
    for emulator in running:
        emulator.stop()


@pytest.fixture(scope="session")
def root() -> Authority:
    return authority("Plant 7 Root")


@pytest.fixture(scope="session")
def other() -> Authority:
    return authority("Other Root")
