"""The MQTT door: speaks MQTT 3.1.1 with clients, and asks the application behind it what to answer."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Final, cast

from iotc_admin.emulator import packets
from iotc_admin.emulator.packets import Malformed
from iotc_admin.emulator.sessions import Broker, Connecting, HangUp, Outgoing, Refused, Session

if TYPE_CHECKING:
    import ssl

    from cryptography import x509

PATIENCE: Final = 10.0
"""Seconds a stranger has for the TLS handshake, and again for CONNECT."""

_BACKLOG: Final = 2048
_FAREWELL: Final = 1.0
_GRACE: Final = 1.5
_LONGEST_BACKLOG: Final = 1024 * 1024
_MOST_IN_FLIGHT: Final = 1000
_HIGHEST_ID: Final = 0xFFFF
_TURN: Final = 32
_LOG: Final = logging.getLogger(__name__)


class Conversation:
    """One client, from its first byte to its last. Lives in the event loop, as do all its methods."""

    def __init__(self, broker: Broker, wire: asyncio.Transport, patience: float = PATIENCE) -> None:
        """`wire` may be anything that reads, writes, closes and aborts like a transport."""
        self._broker = broker
        self._wire = wire
        self._loop = asyncio.get_running_loop()
        self._reader = packets.Reader()
        self._session: Session | None = None
        self._in_flight: dict[int, str | None] = {}
        self._last_id = 0
        self._ended = self._gone = self._busy = False
        self._heard, self._longest_silence = self._loop.time(), patience
        self._timer = self._loop.call_later(patience, self._check_silence)

    def received(self, data: bytes) -> None:
        """The client has sent this."""
        if self._ended:
            return
        self._reader.feed(data)
        if not self._busy:
            self._turn()

    def lost(self) -> None:
        """The wire is cut. What came before that still counts."""
        self._gone = True
        if not self._busy:
            self._end()

    def send(self, message: Outgoing) -> None:
        """Now, or after the message's delay."""
        with self._one_client_only():
            self._say(b"", (message,))

    def drop(self) -> None:
        """Cuts the wire."""
        self._end()
        self._wire.abort()

    def _turn(self) -> None:
        """Some packets of this client; the others' turn comes before the rest."""
        was_busy, self._busy = self._busy, False
        with self._one_client_only():
            for _ in range(_TURN):
                packet = None if self._ended else self._reader.next()
                if packet is None:
                    break
                self._heard = self._loop.time()
                self._take(packet)
            else:
                self._busy = True
        if self._busy:
            self._wire.pause_reading()
            self._loop.call_soon(self._turn)
        elif self._gone:
            self._end()
        elif was_busy:
            self._wire.resume_reading()

    @contextmanager
    def _one_client_only(self) -> Iterator[None]:
        try:
            yield
        except Malformed as malformed:
            if malformed.code is None or self._session is not None:
                self.drop()
            else:
                self._close(packets.connack(malformed.code))
        except HangUp:
            self.drop()
        except Exception:  # noqa: BLE001 - our own bug costs this client its connection, and no other
            _LOG.exception("the conversation with an MQTT client failed")
            self.drop()

    def _take(self, packet: packets.Packet) -> None:
        if isinstance(packet, packets.Connect):
            self._connect(packet)
        elif self._session is None:
            raise Malformed("the first packet is CONNECT")
        else:
            self._serve(self._session, packet)

    def _connect(self, packet: packets.Connect) -> None:
        if self._session is not None:
            raise Malformed("there is one CONNECT only")
        if not packet.client_id:
            return self._close(packets.connack(packets.IDENTIFIER_REJECTED))
        username, chain = packet.username or "", _peer_chain(self._wire)
        connecting = Connecting(packet.client_id, username, packet.clean_session, chain)
        try:
            session = self._session = self._broker.connect(connecting, _Link(self, self._loop))
        except Refused as refused:
            return self._close(packets.connack(refused.code))
        self._timer.cancel()
        self._longest_silence = _GRACE * packet.keep_alive
        if packet.keep_alive:
            self._timer = self._loop.call_later(self._longest_silence, self._check_silence)
        present = session.present and not packet.clean_session
        return self._say(packets.connack(packets.ACCEPTED, session_present=present), session.subscribed())

    def _serve(self, session: Session, packet: packets.Packet) -> None:
        match packet:
            case packets.Publish():
                answers = session.publish(packet.topic, packet.payload)
                self._say(packets.puback(packet.packet_id) if packet.qos else b"", answers)
            case packets.Puback():
                receipt = self._in_flight.pop(packet.packet_id, None)
                if receipt is not None:
                    session.received(receipt)
            case packets.Subscribe():
                granted = [session.subscribe(*each) for each in packet.filters]
                self._say(packets.suback(packet.packet_id, granted), session.subscribed())
            case packets.Unsubscribe():
                for topic_filter in packet.filters:
                    session.unsubscribe(topic_filter)
                self._say(packets.unsuback(packet.packet_id))
            case packets.Bare.PINGREQ:
                self._say(packets.PINGRESP)
            case _:
                self._close()

    def _say(self, answer: bytes, messages: Sequence[Outgoing] = ()) -> None:
        """The answer, and the messages that need not wait, in one write."""
        if self._ended or self._gone:
            return
        parts = [answer]
        for message in messages:
            if message.delay > 0:
                self._loop.call_later(message.delay, self.send, replace(message, delay=0))
            else:
                parts.append(self._encoded(message))
        data = b"".join(parts)
        if data:
            if self._wire.get_write_buffer_size() > _LONGEST_BACKLOG:
                raise HangUp
            self._wire.write(data)

    def _encoded(self, message: Outgoing) -> bytes:
        if not message.qos:
            return packets.publish(message.topic, message.payload)
        if len(self._in_flight) >= _MOST_IN_FLIGHT:
            raise HangUp
        self._last_id = self._last_id % _HIGHEST_ID + 1
        while self._last_id in self._in_flight:
            self._last_id = self._last_id % _HIGHEST_ID + 1
        self._in_flight[self._last_id] = message.receipt
        return packets.publish(message.topic, message.payload, 1, self._last_id)

    def _check_silence(self) -> None:
        # The timer is not set anew with every packet: it finds out how old the last one is.
        deadline = self._heard + self._longest_silence
        if self._loop.time() < deadline:
            self._timer = self._loop.call_at(deadline, self._check_silence)
        else:
            self.drop()

    def _close(self, farewell: bytes = b"") -> None:
        """Ends the conversation politely, but waits no longer than that."""
        self._say(farewell)
        self._end()
        self._wire.close()
        self._timer = self._loop.call_later(_FAREWELL, self._wire.abort)

    def _end(self) -> None:
        self._ended = True
        self._timer.cancel()
        session, self._session = self._session, None
        try:
            if session is not None:
                session.closed()
        except Exception:  # noqa: BLE001 - likewise
            _LOG.exception("the session of an MQTT client did not end well")


