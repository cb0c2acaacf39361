"""Hides MQTT to DPS and hubs: connection, waiting, and which of our errors a broken one is.

Nothing runs in the background: packets move while something is being waited for.
"""

from __future__ import annotations

import re
import ssl
import struct
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, Final, Self

from iotc_admin.device import refusals
from iotc_admin.device.answer import LARGEST, said
from iotc_admin.device.endpoint import Endpoint
from iotc_admin.errors import IotcError, SettingsError, UnexpectedAnswer

if TYPE_CHECKING:
    from paho.mqtt.client import Client

    from iotc_admin.device.route import Route

ANSWER_WITHIN: Final = 30.0
_CONNECT_WITHIN: Final = 10.0
# Nobody pings between two messages; a hub drops the silent after one and a half of these.
_KEEP_ALIVE: Final = 240
# A million telemetry messages are acknowledged in 4 MB.
_MOST_RECEIVED: Final = 16 << 20
_WEBSOCKET_PATH: Final = "/$iothub/websocket"
_TURN: Final = 0.2
_ALERT: Final = re.compile(r"\[SSL: (\w*ALERT\w+)\]")
# paho gives the reasons of MQTT 5 whatever was spoken; these are the codes that came.
_CONNACK: Final = {132: 1, 133: 2, 136: 3, 134: 4, 135: 5}
# What paho's parsing of packets and of WebSocket handshakes raises on bytes that are none.
_BROKEN: Final = (OSError, ValueError, LookupError, TypeError, struct.error)


class _Socket(ssl.SSLSocket):
    """There is an end to what a server may send."""

    received = 0

    def recv(self, buflen: int = 1024, flags: int = 0) -> bytes:
        data = super().recv(buflen, flags)
        self.received += len(data)
        if self.received > _MOST_RECEIVED:
            raise OSError(f"the server sends more than {_MOST_RECEIVED >> 20} MiB")
        return data


def _remembered_in(opened: list[ssl.SSLSocket]) -> type[ssl.SSLSocket]:
    class Remembered(_Socket):
        """paho forgets to close a socket whose handshake fails."""

        def do_handshake(self, block: bool = False) -> None:
            opened.append(self)
            super().do_handshake(block)

    return Remembered


@dataclass(frozen=True)
class Visitor:
    """Who connects: `server` is "DPS" or "the hub", for people."""

    client_id: str
    username: str
    server: str


@dataclass(frozen=True)
class Message:
    topic: str
    payload: bytes


