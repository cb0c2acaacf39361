"""The MQTT door over real sockets: raw bytes, paho-mqtt as an outsider, crowds, silence and garbage."""

from __future__ import annotations

import asyncio
import socket
import ssl
import threading
import time
from collections.abc import Callable, Coroutine, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import aiohttp
import paho.mqtt.client as paho
import pytest
from aiohttp import web
from paho.mqtt.enums import CallbackAPIVersion

from iotc_admin.emulator import http, mqtt, tls
from iotc_admin.emulator.sessions import NOT_AUTHORIZED, Connecting, HangUp, Link, Outgoing, Refused
from iotc_admin.emulator.websocket import PATH, serve_websocket
from iotc_admin.pki import pem

if TYPE_CHECKING:
    from paho.mqtt.reasoncodes import ReasonCode

ACCEPTED = b"\x20\x02\x00\x00"
PINGREQ, PINGRESP, DISCONNECT = b"\xc0\x00", b"\xd0\x00", b"\xe0\x00"


@dataclass
class ToySession:
    """Echoes to `echo/...`, and does what the topic says."""

    connecting: Connecting
    link: Link
    present: bool = False
    filters: dict[str, int] = field(default_factory=dict)
    waiting: list[Outgoing] = field(default_factory=list)
    taken: list[tuple[str, bytes]] = field(default_factory=list)
    receipts: list[str] = field(default_factory=list)
    closings: int = 0

    def subscribe(self, topic_filter: str, qos: int) -> int:
        self.filters[topic_filter] = qos
        return 0x80 if topic_filter.startswith("forbidden") else min(qos, 1)

    def subscribed(self) -> Sequence[Outgoing]:
        waiting, self.waiting = self.waiting, []
        return waiting

    def unsubscribe(self, topic_filter: str) -> None:
        self.filters.pop(topic_filter, None)

    def publish(self, topic: str, payload: bytes) -> Sequence[Outgoing]:
        self.taken.append((topic, payload))
        match topic:
            case "hang-up":
                raise HangUp
            case "bug":
                raise KeyError(topic)
            case "telemetry":
                return ()
            case "later":
                return [Outgoing("echo/later", payload, delay=0.2), Outgoing("echo/now", payload)]
            case _:
                return [Outgoing(f"echo/{topic}", payload, qos=topic.endswith("1"), receipt=topic)]

    def received(self, receipt: str) -> None:
        self.receipts.append(receipt)

    def closed(self) -> None:
        self.closings += 1
        if self.connecting.client_id == "cannot-close":
            raise KeyError


class ToyBroker:
    """Takes everybody whose name does not say otherwise."""

    def __init__(self) -> None:
        self.sessions: list[ToySession] = []
        self.waiting: list[Outgoing] = []

    def connect(self, connecting: Connecting, link: Link) -> ToySession:
        match connecting.client_id:
            case "stranger":
                raise Refused(NOT_AUTHORIZED)
            case "hang-up":
                raise HangUp
            case "bug":
                raise KeyError
        present = connecting.client_id == "known"
        self.sessions.append(ToySession(connecting, link, present, waiting=self.waiting))
        return self.sessions[-1]


@dataclass
class Running:
    broker: ToyBroker
    port: int
    loop: asyncio.AbstractEventLoop

    @property
    def session(self) -> ToySession:
        return self.broker.sessions[-1]

    @contextmanager
    def client(self) -> Iterator[socket.socket]:
        with socket.create_connection(("127.0.0.1", self.port), timeout=10) as opened:
            opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            yield opened

    @contextmanager
    def connected(self, client_id: str = "me", keep_alive: int = 0) -> Iterator[socket.socket]:
        with self.client() as opened:
            opened.sendall(connect(client_id, keep_alive))
            assert read(opened, 4)[3] == 0
            yield opened