class _Link:
    """The way to a conversation from any thread, open or closed."""

    def __init__(self, conversation: Conversation, loop: asyncio.AbstractEventLoop) -> None:
        self._conversation = conversation
        self._loop = loop

    def send(self, message: Outgoing) -> None:
        with suppress(RuntimeError):  # the loop is closed, and every conversation with it
            self._loop.call_soon_threadsafe(self._conversation.send, message)

    def drop(self) -> None:
        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._conversation.drop)


def _peer_chain(wire: asyncio.Transport) -> tuple[x509.Certificate, ...]:
    """Nothing without TLS, or when the TLS is the standard library's, which would not say."""
    chain = getattr(wire.get_extra_info("ssl_object"), "peer_chain", tuple)
    found: tuple[x509.Certificate, ...] = chain()
    return found


class _Peer(asyncio.Protocol):
    """One connection of the door. TCP_NODELAY is set: asyncio does that."""

    def __init__(self, door: Door) -> None:
        self._door = door

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._conversation = self._door.welcome(self._transport)

    def data_received(self, data: bytes) -> None:
        self._conversation.received(data)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - it changes nothing
        self._conversation.lost()
        self._door.transports.discard(self._transport)


class Door:
    """One listener. `port` is the real one once it is open; `transports` those of the clients."""

    def __init__(self, broker: Broker, patience: float = PATIENCE) -> None:
        self._broker = broker
        self._patience = patience
        self._server: asyncio.Server | None = None
        self.transports: set[asyncio.Transport] = set()
        self._closed = False
        self.port = 0

    async def open(self, host: str, port: int, tls: ssl.SSLContext | None = None) -> None:
        """Listen; OSError if the port is taken."""
        self._server = await asyncio.get_running_loop().create_server(
            lambda: _Peer(self),
            host,
            port,
            ssl=tls,
            backlog=_BACKLOG,
            ssl_handshake_timeout=self._patience if tls else None,
            ssl_shutdown_timeout=_FAREWELL if tls else None,
        )
        self.port = self._server.sockets[0].getsockname()[1]

    async def close(self) -> None:
        if self._server is None:
            return
        self._closed = True
        # A server that closes while a connection is being accepted leaves that one open for ever.
        for listener in self._server.sockets:
            with suppress(NotImplementedError):  # on Windows
                asyncio.get_running_loop().remove_reader(listener)
        await _turns()
        self._server.close()
        for transport in self.transports:
            transport.abort()
        await _turns()

    def welcome(self, transport: asyncio.Transport) -> Conversation:
        """A connection begins; one whose handshake outlived the door ends at once."""
        self.transports.add(transport)
        if self._closed:
            transport.abort()
        return Conversation(self._broker, transport, self._patience)


async def _turns() -> None:
    for _ in range(5):
        await asyncio.sleep(0)
