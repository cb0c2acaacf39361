"""Operations and models against the published contract; the client's requests judged by openapi-core."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import httpx
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from openapi_core import Config, OpenAPI
from openapi_core.datatypes import RequestParameters
from pydantic import BaseModel, ValidationError

from iotc_admin import ApiToken, Client
from iotc_admin.client import access, device_groups, device_templates, devices, enrollment_groups
from iotc_admin.contract import operations
from iotc_admin.contract.access import ApiToken as TokenModel
from iotc_admin.contract.access import Organization, RoleAssignment
from iotc_admin.contract.device_groups import DeviceGroup, DeviceGroupPatch
from iotc_admin.contract.device_templates import DeviceTemplate, DeviceTemplatePatch
from iotc_admin.contract.devices import (
    X509,
    Attestation,
    AttestationPatch,
    Device,
    DeviceCommand,
    DeviceProperties,
    DevicePropertiesPatch,
    X509Certificate,
    X509Certificates,
)
from iotc_admin.contract.enrollment_groups import (
    EnrollmentGroup,
    EnrollmentGroupPatch,
    GroupAttestation,
    SigningX509Certificate,
    Slot,
    X509VerificationCertificate,
)
from iotc_admin.contract.operations import NONE, Operation
from iotc_admin.contract.wire import Patch, Wire

FILE = Path(__file__).parent / "contract" / "iot-central-2022-07-31.yaml"
PUBLISHED: dict[str, Any] = yaml.safe_load(FILE.read_text(encoding="utf-8"))
SCHEMAS: dict[str, Any] = PUBLISHED["components"]["schemas"]
OURS = {each.name: each for each in vars(operations).values() if isinstance(each, Operation)}
THEIRS = {
    each["operationId"]: (method.upper(), path, each)
    for path, item in PUBLISHED["paths"].items()
    for method, each in item.items()
}
NOUNS = (
    "EnrollmentGroups_",
    "Devices_",
    "DeviceTemplates_",
    "DeviceGroups_",
    "Organizations_",
    "Roles_",
    "ApiTokens_",
)
# Modules, relationships and lists of components of a device: no part of X.509.
LATER = ("Module", "Relationship", "ListComponents")


def test_every_operation_of_the_nouns_we_serve_is_declared_once() -> None:
    expected = {name for name in THEIRS if name.startswith(NOUNS) and not any(word in name for word in LATER)}

    assert set(OURS) == expected
    assert len(OURS) == 54


@pytest.mark.parametrize("name", sorted(OURS))
def test_method_path_status_query_and_models_are_the_published_ones(name: str) -> None:
    ours = OURS[name]
    method, path, theirs = THEIRS[name]

    assert (ours.method, ours.path) == (method, path)
    assert str(ours.status) in theirs["responses"]
    assert [p for p in query_of(theirs) if p != "api-version"] == list(ours.query)
    assert model_of(theirs["responses"][str(ours.status)]) == named(ours.gives)
    body = theirs.get("requestBody")
    assert (body is None) == (ours.takes is NONE)
    if body is not None:
        assert ours.content_type in body["content"]
        if ours.method != "PATCH":
            assert model_of(body) == named(ours.takes)


def query_of(theirs: Mapping[str, Any]) -> list[str]:
    names = [each["$ref"].rsplit("/", 1)[1] for each in theirs["parameters"]]
    parameters = [PUBLISHED["components"]["parameters"][name] for name in names]
    return [each["name"] for each in parameters if each["in"] == "query"]


def model_of(part: Mapping[str, Any]) -> str | None:
    """The schema of a body; of a page, that of its items."""
    content = part.get("content")
    if not content:
        return None
    name: str = content["application/json"]["schema"]["$ref"].rsplit("/", 1)[1]
    if not name.endswith("Collection"):
        return name
    items: str = SCHEMAS[name]["properties"]["value"]["items"]["$ref"].rsplit("/", 1)[1]
    return f"Page[{items}]"


def named(model: type) -> str | None:
    return None if model is NONE else model.__name__


def properties_of(schema: Mapping[str, Any]) -> dict[str, Any]:
    own = dict(schema.get("properties", {}))
    for part in schema.get("allOf", []):
        own |= properties_of(SCHEMAS[part["$ref"].rsplit("/", 1)[1]])
    return own


def required_of(schema: Mapping[str, Any]) -> set[str]:
    own = set(schema.get("required", []))
    for part in schema.get("allOf", []):
        own |= required_of(SCHEMAS[part["$ref"].rsplit("/", 1)[1]])
    return own


def all_models() -> list[type[Wire]]:
    found: list[type[Wire]] = []
    todo: list[type[Wire]] = [Wire]
    while todo:
        for model in todo.pop().__subclasses__():
            todo.append(model)
            if model.__module__.startswith("iotc_admin.contract") and model.__name__ in SCHEMAS:
                found.append(model)
    return sorted(set(found), key=lambda model: model.__name__)


UNIONS = {
    "Attestation": ("X509Attestation", "SymmetricKeyAttestation", "TpmAttestation"),
    "GroupAttestation": ("GroupX509Attestation", "GroupSymmetricKeyAttestation"),
}


@pytest.mark.parametrize("model", all_models(), ids=lambda model: model.__name__)
def test_each_model_has_the_published_fields_and_no_other(model: type[BaseModel]) -> None:
    arms = UNIONS.get(model.__name__, (model.__name__,))
    published = {name for arm in arms for name in properties_of(SCHEMAS[arm])}
    required = set.intersection(*(required_of(SCHEMAS[arm]) for arm in arms))
    ours = {field.serialization_alias: field for field in model.model_fields.values()}

    assert set(ours) == published
    # A code that the service did not send is an answer that cannot be used.
    stricter = {"verificationCode"} if model.__name__ == "X509VerificationCode" else set()
    assert {alias for alias, field in ours.items() if field.is_required()} == required | stricter


CERTIFICATE = "LS0tLQ=="
BODIES: dict[str, Wire] = {
    "EnrollmentGroups_Create": EnrollmentGroup(
        display_name="g", type="iot", enabled=False, attestation=GroupAttestation(type="x509")
    ),
    "EnrollmentGroups_Update": EnrollmentGroupPatch(display_name="n", enabled=True, etag="e"),
    "EnrollmentGroups_CreateX509": SigningX509Certificate(certificate=CERTIFICATE, verified=True, etag="e"),
    "EnrollmentGroups_VerifyX509": X509VerificationCertificate(certificate=CERTIFICATE),
    "Devices_Create": Device(display_name="d", template="dtmi:a;1", organizations=("o",), simulated=True),
    "Devices_Update": Device(enabled=False),
    "Devices_CreateAttestation": Attestation(
        type="x509",
        x509=X509(client_certificates=X509Certificates(primary=X509Certificate(certificate=CERTIFICATE))),
    ),
    "Devices_UpdateAttestation": AttestationPatch(type="x509"),
    "Devices_RunCommand": DeviceCommand(request={"since": 1}, response_timeout=30),
    "Devices_RunComponentCommand": DeviceCommand(),
    "Devices_ReplaceProperties": DeviceProperties.model_validate({"targetTemperature": 21}),
    "Devices_ReplaceComponentProperties": DeviceProperties.model_validate({"targetTemperature": 21}),
    "Devices_UpdateProperties": DevicePropertiesPatch.model_validate({"targetTemperature": None}),
    "Devices_UpdateComponentProperties": DevicePropertiesPatch.model_validate({"a": {"b": 1}}),
    "DeviceTemplates_Create": DeviceTemplate(
        type=("ModelDefinition",), capability_model={"@type": "Interface"}
    ),
    "DeviceTemplates_Update": DeviceTemplatePatch(display_name="t"),
    "DeviceGroups_Create": DeviceGroup(display_name="g", filter="SELECT * FROM devices"),
    "DeviceGroups_Update": DeviceGroupPatch(description="d"),
    "Organizations_Create": Organization(display_name="o", parent="p"),
    "Organizations_Update": Organization(display_name="o"),
    "ApiTokens_Create": TokenModel(roles=(RoleAssignment(role="r"),)),
}
SERVICE = "https://myapp.azureiotcentral.com"
METHODS: dict[str, tuple[str, str, tuple[str, ...]]] = {
    "EnrollmentGroups_List": ("enrollment_groups", "list", ()),
    "EnrollmentGroups_Get": ("enrollment_groups", "get", ("g-1",)),
    "EnrollmentGroups_Create": ("enrollment_groups", "create", ("g-1",)),
    "EnrollmentGroups_Update": ("enrollment_groups", "update", ("g-1",)),
    "EnrollmentGroups_Remove": ("enrollment_groups", "delete", ("g-1",)),
    "EnrollmentGroups_GetX509": ("enrollment_groups", "get_certificate", ("g-1", Slot.PRIMARY)),
    "EnrollmentGroups_CreateX509": ("enrollment_groups", "put_certificate", ("g-1", Slot.SECONDARY)),
    "EnrollmentGroups_RemoveX509": ("enrollment_groups", "delete_certificate", ("g-1", Slot.PRIMARY)),
    "EnrollmentGroups_GenerateVerificationCodeX509": (
        "enrollment_groups",
        "generate_verification_code",
        ("g-1", Slot.PRIMARY),
    ),
    "EnrollmentGroups_VerifyX509": ("enrollment_groups", "verify", ("g-1", Slot.PRIMARY)),
    "Devices_List": ("devices", "list", ()),
    "Devices_Get": ("devices", "get", ("d",)),
    "Devices_Create": ("devices", "create", ("d",)),
    "Devices_Update": ("devices", "update", ("d",)),
    "Devices_Remove": ("devices", "delete", ("d",)),
    "Devices_GetAttestation": ("devices", "get_attestation", ("d",)),
    "Devices_CreateAttestation": ("devices", "create_attestation", ("d",)),
    "Devices_UpdateAttestation": ("devices", "update_attestation", ("d",)),
    "Devices_RemoveAttestation": ("devices", "delete_attestation", ("d",)),
    "Devices_GetCredentials": ("devices", "get_credentials", ("d",)),
    "Devices_GetTelemetryValue": ("devices", "telemetry", ("d", "t")),
    "Devices_GetComponentTelemetryValue": ("devices", "telemetry", ("d", "t", "c")),
    "Devices_RunCommand": ("devices", "run_command", ("d", "reboot")),
    "Devices_RunComponentCommand": ("devices", "run_command", ("d", "reboot", "c")),
    "Devices_GetCommandHistory": ("devices", "commands", ("d", "reboot")),
    "Devices_GetComponentCommandHistory": ("devices", "commands", ("d", "reboot", "c")),
    "Devices_GetProperties": ("devices", "properties", ("d",)),
    "Devices_GetComponentProperties": ("devices", "properties", ("d", "c")),
    "Devices_ReplaceProperties": ("devices", "replace_properties", ("d",)),
    "Devices_ReplaceComponentProperties": ("devices", "replace_properties", ("d", "c")),
    "Devices_UpdateProperties": ("devices", "update_properties", ("d",)),
    "Devices_UpdateComponentProperties": ("devices", "update_properties", ("d", "c")),
    "DeviceTemplates_List": ("device_templates", "list", ()),
    "DeviceTemplates_Get": ("device_templates", "get", ("dtmi:a;1",)),
    "DeviceTemplates_Create": ("device_templates", "create", ("dtmi:a;1",)),
    "DeviceTemplates_Update": ("device_templates", "update", ("dtmi:a;1",)),
    "DeviceTemplates_Remove": ("device_templates", "delete", ("dtmi:a;1",)),
    "DeviceGroups_List": ("device_groups", "list", ()),
    "DeviceGroups_Get": ("device_groups", "get", ("g_1",)),
    "DeviceGroups_Create": ("device_groups", "create", ("g_1",)),
    "DeviceGroups_Update": ("device_groups", "update", ("g_1",)),
    "DeviceGroups_Remove": ("device_groups", "delete", ("g_1",)),
    "DeviceGroups_GetDevices": ("device_groups", "devices", ("g_1",)),
    "Organizations_List": ("organizations", "list", ()),
    "Organizations_Get": ("organizations", "get", ("org",)),
    "Organizations_Create": ("organizations", "create", ("org",)),
    "Organizations_Update": ("organizations", "update", ("org",)),
    "Organizations_Remove": ("organizations", "delete", ("org",)),
    "Roles_List": ("roles", "list", ()),
    "Roles_Get": ("roles", "get", ("r",)),
    "ApiTokens_List": ("api_tokens", "list", ()),
    "ApiTokens_Get": ("api_tokens", "get", ("t",)),
    "ApiTokens_Create": ("api_tokens", "create", ("t",)),
    "ApiTokens_Remove": ("api_tokens", "delete", ("t",)),
}


class Judged:
    """An httpx request as openapi-core wants to see one."""

    def __init__(self, request: httpx.Request) -> None:
        self.host_url = SERVICE
        self.path = request.url.path
        self.method = request.method.lower()
        self.content_type = request.headers.get("content-type", "")
        self.body = request.content or None
        self.parameters = RequestParameters(
            query=dict(parse_qsl(request.url.query.decode())), header=request.headers
        )


def judge() -> OpenAPI:
    description = json.loads(json.dumps(PUBLISHED))
    description["security"] = []
    config = Config(extra_media_type_deserializers={"application/merge-patch+json": json.loads})
    return OpenAPI.from_dict(description, config=config)


@pytest.fixture(scope="module")
def openapi() -> OpenAPI:
    return judge()


@pytest.mark.parametrize("name", sorted(OURS))
def test_what_the_client_sends_is_valid_by_the_published_contract(name: str, openapi: OpenAPI) -> None:
    sent: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        sent.append(request)
        return httpx.Response(404, json={"error": {"code": "NotFound", "message": "No."}})

    token = ApiToken("SharedAccessSignature sr=a&sig=b&skn=c&se=4102444800000")
    resource, method, ids = METHODS[name]
    with (
        Client("myapp", token, transport=httpx.MockTransport(answer)) as client,
        pytest.raises(Exception, match="404"),
    ):
        *rest, component = ids if "Component" in name else (*ids, None)
        body = [BODIES[name]] if name in BODIES else []
        named = {} if component is None else {"component": component}
        result = getattr(getattr(client, resource), method)(*rest, *body, **named)
        list(result)

    openapi.validate_request(Judged(sent[0]))


def test_every_operation_has_one_short_method_in_the_client() -> None:
    modules = (access, device_groups, device_templates, devices, enrollment_groups)
    source = "".join(Path(module.__file__ or "").read_text(encoding="utf-8") for module in modules)
    constants = [name for name, each in vars(operations).items() if isinstance(each, Operation)]

    assert set(METHODS) == set(OURS)
    assert all(source.count(f"op.{constant}(") == 1 for constant in constants)


@pytest.mark.parametrize(("name", "body"), BODIES.items(), ids=BODIES)
def test_the_bodies_we_build_are_read_strictly(name: str, body: Wire) -> None:
    data = json.dumps(body.to_wire()).encode()

    again = type(body).read_strictly(data)

    assert again == body
    assert again.to_wire() == body.to_wire()


@pytest.mark.parametrize("name", sorted(name for name in BODIES if not isinstance(BODIES[name], Patch)))
def test_strict_reading_agrees_with_the_published_schema(name: str) -> None:
    body = BODIES[name].to_wire()
    schema = {
        "$ref": f"#/components/schemas/{type(BODIES[name]).__name__}",
        "components": PUBLISHED["components"],
    }
    validator = Draft202012Validator(schema)
    assert validator.is_valid(body)

    for key, value in body.items():
        if SCHEMAS[type(BODIES[name]).__name__].get("properties", {}).get(key, {}) == {}:
            continue  # a name or a value of the device's own: anything goes
        wrong: object
        for wrong in (None, 7, [], {"x": 1}, {}):
            if type(wrong) is type(value):
                continue
            changed = {**body, key: wrong}
            assert not validator.is_valid(changed)
            with pytest.raises(ValidationError):
                type(BODIES[name]).read_strictly(json.dumps(changed).encode())


@given(
    st.dictionaries(
        st.text(max_size=10), st.none() | st.booleans() | st.integers() | st.text(max_size=5), min_size=1
    )
)
def test_no_unknown_field_passes_strict_reading(extra: dict[str, Any]) -> None:
    known = {field.serialization_alias for field in Device.model_fields.values()}
    strangers = {key: value for key, value in extra.items() if key not in known} or {"stranger": 1}

    with pytest.raises(ValidationError):
        Device.read_strictly(json.dumps(strangers).encode())
    assert Device.read_leniently(json.dumps(strangers).encode()).to_wire() == strangers
