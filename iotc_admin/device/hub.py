"""Hides a hub's two ways in for telemetry and properties: HTTPS requests, or one MQTT connection."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol
from urllib.parse import parse_qsl, quote

from iotc_admin.device import refusals
from iotc_admin.device.answer import Answer
from iotc_admin.device.endpoint import DPS_HOST, Transport, hub_device_id, hub_name
from iotc_admin.device.https import HttpsPeer
from iotc_admin.device.mqtt import MqttSession, Visitor
from iotc_admin.device.patience import twice
from iotc_admin.device.route import Route
from iotc_admin.errors import NoAnswer, SettingsError

if TYPE_CHECKING:
    from iotc_admin.pki.identity import DeviceIdentity

SEND: Final = "send telemetry"
REPORT: Final = "report properties"
OPEN: Final = "connect to the hub"
_HTTPS_VERSION: Final = "2020-03-13"
_MQTT_VERSION: Final = "2021-04-12"
# Without the last two the hub keeps a body as bytes that no rule or view can read.
_HEADERS: Final = {
    "Content-Type": "application/json; charset=utf-8",
    "iothub-contenttype": "application/json",
    "iothub-contentencoding": "utf-8",
}
_TAKEN: Final = 204
_TWIN_ANSWERS: Final = "$iothub/twin/res/#"
_TWIN_ANSWER: Final = re.compile(r"\$iothub/twin/res/([0-9]{3})/\?(.*)", re.DOTALL)


class Hub(Protocol):
    """A hub that takes one device's telemetry and properties."""

    def send(self, message: Mapping[str, object]) -> None:
        """Sends one message as JSON and waits until the hub has taken it."""

    def report(self, properties: Mapping[str, object]) -> None:
        """Reports properties and waits until the hub has kept them.

        Over HTTPS, where a hub keeps no properties, they go as telemetry.
        """


@contextmanager
def open_hub(
    identity: DeviceIdentity,
    *,
    assigned_hub: str,
    device_id: str,
    dps_host: str = DPS_HOST,
    mqtt_port: int | None = None,
    transport: Transport = "https",
    model_id: str | None = None,
    ca_file: Path | None = None,
    sleep: Callable[[float], None] = time.sleep,
    monotonic: Callable[[], float] = time.monotonic,
) -> Iterator[Hub]:
    """A hub for one device, at the ports of `dps_host`; closed at the end. Over HTTPS nothing is sent yet."""
    route = Route.of(
        identity,
        dps_host=dps_host,
        mqtt_port=mqtt_port,
        transport=transport,
        ca_file=ca_file,
        monotonic=monotonic,
    )
    name, device = hub_name(assigned_hub, OPEN), hub_device_id(device_id, OPEN)
    with hub_over(route, name, device, model_id, sleep) as hub:
        yield hub


@contextmanager
def hub_over(
    route: Route, assigned_hub: str, device_id: str, model_id: str | None, sleep: Callable[[float], None]
) -> Iterator[Hub]:
    """A hub over this route."""
    if route.transport == "https":
        with HttpsPeer(route.hub(assigned_hub), route.context, monotonic=route.monotonic) as peer:
            yield _OverHttps(peer, device_id, sleep)
        return
    hub = _OverMqtt(route, assigned_hub, device_id, model_id, sleep)
    try:
        hub.open()
        yield hub
    finally:
        hub.close()


def body(message: Mapping[str, object]) -> bytes:
    """The message as JSON; SettingsError for what JSON cannot say."""
    try:
        return json.dumps(dict(message), allow_nan=False, ensure_ascii=False).encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise SettingsError(
            f"the telemetry is no JSON: {error}", hint='as in {"temperature": 21.5}'
        ) from None


class _OverHttps:
    def __init__(self, peer: HttpsPeer, device_id: str, sleep: Callable[[float], None]) -> None:
        self._peer = peer
        self._device_id = device_id
        self._sleep = sleep

    def send(self, message: Mapping[str, object]) -> None:
        content = body(message)
        twice(lambda: self._once(content), self._sleep)

    def report(self, properties: Mapping[str, object]) -> None:
        self.send(properties)

    def _once(self, content: bytes) -> None:
        path = f"devices/{quote(self._device_id, safe='')}/messages/events?api-version={_HTTPS_VERSION}"
        answer = self._peer.send(SEND, "POST", path, content, _HEADERS)
        if answer.status != _TAKEN:
            raise refusals.of_answer("hub", answer, self._device_id, SEND)


class _OverMqtt:
    def __init__(
        self, route: Route, host: str, device_id: str, model_id: str | None, sleep: Callable[[float], None]
    ) -> None:
        self._route = route
        self._host = host
        self._device_id = device_id
        self._model_id = model_id
        self._sleep = sleep
        self._session: MqttSession | None = None
        self._reports = 0

    def open(self) -> None:
        """Connects, unless it is connected."""
        twice(self._opened, self._sleep)

    def close(self) -> None:
        if self._session is not None:
            self._session.close()
            self._session = None

    def send(self, message: Mapping[str, object]) -> None:
        content = body(message)
        twice(lambda: self._once(content), self._sleep)

    def report(self, properties: Mapping[str, object]) -> None:
        content = body(properties)
        twice(lambda: self._report_once(content), self._sleep)

    def _opened(self) -> MqttSession:
        if self._session is None:
            visitor = Visitor(self._device_id, self._username, "the hub")
            session = MqttSession.over(self._route, self._host, visitor)
            session.open(OPEN)
            self._session = session
        return self._session

    def _once(self, content: bytes) -> None:
        topic = f"devices/{self._device_id}/messages/events/%24.ct=application%2Fjson&%24.ce=utf-8"
        try:
            self._opened().publish(topic, content, SEND)
        except NoAnswer:
            # A hub ends silent or old connections as a matter of course: the repeat begins with a new one.
            self.close()
            raise

    def _report_once(self, content: bytes) -> None:
        self._reports += 1
        rid = str(self._reports)
        topic = f"$iothub/twin/PATCH/properties/reported/?$rid={rid}"
        try:
            session = self._opened()
            session.subscribe(_TWIN_ANSWERS, REPORT)
            message = session.ask(
                topic, content, REPORT, wanted=lambda each: _twin_answer(each.topic).get("$rid") == rid
            )
        except NoAnswer:
            self.close()
            raise
        status = int(_twin_answer(message.topic)["status"])
        if status != _TAKEN:
            raise refusals.of_answer("hub", Answer(status, message.payload, ""), self._device_id, REPORT)

    @property
    def _username(self) -> str:
        start = f"{self._host}/{self._device_id}/?api-version={_MQTT_VERSION}&DeviceClientType=iotc-admin"
        return f"{start}&model-id={quote(self._model_id, safe='')}" if self._model_id else start


def _twin_answer(topic: str) -> dict[str, str]:
    """What an answer's topic says: its status and parameters; nothing for any other topic."""
    found = _TWIN_ANSWER.fullmatch(topic)
    return {**dict(parse_qsl(found[2])), "status": found[1]} if found else {}
