"""Device templates."""

from __future__ import annotations

from typing import Generic

from iotc_admin.client._operation import D, Resource, operation, paged
from iotc_admin.contract import operations as op
from iotc_admin.contract.device_templates import DeviceTemplate, DeviceTemplatePatch
from iotc_admin.contract.operations import Call, listing
from iotc_admin.contract.wire import Page


class DeviceTemplates(Resource[D], Generic[D]):
    """`client.device_templates`; ids are DTMIs."""

    @paged
    def list(self, *, filter: str | None = None) -> Call[Page[DeviceTemplate]]:  # noqa: A002 - the service's word
        """Every template, page by page as you iterate."""
        return op.LIST_TEMPLATES(query=listing(filter=filter))

    @operation
    def get(self, template_id: str) -> Call[DeviceTemplate]:
        """One template. Raises `NotFound`."""
        return op.GET_TEMPLATE(template_id)

    @operation
    def create(self, template_id: str, template: DeviceTemplate) -> Call[DeviceTemplate]:
        """A new template, or all of an existing one anew."""
        return op.CREATE_TEMPLATE(template_id, body=template)

    @operation
    def update(self, template_id: str, patch: DeviceTemplatePatch) -> Call[DeviceTemplate]:
        """Change only the fields that are set."""
        return op.UPDATE_TEMPLATE(template_id, body=patch)

    @operation
    def delete(self, template_id: str) -> Call[None]:
        """Remove a template. Raises `NotFound`."""
        return op.DELETE_TEMPLATE(template_id)
