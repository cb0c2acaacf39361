"""Devices, their attestation (individual enrollment) and credentials."""

from __future__ import annotations

from typing import Generic

from iotc_admin.client._operation import D, Resource, operation, paged
from iotc_admin.contract import operations as op
from iotc_admin.contract.devices import Attestation, AttestationPatch, Device, DeviceCredentials
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
