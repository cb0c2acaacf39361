"""The dials in motion: the clock, faults and the journal of a running emulator, as methods and over HTTP.

Over HTTP it is a listener of its own, on loopback, behind a random secret as the first part of each path.
"""

from __future__ import annotations

import hmac
import json
from collections.abc import Callable, Mapping
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from aiohttp import web
from pydantic import BaseModel, ConfigDict, ValidationError

from iotc_admin.emulator.faults import Fault

if TYPE_CHECKING:
    from iotc_admin.emulator.http import Serve
    from iotc_admin.emulator.hub import Message
    from iotc_admin.emulator.service import Served, Service


class Control:
    """What a test may do to the emulator beyond what a client may."""

    def __init__(self, service: Service) -> None:
        self._service = service

    def now(self) -> datetime:
        """The emulator's time."""
        return self._service.state.clock.now()

    def advance(self, by: timedelta) -> None:
        """Move the clock."""
        self._service.state.clock.advance(by)

    def set_clock(self, to: datetime) -> None:
        """Set the clock; it goes on from there."""
        self._service.state.clock.set(to)

    def skew_date(self, by: timedelta) -> None:
        """Falsify the Date header of answers, and nothing else."""
        _ = self.now() + by  # OverflowError rather than a clock beyond the calendar
        self._service.state.clock.date_skew = by

    def fault(self, fault: Fault | None = None, /, **fields: Any) -> None:
        """Script one fault: a `Fault`, or its fields."""
        self._service.faults.add(fault or Fault.model_validate(fields))

    def clear_faults(self) -> None:
        """Forget all scripted faults."""
        self._service.faults.clear()

    @property
    def requests(self) -> tuple[Served, ...]:
        """What was served so far, the last ten thousand."""
        return tuple(self._service.journal)

    def clear_requests(self) -> None:
        """Forget what was served."""
        self._service.journal.clear()

    @property
    def connected(self) -> tuple[str, ...]:
        """The ids of the devices that are connected to the hub over MQTT now."""
        return self._service.state.links.connected

    def disconnect(self, device_id: str) -> None:
        """Drop the connection of a device, as a network might."""
        self._service.state.links.drop(device_id)

    def messages(self, device_id: str) -> tuple[Message, ...]:
        """What this device sent, oldest first, of the last ten thousand messages of all."""
        return tuple(each for each in list(self._service.messages) if each.device_id == device_id)

    def cloud_to_device(
        self, device_id: str, payload: bytes, properties: Mapping[str, str] | None = None
    ) -> None:
        """Queue a message for a device; it waits until the device listens."""
        self._service.queue(device_id, payload, properties or {})

    def state(self) -> dict[str, Any]:
        """A summary: the time, what there is, and the dials."""
        return self._service.summary()


class _ClockMove(BaseModel):
    """The body of a request that moves the clock; seconds, or an ISO time."""

    model_config = ConfigDict(extra="forbid")

    advance: timedelta | None = None
    set: datetime | None = None
    date_skew: timedelta | None = None


class _Named(BaseModel):
    """The body of a request about one device."""

    model_config = ConfigDict(extra="forbid")

    device: str


class _DeviceMessage(BaseModel):
    """The body of a request that sends a message to a device."""

    model_config = ConfigDict(extra="forbid")

    device: str
    payload: str
    properties: dict[str, str] = {}


_NO_CONTENT: Final = 204


def control_front(control: Control, secret: str) -> Serve:
    """What the control listener serves."""
    doings: dict[tuple[str, str], Callable[[Control, bytes], object]] = {
        ("POST", "clock"): _move_clock,
        ("POST", "faults"): _add_fault,
        ("DELETE", "faults"): lambda held, _: held.clear_faults(),
        ("GET", "requests"): lambda held, _: [asdict(each) for each in held.requests],
        ("DELETE", "requests"): lambda held, _: held.clear_requests(),
        ("GET", "state"): lambda held, _: held.state(),
        ("GET", "connected"): lambda held, _: held.connected,
        ("POST", "disconnect"): lambda held, body: held.disconnect(_Named.model_validate_json(body).device),
        ("POST", "messages"): _send_message,
    }

    async def serve(incoming: web.BaseRequest) -> web.StreamResponse:
        given, _, what = incoming.path.removeprefix("/").partition("/")
        doing = doings.get((incoming.method, what))
        if doing is None or not hmac.compare_digest(given.encode(), secret.encode()):
            return web.json_response({"error": "not found"}, status=404)
        try:
            result = doing(control, await incoming.read())
        except (ValidationError, OverflowError, TypeError) as failure:
            return web.json_response({"error": str(failure)}, status=400)
        if result is None:
            return web.Response(status=_NO_CONTENT)
        return web.Response(text=json.dumps(result), content_type="application/json")

    return serve


def _move_clock(control: Control, body: bytes) -> dict[str, str]:
    move = _ClockMove.model_validate_json(body)
    if move.set is not None:
        control.set_clock(move.set if move.set.tzinfo else move.set.replace(tzinfo=UTC))
    if move.advance is not None:
        control.advance(move.advance)
    if move.date_skew is not None:
        control.skew_date(move.date_skew)
    return {"now": control.now().isoformat()}


def _send_message(control: Control, body: bytes) -> None:
    message = _DeviceMessage.model_validate_json(body)
    control.cloud_to_device(message.device, message.payload.encode(), message.properties)


def _add_fault(control: Control, body: bytes) -> None:
    control.fault(Fault.model_validate_json(body))
