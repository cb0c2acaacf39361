"""What an answer of DPS says about a registration: assigned, still at it, or one of our errors."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from iotc_admin.device import refusals
from iotc_admin.device.answer import Answer, said
from iotc_admin.device.endpoint import hub_device_id, hub_name
from iotc_admin.device.patience import pause

_OPERATION_ID: Final = re.compile(r"(?=.*[A-Za-z0-9])[A-Za-z0-9._~=:-]{1,256}")
_SUCCESS: Final = range(200, 300)


INDIVIDUAL: Final = "individual"
"""Instead of a group's id: the device's own enrollment."""


@dataclass(frozen=True)
class Assignment:
    """Where DPS put the device. `enrollment` is the group's id, "individual", or None if untold."""

    registration_id: str
    device_id: str
    assigned_hub: str
    substatus: str | None = None
    enrollment: str | None = None
    payload: object = None


@dataclass(frozen=True)
class Pending:
    """DPS is still at it: ask for this operation after so many seconds."""

    operation_id: str
    seconds: float


def read(answer: Answer, registration_id: str, operation: str) -> Assignment | Pending:
    """Raises `ProvisioningRefused` for a refusal, `UnexpectedAnswer` for what DPS does not say."""
    if answer.status not in _SUCCESS:
        raise refusals.of_answer("dps", answer, registration_id, operation)
    document = answer.document()
    if document is None:
        raise refusals.unexpected(operation, answer, "is not JSON")
    state = document.get("registrationState")
    status = document.get("status")
    if status in ("assigning", "unassigned"):
        return _pending(document, answer, operation)
    if status in ("failed", "disabled"):
        details = state if isinstance(state, dict) else {}
        raise refusals.of_state(status, details, answer, registration_id)
    if status != "assigned" or not isinstance(state, dict):
        raise refusals.unexpected(operation, answer, "names no state of a registration")
    return _assigned(state, registration_id, operation)


def _pending(document: Mapping[str, Any], answer: Answer, operation: str) -> Pending:
    operation_id = document.get("operationId")
    if not isinstance(operation_id, str) or not _OPERATION_ID.fullmatch(operation_id):
        raise refusals.unexpected(operation, answer, "names no operation to ask for")
    return Pending(operation_id, pause(refusals.seconds(answer.retry_after)))


def _assigned(state: Mapping[str, Any], registration_id: str, operation: str) -> Assignment:
    return Assignment(
        registration_id,
        device_id=hub_device_id(state.get("deviceId"), operation),
        assigned_hub=hub_name(state.get("assignedHub"), operation),
        substatus=said(state.get("substatus")) or None,
        enrollment=_enrollment(state.get("x509")),
        payload=state.get("payload"),
    )


def _enrollment(x509: object) -> str | None:
    if not isinstance(x509, dict) or not x509:
        return None
    return said(x509.get("enrollmentGroupId")) or INDIVIDUAL
