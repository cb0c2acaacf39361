"""The provisioning service: judges the certificate of a device and assigns it to the hub. No sockets.

Requests are those of its HTTPS interface; the MQTT door translates its packets into the same.
"""

from __future__ import annotations

import json
import logging
import re
import secrets
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qs, unquote
from uuid import uuid4

from iotc_admin.emulator.assignment import HUB_HOST, Arrival, assign
from iotc_admin.emulator.exchange import JSON, Reply
from iotc_admin.emulator.hub import is_text
from iotc_admin.emulator.matching import INVALID, NoMatch
from iotc_admin.pki.description import names_device, sha1_thumbprint, sha256_thumbprint

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from iotc_admin.emulator.exchange import Request
    from iotc_admin.emulator.records import RegistrationRecord
    from iotc_admin.emulator.state import State

REGISTER: Final = "DPS_Register"
STATUS: Final = "DPS_Status"

_PATHS: Final = {
    ("PUT", REGISTER): re.compile(r"/([^/]+)/registrations/([^/]+)/register"),
    ("GET", STATUS): re.compile(r"/([^/]+)/registrations/([^/]+)/operations/([^/]+)"),
}
_REGISTRATION_ID: Final = re.compile(r"[A-Za-z0-9\-._:]{0,127}[A-Za-z0-9\-]")
_VERSION: Final = re.compile(r"20(19|2\d)-\d\d-\d\d(-preview)?")
_LARGEST_BODY: Final = 64 * 1024
_LOG: Final = logging.getLogger(__name__)


class Refusal(Exception):
    """An error as devices see it: the first three digits of `code` are the HTTP status."""

    def __init__(self, code: int, message: str, retry_after: int | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.retry_after = retry_after

    def reply(self, now: datetime) -> Reply:
        body = {
            "errorCode": self.code,
            "trackingId": str(uuid4()),
            "message": str(self),
            "timestampUtc": now.isoformat().replace("+00:00", "Z"),
        }
        waiting = {} if self.retry_after is None else {"retry-after": str(self.retry_after)}
        status = self.code // 1000
        return Reply(status, {"content-type": JSON, **waiting}, json.dumps(body).encode())


def throttled() -> Refusal:
    return Refusal(429001, "Operations are being throttled for this tenant.", retry_after=5)


def operation_of(request: Request) -> str | None:
    """The name of the provisioning operation that a request asks for, if it is one."""
    for (method, name), path in _PATHS.items():
        if request.method == method and path.fullmatch(request.path):
            return name
    return None


def answer(state: State, request: Request) -> Reply:
    """Serves one request. What it changed is durable when this returns."""
    serve: Callable[..., Reply] = _register if operation_of(request) == REGISTER else _status
    try:
        with state.transaction():
            return serve(state, request, *_ids(state, request))
    except NoMatch as verdict:
        return Refusal(401002, str(verdict)).reply(state.clock.now())
    except Refusal as refusal:
        return refusal.reply(state.clock.now())
    except Exception:  # noqa: BLE001 - our own bug is a 500, and no device sees a traceback
        _LOG.exception("%s %s failed", request.method, request.path)
        return Refusal(500000, "The emulator failed; its own log tells why.").reply(state.clock.now())


def _ids(state: State, request: Request) -> list[str]:
    """The registration id and what follows it, once the request may ask at all."""
    found = next(match for path in _PATHS.values() if (match := path.fullmatch(request.path)))
    scope, registration_id, *rest = (unquote(part) for part in found.groups())
    version = parse_qs(request.query).get("api-version", [""])[0]
    if not _VERSION.fullmatch(version):
        raise Refusal(400002, "The api-version is missing or not supported.")
    if scope != state.application.id_scope:
        raise Refusal(404002, "Id scope not found.")
    if not _REGISTRATION_ID.fullmatch(registration_id):
        raise Refusal(400004, "Invalid RegistrationId.")
    if not request.chain:
        raise Refusal(401000, "Unauthorized: the connection came without a client certificate.")
    if not names_device(request.chain[0], registration_id):
        raise NoMatch(INVALID)
    return [registration_id, *rest]


def _register(state: State, request: Request, registration_id: str) -> Reply:
    payload = _payload(request, registration_id)
    now = state.clock.now()
    before = state.registrations.get(registration_id.lower())
    verdict = assign(state, Arrival(registration_id, request.chain, payload.get("modelId")), now)
    leaf = request.chain[0]
    record = verdict.model_copy(
        update={
            "operation_id": f"5.{secrets.token_hex(8)}.{uuid4()}",
            "created": before.created if before else now,
            "thumbprint": sha256_thumbprint(leaf),
            "ready": now + timedelta(seconds=state.retry_after),
        }
    )
    state.registrations.put(registration_id.lower(), record)
    return _assigning(state, record)


def _status(state: State, request: Request, registration_id: str, operation_id: str) -> Reply:
    record = state.registrations.get(registration_id.lower())
    if record is None or record.operation_id != operation_id:
        raise Refusal(404204, "Operation not found.")
    if record.thumbprint != sha256_thumbprint(request.chain[0]):
        raise NoMatch(INVALID)
    if state.clock.now() < record.ready:
        return _assigning(state, record)
    body = {"operationId": operation_id, "status": record.status, "registrationState": _told(record, request)}
    return Reply(200, {"content-type": JSON}, json.dumps(body).encode())


def _assigning(state: State, record: RegistrationRecord) -> Reply:
    body = {"operationId": record.operation_id, "status": "assigning"}
    headers = {"content-type": JSON, "retry-after": str(state.retry_after)}
    return Reply(202, headers, json.dumps(body).encode())


def _told(record: RegistrationRecord, request: Request) -> dict[str, Any]:
    """The registration state: of x509, the thumbprints of the device and of the certificate that vouched."""
    x509: dict[str, Any] = {"certificateInfo": {"sha1Thumbprint": sha1_thumbprint(request.chain[0])}}
    if record.enrollment_group is not None:
        x509["enrollmentGroupId"] = record.enrollment_group
        x509["signingCertificateInfo"] = {"sha1Thumbprint": record.signer}
    told = {
        "x509": x509,
        "registrationId": record.registration_id,
        "createdDateTimeUtc": record.created.isoformat().replace("+00:00", "Z"),
        "lastUpdatedDateTimeUtc": record.updated.isoformat().replace("+00:00", "Z"),
        "status": record.status,
        "etag": record.etag,
    }
    if record.status == "assigned":
        return told | {
            "assignedHub": HUB_HOST,
            "deviceId": record.device_id,
            "substatus": "initialAssignment",
        }
    return told | {"errorCode": record.error_code, "errorMessage": record.error_message}


def _payload(request: Request, registration_id: str) -> dict[str, Any]:
    """What the device says of itself beside its id; JSON, and about this registration id."""
    if len(request.body) > _LARGEST_BODY:
        raise Refusal(413000, "The body is too large.")
    try:
        body = json.loads(request.body or b"{}")
    except (ValueError, RecursionError) as failure:
        raise Refusal(400000, "The body is not JSON.") from failure
    if not isinstance(body, dict):
        raise Refusal(400000, "The body is not a JSON object.")
    named = body.get("registrationId", registration_id)
    if not isinstance(named, str) or named.lower() != registration_id.lower():
        raise Refusal(400004, "Invalid RegistrationId: the body names another one than the path.")
    if not is_text(body):
        raise Refusal(400000, "The body holds what is no Unicode text.")
    payload = body.get("payload")
    return payload if isinstance(payload, dict) else {}
