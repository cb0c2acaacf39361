"""Serves device templates; the capability model is stored as it came."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from iotc_admin.contract import operations as op
from iotc_admin.contract.device_templates import DeviceTemplate, DeviceTemplatePatch
from iotc_admin.contract.wire import Page
from iotc_admin.emulator import problems
from iotc_admin.emulator.merging import merged, with_fresh_etag
from iotc_admin.emulator.paging import page
from iotc_admin.emulator.records import fresh_etag
from iotc_admin.emulator.routing import Asked, serves

if TYPE_CHECKING:
    from iotc_admin.emulator.state import State

_SEGMENT: Final = r"[A-Za-z](?:\w*[A-Za-z0-9])?"
_VERSION: Final = r"[1-9]\d{0,8}(?:\.[1-9]\d{0,5})?"
_DTMI: Final = re.compile(rf"dtmi:{_SEGMENT}(?::{_SEGMENT})*(?:;{_VERSION})?", re.ASCII)


@serves(op.LIST_TEMPLATES)
def list_templates(asked: Asked[None]) -> Page[DeviceTemplate]:
    return page(asked, asked.state.templates, DeviceTemplate, lambda template: template)


@serves(op.GET_TEMPLATE)
def get_template(asked: Asked[None]) -> DeviceTemplate:
    return _require_template(asked.state, asked.id)


@serves(op.CREATE_TEMPLATE)
def create_template(asked: Asked[DeviceTemplate]) -> DeviceTemplate:
    if not _DTMI.fullmatch(asked.id):
        raise problems.invalid("The id of a device template is a DTMI, such as dtmi:plant:pump;1.")
    before = asked.state.templates.get(asked.id)
    asked.require_etag(before.etag if before else None)
    template = asked.body.model_copy(update={"id": asked.id, "etag": fresh_etag()})
    asked.state.templates.put(asked.id, template)
    return template


@serves(op.UPDATE_TEMPLATE)
def update_template(asked: Asked[DeviceTemplatePatch]) -> DeviceTemplate:
    template = _require_template(asked.state, asked.id)
    asked.require_etag(template.etag)
    template = with_fresh_etag(merged(template, asked.body, read_only={"id", "etag"}))
    asked.state.templates.put(asked.id, template)
    return template


@serves(op.DELETE_TEMPLATE)
def delete_template(asked: Asked[None]) -> None:
    template = _require_template(asked.state, asked.id)
    asked.require_etag(template.etag)
    if any(record.device.template == asked.id for _, record in asked.state.devices.after()):
        raise problems.conflict(f"Devices use device template {asked.id}.")
    asked.state.templates.delete(asked.id)


def _require_template(state: State, template_id: str) -> DeviceTemplate:
    template = state.templates.get(template_id)
    if template is None:
        raise problems.not_found(f"Device template {template_id}")
    return template
