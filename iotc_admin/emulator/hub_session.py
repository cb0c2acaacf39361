"""A device's MQTT session with the hub: which topics there are, and what each of them does."""

from __future__ import annotations

import json
import re
from base64 import b64decode
from concurrent.futures import Future
from itertools import count, islice
from threading import Lock
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qsl, quote

from iotc_admin.emulator import hub
from iotc_admin.emulator.records import SessionRecord
from iotc_admin.emulator.sessions import HangUp, Outgoing

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from iotc_admin.emulator.records import QueuedRecord
    from iotc_admin.emulator.service import Service
    from iotc_admin.emulator.sessions import Link

_TWIN_ANSWERS: Final = "$iothub/twin/res/#"
_DESIRED: Final = "$iothub/twin/PATCH/properties/desired/#"
_METHODS: Final = "$iothub/methods/POST/#"
_TWIN_GET: Final = re.compile(r"\$iothub/twin/GET/\?\$rid=([^&]*)")
_REPORT: Final = re.compile(r"\$iothub/twin/PATCH/properties/reported/\?\$rid=([^&]*)(?:&.*)?")
_METHOD_ANSWER: Final = re.compile(r"\$iothub/methods/res/(-?\d{1,9})/\?\$rid=(\w+)")
_FAILURE: Final = 0x80
_BAD_REQUEST: Final = 400
_IN_FLIGHT: Final = 100

MethodAnswer = tuple[int, bytes]


