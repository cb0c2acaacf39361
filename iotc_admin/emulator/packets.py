"""MQTT 3.1.1 on the wire: control packets out of bytes and into bytes. No sockets, no sessions."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Final, TypeVar

LARGEST: Final = 256 * 1024 + 64 * 1024
"""The longest packet that is read, in bytes after its header: the largest message, and the longest topic."""

ACCEPTED: Final = 0
UNACCEPTABLE_PROTOCOL: Final = 1
IDENTIFIER_REJECTED: Final = 2
PINGRESP: Final = b"\xd0\x00"

_CONNECT, _PUBLISH, _PUBACK, _SUBSCRIBE, _UNSUBSCRIBE, _PINGREQ, _DISCONNECT = 1, 3, 4, 8, 10, 12, 14
_FLAGGED: Final = (_SUBSCRIBE, _UNSUBSCRIBE)
_LEVEL: Final = 4
_HIGHEST_QOS: Final = 2
_LONGEST_HEADER: Final = 5
_MORE: Final = 0x80
_TEXT: Final = re.compile(r"[^\0]*")
_TOPIC: Final = re.compile(r"[^\0+#]+")
_TOPIC_FILTER: Final = re.compile(r"(?!\Z)(?:(?:\+|[^\0+#/]*)/)*(?:\+|#|[^\0+#/]*)")
_T = TypeVar("_T")


class Malformed(Exception):
    """These bytes are not what a client may send. `code` is the CONNACK return code for it, if it has one."""

    def __init__(self, reason: str, code: int | None = None) -> None:
        super().__init__(reason)
        self.code = code


@dataclass(frozen=True, slots=True)
class Will:
    topic: str
    payload: bytes = field(repr=False)
    qos: int
    retain: bool


@dataclass(frozen=True, slots=True)
class Connect:
    """`keep_alive` in seconds, 0 for never."""

    client_id: str
    clean_session: bool
    keep_alive: int
    username: str | None = None
    password: bytes | None = field(default=None, repr=False)
    will: Will | None = None


@dataclass(frozen=True, slots=True)
class Publish:
    """`packet_id` is 0 with QoS 0, which has none."""

    topic: str
    payload: bytes
    qos: int = 0
    packet_id: int = 0
    retain: bool = False
    duplicate: bool = False


@dataclass(frozen=True, slots=True)
class Puback:
    packet_id: int


@dataclass(frozen=True, slots=True)
class Subscribe:
    """Each filter with the QoS asked for."""

    packet_id: int
    filters: tuple[tuple[str, int], ...]


@dataclass(frozen=True, slots=True)
class Unsubscribe:
    packet_id: int
    filters: tuple[str, ...]


class Bare(Enum):
    """The packets that say nothing but what they are."""

    PINGREQ = auto()
    DISCONNECT = auto()


Packet = Connect | Publish | Puback | Subscribe | Unsubscribe | Bare


class Reader:
    """Packets out of a stream that arrives in any pieces. It waits for the end of one packet at most."""

    def __init__(self) -> None:
        self._held = bytearray()
        self._needed = 1

    def feed(self, data: bytes) -> None:
        self._held += data

    def next(self) -> Packet | None:
        """The next packet, None when it is not complete yet; Malformed as soon as that can be told."""
        held = self._held
        if len(held) < self._needed:
            return None
        start, end = _extent(held)
        self._needed = end
        if len(held) < end:
            return None
        first, body = held[0], bytes(held[start:end])
        del held[:end]
        self._needed = 1
        return _read(first, _Body(body))


def _extent(held: bytearray) -> tuple[int, int]:
    """Where the body of the first packet starts and ends, as far as its header tells."""
    kind, flags = held[0] >> 4, held[0] & 0x0F
    if kind != _PUBLISH and (kind not in _READERS or flags != (kind in _FLAGGED) * 2):
        raise Malformed("no packet of a client begins like this")
    length = 0
    for at in range(1, _LONGEST_HEADER):
        if at == len(held):
            return at, at + 1
        length |= (held[at] & ~_MORE) << 7 * (at - 1)
        if length > LARGEST:
            raise Malformed("the packet is too large")
        if held[at] < _MORE:
            return at + 1, at + 1 + length
    raise Malformed("the remaining length has no end")


class _Body:
    """What follows the header, read from front to back."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    @property
    def left(self) -> int:
        return len(self._data) - self._at

    def take(self, count: int) -> bytes:
        start, self._at = self._at, self._at + count
        if self._at > len(self._data):
            raise Malformed("the packet ends too early")
        return self._data[start : self._at]

    def byte(self) -> int:
        return self.take(1)[0]

    def short(self) -> int:
        return int.from_bytes(self.take(2))

    def packet_id(self) -> int:
        value = self.short()
        if not value:
            raise Malformed("a packet identifier is never 0")
        return value

    def binary(self) -> bytes:
        return self.take(self.short())

    def text(self, shape: re.Pattern[str] = _TEXT) -> str:
        try:
            text = self.binary().decode()
        except UnicodeDecodeError as failure:
            raise Malformed("a string is not UTF-8") from failure
        if not shape.fullmatch(text):
            raise Malformed("a string has characters that it must not have here, or none")
        return text


