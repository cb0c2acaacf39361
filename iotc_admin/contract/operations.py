"""Every REST operation, one line each: what the client sends and what the emulator serves.

Source: the published description of the IoT Central data plane, api-version 2022-07-31.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Final, Generic, Literal, TypeVar, overload
from urllib.parse import quote, unquote, urlencode

from iotc_admin.contract.access import ApiToken, Organization, Role
from iotc_admin.contract.device_groups import DeviceGroup, DeviceGroupPatch
from iotc_admin.contract.device_templates import DeviceTemplate, DeviceTemplatePatch
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
from iotc_admin.contract.enrollment_groups import (
    EnrollmentGroup,
    EnrollmentGroupPatch,
    SigningX509Certificate,
    X509VerificationCertificate,
    X509VerificationCode,
)
from iotc_admin.contract.wire import Page, Wire
from iotc_admin.errors import SettingsError

API_VERSION: Final = "2022-07-31"

Takes = TypeVar("Takes")
Gives = TypeVar("Gives")
Query = tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Operation(Generic[Takes, Gives]):
    """One REST operation. `takes` and `gives` are the models of the bodies; `NoneType`: there is none."""

    name: str
    method: Literal["GET", "PUT", "PATCH", "POST", "DELETE"]
    path: str
    takes: type[Takes]
    gives: type[Gives]
    query: tuple[str, ...] = ()
    repeatable: bool = True
    """Whether sending it again, after an answer was lost, is safe."""
    success: int = 200

    @property
    def status(self) -> int:
        """The status of success: 204 where there is no body."""
        return 204 if self.gives is NONE else self.success

    @property
    def content_type(self) -> str:
        return "application/merge-patch+json" if self.method == "PATCH" else "application/json"

    def ids_in(self, path: str) -> tuple[str, ...] | None:
        """The decoded ids of a request's path below `/api`, in order; None when it is another operation's."""
        names, parts = self.path.split("/"), path.split("/")
        if len(names) != len(parts):
            return None
        pairs = list(zip(names, parts, strict=True))
        if any(name != part for name, part in pairs if not _PARAMETER.fullmatch(name)):
            return None
        ids = tuple(unquote(part) for name, part in pairs if _PARAMETER.fullmatch(name))
        return ids if all(ids) else None

    def malformed_id(self, ids: tuple[str, ...]) -> str | None:
        """The first of the ids that breaks the published pattern of its parameter."""
        for name, value in zip(_PARAMETER.findall(self.path), ids, strict=True):
            if name in _PATTERNS and not re.fullmatch(_PATTERNS[name], value):
                return value
        return None

    @overload
    def __call__(self: Operation[None, Gives], *ids: str, query: Query = ...) -> Call[Gives]: ...
    @overload
    def __call__(self, *ids: str, body: Takes, query: Query = ...) -> Call[Gives]: ...
    def __call__(self, *ids: str, body: Wire | Takes | None = None, query: Query = ()) -> Call[Gives]:
        """This operation on the things that `ids` name, in the order of the path."""
        for name, value in zip(_PARAMETER.findall(self.path), ids, strict=True):
            if not value:
                message = f"{name} is empty"
                raise SettingsError(message, hint="give the id of the thing meant")
        return Call(self, ids, body if isinstance(body, Wire) else None, query)


@dataclass(frozen=True)
class Call(Generic[Gives]):
    """One operation with all that it is to be sent with: a value, without any I/O."""

    operation: Operation[Any, Gives]
    ids: tuple[str, ...]
    body: Wire | None = None
    query: Query = ()

    @property
    def url(self) -> str:
        """Path and query below `/api`; ids are percent-encoded, their slashes included."""
        ids = iter(self.ids)
        path = _PARAMETER.sub(lambda _: quote(next(ids), safe=""), self.operation.path)
        return f"{path}?{urlencode([('api-version', API_VERSION), *self.query])}"


def listing(*, filter: str | None = None) -> Query:  # noqa: A002 - the service's word
    """The query of a list operation that takes a filter."""
    return () if filter is None else (("$filter", filter),)


_PARAMETER: Final = re.compile(r"\{(\w+)\}")
_PATTERNS: Final = {
    "enrollmentGroupId": r"[a-zA-Z0-9-]{1,255}",
    "entry": r"primary|secondary",
    "deviceGroupId": r"[a-zA-Z0-9_-]{1,255}",
    "organizationId": r"(?!-)[a-z0-9-]{1,47}[a-z0-9]",
}

NONE: Final = type(None)
_LISTING: Final = ("$top", "$filter", "$orderby")

_GROUP: Final = "/enrollmentGroups/{enrollmentGroupId}"
_SLOT: Final = _GROUP + "/certificates/{entry}"
_DEVICE: Final = "/devices/{deviceId}"
_COMPONENT: Final = _DEVICE + "/components/{componentName}"
_COMMAND: Final = "/commands/{commandName}"
_TELEMETRY: Final = "/telemetry/{telemetryName}"
_TEMPLATE: Final = "/deviceTemplates/{deviceTemplateId}"
_DEVICE_GROUP: Final = "/deviceGroups/{deviceGroupId}"
_ORGANIZATION: Final = "/organizations/{organizationId}"
_TOKEN: Final = "/apiTokens/{tokenId}"  # noqa: S105 - a path, not a token

# fmt: off
LIST_GROUPS  = Operation("EnrollmentGroups_List",   "GET",    "/enrollmentGroups", NONE, Page[EnrollmentGroup])
GET_GROUP    = Operation("EnrollmentGroups_Get",    "GET",    _GROUP, NONE, EnrollmentGroup)
CREATE_GROUP = Operation("EnrollmentGroups_Create", "PUT",    _GROUP, EnrollmentGroup, EnrollmentGroup)
UPDATE_GROUP = Operation("EnrollmentGroups_Update", "PATCH",  _GROUP, EnrollmentGroupPatch, EnrollmentGroup, repeatable=False)
DELETE_GROUP = Operation("EnrollmentGroups_Remove", "DELETE", _GROUP, NONE, NONE)
GET_SLOT     = Operation("EnrollmentGroups_GetX509",    "GET",    _SLOT, NONE, SigningX509Certificate)
PUT_SLOT     = Operation("EnrollmentGroups_CreateX509", "PUT",    _SLOT, SigningX509Certificate, SigningX509Certificate)
DELETE_SLOT  = Operation("EnrollmentGroups_RemoveX509", "DELETE", _SLOT, NONE, NONE)
# A second code replaces the first, and only the last one is used: asking again is safe.
GENERATE_VERIFICATION_CODE = Operation("EnrollmentGroups_GenerateVerificationCodeX509", "POST", _SLOT + "/generateVerificationCode", NONE, X509VerificationCode)
VERIFY_SLOT  = Operation("EnrollmentGroups_VerifyX509", "POST",   _SLOT + "/verify", X509VerificationCertificate, NONE, repeatable=False)

LIST_DEVICES  = Operation("Devices_List",   "GET",    "/devices", NONE, Page[Device], query=_LISTING)
GET_DEVICE    = Operation("Devices_Get",    "GET",    _DEVICE, NONE, Device)
CREATE_DEVICE = Operation("Devices_Create", "PUT",    _DEVICE, Device, Device)
UPDATE_DEVICE = Operation("Devices_Update", "PATCH",  _DEVICE, Device, Device, repeatable=False)
DELETE_DEVICE = Operation("Devices_Remove", "DELETE", _DEVICE, NONE, NONE)
GET_ATTESTATION    = Operation("Devices_GetAttestation",    "GET",    _DEVICE + "/attestation", NONE, Attestation)
PUT_ATTESTATION    = Operation("Devices_CreateAttestation", "PUT",    _DEVICE + "/attestation", Attestation, Attestation)
UPDATE_ATTESTATION = Operation("Devices_UpdateAttestation", "PATCH",  _DEVICE + "/attestation", AttestationPatch, Attestation, repeatable=False)
DELETE_ATTESTATION = Operation("Devices_RemoveAttestation", "DELETE", _DEVICE + "/attestation", NONE, NONE)
GET_CREDENTIALS    = Operation("Devices_GetCredentials",    "GET",    _DEVICE + "/credentials", NONE, DeviceCredentials)

GET_TELEMETRY           = Operation("Devices_GetTelemetryValue",          "GET", _DEVICE + _TELEMETRY, NONE, DeviceTelemetry)
GET_COMPONENT_TELEMETRY = Operation("Devices_GetComponentTelemetryValue", "GET", _COMPONENT + _TELEMETRY, NONE, DeviceTelemetry)

# A second run after a lost answer would run the command twice.
RUN_COMMAND            = Operation("Devices_RunCommand",                 "POST", _DEVICE + _COMMAND, DeviceCommand, DeviceCommand, repeatable=False, success=201)
RUN_COMPONENT_COMMAND  = Operation("Devices_RunComponentCommand",        "POST", _COMPONENT + _COMMAND, DeviceCommand, DeviceCommand, repeatable=False, success=201)
LIST_COMMANDS          = Operation("Devices_GetCommandHistory",          "GET",  _DEVICE + _COMMAND, NONE, Page[DeviceCommand])
LIST_COMPONENT_COMMANDS = Operation("Devices_GetComponentCommandHistory", "GET", _COMPONENT + _COMMAND, NONE, Page[DeviceCommand])

GET_PROPERTIES     = Operation("Devices_GetProperties",     "GET",   _DEVICE + "/properties", NONE, DeviceProperties)
REPLACE_PROPERTIES = Operation("Devices_ReplaceProperties", "PUT",   _DEVICE + "/properties", DeviceProperties, DeviceProperties, success=202)
UPDATE_PROPERTIES  = Operation("Devices_UpdateProperties",  "PATCH", _DEVICE + "/properties", DevicePropertiesPatch, DeviceProperties, repeatable=False, success=202)
GET_COMPONENT_PROPERTIES     = Operation("Devices_GetComponentProperties",     "GET",   _COMPONENT + "/properties", NONE, DeviceProperties)
REPLACE_COMPONENT_PROPERTIES = Operation("Devices_ReplaceComponentProperties", "PUT",   _COMPONENT + "/properties", DeviceProperties, DeviceProperties, success=202)
UPDATE_COMPONENT_PROPERTIES  = Operation("Devices_UpdateComponentProperties",  "PATCH", _COMPONENT + "/properties", DevicePropertiesPatch, DeviceProperties, repeatable=False, success=202)

LIST_TEMPLATES  = Operation("DeviceTemplates_List",   "GET",    "/deviceTemplates", NONE, Page[DeviceTemplate], query=_LISTING)
GET_TEMPLATE    = Operation("DeviceTemplates_Get",    "GET",    _TEMPLATE, NONE, DeviceTemplate)
CREATE_TEMPLATE = Operation("DeviceTemplates_Create", "PUT",    _TEMPLATE, DeviceTemplate, DeviceTemplate)
UPDATE_TEMPLATE = Operation("DeviceTemplates_Update", "PATCH",  _TEMPLATE, DeviceTemplatePatch, DeviceTemplate, repeatable=False)
DELETE_TEMPLATE = Operation("DeviceTemplates_Remove", "DELETE", _TEMPLATE, NONE, NONE)

LIST_DEVICE_GROUPS  = Operation("DeviceGroups_List",   "GET",    "/deviceGroups", NONE, Page[DeviceGroup])
GET_DEVICE_GROUP    = Operation("DeviceGroups_Get",    "GET",    _DEVICE_GROUP, NONE, DeviceGroup)
CREATE_DEVICE_GROUP = Operation("DeviceGroups_Create", "PUT",    _DEVICE_GROUP, DeviceGroup, DeviceGroup)
UPDATE_DEVICE_GROUP = Operation("DeviceGroups_Update", "PATCH",  _DEVICE_GROUP, DeviceGroupPatch, DeviceGroup, repeatable=False)
DELETE_DEVICE_GROUP = Operation("DeviceGroups_Remove", "DELETE", _DEVICE_GROUP, NONE, NONE)
LIST_GROUP_DEVICES  = Operation("DeviceGroups_GetDevices", "GET", _DEVICE_GROUP + "/devices", NONE, Page[Device])

LIST_ORGANIZATIONS  = Operation("Organizations_List",   "GET",    "/organizations", NONE, Page[Organization])
GET_ORGANIZATION    = Operation("Organizations_Get",    "GET",    _ORGANIZATION, NONE, Organization)
CREATE_ORGANIZATION = Operation("Organizations_Create", "PUT",    _ORGANIZATION, Organization, Organization)
UPDATE_ORGANIZATION = Operation("Organizations_Update", "PATCH",  _ORGANIZATION, Organization, Organization, repeatable=False)
DELETE_ORGANIZATION = Operation("Organizations_Remove", "DELETE", _ORGANIZATION, NONE, NONE)

LIST_ROLES = Operation("Roles_List", "GET", "/roles", NONE, Page[Role])
GET_ROLE   = Operation("Roles_Get",  "GET", "/roles/{roleId}", NONE, Role)

LIST_API_TOKENS  = Operation("ApiTokens_List",   "GET",    "/apiTokens", NONE, Page[ApiToken])
GET_API_TOKEN    = Operation("ApiTokens_Get",    "GET",    _TOKEN, NONE, ApiToken)
# The secret comes back once: a second PUT after a lost answer would be refused, or make another token.
CREATE_API_TOKEN = Operation("ApiTokens_Create", "PUT",    _TOKEN, ApiToken, ApiToken, repeatable=False)
DELETE_API_TOKEN = Operation("ApiTokens_Remove", "DELETE", _TOKEN, NONE, NONE)
# fmt: on
