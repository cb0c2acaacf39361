"""What an answer means: the model that was asked for, or one of the errors, each with its hint."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any, Final, TypeVar
from urllib.parse import quote, unquote

from pydantic import ValidationError

from iotc_admin.contract.wire import Wire
from iotc_admin.errors import (
    BadRequest,
    Conflict,
    IotcError,
    NotAllowed,
    NotAuthenticated,
    NotFound,
    RateLimited,
    ServiceDown,
    ServiceError,
    UnexpectedAnswer,
)

if TYPE_CHECKING:
    import httpx

    from iotc_admin.contract.operations import Call

T = TypeVar("T")

_BY_STATUS: Final[Mapping[int, type[ServiceError]]] = {
    401: NotAuthenticated,
    403: NotAllowed,
    404: NotFound,
    409: Conflict,
    412: Conflict,
    429: RateLimited,
}
_HINTS: Final[Mapping[int, str]] = {
    401: "the token is revoked, expired or of another application: check --app and the token",
    403: "the role of this token or user lacks the permission: for enrollment groups it is "
    "'Device connectivity management', manage global",
    404: "check the name, and that --app names the right application",
    409: "look at what is there: iotc-admin group list",
    412: "somebody else changed it meanwhile: look at it again, then repeat",
    413: "send less at once",
    429: "the application allows 20 requests a second for all its clients: repeat in a minute",
}
_PROXY_HINT: Final = (
    "something between here and the application answered: check --app, HTTPS_PROXY and NO_PROXY"
)
_SECRETS: Final = re.compile(r"(sig(?:=|%3D)|Bearer |Key\"\s*:\s*\")[^\s&\"]+", re.IGNORECASE)
_SHORTEST_SECRET: Final = 4


def read_answer(call: Call[T], response: httpx.Response) -> T:
    """The model of a successful answer. Raises the error that any other answer stands for."""
    if response.is_success:
        return _model(call, response)
    if response.is_redirect:
        target = _said(response.headers.get("location", "elsewhere"), response)[:200]
        message = f"{call.operation.name}: the answer redirects to {target}; redirects are never followed"
        raise UnexpectedAnswer(message, operation=call.operation.name, hint=_PROXY_HINT)
    raise _refusal(call.operation.name, response)


def date_of(response: httpx.Response) -> datetime | None:
    """The service's clock by its `Date` header."""
    try:
        return _moment(response.headers["date"])
    except (KeyError, ValueError, OverflowError):
        return None


def request_id_of(response: httpx.Response) -> str:
    return str(response.headers.get("x-ms-request-id", ""))


def _model(call: Call[T], response: httpx.Response) -> T:
    gives = call.operation.gives
    if not issubclass(gives, Wire):
        _check_empty(call.operation.name, response)
        return None  # type: ignore[return-value] # the one operation result that is no model
    try:
        return gives.read_leniently(response.content)
    except ValidationError as error:
        why = "is not JSON" if error.errors()[0]["type"] == "json_invalid" else "lacks what it should hold"
        raise _unexpected(call.operation.name, response, why) from None


def _check_empty(operation: str, response: httpx.Response) -> None:
    # The service answers with nothing; a page that somebody else sends is no success.
    try:
        _ = json.loads(response.content) if response.content else None
    except (ValueError, RecursionError):
        raise _unexpected(operation, response, "is not the application's") from None


def _said(text: str, response: httpx.Response) -> str:
    """Words from outside, without the token that an answer may echo."""
    token = response.request.headers.get("authorization", "")
    found = re.search(r"sig=([^&\s]+)", token)
    secret = found[1] if found else token.removeprefix("Bearer ")
    for form in {token, secret, unquote(secret), quote(secret, safe=""), quote(unquote(secret), safe="")}:
        text = text.replace(form, "***") if len(form) >= _SHORTEST_SECRET else text
    return _SECRETS.sub(r"\1***", text)


def _unexpected(operation: str, response: httpx.Response, why: str) -> UnexpectedAnswer:
    start = _said(response.content[:2000].decode("utf-8", "replace"), response).strip()[:200]
    return UnexpectedAnswer(
        f"{operation}: the answer ({response.status_code}) {why}: it begins {start!r}",
        operation=operation,
        body_start=start,
        hint=_PROXY_HINT,
    )


def _refusal(operation: str, response: httpx.Response) -> IotcError:
    status = response.status_code
    body = _error_body(response)
    if body is None and status < 500 and status != 429:  # noqa: PLR2004
        return _unexpected(operation, response, "is not the application's")
    details = body or {}
    code = _said(str(details.get("code") or response.headers.get("x-ms-error-code", "")), response)
    request_id = _said(str(details.get("requestId") or request_id_of(response)), response)
    message = _said(str(details.get("message", "")), response)
    error = _class_for(status)(
        _sentence(operation, status, message, code, request_id),
        operation=operation,
        status=status,
        code=code,
        request_id=request_id,
        hint=_HINTS.get(status, _other_hint(status)),
    )
    if isinstance(error, RateLimited | ServiceDown):
        error.retry_after = _retry_after(response)
    return error


def _class_for(status: int) -> type[ServiceError]:
    return _BY_STATUS.get(status, ServiceDown if status >= 500 else BadRequest)  # noqa: PLR2004


def _other_hint(status: int) -> str:
    if status >= 500:  # noqa: PLR2004
        return "the service failed: repeat in a minute; what was asked may have happened"
    return "the message says what the service did not accept"


def _error_body(response: httpx.Response) -> dict[str, Any] | None:
    try:
        body = json.loads(response.content)
    except (ValueError, RecursionError):
        return None
    error = body.get("error") if isinstance(body, dict) else None
    return error if isinstance(error, dict) else None


def _sentence(operation: str, status: int, message: str, code: str, request_id: str) -> str:
    what = f"{operation} was refused with {status}{f' {code}' if code else ''}"
    said = f": {message.strip()}" if message.strip() else ""
    return f"{what}{said}{f' (request {request_id})' if request_id and request_id not in said else ''}"


def _retry_after(response: httpx.Response) -> float | None:
    value = response.headers.get("retry-after", "").strip()
    if re.fullmatch(r"[0-9]{1,18}(\.[0-9]+)?", value):
        return float(value)
    try:
        moment, date = _moment(value), date_of(response)
    except (ValueError, OverflowError):
        return None
    return max(0.0, (moment - date).total_seconds()) if date else None


def _moment(text: str) -> datetime:
    moment = parsedate_to_datetime(text)
    # "-0000" says UTC without knowing where: the library leaves such times without a zone.
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment
