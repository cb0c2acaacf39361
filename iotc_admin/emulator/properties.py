"""Serves properties: writes become desired properties of the twin, reads show them over the reported ones."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from iotc_admin.contract import operations as op
from iotc_admin.contract.devices import DeviceProperties, DevicePropertiesPatch
from iotc_admin.emulator import hub, problems
from iotc_admin.emulator.devices import require_device
from iotc_admin.emulator.merging import merge_patch
from iotc_admin.emulator.routing import Asked, serves

if TYPE_CHECKING:
    from iotc_admin.emulator.state import State

_COMPONENT_MARK: Final = {"__t": "c"}
_ACKNOWLEDGED: Final = {"value", "ac", "av"}


@serves(op.GET_PROPERTIES)
def get_properties(asked: Asked[None]) -> DeviceProperties:
    require_device(asked.state, asked.id)
    return _model(_seen(asked.state, asked.id))


@serves(op.GET_COMPONENT_PROPERTIES)
def get_component_properties(asked: Asked[None]) -> DeviceProperties:
    require_device(asked.state, asked.id)
    return _component(asked.state, asked.id, asked.ids[1])


@serves(op.REPLACE_PROPERTIES)
def replace_properties(asked: Asked[DeviceProperties]) -> DeviceProperties:
    require_device(asked.state, asked.id)
    wished, before = asked.body.to_wire(), hub.twin_of(asked.state, asked.id).desired
    return _desire(asked, dict.fromkeys(before) | wished)


@serves(op.REPLACE_COMPONENT_PROPERTIES)
def replace_component_properties(asked: Asked[DeviceProperties]) -> DeviceProperties:
    require_device(asked.state, asked.id)
    before = hub.twin_of(asked.state, asked.id).desired.get(asked.ids[1], {})
    old = dict.fromkeys(before) if isinstance(before, dict) else {}
    return _desire(asked, {asked.ids[1]: old | asked.body.to_wire() | _COMPONENT_MARK})


@serves(op.UPDATE_PROPERTIES)
def update_properties(asked: Asked[DevicePropertiesPatch]) -> DeviceProperties:
    require_device(asked.state, asked.id)
    return _desire(asked, asked.body.to_wire())


@serves(op.UPDATE_COMPONENT_PROPERTIES)
def update_component_properties(asked: Asked[DevicePropertiesPatch]) -> DeviceProperties:
    require_device(asked.state, asked.id)
    return _desire(asked, {asked.ids[1]: asked.body.to_wire() | _COMPONENT_MARK})


def _desire(asked: Asked[Any], patch: Mapping[str, Any]) -> DeviceProperties:
    try:
        hub.desire(asked.state, asked.id, patch)
    except ValueError as failure:
        raise problems.invalid(f"The properties cannot be kept: {failure}.") from failure
    if len(asked.ids) > 1:
        return _component(asked.state, asked.id, asked.ids[1])
    return _model(_seen(asked.state, asked.id))


def _component(state: State, device_id: str, name: str) -> DeviceProperties:
    seen = _seen(state, device_id).get(name, {})
    return _model(seen if isinstance(seen, dict) else {})


def _seen(state: State, device_id: str) -> dict[str, Any]:
    twin = hub.twin_of(state, device_id)
    seen: dict[str, Any] = merge_patch(_plain(twin.reported), _plain(twin.desired))
    return seen


def _plain(value: Any) -> Any:
    """Without the marks of components, and the bare value of a property that was acknowledged."""
    if not isinstance(value, dict):
        return value
    if value.keys() >= _ACKNOWLEDGED:
        return value["value"]
    return {name: _plain(each) for name, each in value.items() if name != "__t"}


def _model(values: dict[str, Any]) -> DeviceProperties:
    return DeviceProperties.model_validate(values)
