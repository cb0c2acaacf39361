"""Serves devices: PUT creates or replaces, PATCH merges, read-only fields are ignored."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from iotc_admin.contract import operations as op
from iotc_admin.contract.devices import Device
from iotc_admin.contract.wire import Page
from iotc_admin.emulator import hub, problems
from iotc_admin.emulator.paging import page
from iotc_admin.emulator.records import DeviceRecord, fresh_etag
from iotc_admin.emulator.routing import Asked, serves

if TYPE_CHECKING:
    from iotc_admin.emulator.state import State

_READ_ONLY: Final = {"id", "etag", "provisioned"}
_LONGEST_ID: Final = 128


@serves(op.LIST_DEVICES)
def list_devices(asked: Asked[None]) -> Page[Device]:
    return page(asked, asked.state.devices, Device, lambda record: record.device)


@serves(op.GET_DEVICE)
def get_device(asked: Asked[None]) -> Device:
    return require_device(asked.state, asked.id).device


@serves(op.CREATE_DEVICE)
def create_device(asked: Asked[Device]) -> Device:
    if len(asked.id) > _LONGEST_ID:
        raise problems.invalid(f"A device id has at most {_LONGEST_ID} characters.")
    before = asked.state.devices.get(asked.id)
    asked.require_etag(before.device.etag if before else None)
    device = Device(
        id=asked.id,
        etag=fresh_etag(),
        display_name=asked.id,
        enabled=True,
        provisioned=bool(before and before.device.provisioned),
        simulated=False,
    )
    device = _merged(asked.state, device, asked.body)
    record = DeviceRecord(device=device, attestation=before.attestation if before else None)
    asked.state.devices.put(asked.id, record)
    if device.enabled is False:
        asked.state.links.drop(asked.id)
    return device


@serves(op.UPDATE_DEVICE)
def update_device(asked: Asked[Device]) -> Device:
    record = require_device(asked.state, asked.id)
    asked.require_etag(record.device.etag)
    device = _merged(asked.state, record.device, asked.body)
    record = changed(record.model_copy(update={"device": device}))
    asked.state.devices.put(asked.id, record)
    if device.enabled is False:
        asked.state.links.drop(asked.id)
    return record.device


@serves(op.DELETE_DEVICE)
def delete_device(asked: Asked[None]) -> None:
    record = require_device(asked.state, asked.id)
    asked.require_etag(record.device.etag)
    asked.state.devices.delete(asked.id)
    hub.forget(asked.state, asked.id)


def require_device(state: State, device_id: str) -> DeviceRecord:
    """The device, or 404."""
    record = state.devices.get(device_id)
    if record is None:
        raise problems.not_found(f"Device {device_id}")
    return record


def changed(record: DeviceRecord, **update: Any) -> DeviceRecord:
    """The record with these changes and a new etag."""
    device = record.device.model_copy(update={"etag": fresh_etag()})
    return record.model_copy(update={"device": device, **update})


def require_organizations(state: State, organizations: tuple[str, ...] | None) -> None:
    """422 unless all of them exist."""
    for each in organizations or ():
        if state.organizations.get(each) is None:
            raise problems.invalid(f"Organization {each} does not exist.")


def _merged(state: State, device: Device, sent: Device) -> Device:
    names = sent.model_fields_set - _READ_ONLY
    if "template" in names and state.templates.get(sent.template or "") is None:
        raise problems.bad_request(f"Device template {sent.template} does not exist.")
    require_organizations(state, sent.organizations)
    return device.model_copy(update={name: getattr(sent, name) for name in names})
