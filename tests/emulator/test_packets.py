"""Packets against the bytes of the MQTT 3.1.1 standard, an encoder written from it, and arbitrary bytes."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from iotc_admin.emulator import packets
from iotc_admin.emulator.packets import (
    LARGEST,
    Bare,
    Connect,
    Malformed,
    Packet,
    Puback,
    Publish,
    Reader,
    Subscribe,
    Unsubscribe,
    Will,
)

CONNECT = b"\x00\x04MQTT\x04"


def read(stream: bytes) -> list[Packet]:
    return read_pieces([stream])


def read_pieces(pieces: list[bytes]) -> list[Packet]:
    reader, found = Reader(), []
    for piece in pieces:
        reader.feed(piece)
        while (packet := reader.next()) is not None:
            found.append(packet)
    return found


def outcome(pieces: list[bytes]) -> tuple[list[Packet], str | None]:
    """What is read before the stream ends or turns out malformed."""
    reader, found = Reader(), []
    try:
        for piece in pieces:
            reader.feed(piece)
            while (packet := reader.next()) is not None:
                found.append(packet)
    except Malformed as malformed:
        return found, str(malformed)
    return found, None


def framed(first: int, body: bytes) -> bytes:
    """A fixed header as in section 2.2.3 of the standard, whose algorithm this is."""
    header, x = bytes([first]), len(body)
    while True:
        encoded, x = x % 128, x // 128
        header += bytes([encoded | 128 if x else encoded])
        if not x:
            return header + body


def text(value: str) -> bytes:
    encoded = value.encode()
    return len(encoded).to_bytes(2, "big") + encoded


def encoded(packet: Packet) -> bytes:
    """Section 3 of the standard, from the client's side."""
    match packet:
        case Connect():
            return framed(0x10, connect_body(packet))
        case Publish():
            first = 0x30 | packet.duplicate << 3 | packet.qos << 1 | packet.retain
            identifier = packet.packet_id.to_bytes(2, "big") if packet.qos else b""
            return framed(first, text(packet.topic) + identifier + packet.payload)
        case Puback():
            return framed(0x40, packet.packet_id.to_bytes(2, "big"))
        case Subscribe():
            asked = b"".join(text(name) + bytes([qos]) for name, qos in packet.filters)
            return framed(0x82, packet.packet_id.to_bytes(2, "big") + asked)
        case Unsubscribe():
            return framed(0xA2, packet.packet_id.to_bytes(2, "big") + b"".join(map(text, packet.filters)))
        case _:
            return {Bare.PINGREQ: b"\xc0\x00", Bare.DISCONNECT: b"\xe0\x00"}[packet]


def connect_body(packet: Connect) -> bytes:
    flags = packet.clean_session << 1
    tail = text(packet.client_id)
    if packet.will is not None:
        flags |= 0x04 | packet.will.qos << 3 | packet.will.retain << 5
        payload = packet.will.payload
        tail += text(packet.will.topic) + len(payload).to_bytes(2, "big") + payload
    if packet.username is not None:
        flags |= 0x80
        tail += text(packet.username)
    if packet.password is not None:
        flags |= 0x40
        tail += len(packet.password).to_bytes(2, "big") + packet.password
    return CONNECT + bytes([flags]) + packet.keep_alive.to_bytes(2, "big") + tail


identifiers = st.integers(1, 0xFFFF)
words = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=40)
levels = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0+#/"), max_size=9)
topics = st.lists(levels, min_size=1, max_size=4).map("/".join).filter(bool)
topic_filters = st.builds(
    lambda front, last: "/".join([*front, last]),
    st.lists(st.just("+") | levels, max_size=3),
    st.just("#") | levels,
).filter(bool)
wills = st.builds(Will, topics, st.binary(max_size=50), st.integers(0, 2), st.booleans())
connects = st.builds(
    Connect,
    client_id=words,
    clean_session=st.booleans(),
    keep_alive=st.integers(0, 0xFFFF),
    username=words,
    password=st.none() | st.binary(max_size=50),
    will=st.none() | wills,
) | st.builds(Connect, words, st.booleans(), st.integers(0, 0xFFFF), will=st.none() | wills)
publishes = st.builds(Publish, topics, st.binary(max_size=300), retain=st.booleans()) | st.builds(
    Publish, topics, st.binary(max_size=300), st.just(1), identifiers, st.booleans(), st.booleans()
)
clients_packets = (
    connects
    | publishes
    | st.builds(Puback, identifiers)
    | st.builds(
        Subscribe,
        identifiers,
        st.lists(st.tuples(topic_filters, st.integers(0, 2)), min_size=1, max_size=4).map(tuple),
    )
    | st.builds(Unsubscribe, identifiers, st.lists(topic_filters, min_size=1, max_size=4).map(tuple))
    | st.sampled_from(Bare)
)


def pieces_of(stream: bytes, cuts: list[int]) -> list[bytes]:
    at = sorted({min(cut, len(stream)) for cut in cuts} | {0, len(stream)})
    return [stream[start:end] for start, end in pairwise(at)]


