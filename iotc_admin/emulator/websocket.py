"""Hides WebSocket from the MQTT conversation that runs inside it."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from aiohttp import WSMsgType, web

from iotc_admin.emulator.mqtt import Conversation
from iotc_admin.emulator.packets import LARGEST

if TYPE_CHECKING:
    from iotc_admin.emulator.sessions import Broker

PATH: Final = "/$iothub/websocket"

_SUBPROTOCOL: Final = "mqtt"
_FAREWELL: Final = 1.0
_LARGEST_FRAME: Final = 2 * LARGEST
_BAD_REQUEST: Final = 400


async def serve_websocket(incoming: web.BaseRequest, broker: Broker) -> web.StreamResponse:
    """One MQTT conversation in binary frames, to its end; 400 for a request that asks for anything else."""
    offered = incoming.headers.get("sec-websocket-protocol", "").split(",")
    socket = web.WebSocketResponse(
        protocols=(_SUBPROTOCOL,), timeout=_FAREWELL, compress=False, max_msg_size=_LARGEST_FRAME
    )
    transport = incoming.transport
    # The offer is looked at first: aiohttp would log a warning about a strange one.
    if transport is None or _SUBPROTOCOL not in map(str.strip, offered) or not socket.can_prepare(incoming):
        return web.Response(status=_BAD_REQUEST)
    await socket.prepare(incoming)
    await _converse(socket, transport, broker)
    return socket


async def _converse(socket: web.WebSocketResponse, transport: asyncio.Transport, broker: Broker) -> None:
    frames = _Frames(socket, transport)
    conversation = Conversation(broker, frames)
    carrier = asyncio.create_task(frames.carry())
    try:
        async for message in socket:
            if message.type is not WSMsgType.BINARY:
                break
            conversation.received(message.data)
            await frames.readable.wait()
    finally:
        conversation.lost()
        carrier.cancel()
        await asyncio.wait((carrier,))


class _Frames(asyncio.Transport):
    """A WebSocket in the shape of a transport: what is written leaves in binary frames, in order."""

    def __init__(self, socket: web.WebSocketResponse, transport: asyncio.Transport) -> None:
        super().__init__({"ssl_object": transport.get_extra_info("ssl_object")})
        self._socket = socket
        self._transport = transport
        self._waiting: asyncio.Queue[bytes | None] = asyncio.Queue()
        self._size = 0
        self.readable = asyncio.Event()
        self.readable.set()

    async def carry(self) -> None:
        """Sends what is written, until `close`."""
        with suppress(ConnectionError):
            while (data := await self._waiting.get()) is not None:
                await self._socket.send_bytes(data)
                self._size -= len(data)
            await self._socket.close()

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self._size += len(data)
        self._waiting.put_nowait(bytes(data))

    def get_write_buffer_size(self) -> int:
        return self._size + self._transport.get_write_buffer_size()

    def pause_reading(self) -> None:
        self.readable.clear()

    def resume_reading(self) -> None:
        self.readable.set()

    def close(self) -> None:
        self.readable.set()
        self._waiting.put_nowait(None)

    def abort(self) -> None:
        self.readable.set()
        self._transport.abort()
