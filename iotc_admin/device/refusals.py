"""Which of our errors a refusal, a broken handshake or a silence is; each says what, then what next."""

from __future__ import annotations

import re
import ssl
from typing import TYPE_CHECKING, Any, Final

from iotc_admin.device.answer import Answer, said, tracking_id
from iotc_admin.device.explanations import explain
from iotc_admin.errors import (
    AnswerLost,
    IotcError,
    ProvisioningRefused,
    UnexpectedAnswer,
    Unreachable,
)

if TYPE_CHECKING:
    from iotc_admin.device.endpoint import Endpoint
    from iotc_admin.device.explanations import Source

_PROXY_HINT: Final = "something between here and Azure answered: check --dps-host, HTTPS_PROXY and NO_PROXY"
_HUB_CODE: Final = re.compile(r"ErrorCode:\s*(\w{1,60})")
_REFUSED: Final = 400
# Without a body such a status says enough; with a page that is no JSON somebody else said it.
_BARE: Final = (401, 403, 404)
_TOO_MANY: Final = 429
_SERVER_FAILED: Final = 500


def of_answer(source: Source, answer: Answer, device: str, operation: str) -> IotcError:
    """The error of an answer that is no success."""
    if answer.status < _REFUSED:
        return unexpected(operation, answer, "is not one to this request")
    document = answer.document()
    later = answer.status == _TOO_MANY or answer.status >= _SERVER_FAILED
    bare = answer.status in _BARE and not answer.body.strip()
    if document is None and not (later or bare):
        return unexpected(operation, answer, "is not JSON")
    error = _refused(source, answer.status, document or {}, device)
    error.retry_after = seconds(answer.retry_after)
    return error


def of_state(status: str, state: dict[str, Any], answer: Answer, device: str) -> ProvisioningRefused:
    """The error of a registration that ended as `failed` or `disabled`."""
    code = said(state.get("errorCode")) or (status if status == "disabled" else "")
    text = said(state.get("errorMessage"))
    tracking = tracking_id(state) or tracking_id(answer.document() or {})
    what = "is disabled" if status == "disabled" else "failed"
    return _explained(
        "dps", f"the registration of {device} {what}", device, code=code, text=text, tracking=tracking
    )


def of_connack(code: int, server: str, device: str) -> ProvisioningRefused:
    """The error of a refused MQTT connection; `server` is "DPS" or "the hub"."""
    known = explain("connack", str(code), server, device)
    return ProvisioningRefused(
        f"{server} refused {device}'s MQTT connection with CONNACK {code}",
        error_code=str(code),
        cause=known.cause,
        fix=known.fix,
        transient=known.transient,
    )


def of_tls(error: ssl.SSLError, endpoint: Endpoint, operation: str, device: str = "ID") -> IotcError:
    """Whose certificate was refused decides: the server's by us, or the device's by the server."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return Unreachable(
            f"{endpoint} showed a TLS certificate that is not trusted: {error.verify_message}",
            operation=operation,
            hint="if its CA is your own or a proxy's, name it: --ca-file CA.pem (or SSL_CERT_FILE)",
        )
    if isinstance(error, ssl.SSLEOFError | ssl.SSLZeroReturnError):
        return lost("the server closed the connection", operation)
    reason = str(error.reason or said(str(error)))
    if "ALERT" in reason.upper():
        return of_alert(reason, endpoint, device)
    return unreachable(f"TLS failed: {reason}", endpoint, operation)


def of_alert(reason: str, endpoint: Endpoint, device: str) -> ProvisioningRefused:
    """The error of a TLS alert that the server sent."""
    alert = reason.upper().partition("ALERT_")[2].replace("_", " ").lower() or reason
    known = explain("tls", reason.upper().replace(" ", "_"), "", device)
    return ProvisioningRefused(
        f"{endpoint} broke the TLS handshake off: {alert}",
        error_code=alert,
        cause=known.cause,
        fix=known.fix,
    )


def unexpected(operation: str, answer: Answer, why: str) -> UnexpectedAnswer:
    """The error of an answer that is not what DPS or a hub says."""
    return UnexpectedAnswer(
        f"{operation}: the answer ({answer.status}) {why}: it begins {answer.start!r}",
        operation=operation,
        body_start=answer.start,
        hint=_PROXY_HINT,
    )


def unreachable(reason: str, endpoint: Endpoint, operation: str) -> Unreachable:
    """The error of a server that was not reached at all."""
    return Unreachable(
        f"{endpoint} cannot be reached: {reason}",
        operation=operation,
        hint="check --dps-host, the network, and HTTPS_PROXY if there is a proxy",
    )


def lost(reason: str, operation: str) -> AnswerLost:
    """The error of a request that left, with silence behind it."""
    hint = "repeat the command; a server that drops the connection often dislikes the device's certificate"
    return AnswerLost(f"{operation}: the answer was lost: {reason}", operation=operation, hint=hint)


def seconds(retry_after: str) -> float | None:
    """`retry-after` in seconds, None unless it is a plain number."""
    return float(retry_after) if re.fullmatch(r"[0-9]{1,9}(\.[0-9]{1,9})?", retry_after) else None


def _refused(source: Source, status: int, document: dict[str, Any], device: str) -> ProvisioningRefused:
    text = said(document.get("message")) or said(document.get("Message"))
    named = _HUB_CODE.search(text)
    code = said(document.get("errorCode")) or (named[1] if named else str(status))
    server = "DPS" if source == "dps" else "the hub"
    what = f"{server} refused {device} with {status}"
    return _explained(source, what, device, code=code, text=text, tracking=tracking_id(document))


def _explained(
    source: Source, what: str, device: str, *, code: str, text: str, tracking: str
) -> ProvisioningRefused:
    known = explain(source, code, text, device)
    numbered = f"{what} ({code})" if code and code not in what else what
    message = f"{numbered}: {text}" if text else numbered
    return ProvisioningRefused(
        f"{message} (tracking id {tracking})" if tracking else message,
        error_code=code,
        cause=known.cause,
        fix=known.fix,
        transient=known.transient,
    )
