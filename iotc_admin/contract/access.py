"""Who may do what: organizations, roles and API tokens."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from pydantic import Field

from iotc_admin.contract.wire import Wire


class Organization(Wire):
    """An organization of the application. Also its own patch."""

    id: str | None = None
    display_name: str | None = None
    parent: str | None = None


class Role(Wire):
    id: str | None = None
    display_name: str | None = None


class RoleAssignment(Wire):
    role: str
    organization: str | None = None


class ApiToken(Wire):
    """An API token. `token`, the secret, comes back once: in the answer to its creation."""

    id: str | None = None
    token: str | None = Field(default=None, repr=False)
    expiry: datetime | None = None
    roles: Annotated[tuple[RoleAssignment, ...], Field(min_length=1)]
