"""Device groups: devices that match a filter. Not to be confused with enrollment groups."""

from __future__ import annotations

from iotc_admin.contract.wire import Patch, Wire


class DeviceGroup(Wire):
    """A device group; `filter` is a query such as `SELECT * FROM devices WHERE $provisioned = true`."""

    id: str | None = None
    display_name: str
    filter: str
    description: str | None = None
    etag: str | None = None
    organizations: tuple[str, ...] | None = None


class DeviceGroupPatch(Patch):
    id: str | None = None
    display_name: str | None = None
    filter: str | None = None
    description: str | None = None
    etag: str | None = None
    organizations: tuple[str, ...] | None = None
