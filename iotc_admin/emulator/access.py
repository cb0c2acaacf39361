"""Serves organizations, roles and API tokens; a token's secret is shown once."""

from __future__ import annotations

import secrets
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from iotc_admin.contract import operations as op
from iotc_admin.contract.access import ApiToken, Organization, Role, RoleAssignment
from iotc_admin.contract.wire import Page
from iotc_admin.emulator import problems
from iotc_admin.emulator.devices import require_organizations
from iotc_admin.emulator.merging import merged
from iotc_admin.emulator.paging import page
from iotc_admin.emulator.records import TokenRecord
from iotc_admin.emulator.routing import Asked, serves
from iotc_admin.emulator.tokens import sign

if TYPE_CHECKING:
    from iotc_admin.emulator.state import State

_YEAR = timedelta(days=365)


@serves(op.LIST_ORGANIZATIONS)
def list_organizations(asked: Asked[None]) -> Page[Organization]:
    return page(asked, asked.state.organizations, Organization, lambda organization: organization)


@serves(op.GET_ORGANIZATION)
def get_organization(asked: Asked[None]) -> Organization:
    return _require_organization(asked.state, asked.id)


@serves(op.CREATE_ORGANIZATION)
def create_organization(asked: Asked[Organization]) -> Organization:
    organization = Organization(id=asked.id, display_name=asked.id)
    return _stored(asked.state, merged(organization, asked.body, read_only={"id"}))


@serves(op.UPDATE_ORGANIZATION)
def update_organization(asked: Asked[Organization]) -> Organization:
    organization = _require_organization(asked.state, asked.id)
    return _stored(asked.state, merged(organization, asked.body, read_only={"id"}))


@serves(op.DELETE_ORGANIZATION)
def delete_organization(asked: Asked[None]) -> None:
    state = asked.state
    _require_organization(state, asked.id)
    if any(other.parent == asked.id for _, other in state.organizations.after()):
        raise problems.conflict(f"Organization {asked.id} has organizations below it.")
    state.organizations.delete(asked.id)


@serves(op.LIST_ROLES)
def list_roles(asked: Asked[None]) -> Page[Role]:
    return page(asked, asked.state.roles, Role, lambda role: role)


@serves(op.GET_ROLE)
def get_role(asked: Asked[None]) -> Role:
    role = asked.state.roles.get(asked.id)
    if role is None:
        raise problems.not_found(f"Role {asked.id}")
    return role


@serves(op.LIST_API_TOKENS)
def list_api_tokens(asked: Asked[None]) -> Page[ApiToken]:
    return page(asked, asked.state.tokens, ApiToken, lambda record: record.token)


@serves(op.GET_API_TOKEN)
def get_api_token(asked: Asked[None]) -> ApiToken:
    return _require_token(asked.state, asked.id).token


@serves(op.CREATE_API_TOKEN)
def create_api_token(asked: Asked[ApiToken]) -> ApiToken:
    state, expiry = asked.state, asked.body.expiry
    if state.tokens.get(asked.id) is not None:
        raise problems.conflict(f"API token {asked.id} exists already.")
    if expiry is not None and expiry.tzinfo is None:
        raise problems.invalid("expiry needs a time zone.")
    for assignment in asked.body.roles:
        if state.roles.get(assignment.role) is None:
            raise problems.invalid(f"Role {assignment.role} does not exist.")
        require_organizations(state, (assignment.organization,) if assignment.organization else ())
    record = issue(state, asked.id, asked.body.roles, expiry or state.clock.now() + _YEAR)
    return record.token.model_copy(update={"token": sign(state.application.id, record)})


@serves(op.DELETE_API_TOKEN)
def delete_api_token(asked: Asked[None]) -> None:
    _require_token(asked.state, asked.id)
    asked.state.tokens.delete(asked.id)


def issue(state: State, token_id: str, roles: tuple[RoleAssignment, ...], expiry: datetime) -> TokenRecord:
    """A new token, stored. Its time of expiry must lie ahead, else 422."""
    if expiry <= state.clock.now():
        raise problems.invalid("expiry lies in the past.")
    token = ApiToken(id=token_id, expiry=expiry, roles=roles)
    record = TokenRecord(token=token, key=secrets.token_hex(32))
    state.tokens.put(token_id, record)
    return record


def _stored(state: State, organization: Organization) -> Organization:
    if organization.parent is not None:
        _require_ancestors(state, organization)
    state.organizations.put(organization.id or "", organization)
    return organization


def _require_ancestors(state: State, organization: Organization) -> None:
    above = organization.parent
    while above is not None:
        if above == organization.id:
            raise problems.invalid(f"Organization {organization.id} would lie below itself.")
        ancestor = state.organizations.get(above)
        if ancestor is None:
            raise problems.invalid(f"Organization {above} does not exist.")
        above = ancestor.parent


def _require_organization(state: State, organization_id: str) -> Organization:
    organization = state.organizations.get(organization_id)
    if organization is None:
        raise problems.not_found(f"Organization {organization_id}")
    return organization


def _require_token(state: State, token_id: str) -> TokenRecord:
    record = state.tokens.get(token_id)
    if record is None:
        raise problems.not_found(f"API token {token_id}")
    return record
