"""Device templates: what a model of device can do."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from iotc_admin.contract.wire import Patch, Wire


class DeviceTemplate(Wire):
    """A device template; its id is a DTMI, `capability_model` is DTDL."""

    id: str | None = Field(default=None, validation_alias="@id", serialization_alias="@id")
    type: tuple[str, ...] = Field(validation_alias="@type", serialization_alias="@type")
    etag: str | None = None
    display_name: str | None = None
    description: str | None = None
    capability_model: dict[str, Any]


class DeviceTemplatePatch(Patch):
    id: str | None = Field(default=None, validation_alias="@id", serialization_alias="@id")
    type: tuple[str, ...] | None = Field(default=None, validation_alias="@type", serialization_alias="@type")
    etag: str | None = None
    display_name: str | None = None
    description: str | None = None
    capability_model: dict[str, Any] | None = None