class Thread:
    """A thread with an event loop, which `work` runs in until the test is over."""

    def __init__(self) -> None:
        self.over: list[tuple[asyncio.Event, threading.Thread, Future[Any], asyncio.AbstractEventLoop]] = []

    def start(
        self, broker: ToyBroker, work: Callable[[asyncio.Event, Future[int]], Coroutine[Any, Any, None]]
    ) -> Running:
        ready: Future[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = Future()
        port: Future[int] = Future()
        end: Future[int] = Future()

        async def main() -> None:
            stop = asyncio.Event()
            ready.set_result((asyncio.get_running_loop(), stop))
            await work(stop, port)
            left = asyncio.all_tasks() - {asyncio.current_task()}
            end.set_result(len(left))

        thread = threading.Thread(target=lambda: asyncio.run(main()))
        thread.start()
        loop, stop = ready.result(10)
        self.over.append((stop, thread, end, loop))
        return Running(broker, port.result(10), loop)

    def stop(self, handshakes: int = 0) -> None:
        """asyncio itself ends the handshakes under way, each a task, with its loop."""
        for stop, thread, end, loop in self.over:
            loop.call_soon_threadsafe(stop.set)
            assert end.result(2) == handshakes, "tasks are left"
            thread.join()


@pytest.fixture
def thread() -> Iterator[Thread]:
    running = Thread()
    yield running
    running.stop()


@pytest.fixture
def door(thread: Thread) -> Running:
    return opened(thread, ToyBroker())


def opened(
    thread: Thread, broker: ToyBroker, context: ssl.SSLContext | None = None, patience: float = 10
) -> Running:
    async def work(stop: asyncio.Event, port: Future[int]) -> None:
        door = mqtt.Door(broker, patience)
        await door.open("127.0.0.1", 0, context)
        port.set_result(door.port)
        await stop.wait()
        await door.close()
        assert not door.transports

    return thread.start(broker, work)


def connect(client_id: str, keep_alive: int = 0, *, clean_session: bool = True) -> bytes:
    name = client_id.encode()
    flags = 2 if clean_session else 0
    body = b"\x00\x04MQTT\x04" + bytes([flags]) + keep_alive.to_bytes(2) + len(name).to_bytes(2) + name
    return bytes([0x10, len(body)]) + body


def publish(topic: str, payload: bytes = b"", packet_id: int = 0) -> bytes:
    name = topic.encode()
    identifier = packet_id.to_bytes(2) if packet_id else b""
    body = len(name).to_bytes(2) + name + identifier + payload
    assert len(body) < 128
    return bytes([0x32 if packet_id else 0x30, len(body)]) + body


def subscribe(*filters: str, packet_id: int = 1) -> bytes:
    body = packet_id.to_bytes(2) + b"".join(
        len(each).to_bytes(2) + each.encode() + b"\x01" for each in filters
    )
    return bytes([0x82, len(body)]) + body


def read(client: socket.socket, count: int) -> bytes:
    data = b""
    while len(data) < count:
        piece = client.recv(count - len(data))
        assert piece, "the connection ended"
        data += piece
    return data


def is_dropped(client: socket.socket) -> bool:
    try:
        while client.recv(65536):
            pass
    except ConnectionError:
        return True
    return True


def eventually(check: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + 5
    while not check():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.005)
    return True


def test_a_client_connects_and_is_described_to_the_broker(door: Running) -> None:
    with door.client() as client:
        client.sendall(connect("known", 60, clean_session=False))
        assert read(client, 4) == b"\x20\x02\x01\x00"

    assert door.session.connecting == Connecting("known", "", clean_session=False, chain=())
    assert eventually(lambda: door.session.closings == 1)


def test_a_clean_session_is_never_present(door: Running) -> None:
    with door.client() as client:
        client.sendall(connect("known"))
        assert read(client, 4) == ACCEPTED


@pytest.mark.parametrize(
    ("sent", "code"),
    [
        (connect("stranger"), NOT_AUTHORIZED),
        (connect(""), 2),
        (b"\x10\x0f\x00\x04MQTT\x05\x02\x00\x3c\x00\x00\x02me", 1),
    ],
    ids=["not authorized", "no client id", "another version"],
)
def test_a_refused_client_gets_a_return_code_and_the_end(door: Running, sent: bytes, code: int) -> None:
    with door.client() as client:
        client.sendall(sent)
        assert read(client, 4) == bytes([0x20, 2, 0, code])
        assert client.recv(1) == b""

    assert door.broker.sessions == []


@pytest.mark.parametrize(
    "sent",
    [
        connect("hang-up"),
        connect("bug"),
        PINGREQ,
        publish("t"),
        b"GET / HTTP/1.1\r\n\r\n",
        b"\x16\x03\x01\x02\x00",
        b"\x10\xff\xff\x7f",
    ],
)
def test_a_stranger_is_dropped_without_a_word(door: Running, sent: bytes) -> None:
    with door.client() as client:
        client.sendall(sent)
        assert client.recv(1) == b"" if sent[0] == 0x10 else is_dropped(client)

    assert door.broker.sessions == []


@pytest.mark.parametrize(
    "sent",
    [
        connect("me"),
        b"\x10\x0f\x00\x04MQTT\x05\x02\x00\x3c\x00\x00\x02me",
        publish("hang-up"),
        publish("bug", b"", 1),
        b"\x34\x05\x00\x01t\x00\x01",
    ],
    ids=["second CONNECT", "CONNECT of another version", "hang up", "bug", "QoS 2"],
)
def test_one_client_is_dropped_and_another_goes_on(door: Running, sent: bytes) -> None:
    with door.connected("good") as good, door.connected("bad") as bad:
        bad.sendall(sent + PINGREQ)
        assert is_dropped(bad)
        good.sendall(PINGREQ)
        assert read(good, 2) == PINGRESP

        assert [each.closings for each in door.broker.sessions] == [0, 1]


def test_our_own_bug_is_logged(door: Running, caplog: pytest.LogCaptureFixture) -> None:
    with door.connected("cannot-close") as client:
        client.sendall(publish("bug"))
        assert is_dropped(client)

    assert [record.levelname for record in caplog.records] == ["ERROR", "ERROR"]
    assert door.session.closings == 1


def test_what_waited_follows_connack_and_suback(door: Running) -> None:
    door.broker.waiting = [Outgoing("a", b"1")]
    with door.connected() as client:
        assert read(client, 6) == b"\x30\x04\x00\x01a1"
        door.session.waiting = [Outgoing("b", b"2", qos=1)]
        client.sendall(subscribe("x/#", "forbidden/#", packet_id=7))
        assert read(client, 6) == b"\x90\x04\x00\x07\x01\x80"
        assert read(client, 8) == b"\x32\x06\x00\x01b\x00\x012"


def test_unsubscribe_is_acknowledged(door: Running) -> None:
    with door.connected() as client:
        client.sendall(subscribe("x/#"))
        read(client, 5)
        client.sendall(b"\xa2\x07\x00\x08\x00\x03x/#")
        assert read(client, 4) == b"\xb0\x02\x00\x08"

        assert door.session.filters == {}


def test_puback_and_answers_leave_in_one_write(door: Running) -> None:
    with door.connected() as client:
        for number in range(1, 50):
            client.sendall(publish("q1", b"x", number))
            # A second write would arrive in a second read, now and then.
            assert (
                client.recv(65536)
                == b"\x40\x02" + number.to_bytes(2) + b"\x32\x0c\x00\x07echo/q1" + number.to_bytes(2) + b"x"
            )
            client.sendall(b"\x40\x02" + number.to_bytes(2))

        assert eventually(lambda: door.session.receipts == ["q1"] * 49)


def test_qos_0_is_not_acknowledged(door: Running) -> None:
    with door.connected() as client:
        client.sendall(publish("telemetry") + PINGREQ)
        assert read(client, 2) == PINGRESP
        assert door.session.taken == [("telemetry", b"")]


def test_an_answer_may_come_later(door: Running) -> None:
    with door.connected() as client:
        before = time.monotonic()
        client.sendall(publish("later"))
        assert read(client, 12) == b"\x30\x0a\x00\x08echo/now"
        assert read(client, 14) == b"\x30\x0c\x00\x0aecho/later"
        assert time.monotonic() - before > 0.15


def test_packets_in_pieces_and_in_heaps_are_served_in_order(door: Running) -> None:
    with door.client() as client:
        for byte in connect("me") + PINGREQ:
            client.sendall(bytes([byte]))
        assert read(client, 6) == ACCEPTED + PINGRESP
        heap = b"".join(publish("telemetry", number.to_bytes(2), number) for number in range(1, 5001))
        threading.Thread(target=client.sendall, args=(heap,)).start()
        answers = read(client, 4 * 5000)
        assert answers == b"".join(b"\x40\x02" + number.to_bytes(2) for number in range(1, 5001))


def test_what_was_sent_before_the_end_still_counts(door: Running) -> None:
    with door.connected() as client:
        client.sendall(publish("telemetry") * 1000 + DISCONNECT)

    assert eventually(lambda: door.session.closings == 1)
    assert len(door.session.taken) == 1000


def test_packet_ids_are_used_again_after_puback(door: Running) -> None:
    with door.connected() as client:
        client.sendall(publish("never-acknowledged-1"))
        assert read(client, 31)[-2:] == b"\x00\x01"
        door.session.link._conversation._last_id = 0xFFFE  # type: ignore[attr-defined]
        used = []
        for _ in range(3):
            client.sendall(publish("q1"))
            used.append(read(client, 13)[-2:])
            client.sendall(b"\x40\x02" + used[-1])

    assert used == [b"\xff\xff", b"\x00\x02", b"\x00\x03"]


def test_a_client_that_acknowledges_nothing_is_dropped(door: Running) -> None:
    with door.connected() as client:
        for number in range(1, 1002):
            client.sendall(publish("q1", b"", number))
        assert is_dropped(client)

    assert len(door.session.taken) == 1001


def test_an_unknown_puback_changes_nothing(door: Running) -> None:
    with door.connected() as client:
        client.sendall(b"\x40\x02\x00\x63" + PINGREQ)
        assert read(client, 2) == PINGRESP
        assert door.session.receipts == []


def test_disconnect_ends_the_connection(door: Running) -> None:
    with door.connected() as client:
        client.sendall(DISCONNECT + publish("telemetry"))
        assert is_dropped(client)

    assert (door.session.taken, door.session.closings) == ([], 1)


def test_half_an_end_is_an_end(door: Running) -> None:
    with door.connected() as client:
        client.shutdown(socket.SHUT_WR)
        assert client.recv(1) == b""

    assert door.session.closings == 1


def test_a_silent_client_is_dropped_after_its_keep_alive(door: Running) -> None:
    with door.connected(keep_alive=1) as client:
        before = time.monotonic()
        time.sleep(1)
        client.sendall(PINGREQ)
        assert read(client, 2) == PINGRESP
        client.sendall(b"\xc0")  # half a packet is no sign of life
        assert is_dropped(client)
        assert 2.3 < time.monotonic() - before < 4

    assert door.session.closings == 1


def test_who_does_not_connect_in_time_is_dropped(thread: Thread) -> None:
    door = opened(thread, ToyBroker(), patience=0.3)
    with door.client() as silent, door.client() as slow, door.connected() as good:
        slow.sendall(connect("me")[:-1])
        assert is_dropped(silent)
        assert is_dropped(slow)
        good.sendall(PINGREQ)
        assert read(good, 2) == PINGRESP


def test_who_does_not_read_is_dropped_and_nobody_else_waits(door: Running) -> None:
    with door.connected("deaf") as deaf, door.connected("good") as good:
        session = door.broker.sessions[0]
        for _ in range(100):
            session.link.send(Outgoing("t", bytes(250_000)))
        assert eventually(lambda: session.closings == 1)
        good.sendall(PINGREQ)
        assert read(good, 2) == PINGRESP
        assert is_dropped(deaf)


def test_one_flood_does_not_stall_the_others(door: Running) -> None:
    with door.connected("flood") as flood, door.connected("good") as good:

        def pour() -> None:
            flood.sendall(PINGREQ * 500_000)

        pouring = threading.Thread(target=pour)
        draining = threading.Thread(target=read, args=(flood, 1_000_000))
        pouring.start()
        draining.start()
        for _ in range(20):
            before = time.monotonic()
            good.sendall(PINGREQ)
            assert read(good, 2) == PINGRESP
            assert time.monotonic() - before < 1
        pouring.join()
        draining.join()


def test_a_link_works_from_any_thread_and_is_harmless_after_the_end(door: Running) -> None:
    with door.connected() as client:
        link = door.session.link
        with ThreadPoolExecutor(8) as pool:
            for _ in range(800):
                pool.submit(link.send, Outgoing("t", b"x"))
        assert read(client, 800 * 6) == b"\x30\x04\x00\x01tx" * 800
        link.drop()
        assert is_dropped(client)
        link.send(Outgoing("t", b"x", qos=1))
        link.drop()

    assert eventually(lambda: door.session.closings == 1)


def test_a_link_is_harmless_when_the_door_and_its_loop_are_gone() -> None:
    thread = Thread()
    door = opened(thread, ToyBroker())
    with door.connected() as client:
        door.session.link.send(Outgoing("t", delay=60))
        thread.stop()
        assert is_dropped(client)

    door.session.link.send(Outgoing("t"))
    door.session.link.drop()
    assert door.session.closings == 1


def test_small_packets_do_not_wait_for_each_other(door: Running) -> None:
    with door.connected():
        wire: asyncio.Transport = door.session.link._conversation._wire  # type: ignore[attr-defined]
        assert wire.get_extra_info("socket").getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) != 0


