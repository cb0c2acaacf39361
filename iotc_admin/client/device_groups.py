"""Device groups: devices that match a filter."""

from __future__ import annotations

from typing import Generic

from iotc_admin.client._operation import D, Resource, operation, paged
from iotc_admin.contract import operations as op
from iotc_admin.contract.device_groups import DeviceGroup, DeviceGroupPatch
from iotc_admin.contract.devices import Device
from iotc_admin.contract.operations import Call
from iotc_admin.contract.wire import Page


class DeviceGroups(Resource[D], Generic[D]):
    """`client.device_groups`"""

    @paged
    def list(self) -> Call[Page[DeviceGroup]]:
        """Every device group, page by page as you iterate."""
        return op.LIST_DEVICE_GROUPS()

    @operation
    def get(self, group_id: str) -> Call[DeviceGroup]:
        """One device group. Raises `NotFound`."""
        return op.GET_DEVICE_GROUP(group_id)

    @operation
    def create(self, group_id: str, group: DeviceGroup) -> Call[DeviceGroup]:
        """A new device group, or all of an existing one anew."""
        return op.CREATE_DEVICE_GROUP(group_id, body=group)

    @operation
    def update(self, group_id: str, patch: DeviceGroupPatch) -> Call[DeviceGroup]:
        """Change only the fields that are set."""
        return op.UPDATE_DEVICE_GROUP(group_id, body=patch)

    @operation
    def delete(self, group_id: str) -> Call[None]:
        """Remove a device group, not its devices. Raises `NotFound`."""
        return op.DELETE_DEVICE_GROUP(group_id)

    @paged
    def devices(self, group_id: str) -> Call[Page[Device]]:
        """The devices that match the group's filter, page by page as you iterate."""
        return op.LIST_GROUP_DEVICES(group_id)
