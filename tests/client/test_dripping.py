"""A server that never comes to an end, a byte at a time: headers, provisional answers, bodies."""

from __future__ import annotations

import asyncio
import ssl
from pathlib import Path
from typing import Any

import httpx
import pytest

from iotc_admin import AnswerLost, AsyncClient, Pacer
from iotc_admin.client._application import trust

from ..device.standin import Reply, StandIn
from .test_retry import TOKEN

DRIPS = pytest.mark.parametrize(
    ("start", "drop"),
    [
        (b"HTTP/1.1 200 OK\r\nX-Drip: ", b"x"),
        (b"", b"HTTP/1.1 102 Processing\r\n\r\n"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 99999\r\n\r\n", b"x"),
    ],
)


def hurried(context: ssl.SSLContext) -> ssl.SSLContext:
    """The same, with half a second instead of a minute and a half."""
    context.sslsocket_class = type("Hurried", (context.sslsocket_class,), {"longest": 0.5})
    return context


@DRIPS
def test_it_is_given_up(tmp_path: Path, start: bytes, drop: bytes) -> None:
    with (
        StandIn(tmp_path, [Reply(raw=start, drip=drop)], None) as server,
        httpx.Client(verify=hurried(trust(server.ca_file))) as http,
        pytest.raises(httpx.ReadTimeout, match="took longer than"),
    ):
        http.get(f"https://localhost:{server.port}/")


@DRIPS
def test_it_is_given_up_when_awaited_too(tmp_path: Path, start: bytes, drop: bytes) -> None:
    async def ask(server: StandIn) -> None:
        app = f"https://localhost:{server.port}"
        pacer = Pacer(app, ahead=1000, window=0)
        async with AsyncClient(app, TOKEN, ca_file=server.ca_file, attempts=1, pacer=pacer) as client:
            driver: Any = client.enrollment_groups._driver
            driver.longest = 0.5
            await client.enrollment_groups.get("g")

    with (
        StandIn(tmp_path, [Reply(raw=start, drip=drop)], None) as server,
        pytest.raises(AnswerLost, match="no answer in time"),
    ):
        asyncio.run(ask(server))
