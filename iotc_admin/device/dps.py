"""Hides how the two requests of a registration travel: HTTPS, MQTT, MQTT over WebSocket."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final, Protocol
from urllib.parse import parse_qsl, quote

from iotc_admin.device.answer import Answer
from iotc_admin.device.https import HttpsPeer
from iotc_admin.device.mqtt import MqttSession, Visitor
from iotc_admin.device.route import Route

REGISTER: Final = "register the device"
POLL: Final = "ask for the assignment"
_HTTPS_VERSION: Final = "2021-06-01"
_MQTT_VERSION: Final = "2019-03-31"
_RESULT: Final = re.compile(r"\$dps/registrations/res/([0-9]{3})/\?(.*)", re.DOTALL)


class Registration(Protocol):
    """The two requests; an answer's status is HTTP's over MQTT too."""

    def register(self, content: bytes) -> Answer: ...

    def poll(self, operation_id: str) -> Answer: ...


@contextmanager
def open_registration(route: Route, id_scope: str, registration_id: str) -> Iterator[Registration]:
    """A registration's requests over the route's transport; closed at the end."""
    if route.transport == "https":
        with HttpsPeer(route.dps, route.context, monotonic=route.monotonic) as peer:
            yield _OverHttps(peer, f"{id_scope}/registrations/{quote(registration_id, safe='')}")
        return
    username = (
        f"{id_scope}/registrations/{registration_id}/api-version={_MQTT_VERSION}&ClientVersion=iotc-admin"
    )
    visitor = Visitor(registration_id, username, "DPS")
    with MqttSession.over(route, route.dps.host, visitor) as opened:
        opened.open(REGISTER)
        opened.subscribe("$dps/registrations/res/#", REGISTER)
        yield _OverMqtt(opened)


class _OverHttps:
    def __init__(self, peer: HttpsPeer, path: str) -> None:
        self._peer = peer
        self._path = path

    def register(self, content: bytes) -> Answer:
        path = f"{self._path}/register?api-version={_HTTPS_VERSION}"
        headers = {"Content-Type": "application/json; charset=utf-8"}
        return self._peer.send(REGISTER, "PUT", path, content, headers)

    def poll(self, operation_id: str) -> Answer:
        path = f"{self._path}/operations/{quote(operation_id, safe='')}?api-version={_HTTPS_VERSION}"
        return self._peer.send(POLL, "GET", path)


class _OverMqtt:
    def __init__(self, opened: MqttSession) -> None:
        self._session = opened
        self._asked = 0

    def register(self, content: bytes) -> Answer:
        return self._ask("PUT/iotdps-register/?$rid={rid}", content, REGISTER)

    def poll(self, operation_id: str) -> Answer:
        topic = f"GET/iotdps-get-operationstatus/?$rid={{rid}}&operationId={operation_id}"
        return self._ask(topic, b" ", POLL)

    def _ask(self, topic: str, payload: bytes, operation: str) -> Answer:
        self._asked += 1
        rid = str(self._asked)
        message = self._session.ask(
            "$dps/registrations/" + topic.format(rid=rid),
            payload,
            operation,
            wanted=lambda each: _result(each.topic).get("$rid") == rid,
        )
        found = _result(message.topic)
        return Answer(int(found["status"]), message.payload, found.get("retry-after", ""))


def _result(topic: str) -> dict[str, str]:
    """What an answer's topic says: its status and parameters; nothing for any other topic."""
    found = _RESULT.fullmatch(topic)
    return {**dict(parse_qsl(found[2])), "status": found[1]} if found else {}