def _read(first: int, body: _Body) -> Packet:
    if first >> 4 == _PUBLISH:
        return _publish(first & 0x0F, body)
    packet = _READERS[first >> 4](body)
    if body.left:
        raise Malformed("the packet is longer than its content")
    return packet


def _connect(body: _Body) -> Connect:
    if body.binary() != b"MQTT":
        raise Malformed("this is another protocol")
    if body.byte() != _LEVEL:
        raise Malformed("this is another version of the protocol", UNACCEPTABLE_PROTOCOL)
    flags = body.byte()
    has_username, has_password = flags & 0x80, flags & 0x40
    if flags & 0x01 or (has_password and not has_username):
        raise Malformed("the flags of CONNECT contradict themselves")
    keep_alive, client_id = body.short(), body.text()
    return Connect(
        client_id=client_id,
        clean_session=bool(flags & 0x02),
        keep_alive=keep_alive,
        will=_will(flags, body),
        username=body.text() if has_username else None,
        password=body.binary() if has_password else None,
    )


def _will(flags: int, body: _Body) -> Will | None:
    qos, retain = flags >> 3 & 0x03, bool(flags & 0x20)
    if not flags & 0x04:
        if qos or retain:
            raise Malformed("the flags of CONNECT contradict themselves")
        return None
    if qos > _HIGHEST_QOS:
        raise Malformed("there is no such QoS")
    return Will(topic=body.text(_TOPIC), payload=body.binary(), qos=qos, retain=retain)


def _publish(flags: int, body: _Body) -> Publish:
    qos, duplicate = flags >> 1 & 0x03, bool(flags & 0x08)
    if qos > 1 or (duplicate and not qos):
        raise Malformed("messages come with QoS 0 or 1, and only with QoS 1 twice")
    topic = body.text(_TOPIC)
    packet_id = body.packet_id() if qos else 0
    return Publish(topic, body.take(body.left), qos, packet_id, bool(flags & 0x01), duplicate)


def _subscribe(body: _Body) -> Subscribe:
    return Subscribe(body.packet_id(), _each(body, _asked))


def _asked(body: _Body) -> tuple[str, int]:
    topic_filter, qos = body.text(_TOPIC_FILTER), body.byte()
    if qos > _HIGHEST_QOS:
        raise Malformed("there is no such QoS")
    return topic_filter, qos


def _unsubscribe(body: _Body) -> Unsubscribe:
    return Unsubscribe(body.packet_id(), _each(body, lambda each: each.text(_TOPIC_FILTER)))


def _each(body: _Body, read: Callable[[_Body], _T]) -> tuple[_T, ...]:
    found = [read(body)]
    while body.left:
        found.append(read(body))
    return tuple(found)


_READERS: Final[dict[int, Callable[[_Body], Packet]]] = {
    _CONNECT: _connect,
    _PUBACK: lambda body: Puback(body.packet_id()),
    _SUBSCRIBE: _subscribe,
    _UNSUBSCRIBE: _unsubscribe,
    _PINGREQ: lambda _: Bare.PINGREQ,
    _DISCONNECT: lambda _: Bare.DISCONNECT,
}


def connack(code: int, *, session_present: bool = False) -> bytes:
    return bytes((0x20, 2, session_present, code))


def publish(topic: str, payload: bytes, qos: int = 0, packet_id: int = 0) -> bytes:
    name = topic.encode()
    identifier = packet_id.to_bytes(2) if qos else b""
    header = bytes((_PUBLISH << 4 | qos << 1,)) + _length(2 + len(name) + len(identifier) + len(payload))
    return b"".join((header, len(name).to_bytes(2), name, identifier, payload))


def puback(packet_id: int) -> bytes:
    return b"\x40\x02" + packet_id.to_bytes(2)


def suback(packet_id: int, granted: Sequence[int]) -> bytes:
    """`granted` has a QoS or 0x80 for each filter, in the order of SUBSCRIBE."""
    return b"\x90" + _length(2 + len(granted)) + packet_id.to_bytes(2) + bytes(granted)


def unsuback(packet_id: int) -> bytes:
    return b"\xb0\x02" + packet_id.to_bytes(2)


def _length(value: int) -> bytes:
    digits = bytearray()
    while value >= _MORE:
        digits.append(value & 0x7F | _MORE)
        value >>= 7
    digits.append(value)
    return bytes(digits)
