"""Ports that only one test at a time can have, and the environments that scripts/outsiders makes."""

from __future__ import annotations

import fcntl
import os
import socket
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from iotc_admin.emulator import Emulator

from .world import Needed, World

BUILT = Path(__file__).parents[2] / ".build"
# All that use one of these ports take turns; longer than every one of them together.
_TURN = 300
# Another test's `emulator run` may be there for a moment.
_LEAVING = 10


def made(name: str) -> Path:
    """Where scripts/outsiders put an environment; without it the test is skipped, and says why."""
    home, reason = BUILT / name, BUILT / f"{name}.absent"
    if not (home / "made").exists():
        told = reason.read_text(encoding="utf-8").strip() if reason.exists() else "run scripts/outsiders"
        pytest.skip(f"there is no .build/{name}: {told}")
    return home


@pytest.fixture(scope="session")
def python_sdk() -> Needed:
    python = made("azure-sdk") / "bin" / "python"
    return Needed([str(python), str(Path(__file__).with_name("python_device.py"))], {})


@pytest.fixture(scope="session")
def node_sdk() -> Needed:
    modules = made("node-sdk") / "node_modules"
    program = str(Path(__file__).with_name("node_device.js"))
    return Needed(["node", program], {"NODE_PATH": str(modules)})


@contextmanager
def alone_on(port: int) -> Iterator[None]:
    """Waits for its turn among this user's tests; then the port is free, or a stranger's, or not allowed."""
    path = Path(tempfile.gettempdir()) / f"iotc-admin-{os.getuid()}-port-{port}.lock"
    with path.open("w", encoding="utf-8") as held:
        _wait_for(lambda: _locked(held.fileno()), _TURN, f"other tests kept port {port} for {_TURN} s")
        taken = f"the SDKs know no port but {port}, and another program has it"
        _wait_for(lambda: _free(port), _LEAVING, taken)
        yield


def _wait_for(done: Callable[[], bool], seconds: int, otherwise: str) -> None:
    patience = time.monotonic() + seconds
    while not done():
        if time.monotonic() > patience:
            pytest.fail(otherwise)
        time.sleep(0.1)


def _locked(file: int) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _free(port: int) -> bool:
    with socket.socket() as probe:
        # As the emulator does it: connections that were just closed are no obstacle.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except PermissionError:
            pytest.skip(f"only root may listen on port {port}, and the SDK knows no other")
        except OSError:
            return False
    return True


@pytest.fixture(scope="module")
def mqtt_world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """An application on the MQTT port that is fixed in the SDK for Python."""
    with alone_on(8883), Emulator(throttle="off", mqtt_port=8883, retry_after=1) as emulator:
        yield from World.of(emulator, tmp_path_factory.mktemp("device"))


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """An application on free ports."""
    with Emulator(throttle="off", retry_after=1) as emulator:
        yield from World.of(emulator, tmp_path_factory.mktemp("device"))


@pytest.fixture(scope="module")
def https_world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """An application on the HTTPS port that is fixed in the SDK for Node."""
    with alone_on(443), Emulator(throttle="off", port=443, retry_after=1) as emulator:
        yield from World.of(emulator, tmp_path_factory.mktemp("device"))