@given(clients_packets)
def test_every_packet_of_a_client_is_read_as_it_was_meant(packet: Packet) -> None:
    assert read(encoded(packet)) == [packet]


@given(st.lists(clients_packets, max_size=5), st.lists(st.integers(0, 2000), max_size=20))
def test_any_split_of_the_stream_gives_the_same_packets(sent: list[Packet], cuts: list[int]) -> None:
    stream = b"".join(map(encoded, sent))

    assert read_pieces(pieces_of(stream, cuts)) == sent
    assert read_pieces([stream[at : at + 1] for at in range(len(stream))]) == sent


@given(
    st.lists(clients_packets, max_size=2), st.binary(max_size=60), st.lists(st.integers(0, 400), max_size=20)
)
def test_arbitrary_bytes_are_malformed_or_packets_however_they_are_split(
    sent: list[Packet], garbage: bytes, cuts: list[int]
) -> None:
    stream = b"".join(map(encoded, sent)) + garbage

    assert outcome(pieces_of(stream, cuts)) == outcome([stream])


@given(clients_packets, st.data())
def test_a_damaged_packet_is_malformed_or_another_packet(packet: Packet, data: st.DataObject) -> None:
    stream = bytearray(encoded(packet))
    stream[data.draw(st.integers(0, len(stream) - 1))] = data.draw(st.integers(0, 255))

    outcome([bytes(stream)])


@given(st.lists(st.binary(max_size=50), max_size=40))
def test_no_stream_is_held_back_beyond_one_packet(pieces: list[bytes]) -> None:
    reader = Reader()
    for piece in pieces:
        reader.feed(piece)
        try:
            while reader.next() is not None:
                pass
        except Malformed:
            return
        assert len(reader._held) < reader._needed <= LARGEST + 5


def test_the_largest_packet_passes_and_one_byte_more_is_malformed_at_its_header() -> None:
    largest = Publish("t", bytes(LARGEST - 3))

    assert read(encoded(largest)) == [largest]
    with pytest.raises(Malformed, match="too large"):
        read(encoded(Publish("t", bytes(LARGEST - 2)))[:4])


def test_a_large_packet_in_small_pieces_is_read_in_linear_time() -> None:
    packet = Publish("t", bytes(LARGEST - 3))
    stream = encoded(packet)

    assert read_pieces([stream[at : at + 7] for at in range(0, len(stream), 7)]) == [packet]


def test_a_packet_before_a_malformed_one_is_still_read() -> None:
    assert outcome([b"\xc0\x00\x00\x00"]) == ([Bare.PINGREQ], "no packet of a client begins like this")


def test_connect_is_read_as_in_the_example_of_the_standard() -> None:
    # Figure 3.6: user name, password, will retain 0, will QoS 1, will, clean session, keep alive 10.
    body = (
        CONNECT
        + b"\xce\x00\x0a"
        + b"\x00\x02me"
        + b"\x00\x01w"
        + b"\x00\x03bye"
        + b"\x00\x01u"
        + b"\x00\x02pw"
    )

    will = Will("w", b"bye", 1, retain=False)
    assert read(framed(0x10, body)) == [Connect("me", True, 10, "u", b"pw", will)]


def test_a_password_stays_out_of_sight() -> None:
    assert "secret" not in repr(Connect("me", True, 10, "u", b"secret"))


def test_an_empty_client_id_is_read() -> None:
    assert read(b"\x10\x0c" + CONNECT + b"\x02\x00\x3c\x00\x00") == [Connect("", True, 60)]


@pytest.mark.parametrize("level", [3, 5, 0x84])
def test_another_version_of_mqtt_has_a_return_code(level: int) -> None:
    with pytest.raises(Malformed) as caught:
        read(framed(0x10, b"\x00\x04MQTT" + bytes([level]) + b"\x02\x00\x3c\x00\x00\x02me"))

    assert caught.value.code == packets.UNACCEPTABLE_PROTOCOL


