"""Hides the form of API tokens and the permissions of the roles they carry."""

from __future__ import annotations

import hmac
from base64 import b64encode
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qs, quote

from iotc_admin.contract import operations as op
from iotc_admin.contract.access import Role
from iotc_admin.emulator import problems

if TYPE_CHECKING:
    from iotc_admin.contract.operations import Operation
    from iotc_admin.emulator.records import TokenRecord
    from iotc_admin.emulator.state import State

ADMINISTRATOR: Final = Role(id="ca310b8d-2f4a-44e0-a36e-957c202cd8d4", display_name="Administrator")
OPERATOR: Final = Role(id="ae2c9854-393b-4f97-8c42-479d70ce626e", display_name="Operator")
BUILDER: Final = Role(id="344138e9-8de4-4497-8c54-5237e96d6aaf", display_name="Builder")
ROLES: Final = (ADMINISTRATOR, BUILDER, OPERATOR)

_SCHEME: Final = "SharedAccessSignature "
_MILLISECOND: Final = timedelta(milliseconds=1)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_ACCESS_WRITES: Final = frozenset(
    {
        op.CREATE_API_TOKEN,
        op.DELETE_API_TOKEN,
        op.CREATE_ORGANIZATION,
        op.UPDATE_ORGANIZATION,
        op.DELETE_ORGANIZATION,
    }
)
_DEVICE_WRITES: Final = frozenset(
    {
        op.CREATE_DEVICE,
        op.UPDATE_DEVICE,
        op.DELETE_DEVICE,
        op.PUT_ATTESTATION,
        op.UPDATE_ATTESTATION,
        op.DELETE_ATTESTATION,
    }
)


def sign(application_id: str, record: TokenRecord) -> str:
    """The token itself, as it goes into the Authorization header."""
    token_id, expiry = record.token.id or "", milliseconds(record.token.expiry or _EPOCH)
    signature = quote(_signature(application_id, token_id, str(expiry), record.key), safe="")
    return f"{_SCHEME}sr={application_id}&sig={signature}&skn={quote(token_id, safe='')}&se={expiry}"


def milliseconds(time: datetime) -> int:
    """Since the epoch: what `se` counts."""
    return (time - _EPOCH) // _MILLISECOND


def authenticate(state: State, authorization: str | None) -> TokenRecord:
    """The record of the token in this header; 401 tells why there is none."""
    if authorization is None:
        raise problems.unauthenticated("there is no Authorization header")
    resource, signature, token_id, expiry = _parts(authorization)
    if resource != state.application.id:
        raise problems.unauthenticated("the token is for another application")
    record = state.tokens.get(token_id)
    if record is None:
        raise problems.unauthenticated("the token does not exist or was revoked")
    right = _signature(state.application.id, token_id, expiry, record.key)
    if not hmac.compare_digest(signature.encode(), right.encode()):
        raise problems.unauthenticated("the signature of the token is wrong")
    if int(expiry) <= milliseconds(state.clock.now()):
        raise problems.unauthenticated("the token has expired")
    return record


def require_permission(record: TokenRecord, operation: Operation[Any, Any]) -> None:
    """403 unless one of the token's roles permits the operation."""
    if not any(_permits(assignment.role, operation) for assignment in record.token.roles):
        raise problems.forbidden(operation.name)


def _permits(role: str, operation: Operation[Any, Any]) -> bool:
    if role == ADMINISTRATOR.id or operation.method == "GET":
        return True
    if role == BUILDER.id:
        return operation not in _ACCESS_WRITES
    return operation in _DEVICE_WRITES


def _parts(authorization: str) -> tuple[str, str, str, str]:
    if not (authorization.startswith(_SCHEME) and authorization.isascii()):
        raise problems.unauthenticated("only API tokens, SharedAccessSignature, are understood")
    fields = parse_qs(authorization.removeprefix(_SCHEME), keep_blank_values=True)
    try:
        values = [fields[name] for name in ("sr", "sig", "skn", "se")]
        (resource,), (signature,), (token_id,), (expiry,) = values
    except (KeyError, ValueError) as failure:
        raise problems.unauthenticated("the token needs sr, sig, skn and se, each once") from failure
    return resource, signature, token_id, expiry


def _signature(application_id: str, token_id: str, expiry: str, key: str) -> str:
    signed = f"{application_id}\n{token_id}\n{expiry}".encode()
    return b64encode(hmac.new(bytes.fromhex(key), signed, sha256).digest()).decode()
