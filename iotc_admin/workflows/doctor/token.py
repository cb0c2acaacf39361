"""The token: of which kind, until when, for whom. Its text never leaves this module."""

from __future__ import annotations

import base64
import json
import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from iotc_admin.client.credentials import ENTRA_SCOPE, ApiToken
from iotc_admin.errors import SettingsError
from iotc_admin.workflows.doctor.findings import Found, failed, ok, skipped, warning

if TYPE_CHECKING:
    from iotc_admin.workflows.doctor.case import Case

AUDIENCE: Final = ENTRA_SCOPE.removesuffix("/.default")
_NEW: Final = "make a new one in IoT Central: Permissions > API tokens"
_ASK_AGAIN: Final = f"az login, then: az account get-access-token --resource {AUDIENCE}"
_GUID: Final = re.compile(r"[0-9a-fA-F-]{36}")


def token(case: Case) -> Found:
    if case.token_problem:
        return failed(case.token_problem.what, "the token cannot be read", case.token_problem.fix)
    if case.token is not None:
        return _api_token(case.token, case.now)
    if case.app is None:
        return skipped("because check 1 failed")
    if not case.app.microsofts:
        cause = f"an Entra token is not sent to {case.app}: it is no host of Microsoft's"
        return failed("no API token is given", cause, "--token-file FILE, or IOTC_API_TOKEN")
    return _entra_token(case)


def _api_token(text: str, now: datetime) -> Found:
    try:
        token = ApiToken(text)
    except SettingsError as error:
        claims = _claims(text.strip().removeprefix("Bearer "))
        if claims is None:
            return failed(str(error), "it was not copied whole, or is something else", error.hint)
        cause = "it is a token of Entra ID; what is wanted here is an API token of the application"
        return failed(
            f"the token given is {_told(claims)}", cause, f"{_NEW}; or leave it out, and run: az login"
        )
    seen = f"API token {token.name!r}, until {token.expires:%Y-%m-%d %H:%M} UTC"
    if token.expires <= now:
        return failed(f"{seen}: it has expired", "API tokens live for a year unless told otherwise", _NEW)
    if token.warning(now):
        return warning(seen, "it ends within a fortnight", _NEW)
    return ok(seen)


def _entra_token(case: Case) -> Found:
    try:
        text = case.entra.header(case.clock()).removeprefix("Bearer ")
    except SettingsError as error:
        return failed(str(error), "no API token is given, and Entra ID gave none", error.hint)
    claims = _claims(text)
    if claims is None:
        return ok("a token of Entra ID that cannot be read here")
    audience = str(claims.get("aud", "")).rstrip("/")
    if audience != AUDIENCE and not _GUID.fullmatch(audience):
        cause = f"it is for {audience or 'nobody'}, and IoT Central takes those for {AUDIENCE} only"
        return failed(_told(claims), cause, _ASK_AGAIN)
    ends = _moment(claims.get("exp"))
    if ends is not None and ends <= case.now:
        return failed(f"{_told(claims)}: it has expired", "such tokens live about an hour", _ASK_AGAIN)
    return ok(_told(claims))


def _told(claims: dict[str, Any]) -> str:
    ends = _moment(claims.get("exp"))
    parts = [
        f"for {claims.get('aud', 'nobody')}",
        *([f"of the tenant {claims['tid']}"] if "tid" in claims else []),
        *([f"until {ends:%Y-%m-%d %H:%M} UTC"] if ends else []),
    ]
    return f"a token of Entra ID, {', '.join(parts)}"


def _claims(text: str) -> dict[str, Any] | None:
    """What a JWT says of itself; its signature is the service's to check."""
    try:
        _, middle, _ = text.split(".")
        claims = json.loads(base64.urlsafe_b64decode(middle + "=" * (-len(middle) % 4)))
    except (ValueError, RecursionError):
        return None
    return claims if isinstance(claims, dict) else None


def _moment(seconds: object) -> datetime | None:
    try:
        return datetime.fromtimestamp(float(str(seconds)), UTC)
    except (ValueError, OverflowError, OSError):
        return None
