"""Serves device groups and, for a small subset of queries, the devices in them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from iotc_admin.contract import operations as op
from iotc_admin.contract.device_groups import DeviceGroup, DeviceGroupPatch
from iotc_admin.contract.devices import Device
from iotc_admin.contract.wire import Page
from iotc_admin.emulator import problems
from iotc_admin.emulator.devices import require_organizations
from iotc_admin.emulator.merging import merged, with_fresh_etag
from iotc_admin.emulator.paging import page
from iotc_admin.emulator.queries import parse_query
from iotc_admin.emulator.routing import Asked, serves

if TYPE_CHECKING:
    from iotc_admin.emulator.state import State


@serves(op.LIST_DEVICE_GROUPS)
def list_device_groups(asked: Asked[None]) -> Page[DeviceGroup]:
    return page(asked, asked.state.device_groups, DeviceGroup, lambda group: group)


@serves(op.GET_DEVICE_GROUP)
def get_device_group(asked: Asked[None]) -> DeviceGroup:
    return _require_device_group(asked.state, asked.id)


@serves(op.CREATE_DEVICE_GROUP)
def create_device_group(asked: Asked[DeviceGroup]) -> DeviceGroup:
    before = asked.state.device_groups.get(asked.id)
    asked.require_etag(before.etag if before else None)
    return _stored(asked.state, asked.body.model_copy(update={"id": asked.id}))


@serves(op.UPDATE_DEVICE_GROUP)
def update_device_group(asked: Asked[DeviceGroupPatch]) -> DeviceGroup:
    group = _require_device_group(asked.state, asked.id)
    asked.require_etag(group.etag)
    return _stored(asked.state, merged(group, asked.body, read_only={"id", "etag"}))


@serves(op.DELETE_DEVICE_GROUP)
def delete_device_group(asked: Asked[None]) -> None:
    group = _require_device_group(asked.state, asked.id)
    asked.require_etag(group.etag)
    asked.state.device_groups.delete(asked.id)


@serves(op.LIST_GROUP_DEVICES)
def list_group_devices(asked: Asked[None]) -> Page[Device]:
    matches = parse_query(_require_device_group(asked.state, asked.id).filter)
    return page(asked, asked.state.devices, Device, lambda record: record.device, matches)


def _stored(state: State, group: DeviceGroup) -> DeviceGroup:
    if not group.filter.strip():
        raise problems.invalid("The filter of a device group is empty.")
    require_organizations(state, group.organizations)
    group = with_fresh_etag(group)
    state.device_groups.put(group.id or "", group)
    return group


def _require_device_group(state: State, group_id: str) -> DeviceGroup:
    group = state.device_groups.get(group_id)
    if group is None:
        raise problems.not_found(f"Device group {group_id}")
    return group