MALFORMED = {
    "a remaining length of five bytes": b"\x30\x80\x80\x80\x80",
    "a packet type 0": b"\x00\x00",
    "a packet type 15": b"\xf0\x00",
    "a CONNACK": b"\x20\x02\x00\x00",
    "a PUBREL of QoS 2": b"\x62\x02\x00\x01",
    "an HTTP request": b"GET / HTTP/1.1\r\n\r\n",
    "a TLS handshake": b"\x16\x03\x01\x02\x00",
    "another protocol": framed(0x10, b"\x00\x06MQIsdp\x03\x02\x00\x3c\x00\x02me"),
    "a CONNECT with its reserved flag": framed(0x10, CONNECT + b"\x03\x00\x3c\x00\x02me"),
    "a CONNECT with flags in its header": framed(0x11, CONNECT + b"\x02\x00\x3c\x00\x02me"),
    "a CONNECT with a password only": framed(0x10, CONNECT + b"\x42\x00\x3c\x00\x02me\x00\x01p"),
    "a CONNECT with a will QoS 3": framed(0x10, CONNECT + b"\x1e\x00\x3c\x00\x02me\x00\x01w\x00\x00"),
    "a CONNECT with a will QoS but no will": framed(0x10, CONNECT + b"\x0a\x00\x3c\x00\x02me"),
    "a CONNECT with will retain but no will": framed(0x10, CONNECT + b"\x22\x00\x3c\x00\x02me"),
    "a CONNECT that ends early": framed(0x10, CONNECT + b"\x82\x00\x3c\x00\x02me\x00\x09x"),
    "a CONNECT with something behind it": framed(0x10, CONNECT + b"\x02\x00\x3c\x00\x02me!"),
    "a client id that is not UTF-8": framed(0x10, CONNECT + b"\x02\x00\x3c\x00\x02\xff\xff"),
    "a client id with a surrogate": framed(0x10, CONNECT + b"\x02\x00\x3c\x00\x03\xed\xa0\x80"),
    "a client id with NUL": framed(0x10, CONNECT + b"\x02\x00\x3c\x00\x02a\0"),
    "a PUBLISH with QoS 2": framed(0x34, b"\x00\x01t\x00\x01"),
    "a PUBLISH with QoS 3": framed(0x36, b"\x00\x01t\x00\x01"),
    "a duplicate with QoS 0": framed(0x38, b"\x00\x01t"),
    "a PUBLISH with packet id 0": framed(0x32, b"\x00\x01t\x00\x00"),
    "a PUBLISH without packet id": framed(0x32, b"\x00\x01t"),
    "a PUBLISH without a topic": framed(0x30, b"\x00\x00"),
    "a PUBLISH to a/+": framed(0x30, b"\x00\x03a/+"),
    "a PUBLISH to a/#": framed(0x30, b"\x00\x03a/#"),
    "a PUBACK with packet id 0": b"\x40\x02\x00\x00",
    "a PUBACK that is too long": b"\x40\x03\x00\x01\x00",
    "a SUBSCRIBE with flags 0": framed(0x80, b"\x00\x01\x00\x01t\x00"),
    "a SUBSCRIBE to nothing": framed(0x82, b"\x00\x01"),
    "a SUBSCRIBE with packet id 0": framed(0x82, b"\x00\x00\x00\x01t\x00"),
    "a SUBSCRIBE with QoS 3": framed(0x82, b"\x00\x01\x00\x01t\x03"),
    "a SUBSCRIBE without QoS": framed(0x82, b"\x00\x01\x00\x01t"),
    "a SUBSCRIBE to an empty filter": framed(0x82, b"\x00\x01\x00\x00\x00"),
    "a SUBSCRIBE to a#": framed(0x82, b"\x00\x01\x00\x02a#\x00"),
    "a SUBSCRIBE to #/a": framed(0x82, b"\x00\x01\x00\x03#/a\x00"),
    "a SUBSCRIBE to a+/b": framed(0x82, b"\x00\x01\x00\x04a+/b\x00"),
    "an UNSUBSCRIBE from nothing": framed(0xA2, b"\x00\x01"),
    "a PINGREQ with content": b"\xc0\x01\x00",
    "a DISCONNECT with content": b"\xe0\x01\x00",
}


@pytest.mark.parametrize("stream", MALFORMED.values(), ids=MALFORMED.keys())
def test_what_the_standard_forbids_is_malformed(stream: bytes) -> None:
    with pytest.raises(Malformed) as caught:
        read(stream)

    assert caught.value.code is None


def test_answers_are_the_bytes_of_the_standard() -> None:
    assert packets.connack(0, session_present=True) == b"\x20\x02\x01\x00"
    assert packets.connack(5) == b"\x20\x02\x00\x05"
    assert packets.puback(0x1234) == b"\x40\x02\x12\x34"
    assert packets.suback(10, [1, 0, 0x80]) == b"\x90\x05\x00\x0a\x01\x00\x80"
    assert packets.unsuback(10) == b"\xb0\x02\x00\x0a"
    assert packets.publish("a/b", b"x") == b"\x30\x06\x00\x03a/bx"
    assert packets.publish("a/b", b"x", 1, 10) == b"\x32\x08\x00\x03a/b\x00\x0ax"


@given(topics, st.binary(max_size=20_000), st.integers(0, 1), identifiers)
def test_a_message_of_the_server_is_what_a_client_would_send(
    topic: str, payload: bytes, qos: int, identifier: int
) -> None:
    sent = Publish(topic, payload, qos, identifier if qos else 0)

    assert packets.publish(topic, payload, qos, identifier) == encoded(sent)


@pytest.mark.parametrize(
    ("length", "digits"),
    [(127, b"\x7f"), (128, b"\x80\x01"), (16_383, b"\xff\x7f"), (16_384, b"\x80\x80\x01")],
)
def test_the_remaining_length_is_written_as_in_table_2_4_of_the_standard(length: int, digits: bytes) -> None:
    assert packets.publish("t", bytes(length - 3)).startswith(b"\x30" + digits + b"\x00\x01t")