def test_a_thousand_clients_connect_at_once(door: Running) -> None:
    clients = [socket.create_connection(("127.0.0.1", door.port), timeout=10) for _ in range(1000)]
    for number, client in enumerate(clients):
        client.sendall(connect(f"d{number}"))
    for client in clients:
        assert read(client, 4) == ACCEPTED
        client.close()

    assert eventually(lambda: sum(each.closings for each in door.broker.sessions) == 1000)


def test_the_door_closes_while_clients_are_still_coming() -> None:
    thread = Thread()
    door = opened(thread, ToyBroker())
    clients = []
    for number in range(300):
        clients.append(socket.create_connection(("127.0.0.1", door.port), timeout=10))
        clients[-1].sendall(connect(f"d{number}"))
    thread.stop()
    for client in clients:
        assert is_dropped(client)
        client.close()

    assert all(each.closings == 1 for each in door.broker.sessions)


def test_a_taken_port_is_an_os_error(door: Running) -> None:
    async def second() -> None:
        other = mqtt.Door(ToyBroker())
        try:
            with pytest.raises(OSError):
                await other.open("127.0.0.1", door.port)
        finally:
            await other.close()

    asyncio.run(second())


def outsider(client_id: str, transport: Any = "tcp") -> tuple[paho.Client, list[tuple[str, bytes]]]:
    client = paho.Client(CallbackAPIVersion.VERSION2, client_id, transport=transport)
    arrived: list[tuple[str, bytes]] = []
    client.on_message = lambda _client, _data, message: arrived.append(
        (message.topic, bytes(message.payload))
    )
    return client, arrived


