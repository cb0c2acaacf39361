"""Enrollment groups and the certificates in their slots."""

from __future__ import annotations

from typing import Generic

from iotc_admin.client._operation import D, Resource, operation, paged
from iotc_admin.contract import operations as op
from iotc_admin.contract.enrollment_groups import (
    EnrollmentGroup,
    EnrollmentGroupPatch,
    SigningX509Certificate,
    Slot,
    X509VerificationCertificate,
    X509VerificationCode,
)
from iotc_admin.contract.operations import Call
from iotc_admin.contract.wire import Page


class EnrollmentGroups(Resource[D], Generic[D]):
    """`client.enrollment_groups`"""

    @paged
    def list(self) -> Call[Page[EnrollmentGroup]]:
        """Every enrollment group, page by page as you iterate."""
        return op.LIST_GROUPS()

    @operation
    def get(self, group_id: str) -> Call[EnrollmentGroup]:
        """One group; its slots are read with `get_certificate`. Raises `NotFound`."""
        return op.GET_GROUP(group_id)

    @operation
    def create(self, group_id: str, group: EnrollmentGroup) -> Call[EnrollmentGroup]:
        """A new group. Raises `Conflict` if the id or the display name is taken."""
        return op.CREATE_GROUP(group_id, body=group)

    @operation
    def update(self, group_id: str, patch: EnrollmentGroupPatch) -> Call[EnrollmentGroup]:
        """Change only the fields that are set. Raises `Conflict` when `etag` is old."""
        return op.UPDATE_GROUP(group_id, body=patch)

    @operation
    def delete(self, group_id: str) -> Call[None]:
        """Remove a group with its certificates. Raises `NotFound`."""
        return op.DELETE_GROUP(group_id)

    @operation
    def get_certificate(self, group_id: str, slot: Slot) -> Call[SigningX509Certificate]:
        """A slot: thumbprint, whether it is verified, etag; never the certificate. Raises `NotFound`."""
        return op.GET_SLOT(group_id, slot)

    @operation
    def put_certificate(
        self, group_id: str, slot: Slot, certificate: SigningX509Certificate
    ) -> Call[SigningX509Certificate]:
        """Fill a slot; the certificate counts as unverified from then on. Raises `Conflict`."""
        return op.PUT_SLOT(group_id, slot, body=certificate)

    @operation
    def delete_certificate(self, group_id: str, slot: Slot) -> Call[None]:
        """Empty a slot. Devices that are connected stay connected. Raises `NotFound`."""
        return op.DELETE_SLOT(group_id, slot)

    @operation
    def generate_verification_code(self, group_id: str, slot: Slot) -> Call[X509VerificationCode]:
        """A fresh code for proof of possession; codes given before no longer count."""
        return op.GENERATE_VERIFICATION_CODE(group_id, slot)

    @operation
    def verify(self, group_id: str, slot: Slot, proof: X509VerificationCertificate) -> Call[None]:
        """Prove possession. Raises `BadRequest` if the proof is not of this slot's CA or of the last code."""
        return op.VERIFY_SLOT(group_id, slot, body=proof)
