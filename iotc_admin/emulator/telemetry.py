"""Serves the last values of telemetry, with or without a template that describes them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from iotc_admin.contract import operations as op
from iotc_admin.contract.devices import DeviceTelemetry
from iotc_admin.emulator import problems
from iotc_admin.emulator.devices import require_device
from iotc_admin.emulator.hub import SEPARATOR
from iotc_admin.emulator.routing import Asked, serves

if TYPE_CHECKING:
    from iotc_admin.emulator.state import State


@serves(op.GET_TELEMETRY)
def get_telemetry(asked: Asked[None]) -> DeviceTelemetry:
    return _last(asked.state, asked.id, "", asked.ids[1])


@serves(op.GET_COMPONENT_TELEMETRY)
def get_component_telemetry(asked: Asked[None]) -> DeviceTelemetry:
    return _last(asked.state, asked.id, asked.ids[1], asked.ids[2])


def _last(state: State, device_id: str, component: str, name: str) -> DeviceTelemetry:
    require_device(state, device_id)
    record = state.telemetry.get(SEPARATOR.join((device_id, component, name)))
    if record is None:
        raise problems.not_found(f"Telemetry {name} of device {device_id}")
    return DeviceTelemetry(value=record.value, timestamp=record.timestamp)