def converse(client: paho.Client, arrived: list[tuple[str, bytes]], port: int) -> None:
    subscribed = threading.Event()
    client.on_subscribe = lambda *_: subscribed.set()
    client.connect("127.0.0.1", port)
    client.loop_start()
    try:
        client.subscribe("echo/#", 1)
        assert subscribed.wait(5)
        client.publish("q1", b"one", 1).wait_for_publish(5)
        client.publish("q0", b"none").wait_for_publish(5)
        client.publish("q1", bytes(200_000), 1).wait_for_publish(5)
        assert eventually(lambda: len(arrived) == 3)
    finally:
        client.disconnect()
        client.loop_stop()
    assert arrived == [("echo/q1", b"one"), ("echo/q0", b"none"), ("echo/q1", bytes(200_000))]


def test_paho_connects_subscribes_publishes_and_receives(door: Running) -> None:
    converse(*outsider("paho"), door.port)

    assert eventually(lambda: door.session.closings == 1)
    assert door.session.receipts == ["q1", "q1"]


def test_paho_understands_a_refusal(door: Running) -> None:
    client, _ = outsider("stranger")
    codes: list[ReasonCode] = []
    client.on_connect = lambda _client, _data, _flags, reason, _properties: codes.append(reason)
    client.connect("127.0.0.1", door.port)
    while not codes:
        client.loop(1)

    assert codes[0].getName() == "Not authorized"
    client.loop(1)


