"""Every deliberate exception.

IotcError                     .hint: what to do next
├─ SettingsError              nothing was sent: no token, bad URL, unreadable profile
├─ NoAnswer                   .operation
│  ├─ Unreachable             it never left: safe to repeat
│  └─ AnswerLost              it left, then silence: it may have happened
├─ ServiceError               .operation .status .code .request_id
│  ├─ BadRequest
│  ├─ NotAuthenticated
│  ├─ NotAllowed
│  ├─ NotFound
│  ├─ Conflict                the etag is old, or it exists already: read again
│  ├─ RateLimited             .retry_after, after our own retries
│  └─ ServiceDown             5xx
├─ UnexpectedAnswer           an answer we cannot read; .body_start
├─ PkiError
│  ├─ BadPem
│  ├─ KeyMismatch
│  ├─ BrokenChain
│  ├─ OutsideValidity
│  └─ NotAllowedHere
├─ ProvisioningRefused        DPS or hub said no: .error_code, .cause, .fix
├─ PlanError
│  ├─ UnsafePlan
│  └─ PlanOutdated
└─ RunIncomplete             .failures: some items failed; repeating does the rest
"""

from __future__ import annotations

from collections.abc import Mapping


class IotcError(Exception):
    """Something this package refused or could not do. The message says what, `hint` what to do next."""

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


class SettingsError(IotcError):
    """Nothing was sent: a setting is missing, malformed or unreadable."""


class NoAnswer(IotcError):
    """No answer came back from the application."""

    def __init__(self, message: str, *, operation: str, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.operation = operation


class Unreachable(NoAnswer):
    """The request never left: safe to repeat."""


class AnswerLost(NoAnswer):
    """The request left, then silence: the application may have carried it out."""


class ServiceError(IotcError):
    """The application answered with an error. `code` is the service's own, a free string."""

    def __init__(
        self,
        message: str,
        *,
        operation: str,
        status: int,
        code: str = "",
        request_id: str = "",
        hint: str = "",
    ) -> None:
        super().__init__(message, hint=hint)
        self.operation = operation
        self.status = status
        self.code = code
        self.request_id = request_id


class BadRequest(ServiceError):
    """400, 422 and each other 4xx without a class of its own: never accepted as it is."""


class NotAuthenticated(ServiceError):
    """401: the token is missing, expired, revoked or for another application."""


class NotAllowed(ServiceError):
    """403: the token's role lacks the permission."""


class NotFound(ServiceError):
    """404: no such thing in this application."""


class Conflict(ServiceError):
    """409 or 412: it exists already, or the etag is old. Read again, then decide."""


class RateLimited(ServiceError):
    """429, after our own retries. `retry_after` is in seconds, None when the service named no time."""

    retry_after: float | None = None


class ServiceDown(ServiceError):
    """5xx: the service failed. What was asked may have happened."""

    retry_after: float | None = None


class UnexpectedAnswer(IotcError):
    """An answer that is not the application's: a page of a proxy, a redirect, a body we cannot read."""

    def __init__(self, message: str, *, operation: str, body_start: str = "", hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.operation = operation
        self.body_start = body_start


class PkiError(IotcError):
    """A certificate or key cannot be used for what it was given for."""


class BadPem(PkiError):
    """The input holds no certificate, key or request that we can read."""


class KeyMismatch(PkiError):
    """Key and certificate do not belong together, or two roles share one key."""


class BrokenChain(PkiError):
    """One certificate was not signed by the other."""


class OutsideValidity(PkiError):
    """Expired, not yet valid, or outliving its issuer."""


class NotAllowedHere(PkiError):
    """The certificate may not play this role: no CA flag, too weak, a leaf as root."""


class ProvisioningRefused(IotcError):
    """DPS or a hub said no. `error_code` is theirs, `cause` the likely one, `fix` what to do about it.

    `transient` when the same may succeed later; `retry_after` in seconds when they named a time.
    """

    retry_after: float | None = None

    def __init__(
        self, message: str, *, error_code: str = "", cause: str = "", fix: str = "", transient: bool = False
    ) -> None:
        super().__init__(message, hint=f"{cause}: {fix}" if cause and fix else cause or fix)
        self.error_code = error_code
        self.cause = cause
        self.fix = fix
        self.transient = transient


class PlanError(IotcError):
    """The plan cannot be made or carried out as the world stands."""


class UnsafePlan(PlanError):
    """Carrying it out would destroy something: refused before any write."""


class PlanOutdated(PlanError):
    """Somebody else changed the application between our look and our deed."""


class RunIncomplete(IotcError):
    """Some items of many failed, the others are done. `failures`: by item, why. Repeating does the rest."""

    def __init__(self, message: str, *, failures: Mapping[str, str], hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.failures = failures
