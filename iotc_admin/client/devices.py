"""Devices, their attestation (individual enrollment) and credentials."""

from __future__ import annotations

from typing import Generic

from iotc_admin.client._operation import D, Resource, operation, paged
from iotc_admin.contract import operations as op
from iotc_admin.contract.devices import (
    Attestation,
    AttestationPatch,
    Device,
    DeviceCommand,
    DeviceCredentials,
    DeviceProperties,
    DevicePropertiesPatch,
    DeviceTelemetry,
)
from iotc_admin.contract.operations import Call, listing
from iotc_admin.contract.wire import Page


class Devices(Resource[D], Generic[D]):
    """`client.devices`"""

    @paged
    def list(self, *, filter: str | None = None) -> Call[Page[Device]]:  # noqa: A002 - the service's word
        """Every device, page by page as you iterate."""
        return op.LIST_DEVICES(query=listing(filter=filter))

    @operation
    def get(self, device_id: str) -> Call[Device]:
        """One device. Raises `NotFound`."""
        return op.GET_DEVICE(device_id)

    @operation
    def create(self, device_id: str, device: Device) -> Call[Device]:
        """A new device, or all of an existing one anew."""
        return op.CREATE_DEVICE(device_id, body=device)

    @operation
    def update(self, device_id: str, patch: Device) -> Call[Device]:
        """Change only the fields that are set. Raises `NotFound`, `Conflict` when `etag` is old."""
        return op.UPDATE_DEVICE(device_id, body=patch)

    @operation
    def delete(self, device_id: str) -> Call[None]:
        """Remove a device. Raises `NotFound`."""
        return op.DELETE_DEVICE(device_id)

    @operation
    def get_attestation(self, device_id: str) -> Call[Attestation]:
        """Its individual enrollment; of certificates only thumbprints. Raises `NotFound` if it has none."""
        return op.GET_ATTESTATION(device_id)

    @operation
    def create_attestation(self, device_id: str, attestation: Attestation) -> Call[Attestation]:
        """Its individual enrollment, all of it; X.509 needs at least the primary certificate."""
        return op.PUT_ATTESTATION(device_id, body=attestation)

    @operation
    def update_attestation(self, device_id: str, patch: AttestationPatch) -> Call[Attestation]:
        """Change just the slots that are set."""
        return op.UPDATE_ATTESTATION(device_id, body=patch)

    @operation
    def delete_attestation(self, device_id: str) -> Call[None]:
        """Remove the individual enrollment; groups decide about the device again."""
        return op.DELETE_ATTESTATION(device_id)

    @operation
    def get_credentials(self, device_id: str) -> Call[DeviceCredentials]:
        """The ID scope, and how this device may connect."""
        return op.GET_CREDENTIALS(device_id)

    @operation
    def telemetry(self, device_id: str, name: str, component: str | None = None) -> Call[DeviceTelemetry]:
        """The last value the application has. Raises `NotFound` when there is none."""
        if component is None:
            return op.GET_TELEMETRY(device_id, name)
        return op.GET_COMPONENT_TELEMETRY(device_id, component, name)

    @operation
    def run_command(
        self, device_id: str, name: str, command: DeviceCommand, component: str | None = None
    ) -> Call[DeviceCommand]:
        """Run a command on a connected device and wait for its answer. Raises `NotFound` when it is away."""
        if component is None:
            return op.RUN_COMMAND(device_id, name, body=command)
        return op.RUN_COMPONENT_COMMAND(device_id, component, name, body=command)

    @paged
    def commands(self, device_id: str, name: str, component: str | None = None) -> Call[Page[DeviceCommand]]:
        """The runs of one command so far, as you iterate."""
        if component is None:
            return op.LIST_COMMANDS(device_id, name)
        return op.LIST_COMPONENT_COMMANDS(device_id, component, name)

    @operation
    def properties(self, device_id: str, component: str | None = None) -> Call[DeviceProperties]:
        """What the device reported, under what it was last asked to be."""
        if component is None:
            return op.GET_PROPERTIES(device_id)
        return op.GET_COMPONENT_PROPERTIES(device_id, component)

    @operation
    def replace_properties(
        self, device_id: str, properties: DeviceProperties, component: str | None = None
    ) -> Call[DeviceProperties]:
        """Ask the device to be this; what it was asked before is forgotten."""
        if component is None:
            return op.REPLACE_PROPERTIES(device_id, body=properties)
        return op.REPLACE_COMPONENT_PROPERTIES(device_id, component, body=properties)

    @operation
    def update_properties(
        self, device_id: str, patch: DevicePropertiesPatch, component: str | None = None
    ) -> Call[DeviceProperties]:
        """Ask the device to change just these; None takes a wish back."""
        if component is None:
            return op.UPDATE_PROPERTIES(device_id, body=patch)
        return op.UPDATE_COMPONENT_PROPERTIES(device_id, component, body=patch)
