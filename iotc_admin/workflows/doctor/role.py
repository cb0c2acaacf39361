"""What the token may do, by reading only; and whether the application slows us down."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from iotc_admin.client.client import Client
from iotc_admin.client.credentials import ApiToken, Credential
from iotc_admin.errors import (
    IotcError,
    NotAllowed,
    NotAuthenticated,
    NotFound,
    RateLimited,
    ServiceError,
    SettingsError,
)
from iotc_admin.workflows.doctor.findings import Found, failed, ok, skipped, warning

if TYPE_CHECKING:
    from iotc_admin.contract.access import RoleAssignment
    from iotc_admin.workflows.doctor.case import Case

# Built in, with the same id in every application.
_OPERATOR: Final = "ae2c9854-393b-4f97-8c42-479d70ce626e"
_PERMISSIONS: Final = {
    "enrollment groups": "'Device connectivity management', read global",
    "devices": "'Device', view instances",
}
_RIGHT_ONE: Final = (
    "compare --app with the application the token was made in; else make a new token there: "
    "Permissions > API tokens; a service principal has to be a user of the application"
)
_ATTEMPTS: Final = 2
_THE_SERVICES: Final = 20
_SLOW: Final = 0.5
_JUST_NOW: Final = timedelta(minutes=1)


def role(case: Case, failed_before: Callable[[int], bool]) -> Found:
    """`failed_before` says whether the check of this number failed."""
    if case.app is None or not case.trusts:
        return skipped("because check 1 failed")
    if blocker := next((number for number in (2, 3, 4, 6) if failed_before(number)), None):
        return skipped(f"because check {blocker} failed")
    credential = case.entra if case.token is None else ApiToken(case.token)
    try:
        with _client(case, credential) as client:
            return _asked(client, credential)
    except RateLimited:
        case.rate_refusals += 1
        return skipped("because check 8 failed")
    except SettingsError as error:
        return failed(str(error), "nothing was sent", error.hint)


def _client(case: Case, credential: Credential) -> Client:
    return Client(
        str(case.app),
        credential,
        ca_file=case.ca_file,
        pacer=case.pacer(),
        attempts=_ATTEMPTS,
        clock=lambda: case.now,
    )


def _asked(client: Client, credential: Credential) -> Found:
    for what, read in (
        ("enrollment groups", client.enrollment_groups.list),
        ("devices", client.devices.list),
    ):
        try:
            next(iter(read()), None)
        except RateLimited:
            raise
        except IotcError as error:
            return _refused(error, what)
    return _roles(client, credential)


def _refused(error: IotcError, what: str) -> Found:
    """What this answer to reading `what` means."""
    if isinstance(error, NotAuthenticated):
        cause = "401: the token is revoked, has expired, or is of another application"
        return failed(str(error), cause, _RIGHT_ONE)
    if isinstance(error, NotAllowed):
        cause = f"403: the token is good, but its role lacks the permission {_PERMISSIONS[what]}"
        fix = "give the role that permission (Permissions > Roles), or use a token of another role"
        return failed(str(error), cause, fix)
    if isinstance(error, NotFound):
        cause = f"404: this host serves no application with {what}"
        fix = "check --app: the name in https://NAME.azureiotcentral.com; a deleted application answers so"
        return failed(str(error), cause, fix)
    if isinstance(error, ServiceError):
        return failed(str(error), "the service itself fails", error.hint)
    return failed(str(error), "the answer is not the application's, or was lost", error.hint)


def _roles(client: Client, credential: Credential) -> Found:
    seen = "reads enrollment groups and devices"
    if not isinstance(credential, ApiToken):
        return ok(seen)
    assigned: tuple[RoleAssignment, ...] = ()
    names: dict[str | None, str] = {}
    # Not every role may read roles: then it stays unknown which one this is.
    with suppress(ServiceError):
        assigned = client.api_tokens.get(credential.name).roles
        names = {each.id: each.display_name or "" for each in client.roles.list()}
    if not assigned:
        return ok(seen)
    told = ", ".join(_told(each, names) for each in assigned)
    if all(each.role == _OPERATOR for each in assigned):
        cause = "this role may not change enrollment groups: the application would answer 403"
        fix = (
            "for more than reading and devices, use a token of a role with "
            "'Device connectivity management', manage global"
        )
        return warning(f"{seen} as {told}", cause, fix)
    return ok(f"{seen} as {told}")


def _told(assignment: RoleAssignment, names: dict[str | None, str]) -> str:
    where = f" in the organization {assignment.organization}" if assignment.organization else ""
    return f"{names.get(assignment.role) or assignment.role}{where}"


def throttle(case: Case) -> Found:
    if case.app is None:
        return skipped("because check 1 failed")
    pacer = case.pacer()
    pace = pacer.pace()
    pacer.close()
    limit = f"at most {pace.ceiling:.1f} (the service allows {_THE_SERVICES})"
    seen = f"{pace.rate:.1f} requests a second of {limit}"
    fix = "let other clients pause, or wait a minute: the pace rises by itself with each answer"
    if case.rate_refusals:
        cause = "429: the application's 20 requests a second, for all its clients, are used up"
        return failed(f"the application refused for the rate, now {seen}", cause, fix)
    if pace.refused and abs(case.clock() - pace.refused) < _JUST_NOW:
        return warning(
            f"{seen}; within the last minute the application answered 429", "others use it, too", fix
        )
    if pace.rate < _SLOW * pace.ceiling:
        return warning(seen, "the application refused often for the rate", fix)
    return ok(seen)
