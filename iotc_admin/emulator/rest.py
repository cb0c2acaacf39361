"""The REST API: the checks before a handler serves a request, all in one transaction. No sockets."""

from __future__ import annotations

import json
import logging
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qsl
from uuid import uuid4

from pydantic import ValidationError
from pydantic_core import to_json

from iotc_admin.contract import operations as op
from iotc_admin.contract.operations import API_VERSION, Operation
from iotc_admin.contract.wire import Wire
from iotc_admin.emulator import (
    access,
    attestation,
    commands,
    device_groups,
    device_templates,
    devices,
    enrollment_groups,
    problems,
    properties,
    slots,
    telemetry,
)
from iotc_admin.emulator.exchange import JSON, Reply, Request
from iotc_admin.emulator.routing import Asked, Handler, Pending, Routes
from iotc_admin.emulator.tokens import authenticate, require_permission

if TYPE_CHECKING:
    from collections.abc import Mapping

    from iotc_admin.emulator.state import State

PREFIX: Final = "/api"
LARGEST_BODY: Final = 1024 * 1024

_VERSIONS: Final = {API_VERSION, "2022-06-30-preview"}
_NOUNS: Final = (
    enrollment_groups,
    slots,
    devices,
    attestation,
    telemetry,
    commands,
    properties,
    device_templates,
    device_groups,
    access,
)
_CREATED: Final = 201
_LOG: Final = logging.getLogger(__name__)

HANDLERS: Final[tuple[Handler[Any, Any], ...]] = tuple(
    thing for noun in _NOUNS for thing in vars(noun).values() if isinstance(thing, Handler)
)
_ROUTES: Final = Routes(HANDLERS)
_WAITING: Final = {op.RUN_COMMAND.name, op.RUN_COMPONENT_COMMAND.name}


def name_of(request: Request) -> str:
    """The name of the operation a request asks for; empty when there is none."""
    try:
        return _route(request)[0].operation.name
    except problems.Problem:
        return ""


def waits(request: Request) -> bool:
    """Whether the answer may take as long as a device takes."""
    return name_of(request) in _WAITING


def answer(state: State, request: Request) -> Reply:
    """Serves one request. What it changed is durable when this returns."""
    try:
        with state.transaction():
            operation, given = _serve(state, request)
        if isinstance(given, Pending):
            given = given.settle()
        return _reply(state, operation, given)
    except problems.Problem as problem:
        return problem.reply(state.clock.now())
    except Exception:  # noqa: BLE001 - our own bug is a 500, and no client sees a traceback
        _LOG.exception("%s %s failed", request.method, request.path)
        return problems.our_bug().reply(state.clock.now())


def _serve(state: State, request: Request) -> tuple[Operation[Any, Any], Any]:
    handler, ids = _route(request)
    query = _query(request)
    _require_version(query)
    require_permission(authenticate(state, request.headers.get("authorization")), handler.operation)
    malformed = handler.operation.malformed_id(ids)
    if malformed is not None:
        raise problems.invalid(f"{malformed!r} is not a valid id here.")
    asked = Asked(
        state=state,
        operation=handler.operation,
        ids=ids,
        body=_body(state, handler.operation, request),
        query=query,
        url=request.url,
        if_match=_unquoted(request.headers.get("if-match")),
    )
    return handler.operation, _given(state, handler, asked)


def _given(state: State, handler: Handler[Any, Any], asked: Asked[Any]) -> Any:
    try:
        given = handler.serve(asked)
    except problems.Problem as problem:
        lenient = state.switches.delete_missing == "204" and asked.operation.method == "DELETE"
        if lenient and problem.status == problems.NOT_FOUND:
            return None
        raise
    return given


def _reply(state: State, operation: Operation[Any, Any], given: Wire | None) -> Reply:
    headers = {"x-ms-request-id": str(uuid4())}
    if given is None:
        return Reply(operation.status, headers)
    created = operation.method == "PUT" and state.switches.create_status == "201"
    body = to_json(given.to_wire(), inf_nan_mode="null")
    return Reply(_CREATED if created else operation.status, {**headers, "content-type": JSON}, body)


def _route(request: Request) -> tuple[Handler[Any, Any], tuple[str, ...]]:
    if not request.path.startswith(f"{PREFIX}/"):
        raise problems.not_found("Resource")
    return _ROUTES.find(request.method, request.path.removeprefix(PREFIX))


def _query(request: Request) -> dict[str, str]:
    try:
        pairs = parse_qsl(request.query, keep_blank_values=True, errors="strict", max_num_fields=100)
    except ValueError as failure:
        raise problems.bad_request("The query cannot be read.") from failure
    # az appends its own api-version to a nextLink that has one: the first wins.
    return dict(reversed(pairs))


def _require_version(query: Mapping[str, str]) -> None:
    version = query.get("api-version")
    if version is None:
        raise problems.bad_request("The query lacks api-version.")
    if version not in _VERSIONS:
        raise problems.not_found(f"API version {version}")


def _body(state: State, operation: Operation[Any, Any], request: Request) -> Wire | None:
    if len(request.body) > LARGEST_BODY:
        raise problems.too_large(LARGEST_BODY)
    if not issubclass(operation.takes, Wire):
        return None
    _require_content_type(state, operation, request.headers.get("content-type", ""))
    _require_json(request.body)
    try:
        return operation.takes.read_strictly(request.body)
    except ValidationError as failure:
        if failure.errors()[0]["type"] == "json_invalid":
            raise problems.malformed_json("not readable") from failure
        raise problems.invalid_body(failure) from failure


def _require_content_type(state: State, operation: Operation[Any, Any], sent: str) -> None:
    accepted = [operation.content_type]
    if operation.method == "PATCH" and state.switches.patch_json == "accepted":
        accepted.append(JSON)
    if sent.partition(";")[0].strip().lower() not in accepted:
        raise problems.unsupported_media_type(sent, accepted)


def _require_json(body: bytes) -> None:
    try:
        json.loads(body, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as failure:
        raise problems.malformed_json("not readable") from failure


def _refuse_constant(name: str) -> None:
    raise ValueError(name)


def _unquoted(etag: str | None) -> str | None:
    return None if etag is None else etag.strip().strip('"')
