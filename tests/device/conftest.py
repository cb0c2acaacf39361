"""A device, its CA, and a stand-in for DPS and hub."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from datetime import datetime
from pathlib import Path

import pytest

from iotc_admin import CertificateAuthority, DeviceIdentity
from tests.device.standin import MqttStandIn, Reply, StandIn


@pytest.fixture
def device(ca: CertificateAuthority, now: datetime) -> DeviceIdentity:
    """A device below an intermediate: its chain has to be sent."""
    return ca.issue_intermediate("line3", now=now).issue("pump-042", now=now)


@pytest.fixture
def serving(tmp_path: Path, ca: CertificateAuthority) -> Iterator[Callable[..., StandIn]]:
    with ExitStack() as stack:

        def serve(*replies: Reply) -> StandIn:
            return stack.enter_context(StandIn(tmp_path, replies, ca))

        yield serve


@pytest.fixture
def mqtt_serving(tmp_path: Path, ca: CertificateAuthority) -> Iterator[Callable[..., MqttStandIn]]:
    with ExitStack() as stack:

        def serve(*answers: bytes | None) -> MqttStandIn:
            return stack.enter_context(MqttStandIn(tmp_path, answers, ca))

        yield serve


@pytest.fixture
def refusing_proxy() -> Iterator[Callable[[], tuple[int, list[bytes]]]]:
    """A proxy that asks everybody for a password; its port, and what it heard."""
    heard: list[bytes] = []
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        with suppress(OSError):
            while True:
                connection, _ = listener.accept()
                with connection:
                    heard.append(connection.recv(4096))
                    connection.sendall(b"HTTP/1.1 407 Password\r\nContent-Length: 0\r\n\r\n")

    thread = threading.Thread(target=serve)
    thread.start()
    yield lambda: (listener.getsockname()[1], heard)
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()
    thread.join(10)