class HubSession:
    """One connected device, made inside a transaction.

    `publish` and the like come from the door, the rest from any thread.
    """

    def __init__(self, service: Service, device_id: str, link: Link, *, clean: bool) -> None:
        self._service, self._state = service, service.state
        self._device_id = device_id
        self._link = link
        self._lasting = not clean
        self._devicebound = f"devices/{device_id}/messages/devicebound/#"
        self._events = f"devices/{device_id}/messages/events/"
        self._sent: set[str] = set()
        self._methods: dict[str, Future[MethodAnswer]] = {}
        self._numbers = count(1)
        self._lock = Lock()
        kept = None if clean else self._state.sessions.get(device_id)
        self._subscriptions = dict(kept.subscriptions) if kept else {}
        if clean:
            self._state.sessions.delete(device_id)

    @property
    def present(self) -> bool:
        return bool(self._subscriptions)

    def subscribe(self, topic_filter: str, qos: int) -> int:
        if topic_filter not in {_TWIN_ANSWERS, _DESIRED, _METHODS, self._devicebound}:
            return _FAILURE
        granted = min(qos, 1)
        self._subscriptions[topic_filter] = granted
        self._keep()
        return granted

    def unsubscribe(self, topic_filter: str) -> None:
        self._subscriptions.pop(topic_filter, None)
        self._keep()

    def subscribed(self) -> Sequence[Outgoing]:
        """Cloud-to-device messages that waited and were not yet sent over this connection."""
        if self._devicebound not in self._subscriptions:
            return ()
        with self._state.transaction():
            prefix = self._device_id + hub.SEPARATOR
            unsent = (pair for pair in self._state.queued.below(prefix) if pair[0] not in self._sent)
            room = _IN_FLIGHT - len(self._sent) if self._subscriptions[self._devicebound] else None
            waiting = list(islice(unsent, room))
            outgoing = [self._devicebound_message(id_, each) for id_, each in waiting]
            for id_, _ in waiting:
                if self._subscriptions[self._devicebound]:
                    self._sent.add(id_)
                else:
                    self._state.queued.delete(id_)
        return outgoing

    def publish(self, topic: str, payload: bytes) -> Sequence[Outgoing]:
        if topic.startswith(self._events):
            return self._telemetry(topic.removeprefix(self._events), payload)
        if found := _TWIN_GET.fullmatch(topic):
            return self._twin(found[1])
        if found := _REPORT.fullmatch(topic):
            return self._reported(found[1], payload)
        if found := _METHOD_ANSWER.fullmatch(topic):
            return self._method_answered(int(found[1]), found[2], payload)
        raise HangUp

    def received(self, receipt: str) -> None:
        with self._state.transaction():
            self._state.queued.delete(receipt)
        self._sent.discard(receipt)
        self.tell_queued()

    def closed(self) -> None:
        self._state.links.detach(self._device_id, self)
        with self._lock:
            abandoned, self._methods = list(self._methods.values()), {}
        for future in abandoned:
            future.cancel()

    def drop(self) -> None:
        """End the connection."""
        self._link.drop()

    def tell_desired(self, patch: Mapping[str, Any]) -> None:
        """A change of the desired properties, to a device that subscribed to them."""
        qos = self._subscriptions.get(_DESIRED)
        if qos is not None:
            topic = f"$iothub/twin/PATCH/properties/desired/?$version={patch['$version']}"
            self._link.send(Outgoing(topic, _json(patch), qos))

    def tell_queued(self) -> None:
        """A cloud-to-device message was put into the queue."""
        for outgoing in self.subscribed():
            self._link.send(outgoing)

    def call_method(self, name: str, payload: bytes) -> Future[MethodAnswer] | None:
        """Calls a direct method; None when the device does not listen for methods."""
        qos = self._subscriptions.get(_METHODS)
        if qos is None:
            return None
        answer: Future[MethodAnswer] = Future()
        with self._lock:
            rid = f"{next(self._numbers):x}"
            self._methods[rid] = answer
        topic = f"$iothub/methods/POST/{quote(name, safe='*')}/?$rid={rid}"
        self._link.send(Outgoing(topic, payload, qos))
        return answer

    def _telemetry(self, coded: str, payload: bytes) -> Sequence[Outgoing]:
        if len(payload) > hub.LARGEST_MESSAGE:
            raise HangUp
        properties = dict(parse_qsl(coded.removesuffix("/"), keep_blank_values=True, max_num_fields=100))
        self._service.take_telemetry(self._device_id, payload, properties)
        return ()

    def _twin(self, rid: str) -> Sequence[Outgoing]:
        with self._state.transaction():
            twin = hub.twin_of(self._state, self._device_id)
        body = {
            "desired": {**twin.desired, "$version": twin.desired_version},
            "reported": {**twin.reported, "$version": twin.reported_version},
        }
        return self._twin_answer(f"200/?$rid={rid}", _json(body))

    def _reported(self, rid: str, payload: bytes) -> Sequence[Outgoing]:
        try:
            patch = json.loads(payload)
            if not isinstance(patch, dict):
                return self._twin_answer(f"{_BAD_REQUEST}/?$rid={rid}", b"{}")
            with self._state.transaction():
                version = hub.report(self._state, self._device_id, patch)
        except (ValueError, RecursionError):
            return self._twin_answer(f"{_BAD_REQUEST}/?$rid={rid}", b"{}")
        return self._twin_answer(f"204/?$rid={rid}&$version={version}")

    def _twin_answer(self, ending: str, payload: bytes = b"") -> Sequence[Outgoing]:
        qos = self._subscriptions.get(_TWIN_ANSWERS)
        return () if qos is None else (Outgoing(f"$iothub/twin/res/{ending}", payload, qos),)

    def _method_answered(self, status: int, rid: str, payload: bytes) -> Sequence[Outgoing]:
        with self._lock:
            waiting = self._methods.pop(rid, None)
        if waiting is not None and waiting.set_running_or_notify_cancel():
            waiting.set_result((status, payload))
        return ()

    def _devicebound_message(self, id_: str, queued: QueuedRecord) -> Outgoing:
        own = {"$.mid": id_.rpartition(hub.SEPARATOR)[2], "$.to": f"/{self._devicebound.removesuffix('/#')}"}
        properties = {**own, **queued.properties}
        coded = "&".join(
            f"{quote(name, safe='')}={quote(value, safe='')}" for name, value in properties.items()
        )
        topic = f"{self._devicebound.removesuffix('#')}{coded}"
        return Outgoing(topic, b64decode(queued.payload), self._subscriptions[self._devicebound], receipt=id_)

    def _keep(self) -> None:
        if self._lasting:
            with self._state.transaction():
                record = SessionRecord(subscriptions=self._subscriptions)
                self._state.sessions.put(self._device_id, record)


def _json(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()