def test_tls_is_spoken_and_a_silent_handshake_is_bounded(thread: Thread, tmp_path: Path) -> None:
    now = datetime.now(UTC)
    context = tls.server_context(tls.authority(tmp_path, now=now), now=now)
    door = opened(thread, ToyBroker(), context, patience=0.5)
    client, arrived = outsider("paho")
    client.tls_set(str(tmp_path / tls.CA_FILE))
    with door.client() as silent:
        converse(client, arrived, door.port)
        assert door.session.connecting.chain == ()
        assert is_dropped(silent)


def test_the_broker_sees_the_certificates_of_the_handshake(thread: Thread, tmp_path: Path) -> None:
    now = datetime.now(UTC)
    issuer = tls.authority(tmp_path, now=now)
    device = issuer.issue("paho", now=now)
    assert device.key is not None
    file = tmp_path / "device.pem"
    file.write_bytes(pem.key_pem(device.key) + device.fullchain_pem)
    door = opened(thread, ToyBroker(), tls.server_context(issuer, now=now))
    client, arrived = outsider("paho")
    client.tls_set(str(tmp_path / tls.CA_FILE), str(file), str(file))
    converse(client, arrived, door.port)

    assert door.session.connecting.chain[0] == device.certificate


def test_a_door_with_tls_closes_during_a_handshake(tmp_path: Path) -> None:
    now = datetime.now(UTC)
    context = tls.server_context(tls.authority(tmp_path, now=now), now=now)
    thread = Thread()
    door = opened(thread, ToyBroker(), context)
    trusting = ssl.create_default_context(cafile=str(tmp_path / tls.CA_FILE))
    with (
        door.client() as silent,
        door.client() as raw,
        trusting.wrap_socket(raw, server_hostname="127.0.0.1") as client,
    ):
        client.sendall(connect("me"))
        assert client.recv(4) == ACCEPTED
        thread.stop(handshakes=1)
        assert is_dropped(client)
        assert is_dropped(silent)

    assert door.session.closings == 1


