"""Serves commands: a direct method of a connected device, and the runs so far."""

from __future__ import annotations

import json
from concurrent.futures import CancelledError
from concurrent.futures import TimeoutError as Silence
from typing import TYPE_CHECKING, Any, Final
from uuid import uuid4

from iotc_admin.contract import operations as op
from iotc_admin.contract.devices import DeviceCommand
from iotc_admin.contract.wire import Page
from iotc_admin.emulator import problems
from iotc_admin.emulator.devices import require_device
from iotc_admin.emulator.hub import SEPARATOR
from iotc_admin.emulator.records import CommandRecord
from iotc_admin.emulator.routing import Asked, Pending, serves

if TYPE_CHECKING:
    from iotc_admin.emulator.state import State

_RESPONSE_SECONDS: Final = 30


@serves(op.RUN_COMMAND)
def run_command(asked: Asked[DeviceCommand]) -> Pending[DeviceCommand]:
    return _run(asked, asked.ids[1])


@serves(op.RUN_COMPONENT_COMMAND)
def run_component_command(asked: Asked[DeviceCommand]) -> Pending[DeviceCommand]:
    return _run(asked, f"{asked.ids[1]}*{asked.ids[2]}")


@serves(op.LIST_COMMANDS)
def list_commands(asked: Asked[None]) -> Page[DeviceCommand]:
    return _runs(asked, asked.ids[1])


@serves(op.LIST_COMPONENT_COMMANDS)
def list_component_commands(asked: Asked[None]) -> Page[DeviceCommand]:
    return _runs(asked, f"{asked.ids[1]}*{asked.ids[2]}")


def _run(asked: Asked[DeviceCommand], method: str) -> Pending[DeviceCommand]:
    require_device(asked.state, asked.id)
    return Pending(lambda: _answered(asked.state, asked.id, method, asked.body))


def _answered(state: State, device_id: str, method: str, sent: DeviceCommand) -> DeviceCommand:
    """Waits for the device, without the lock of the state."""
    session = state.links.wait_for(device_id, sent.connection_timeout or 0)
    answer = None if session is None else session.call_method(method, json.dumps(sent.request).encode())
    if answer is None:
        raise problems.device_away(device_id)
    try:
        status, payload = answer.result(timeout=sent.response_timeout or _RESPONSE_SECONDS)
    except (Silence, CancelledError):
        raise problems.device_silent(device_id) from None
    update = {"id": str(uuid4()), "response": _response(payload), "response_code": status}
    command = sent.model_copy(update=update)
    with state.transaction():
        # In the order of ids: the newest first, as the history is read.
        newest = SEPARATOR.join((device_id, method, f"{2**63 - state.commands.count():020}"))
        state.commands.put(newest, CommandRecord(command=command))
    return command


def _runs(asked: Asked[None], method: str) -> Page[DeviceCommand]:
    require_device(asked.state, asked.id)
    runs = asked.state.commands.below(SEPARATOR.join((asked.id, method, "")))
    return Page[DeviceCommand](value=tuple(record.command for _, record in runs))


def _response(payload: bytes) -> Any:
    try:
        return json.loads(payload or b"null")
    except (ValueError, RecursionError):
        return payload.decode(errors="replace")
