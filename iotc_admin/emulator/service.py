"""The application behind every door: faults and throttle first, then the API; keeps a journal of requests."""

from __future__ import annotations

from collections import deque
from dataclasses import asdict, dataclass, replace
from email.utils import format_datetime
from threading import Lock
from typing import TYPE_CHECKING, Any, Final

from iotc_admin.emulator import dps, hub, hub_http, problems, rest
from iotc_admin.emulator.exchange import Reply, Request
from iotc_admin.emulator.faults import Dropped

if TYPE_CHECKING:
    from collections.abc import Mapping

    from iotc_admin.emulator.faults import Fault, Faults, RegistrationLimit, Throttle
    from iotc_admin.emulator.hub import Message
    from iotc_admin.emulator.state import State

_REMEMBERED: Final = 10_000


@dataclass(frozen=True)
class Served:
    """One request that was answered; status 0: the connection was dropped instead."""

    operation: str
    method: str
    path: str
    status: int


class Service:
    """Answers requests, from any thread."""

    def __init__(
        self, state: State, throttle: Throttle, registrations: RegistrationLimit, faults: Faults
    ) -> None:
        self.state = state
        self.throttle = throttle
        self.registrations = registrations
        self.faults = faults
        self.journal: deque[Served] = deque(maxlen=_REMEMBERED)
        self.messages: deque[Message] = deque(maxlen=_REMEMBERED)
        self._lock = Lock()

    def answer(self, request: Request) -> Reply:
        """The answer to one request. Raises Dropped where a fault says that there is none."""
        name = dps.operation_of(request) or hub_http.operation_of(request) or rest.name_of(request)
        with self._lock:
            fault = self.faults.take(name, request)
        try:
            reply = self._answer(name, request) if fault is None else self._spoilt(fault, name, request)
        except Dropped:
            self._note(name, request, 0)
            raise
        self._note(name, request, reply.status)
        date = self.state.clock.now() + self.state.clock.date_skew
        return replace(reply, headers={**reply.headers, "date": format_datetime(date, usegmt=True)})

    def summary(self) -> dict[str, Any]:
        """The time, how many of each thing there are, and the dials; no secrets."""
        state, faults = self.state, self.faults
        with state.transaction():
            counts = {shelf.kind: shelf.count() for shelf in state.shelves}
        return {
            "now": state.clock.now().isoformat(),
            "counts": counts,
            "throttle": self.throttle.kind,
            "faultRate": faults.rate,
            "seed": faults.seed,
            "faults": [fault.model_dump(mode="json") for fault in faults.scripted],
            "switches": asdict(state.switches),
        }

    def take_telemetry(self, device_id: str, payload: bytes, properties: Mapping[str, str]) -> None:
        """A message that arrived over MQTT; durable when this returns."""
        with self.state.transaction():
            message = hub.take_telemetry(self.state, device_id, payload, properties)
        self.messages.append(message)

    def queue(self, device_id: str, payload: bytes, properties: Mapping[str, str]) -> None:
        """A cloud-to-device message, which waits for its device."""
        with self.state.transaction():
            hub.queue(self.state, device_id, payload, properties)
        session = self.state.links.find(device_id)
        if session is not None:
            session.tell_queued()

    def _spoilt(self, fault: Fault, name: str, request: Request) -> Reply:
        return fault.around(lambda asked: self._answer(name, asked), request, self.state.clock.now())

    def _answer(self, name: str, request: Request) -> Reply:
        match name:
            case dps.REGISTER | dps.STATUS:
                return self._provisioning(name, request)
            case hub_http.TELEMETRY:
                return self._telemetry(request)
        with self._lock:
            admitted = self.throttle.admits()
        if not admitted:
            headers = {"retry-after": "1"} if self.state.switches.retry_after == "sent" else {}
            return problems.throttled(headers).reply(self.state.clock.now())
        return rest.answer(self.state, request)

    def _provisioning(self, name: str, request: Request) -> Reply:
        with self._lock:
            admitted = name != dps.REGISTER or self.registrations.admits()
        return dps.answer(self.state, request) if admitted else dps.throttled().reply(self.state.clock.now())

    def _telemetry(self, request: Request) -> Reply:
        try:
            self.messages.append(hub_http.take(self.state, request))
        except dps.Refusal as refusal:
            return refusal.reply(self.state.clock.now())
        return hub_http.taken()

    def _note(self, operation: str, request: Request, status: int) -> None:
        self.journal.append(Served(operation, request.method, request.path, status))
