"""Serves enrollment groups: create-only, unique by name, read without their slots."""

from __future__ import annotations

from typing import TYPE_CHECKING

from iotc_admin.contract import operations as op
from iotc_admin.contract.enrollment_groups import (
    EnrollmentGroup,
    EnrollmentGroupPatch,
    GroupAttestation,
    SigningX509,
    SigningX509Certificate,
    SigningX509Certificates,
    Slot,
)
from iotc_admin.contract.wire import Page
from iotc_admin.emulator import problems, slots
from iotc_admin.emulator.paging import page
from iotc_admin.emulator.records import GroupRecord, fresh_etag, fresh_keys
from iotc_admin.emulator.routing import Asked, serves

if TYPE_CHECKING:
    from iotc_admin.emulator.state import State


@serves(op.LIST_GROUPS)
def list_groups(asked: Asked[None]) -> Page[EnrollmentGroup]:
    return page(asked, asked.state.groups, EnrollmentGroup, lambda record: _shown(asked.state, record))


@serves(op.GET_GROUP)
def get_group(asked: Asked[None]) -> EnrollmentGroup:
    return _shown(asked.state, slots.require_group(asked.state, asked.id))


@serves(op.CREATE_GROUP)
def create_group(asked: Asked[EnrollmentGroup]) -> EnrollmentGroup:
    state, sent = asked.state, asked.body
    if state.groups.get(asked.id) is not None:
        raise problems.conflict(f"Enrollment group {asked.id} exists already.")
    _require_new_name(state, asked.id, sent.display_name)
    group = EnrollmentGroup(
        id=asked.id,
        display_name=sent.display_name,
        enabled=sent.enabled,
        type=sent.type,
        attestation=_attestation(sent.attestation),
        etag=fresh_etag(),
    )
    if group.attestation.x509 is not None:
        _require_room(state)
    record = GroupRecord(group=group)
    state.groups.put(asked.id, record)
    for slot, certificate in _sent_certificates(sent.attestation):
        record = slots.fill(state, record, slot, certificate)
        state.groups.put(asked.id, record)
    return _shown(state, record)


@serves(op.UPDATE_GROUP)
def update_group(asked: Asked[EnrollmentGroupPatch]) -> EnrollmentGroup:
    state, patch = asked.state, asked.body
    record = slots.require_group(state, asked.id)
    asked.require_etag(record.group.etag)
    changes = {name: getattr(patch, name) for name in patch.model_fields_set - {"etag"}}
    if "display_name" in changes:
        if patch.display_name is None:
            raise problems.invalid("A group cannot be without displayName.")
        _require_new_name(state, asked.id, patch.display_name)
    if changes.get("enabled", False) is None:
        changes["enabled"] = True
    group = record.group.model_copy(update={**changes, "etag": fresh_etag()})
    record = record.model_copy(update={"group": group})
    state.groups.put(asked.id, record)
    if group.enabled is False and state.switches.disabled_group == "drops":
        _drop_devices(state, asked.id)
    return _shown(state, record)


@serves(op.DELETE_GROUP)
def delete_group(asked: Asked[None]) -> None:
    record = slots.require_group(asked.state, asked.id)
    asked.require_etag(record.group.etag)
    asked.state.groups.delete(asked.id)


def _drop_devices(state: State, group_id: str) -> None:
    for _, registration in state.registrations.after():
        if registration.enrollment_group == group_id and registration.device_id is not None:
            state.links.drop(registration.device_id)


def _shown(state: State, record: GroupRecord) -> EnrollmentGroup:
    if record.group.attestation.x509 is None:
        return record.group
    filled = {}
    if state.switches.group_slots == "shown":
        filled = {slot.value: slots.shown(held) for slot, held in record.slots.items()}
    shown = SigningX509Certificates(**filled)
    attestation = GroupAttestation(type="x509", x509=SigningX509(signing_certificates=shown))
    return record.group.model_copy(update={"attestation": attestation})


def _attestation(sent: GroupAttestation) -> GroupAttestation:
    if sent.type == "x509":
        nothing = SigningX509(signing_certificates=SigningX509Certificates())
        return GroupAttestation(type="x509", x509=nothing)
    return GroupAttestation(type="symmetricKey", symmetric_key=sent.symmetric_key or fresh_keys())


def _sent_certificates(sent: GroupAttestation) -> list[tuple[Slot, SigningX509Certificate]]:
    certificates = sent.x509.signing_certificates if sent.x509 is not None else None
    pairs = [(slot, getattr(certificates, slot, None)) for slot in Slot]
    return [(slot, certificate) for slot, certificate in pairs if certificate is not None]


def _require_new_name(state: State, own_id: str, name: str) -> None:
    if not name.strip():
        raise problems.invalid("displayName is empty.")
    taken = any(other.group.display_name == name for id_, other in state.groups.after() if id_ != own_id)
    if taken:
        message = f"Another enrollment group has the display name {name!r}."
        refuse = problems.conflict if state.switches.duplicate_name == "409" else problems.invalid
        raise refuse(message)


def _require_room(state: State) -> None:
    limit = state.switches.group_limit
    if limit == "none":
        return
    held = sum(record.group.attestation.x509 is not None for _, record in state.groups.after())
    if held >= int(limit):
        raise problems.invalid(f"An application may have {limit} X.509 enrollment groups, and has them.")