class MqttSession:
    """One connection, from CONNECT to DISCONNECT."""

    def __init__(
        self,
        endpoint: Endpoint,
        context: ssl.SSLContext,
        visitor: Visitor,
        *,
        websocket: bool,
        monotonic: Callable[[], float],
        within: float = ANSWER_WITHIN,
    ) -> None:
        self._endpoint = endpoint
        self._visitor = visitor
        self._monotonic = monotonic
        self._within = within
        self._connack: int | None = None
        self._done: set[int] = set()
        self._heard: Callable[[Message], None] = lambda _: None
        self._alert = ""
        self._sockets: list[ssl.SSLSocket] = []
        context.sslsocket_class = _remembered_in(self._sockets)
        self._client = _client(visitor, context, websocket=websocket)
        self._listen()

    @classmethod
    def over(cls, route: Route, host: str, visitor: Visitor) -> Self:
        """A session with this host over the route's kind of MQTT; not open yet."""
        websocket = route.transport == "mqtt-ws"
        return cls(route.mqtt(host), route.context, visitor, websocket=websocket, monotonic=route.monotonic)

    def _listen(self) -> None:
        client = self._client
        client.on_connect = lambda _c, _u, _f, reason, _p: self._connected(reason.value)
        client.on_subscribe = lambda _c, _u, mid, _r, _p: self._done.add(mid)
        client.on_publish = lambda _c, _u, mid, _r, _p: self._done.add(mid)
        client.on_message = lambda _c, _u, message: self._received(message.topic, bytes(message.payload))
        client.on_log = lambda _c, _u, _level, text: self._logged(text)

    def open(self, operation: str) -> None:
        """Connects. Raises `ProvisioningRefused` for a CONNACK that says no, `NoAnswer` for none."""
        try:
            self._client.connect(self._endpoint.host, self._endpoint.port, keepalive=_KEEP_ALIVE)
        except ssl.SSLError as error:
            raise refusals.of_tls(error, self._endpoint, operation) from error
        except (ConnectionResetError, BrokenPipeError) as error:
            raise refusals.lost("the server closed the connection", operation) from error
        except _BROKEN as error:
            reason = said(str(error)) or type(error).__name__
            raise refusals.unreachable(reason, self._endpoint, operation) from error
        self._until(lambda: self._connack is not None, operation)
        if self._connack:
            raise refusals.of_connack(self._connack, self._visitor.server, self._visitor.client_id)

    def subscribe(self, topic: str, operation: str) -> None:
        """Waits for the SUBACK, whatever it grants: a denied topic shows as silence later."""
        _, mid = self._client.subscribe(topic, qos=1)
        self._until(lambda: mid in self._done, operation)

    def publish(self, topic: str, payload: bytes, operation: str) -> None:
        """Sends with QoS 1 and waits until the server has taken it."""
        mid = self._client.publish(topic, payload, qos=1).mid
        self._until(lambda: mid in self._done, operation)

    def ask(
        self, topic: str, payload: bytes, operation: str, *, wanted: Callable[[Message], bool]
    ) -> Message:
        """Publishes, and waits for the message that is `wanted`, whether or not a PUBACK comes."""
        found: list[Message] = []
        self._heard = lambda message: found.append(message) if wanted(message) else None
        self._client.publish(topic, payload, qos=1)
        self._until(lambda: bool(found), operation)
        return found[0]

    def _until(self, done: Callable[[], bool], operation: str) -> None:
        end = self._monotonic() + self._within
        while not done():
            if self._monotonic() > end:
                raise refusals.lost(f"no answer within {self._within:.0f} s", operation)
            if self._turn(operation) and not done():
                raise self._broken(operation)

    def _turn(self, operation: str) -> bool:
        """Moves packets for a moment; whether the connection has ended."""
        from paho.mqtt import MQTTException  # noqa: PLC0415 - an extra

        try:
            return self._client.loop(_TURN) != 0
        except (*_BROKEN, MQTTException):
            message = f"{operation}: the answer is not MQTT"
            hint = "check --dps-host and --mqtt-port"
            raise UnexpectedAnswer(message, operation=operation, hint=hint) from None

    def _broken(self, operation: str) -> IotcError:
        if self._alert:
            return refusals.of_alert(self._alert, self._endpoint, self._visitor.client_id)
        return refusals.lost(f"{self._visitor.server} closed the connection", operation)

    def _connected(self, reason: int) -> None:
        self._connack = _CONNACK.get(reason, reason)

    def _received(self, topic: str, payload: bytes) -> None:
        if len(payload) <= LARGEST:
            self._heard(Message(topic, payload))

    def _logged(self, text: str) -> None:
        if found := _ALERT.search(text):
            self._alert = found[1]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """DISCONNECT, when there is still somebody to hear it."""
        with suppress(*_BROKEN):
            self._client.disconnect()
        for each in self._sockets:
            each.close()


def _client(visitor: Visitor, context: ssl.SSLContext, *, websocket: bool) -> Client:
    try:
        from paho.mqtt import client as paho  # noqa: PLC0415 - an extra
        from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion  # noqa: PLC0415
    except ImportError:
        message = "MQTT needs a package that is not installed: paho-mqtt"
        raise SettingsError(
            message, hint="pip install 'iotc-admin[mqtt]', or use --transport https"
        ) from None
    client = paho.Client(
        CallbackAPIVersion.VERSION2,
        client_id=visitor.client_id,
        clean_session=True,
        protocol=MQTTProtocolVersion.MQTTv311,
        transport="websockets" if websocket else "tcp",
        reconnect_on_failure=False,
    )
    client.connect_timeout = _CONNECT_WITHIN
    client.username_pw_set(visitor.username)
    client.tls_set_context(context)
    if websocket:
        client.ws_set_options(path=_WEBSOCKET_PATH)
    return client
