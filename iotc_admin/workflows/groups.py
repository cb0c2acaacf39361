"""The smaller jobs on enrollment groups: update, delete, remove a certificate, a proof from elsewhere."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from cryptography import x509

from iotc_admin.contract.enrollment_groups import Slot
from iotc_admin.errors import BrokenChain, PlanOutdated, UnsafePlan
from iotc_admin.pki.authority import CertificateAuthority
from iotc_admin.pki.chain import signed_by
from iotc_admin.pki.description import sha1_thumbprint
from iotc_admin.pki.validity import require_valid
from iotc_admin.workflows.apply import Hands, Outcome, apply
from iotc_admin.workflows.look import SlotView, existing
from iotc_admin.workflows.plan import (
    AskForCode,
    DeleteGroup,
    Plan,
    Prove,
    RemoveCertificate,
    Step,
    SubmitProof,
    UpdateGroup,
    short,
)
from iotc_admin.workflows.proof import refuse_skew

if TYPE_CHECKING:
    from iotc_admin.client.client import Client


@dataclass(frozen=True)
class Change:
    """What shall change in a group; None stays as it is."""

    group: str
    display_name: str | None = None
    enabled: bool | None = None


def plan_update(client: Client, change: Change) -> Plan:
    """Only the fields that differ. Raises `NotFound`."""
    view = existing(client, change.group, ())
    name = change.display_name if change.display_name != view.display_name else None
    enabled = change.enabled if change.enabled != view.enabled else None
    steps = () if name is None and enabled is None else (UpdateGroup(change.group, name, enabled, view.etag),)
    return Plan(client.app, steps)


def update_group(client: Client, change: Change, plan: Plan, hands: Hands) -> Outcome:
    """Do what was planned; once more with a fresh etag if the group was changed meanwhile."""
    try:
        return apply(plan, client, hands)
    except PlanOutdated as outdated:
        again = plan_update(client, change)
        if not again.within(plan):
            raise outdated from None
        return apply(again, client, hands)


def plan_deletion(client: Client, group: str) -> Plan:
    """Raises `NotFound`."""
    existing(client, group, ())
    return Plan(client.app, (DeleteGroup(group),))


def plan_removal(client: Client, group: str, slot: Slot) -> Plan:
    """Empty a slot; nothing to do if it is."""
    view = existing(client, group, (slot,))
    found = view.slots.get(slot)
    steps: tuple[Step, ...] = () if found is None else (RemoveCertificate(group, slot, found.thumbprint),)
    return Plan(client.app, steps)


def plan_code(client: Client, group: str, slot: Slot) -> Plan:
    """Ask for a verification code. Raises `UnsafePlan` if the slot is empty."""
    return Plan(client.app, (AskForCode(group, slot, filled(client, group, slot).thumbprint),))


def plan_proof(
    client: Client, group: str, slot: Slot, view: SlotView, authority: CertificateAuthority
) -> Plan:
    """Prove a slot with the CA's key; nothing to do if it is verified. Raises `UnsafePlan` for another CA."""
    thumbprint = sha1_thumbprint(authority.certificate)
    if view.thumbprint != thumbprint:
        message = (
            f"{group}/{slot} holds certificate {short(view.thumbprint)}, but this CA is {short(thumbprint)}"
        )
        hint = f"upload this CA first: iotc-admin group set-cert {group} --slot {slot} --cert PATH"
        raise UnsafePlan(message, hint=hint)
    if view.verified:
        return Plan(client.app, ())
    refuse_skew(client)
    return Plan(client.app, (Prove(group, slot, thumbprint, view.etag),))


def plan_submission(client: Client, group: str, slot: Slot, view: SlotView) -> Plan:
    """Hand in a proof signed elsewhere; nothing to do if the slot is verified."""
    steps: tuple[Step, ...] = () if view.verified else (SubmitProof(group, slot, view.thumbprint),)
    return Plan(client.app, steps)


def check_proof(proof: x509.Certificate, ca: x509.Certificate | None, client: Client) -> None:
    """All that can be said of a proof without its code. Raises `OutsideValidity` or `BrokenChain`."""
    require_valid(proof, now=client.now())
    if ca is not None and not signed_by(proof, ca):
        message = f"the proof was not signed by the certificate in the slot, {ca.subject.rfc4514_string()}"
        hint = "sign with that CA's own key: iotc-admin cert verification CODE --issuer CERT"
        raise BrokenChain(message, hint=hint)


def filled(client: Client, group: str, slot: Slot) -> SlotView:
    """The slot. Raises `NotFound`, and `UnsafePlan` if the slot is empty."""
    found = existing(client, group, (slot,)).slots.get(slot)
    if found is None:
        message = f"{group}/{slot} is empty"
        raise UnsafePlan(
            message, hint=f"upload a CA first: iotc-admin group set-cert {group} --slot {slot} --cert CERT"
        )
    return found
