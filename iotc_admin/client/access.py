"""Who may do what: organizations, roles and API tokens."""

from __future__ import annotations

from typing import Generic

from iotc_admin.client._operation import D, Resource, operation, paged
from iotc_admin.contract import operations as op
from iotc_admin.contract.access import ApiToken, Organization, Role
from iotc_admin.contract.operations import Call
from iotc_admin.contract.wire import Page


class Organizations(Resource[D], Generic[D]):
    """`client.organizations`"""

    @paged
    def list(self) -> Call[Page[Organization]]:
        """Every organization, page by page as you iterate."""
        return op.LIST_ORGANIZATIONS()

    @operation
    def get(self, organization_id: str) -> Call[Organization]:
        """One organization. Raises `NotFound`."""
        return op.GET_ORGANIZATION(organization_id)

    @operation
    def create(self, organization_id: str, organization: Organization) -> Call[Organization]:
        """A new organization, or all of an existing one anew."""
        return op.CREATE_ORGANIZATION(organization_id, body=organization)

    @operation
    def update(self, organization_id: str, patch: Organization) -> Call[Organization]:
        """Change only the fields that are set."""
        return op.UPDATE_ORGANIZATION(organization_id, body=patch)

    @operation
    def delete(self, organization_id: str) -> Call[None]:
        """Remove an organization. Raises `NotFound`."""
        return op.DELETE_ORGANIZATION(organization_id)


class Roles(Resource[D], Generic[D]):
    """`client.roles`"""

    @paged
    def list(self) -> Call[Page[Role]]:
        """Every role, page by page as you iterate."""
        return op.LIST_ROLES()

    @operation
    def get(self, role_id: str) -> Call[Role]:
        """One role. Raises `NotFound`."""
        return op.GET_ROLE(role_id)


class ApiTokens(Resource[D], Generic[D]):
    """`client.api_tokens`"""

    @paged
    def list(self) -> Call[Page[ApiToken]]:
        """Every API token without its secret, page by page as you iterate."""
        return op.LIST_API_TOKENS()

    @operation
    def get(self, token_id: str) -> Call[ApiToken]:
        """One API token without its secret. Raises `NotFound`."""
        return op.GET_API_TOKEN(token_id)

    @operation
    def create(self, token_id: str, token: ApiToken) -> Call[ApiToken]:
        """A new API token; the answer holds its secret, once."""
        return op.CREATE_API_TOKEN(token_id, body=token)

    @operation
    def delete(self, token_id: str) -> Call[None]:
        """Revoke an API token. Raises `NotFound`."""
        return op.DELETE_API_TOKEN(token_id)