def websocket_door(thread: Thread) -> Running:
    broker = ToyBroker()

    async def serve(incoming: web.BaseRequest) -> web.StreamResponse:
        return await serve_websocket(incoming, broker)

    async def work(stop: asyncio.Event, port: Future[int]) -> None:
        door = http.Door(serve)
        await door.open("127.0.0.1", 0)
        port.set_result(door.port)
        await stop.wait()
        await door.close()
        for _ in range(5):  # as many turns as the end of a cancelled handler takes
            await asyncio.sleep(0)

    return thread.start(broker, work)


def test_paho_does_the_same_over_websocket(thread: Thread) -> None:
    door = websocket_door(thread)
    client, arrived = outsider("paho", "websockets")
    client.ws_set_options(path=PATH)
    converse(client, arrived, door.port)

    assert eventually(lambda: door.session.closings == 1)


def over_websocket(
    door: Running, talk: Callable[[aiohttp.ClientWebSocketResponse], Coroutine[Any, Any, None]]
) -> None:
    async def main() -> None:
        async with (
            aiohttp.ClientSession() as session,
            session.ws_connect(f"http://127.0.0.1:{door.port}{PATH}", protocols=("mqtt",)) as opened,
        ):
            await talk(opened)

    asyncio.run(main())


def test_frames_over_websocket_need_not_be_packets(thread: Thread) -> None:
    door = websocket_door(thread)

    async def talk(client: aiohttp.ClientWebSocketResponse) -> None:
        assert client.protocol == "mqtt"
        stream = connect("me") + PINGREQ
        await client.send_bytes(stream[:9])
        await client.send_bytes(stream[9:] + publish("telemetry") * 200 + publish("q0"))
        received = b""
        while len(received) < 17:
            received += await client.receive_bytes(timeout=5)
        assert received == ACCEPTED + PINGRESP + b"\x30\x09\x00\x07echo/q0"

    over_websocket(door, talk)
    assert eventually(lambda: door.session.closings == 1)


@pytest.mark.parametrize(
    "sent",
    [connect("stranger"), connect("hang-up"), connect("me") + PINGREQ + b"\x00", connect("me") + DISCONNECT],
)
def test_the_end_of_a_conversation_is_the_end_of_its_websocket(thread: Thread, sent: bytes) -> None:
    door = websocket_door(thread)

    async def talk(client: aiohttp.ClientWebSocketResponse) -> None:
        await client.send_bytes(sent)
        while (await client.receive(timeout=5)).type is aiohttp.WSMsgType.BINARY:
            pass
        assert client.closed

    over_websocket(door, talk)
    assert all(each.closings == 1 for each in door.broker.sessions)


def test_text_is_not_mqtt(thread: Thread) -> None:
    door = websocket_door(thread)

    async def talk(client: aiohttp.ClientWebSocketResponse) -> None:
        await client.send_bytes(connect("me"))
        await client.send_str("hello")
        while (await client.receive(timeout=5)).type is aiohttp.WSMsgType.BINARY:
            pass

    over_websocket(door, talk)
    assert door.session.closings == 1


@pytest.mark.parametrize(
    "headers", [{}, {"sec-websocket-protocol": "mqtt"}, {"upgrade": "websocket", "connection": "upgrade"}]
)
def test_a_request_that_is_no_mqtt_over_websocket_is_refused(thread: Thread, headers: dict[str, str]) -> None:
    door = websocket_door(thread)

    async def main() -> int:
        async with (
            aiohttp.ClientSession() as session,
            session.get(f"http://127.0.0.1:{door.port}{PATH}", headers=headers) as answer,
        ):
            return answer.status

    assert asyncio.run(main()) == 400


def test_the_http_door_closes_while_a_websocket_is_open() -> None:
    thread = Thread()
    door = websocket_door(thread)

    async def talk(client: aiohttp.ClientWebSocketResponse) -> None:
        await client.send_bytes(connect("me"))
        assert await client.receive_bytes(timeout=5) == ACCEPTED
        await asyncio.get_running_loop().run_in_executor(None, thread.stop)

    over_websocket(door, talk)
    assert door.session.closings == 1
