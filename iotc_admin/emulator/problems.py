"""Every way in which the emulator refuses, one constructor each; hides status, code and form on the wire."""

from __future__ import annotations

import json
from email.utils import format_datetime
from typing import TYPE_CHECKING
from uuid import uuid4

from iotc_admin.emulator.exchange import JSON, Reply

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from pydantic import ValidationError


class Problem(Exception):
    """A refusal on its way to the client."""

    def __init__(
        self, status: int, code: str, message: str, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.headers = headers or {}

    def reply(self, now: datetime) -> Reply:
        """The error body and headers of the service."""
        request_id, time = str(uuid4()), format_datetime(now, usegmt=True)
        message = str(self)
        if self.status == UNAUTHENTICATED:
            message = (
                f"{message} You can contact support at https://aka.ms/iotcentral-support. "
                f"Please include the following information. Request ID: {request_id}, Time: {time}."
            )
        error = {"code": self.code, "message": message, "requestId": request_id, "time": time}
        headers = {"x-ms-error-code": self.code, "x-ms-request-id": request_id, "content-type": JSON}
        return Reply(self.status, {**headers, **self.headers}, json.dumps({"error": error}).encode())


UNAUTHENTICATED = 401
NOT_FOUND = 404


def bad_request(message: str) -> Problem:
    return Problem(400, "BadRequest", message)


def malformed_json(reason: str) -> Problem:
    return bad_request(f"The body is not JSON: {reason}.")


def unauthenticated(reason: str) -> Problem:
    return Problem(UNAUTHENTICATED, "Unauthenticated", f"The request cannot be authenticated: {reason}.")


def forbidden(operation: str) -> Problem:
    return Problem(403, "Forbidden", f"The role of this token does not permit {operation}.")


def not_found(what: str) -> Problem:
    return Problem(NOT_FOUND, "NotFound", f"{what} not found.")


def method_not_allowed(method: str, allowed: list[str]) -> Problem:
    message = f"{method} is not supported here."
    return Problem(405, "MethodNotAllowed", message, {"allow": ", ".join(allowed)})


def conflict(message: str) -> Problem:
    return Problem(409, "Conflict", message)


def etag_mismatch() -> Problem:
    return Problem(412, "PreconditionFailed", "The etag does not match: it was changed meanwhile.")


def too_large(limit: int) -> Problem:
    return Problem(413, "PayloadTooLarge", f"The body is larger than {limit} bytes.")


def unsupported_media_type(sent: str, accepted: list[str]) -> Problem:
    message = f"Content-Type {sent or '(none)'!r} is not accepted, only {' or '.join(accepted)}."
    return Problem(415, "UnsupportedMediaType", message)


def invalid(message: str) -> Problem:
    return Problem(422, "UnprocessableEntity", message)


def invalid_body(failure: ValidationError) -> Problem:
    """All that is wrong with the body in one sentence; what was sent is not repeated."""
    wrong = [
        f"{'.'.join(str(part) for part in each['loc']) or 'body'}: {each['msg']}"
        for each in failure.errors(include_url=False, include_context=False, include_input=False)
    ]
    return invalid(f"The body is invalid. {'; '.join(wrong)}.")


def proof_refused(message: str) -> Problem:
    """A readable certificate that does not prove possession."""
    return Problem(400, "ProofOfPossessionFailed", message)


def device_away(device_id: str) -> Problem:
    """A command for a device that is not there to run it."""
    message = f"Could not connect to device {device_id} in order to send the command."
    return Problem(NOT_FOUND, "DeviceNotConnected", message)


def device_silent(device_id: str) -> Problem:
    message = f"Device {device_id} did not answer the command in time."
    return Problem(504, "DeviceTimeout", message)


def throttled(headers: Mapping[str, str]) -> Problem:
    message = "The rate of requests exceeded the environment threshold."
    return Problem(429, "TooManyRequests", message, headers)


def scripted(status: int) -> Problem:
    """The answer a fault asks for."""
    return Problem(status, "Fault", f"The emulator was told to answer {status}.")


def our_bug() -> Problem:
    return Problem(500, "InternalServerError", "The emulator failed; its own log tells why.")
