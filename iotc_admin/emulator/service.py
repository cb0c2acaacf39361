"""The application behind every door: faults and throttle first, then the API; keeps a journal of requests."""

from __future__ import annotations

from collections import deque
from dataclasses import asdict, dataclass, replace
from email.utils import format_datetime
from threading import Lock
from typing import TYPE_CHECKING, Any, Final

from iotc_admin.emulator import problems, rest
from iotc_admin.emulator.exchange import Reply, Request
from iotc_admin.emulator.faults import Dropped

if TYPE_CHECKING:
    from iotc_admin.emulator.faults import Fault, Faults, Throttle
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

    def __init__(self, state: State, throttle: Throttle, faults: Faults) -> None:
        self.state = state
        self.throttle = throttle
        self.faults = faults
        self.journal: deque[Served] = deque(maxlen=_REMEMBERED)
        self._lock = Lock()

    def answer(self, request: Request) -> Reply:
        """The answer to one request. Raises Dropped where a fault says that there is none."""
        operation = rest.operation_of(request)
        name = "" if operation is None else operation.name
        with self._lock:
            fault = self.faults.take(name, request)
        try:
            reply = self._answer(request) if fault is None else self._spoilt(fault, request)
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

    def _spoilt(self, fault: Fault, request: Request) -> Reply:
        return fault.around(self._answer, request, self.state.clock.now())

    def _answer(self, request: Request) -> Reply:
        with self._lock:
            admitted = self.throttle.admits()
        if not admitted:
            headers = {"retry-after": "1"} if self.state.switches.retry_after == "sent" else {}
            return problems.throttled(headers).reply(self.state.clock.now())
        return rest.answer(self.state, request)

    def _note(self, operation: str, request: Request, status: int) -> None:
        self.journal.append(Served(operation, request.method, request.path, status))
