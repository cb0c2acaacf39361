"""The HTTP door: turns what arrives on sockets into requests, and replies into what leaves."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Final

from aiohttp import web

from iotc_admin.emulator import problems, rest
from iotc_admin.emulator.exchange import Reply, Request
from iotc_admin.emulator.faults import Dropped
from iotc_admin.emulator.handshake import peer_chain
from iotc_admin.emulator.websocket import PATH as WEBSOCKET
from iotc_admin.emulator.websocket import serve_websocket

if TYPE_CHECKING:
    import ssl

    from iotc_admin.emulator.service import Service
    from iotc_admin.emulator.sessions import Broker

Serve = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]

_BACKLOG: Final = 2048


class Door:
    """One listener. `port` is the real one once it is open."""

    def __init__(self, serve: Serve) -> None:
        self._serve = serve
        self._runner: web.ServerRunner | None = None
        self.port = 0

    async def open(self, host: str, port: int, tls: ssl.SSLContext | None = None) -> None:
        """Listen; OSError if the port is taken."""
        quiet = logging.getLogger(f"{__name__}.garbage")  # what strangers send is no news
        quiet.setLevel(logging.CRITICAL)
        server = web.Server(self._serve, access_log=None, logger=quiet)
        runner = self._runner = web.ServerRunner(server, shutdown_timeout=0.5)
        await runner.setup()
        await web.TCPSite(runner, host, port, ssl_context=tls, backlog=_BACKLOG).start()
        self.port = runner.addresses[0][1]

    async def close(self) -> None:
        if self._runner is None:
            return
        server = self._runner.server
        connections = [] if server is None else [each.transport for each in server.connections]
        await self._runner.cleanup()
        # A TLS connection waits half a minute for the peer's farewell; some peers are gone without one.
        for transport in connections:
            if transport is not None:
                transport.abort()
        await asyncio.sleep(0)


def front(service: Service, broker: Broker) -> Serve:
    """What the public listener serves: REST, provisioning, telemetry, and MQTT inside WebSocket."""

    async def serve(incoming: web.BaseRequest) -> web.StreamResponse:
        if incoming.path == WEBSOCKET:
            return await serve_websocket(incoming, broker)
        try:
            request = await read(incoming)
            # The work takes a millisecond at most: a thread for it would cost more than it saves. Except
            # where a device is asked, who answers through this very loop.
            waits = rest.waits(request)
            reply = await asyncio.to_thread(service.answer, request) if waits else service.answer(request)
        except web.HTTPRequestEntityTooLarge:
            reply = problems.too_large(rest.LARGEST_BODY).reply(service.state.clock.now())
        except Dropped:
            return _hang_up(incoming)
        if reply.delay:
            await asyncio.sleep(reply.delay)
        if reply.cut_short:
            return await _cut_short(incoming, reply)
        return web.Response(status=reply.status, headers=reply.headers, body=reply.body)

    return serve


async def read(incoming: web.BaseRequest) -> Request:
    """The whole request. The body is read even with GET: the connection stays usable."""
    path, _, query = incoming.raw_path.partition("?")
    return Request(
        method=incoming.method,
        path=path,
        query=query,
        headers={name.lower(): value for name, value in incoming.headers.items()},
        body=await incoming.read(),
        scheme=incoming.scheme,
        chain=() if path.startswith(f"{rest.PREFIX}/") else peer_chain(incoming.transport),
    )


def _hang_up(incoming: web.BaseRequest) -> web.Response:
    if incoming.transport is not None:
        incoming.transport.abort()
    return web.Response()


async def _cut_short(incoming: web.BaseRequest, reply: Reply) -> web.StreamResponse:
    headers = {**reply.headers, "content-length": str(len(reply.body) or 1)}
    response = web.StreamResponse(status=reply.status, headers=headers)
    await response.prepare(incoming)
    await response.write(reply.body[: len(reply.body) // 2])
    if incoming.transport is not None:
        incoming.transport.close()
    return response
