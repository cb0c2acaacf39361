"""A device's side of TLS and MQTT 3.1.1, as little of it as a load needs.

Hand-written, so that it costs less than the server: it is the server that is measured.
"""

from __future__ import annotations

import asyncio
import os
import ssl
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

CONNACK, PUBLISH, PUBACK, SUBACK = 2, 3, 4, 9
DISCONNECT = b"\xe0\x00"

_CONNECT, _SUBSCRIBE = b"\x10", b"\x82"
_CLEAN_SESSION_AND_USERNAME = 0x82
_KEEP_ALIVE = 60
_MORE = 0x80
_LANES = 16

Stream = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@dataclass(frozen=True)
class Device:
    """A device with the certificate that was issued beforehand."""

    name: str
    tls: ssl.SSLContext

    @classmethod
    def load(cls, folder: Path, name: str) -> Device:
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        tls.load_verify_locations(os.environ["IOTC_CA_FILE"])
        tls.load_cert_chain(folder / f"{name}_fullchain.pem", folder / f"{name}_key.pem")
        return cls(name, tls)

    async def connect(self, port: int) -> Stream:
        """A new connection, and a whole handshake for it."""
        return await asyncio.open_connection("127.0.0.1", port, ssl=self.tls, server_hostname="localhost")

    async def connect_mqtt(self, port: int, username: str) -> Stream:
        """The same, and CONNECT accepted."""
        reader, writer = await self.connect(port)
        writer.write(_connect(self.name, username))
        kind, body = await packet(reader)
        if (kind, body[1:]) != (CONNACK, b"\0"):
            raise RuntimeError(f"{self.name} may not connect: {kind} {body!r}")
        return reader, writer


def load_devices(folder: Path, first: int, count: int) -> list[Device]:
    return [Device.load(folder, f"device-{number}") for number in range(first, first + count)]


async def in_lanes(devices: Iterable[Device], work: Callable[[Device], Awaitable[None]]) -> None:
    """The work for each of the devices, for some of them at a time."""
    waiting = iter(devices)

    async def lane() -> None:
        for device in waiting:
            await work(device)

    await asyncio.gather(*(lane() for _ in range(_LANES)))


async def packet(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    """The kind of the next packet, and what follows its header."""
    first, digit = await reader.readexactly(2)
    length, shift = digit & ~_MORE, 7
    while digit & _MORE:
        (digit,) = await reader.readexactly(1)
        length |= (digit & ~_MORE) << shift
        shift += 7
    return first >> 4, await reader.readexactly(length)


def subscribe(topic_filter: str) -> bytes:
    return _framed(_SUBSCRIBE, b"\0\1" + _text(topic_filter) + b"\1")


def _connect(client_id: str, username: str) -> bytes:
    head = b"\x00\x04MQTT\x04" + bytes((_CLEAN_SESSION_AND_USERNAME,)) + _KEEP_ALIVE.to_bytes(2)
    return _framed(_CONNECT, head + _text(client_id) + _text(username))


def _text(value: str) -> bytes:
    return len(value.encode()).to_bytes(2) + value.encode()


def _framed(first: bytes, body: bytes) -> bytes:
    high, low = divmod(len(body), _MORE)
    return first + (bytes((low | _MORE, high)) if high else bytes((low,))) + body
