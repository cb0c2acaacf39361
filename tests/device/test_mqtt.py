"""A device over MQTT, against scripted packets behind a real TLS socket."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest

from iotc_admin import (
    AnswerLost,
    DeviceIdentity,
    IotcError,
    ProvisioningRefused,
    UnexpectedAnswer,
    Unreachable,
)
from iotc_admin.device.connect import Connected, connect
from iotc_admin.device.endpoint import Endpoint
from iotc_admin.device.mqtt import MqttSession, Visitor
from iotc_admin.device.tls import device_context
from tests.device.standin import MqttStandIn, Reply, StandIn
from tests.device.test_https import STATE

MqttServing = Callable[..., MqttStandIn]
ACCEPTED = b"\x20\x02\x00\x00"
SUBSCRIBED = b"\x90\x03\x00\x01\x01"


def message(topic: str, document: object) -> bytes:
    body = len(topic).to_bytes(2, "big") + topic.encode() + json.dumps(document).encode()
    low, high = len(body) & 127, len(body) >> 7
    return b"\x30" + (bytes([low | 128, high]) if high else bytes([low])) + body


def puback(number: int) -> bytes:
    return b"\x40\x02" + number.to_bytes(2, "big")


ASSIGNING = message(
    "$dps/registrations/res/202/?$rid=1&retry-after=4", {"operationId": "5.a.b", "status": "assigning"}
)
ASSIGNED = message("$dps/registrations/res/200/?$rid=2", {"status": "assigned", "registrationState": STATE})
AT_ONCE = message("$dps/registrations/res/200/?$rid=1", {"status": "assigned", "registrationState": STATE})


def way(device: DeviceIdentity, server: MqttStandIn, **options: Any) -> tuple[Connected, list[float]]:
    waits: list[float] = []
    done = connect(
        device,
        id_scope="0ne1",
        dps_host="localhost",
        mqtt_port=server.port,
        transport="mqtt",
        ca_file=server.ca_file,
        sleep=waits.append,
        **options,
    )
    return done, waits


def test_every_packet_is_what_dps_and_hub_expect(device: DeviceIdentity, mqtt_serving: MqttServing) -> None:
    server = mqtt_serving(ACCEPTED, SUBSCRIBED, ASSIGNING, puback(2) + ASSIGNED, ACCEPTED, puback(1))

    done, waits = way(device, server, telemetry=[{"t": 1}], model_id="dtmi:a:b;1")

    assert [step.name for step in done.steps] == ["register", "poll", "connect", "telemetry"]
    assert waits == [4]
    hello, subscribe, put, get, bye, hub_hello, telemetry, *_ = server.packets
    # MQTT 3.1.1, a user name, no password, a clean session, keep alive 240.
    head = b"\x00\x04MQTT\x04\x82\x00\xf0"
    assert hello[1:].startswith(head + b"\x00\x08pump-042\x00")
    assert hello.endswith(b"0ne1/registrations/pump-042/api-version=2019-03-31&ClientVersion=iotc-admin")
    assert subscribe.endswith(b"$dps/registrations/res/#\x01")
    assert put[0] & 0x06 == 0x02
    assert b"$dps/registrations/PUT/iotdps-register/?$rid=1" in put
    assert put.endswith(b'{"registrationId": "pump-042", "payload": {"modelId": "dtmi:a:b;1"}}')
    assert b"$dps/registrations/GET/iotdps-get-operationstatus/?$rid=2&operationId=5.a.b" in get
    assert get.endswith(b" ")
    assert bye == b"\xe0"
    assert b"localhost/pump-042/?api-version=2021-04-12&" in hub_hello
    assert hub_hello.endswith(b"&model-id=dtmi%3Aa%3Ab%3B1")
    assert b"devices/pump-042/messages/events/%24.ct=application%2Fjson&%24.ce=utf-8\x00" in telemetry
    assert telemetry.endswith(b'{"t": 1}')


@pytest.mark.parametrize("code", [2, 3, 4, 5])
def test_a_connection_that_dps_refuses_is_explained(
    device: DeviceIdentity, mqtt_serving: MqttServing, code: int
) -> None:
    refused = bytes([0x20, 2, 0, code])

    with pytest.raises(ProvisioningRefused, match=f"CONNACK {code}") as caught:
        way(device, mqtt_serving(refused, refused))

    assert caught.value.error_code == str(code)
    assert caught.value.cause


def test_a_hub_that_refuses_the_connection_names_the_thumbprint(
    device: DeviceIdentity, mqtt_serving: MqttServing
) -> None:
    server = mqtt_serving(ACCEPTED, SUBSCRIBED, AT_ONCE, b"\x20\x02\x00\x05")

    with pytest.raises(ProvisioningRefused, match="the hub refused") as caught:
        way(device, server)

    assert "thumbprint" in caught.value.cause


def test_a_hub_out_of_service_is_tried_once_more(device: DeviceIdentity, mqtt_serving: MqttServing) -> None:
    server = mqtt_serving(ACCEPTED, SUBSCRIBED, AT_ONCE, b"\x20\x02\x00\x03", ACCEPTED)

    assert way(device, server)[1] == [2]


def test_a_hub_that_drops_the_connection_is_connected_again(
    device: DeviceIdentity, mqtt_serving: MqttServing
) -> None:
    server = mqtt_serving(ACCEPTED, SUBSCRIBED, AT_ONCE, ACCEPTED, puback(1), None, ACCEPTED, puback(1))

    assert way(device, server, telemetry=[{"t": 1}, {"t": 2}], interval=0)[1] == [2]
    assert server.connections == 3
    assert sum(packet.endswith(b'{"t": 2}') for packet in server.packets) == 2


def test_a_server_that_closes_the_connection_is_tried_once_more_and_not_twice(
    device: DeviceIdentity, mqtt_serving: MqttServing
) -> None:
    server = mqtt_serving(None, None, ACCEPTED)

    with pytest.raises(AnswerLost):
        way(device, server)

    assert server.connections == 2


def test_answers_to_others_are_passed_over(device: DeviceIdentity, mqtt_serving: MqttServing) -> None:
    noise = [
        message("$dps/registrations/res/401/?$rid=9", {"errorCode": 401002}),
        message("elsewhere", {"status": "failed"}),
        message("$dps/registrations/res/4/?$rid=1", {}),
    ]

    server = mqtt_serving(ACCEPTED, SUBSCRIBED, b"".join(noise) + AT_ONCE, ACCEPTED)

    assert way(device, server)[0].enrollment == "plant-7"


def test_a_refusal_over_mqtt_is_the_same_as_over_https(
    device: DeviceIdentity, mqtt_serving: MqttServing
) -> None:
    body = {"errorCode": 401002, "message": "CA certificate not found", "trackingId": "0f-1"}
    server = mqtt_serving(ACCEPTED, SUBSCRIBED, message("$dps/registrations/res/401/?$rid=1", body))

    with pytest.raises(ProvisioningRefused, match=r"401002.*tracking id 0f-1") as caught:
        way(device, server)

    assert "_fullchain.pem" in caught.value.fix


def test_a_silent_server_is_not_waited_for_forever(device: DeviceIdentity, mqtt_serving: MqttServing) -> None:
    server = mqtt_serving(b"")
    session = MqttSession(
        Endpoint("localhost", server.port),
        device_context(device, server.ca_file),
        Visitor("pump-042", "x", "DPS"),
        websocket=False,
        monotonic=iter(range(0, 1000, 20)).__next__,
    )

    with session, pytest.raises(AnswerLost, match="within 30 s"):
        session.open("try")


def test_a_server_that_never_stops_sending_is_left(device: DeviceIdentity, mqtt_serving: MqttServing) -> None:
    huge = b"\x30\xff\xff\xff\x7f" + bytes(20 << 20)

    with pytest.raises(IotcError):
        way(device, mqtt_serving(ACCEPTED + huge, ACCEPTED + huge))


def test_bytes_that_are_no_mqtt_end_in_an_error_of_ours(
    device: DeviceIdentity, mqtt_serving: MqttServing
) -> None:
    source = random.Random(7)
    for _ in range(60):
        garbage = bytes([source.choice([0x20, 0x30, 0x32, 0x90, 0x40, source.randrange(256)])])
        size = source.randrange(30)
        garbage += bytes([size]) + source.randbytes(size)
        server = mqtt_serving(ACCEPTED, garbage, None, ACCEPTED, garbage, None)
        with pytest.raises((UnexpectedAnswer, AnswerLost)):
            way(device, server)


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 101 x\r\nConnection: upgrade\r\nSec-WebSocket-Accept:\xff\r\n\r\n",
        b"HTTP/1.1 101 x\r\nConnection: upgrade\r\nSec-WebSocket-Accept: wrong\r\n\r\n",
        b"",
    ],
)
def test_a_server_without_websockets_is_unreachable_that_way(
    device: DeviceIdentity, serving: Callable[..., StandIn], answer: bytes
) -> None:
    server = serving(Reply(raw=answer, close=True), Reply(raw=answer, close=True))

    with pytest.raises(Unreachable):
        connect(
            device,
            id_scope="0ne1",
            dps_host=server.host,
            transport="mqtt-ws",
            ca_file=server.ca_file,
            sleep=lambda _: None,
        )

    assert server.seen[0].path == "/$iothub/websocket"
    assert server.seen[0].headers["sec-websocket-protocol"] == "mqtt"


def test_without_paho_the_way_to_get_it_is_told(device: DeviceIdentity) -> None:
    program = """
import sys
from datetime import UTC, datetime
sys.modules["paho"] = None
from iotc_admin import DeviceIdentity, SettingsError
from iotc_admin.device.provisioning import register
device = DeviceIdentity.self_signed("pump-042", now=datetime.now(UTC))
try:
    register(device, id_scope="0ne1", dps_host="localhost:1", transport="mqtt")
except SettingsError as error:
    print(error.hint)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)

    assert "pip install 'iotc-admin[mqtt]'" in done.stdout


def test_https_needs_no_paho() -> None:
    program = "import sys, iotc_admin.device.connect; print('paho' in sys.modules)"

    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)

    assert done.stdout == "False\n"
