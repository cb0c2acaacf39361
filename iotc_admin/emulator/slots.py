"""Serves the two slots of an enrollment group: upload, verification code, proof of possession."""

from __future__ import annotations

import secrets
from datetime import timedelta
from typing import TYPE_CHECKING

from iotc_admin.contract import operations as op
from iotc_admin.contract.enrollment_groups import (
    SigningX509Certificate,
    Slot,
    X509CertificateInfo,
    X509VerificationCertificate,
    X509VerificationCode,
)
from iotc_admin.emulator import problems
from iotc_admin.emulator.certificates import encoded, read_encoded_certificate, read_slot_certificate
from iotc_admin.emulator.proof import require_proof
from iotc_admin.emulator.records import GroupRecord, SlotRecord, fresh_etag
from iotc_admin.emulator.routing import Asked, serves
from iotc_admin.pki.description import sha1_thumbprint

if TYPE_CHECKING:
    from iotc_admin.emulator.state import State

_LAG = timedelta(seconds=5)
_CODE_BYTES = 24


@serves(op.GET_SLOT)
def get_slot(asked: Asked[None]) -> SigningX509Certificate:
    record = require_group(asked.state, asked.id)
    held = _require_slot(record, asked.slot)
    lagging = record.before.get(asked.slot)
    if lagging is not None and asked.state.clock.now() < held.changed + _LAG:
        return lagging
    return shown(held)


@serves(op.PUT_SLOT)
def put_slot(asked: Asked[SigningX509Certificate]) -> SigningX509Certificate:
    record = _require_x509(require_group(asked.state, asked.id))
    asked.require_etag(_etag(record, asked.slot))
    record = fill(asked.state, record, asked.slot, asked.body)
    asked.state.groups.put(asked.id, record)
    return shown(record.slots[asked.slot])


@serves(op.DELETE_SLOT)
def delete_slot(asked: Asked[None]) -> None:
    record = require_group(asked.state, asked.id)
    _require_slot(record, asked.slot)
    asked.require_etag(_etag(record, asked.slot))
    asked.state.groups.put(asked.id, _changed(record, asked.slot, None))


@serves(op.GENERATE_VERIFICATION_CODE)
def generate_verification_code(asked: Asked[None]) -> X509VerificationCode:
    state = asked.state
    record = require_group(state, asked.id)
    held = _require_slot(record, asked.slot)
    code = held.code if state.switches.code == "stable" else None
    code = code or secrets.token_hex(_CODE_BYTES).upper()
    held = held.model_copy(update={"code": code, "code_since": state.clock.now(), "etag": fresh_etag()})
    state.groups.put(asked.id, _changed(record, asked.slot, held))
    return X509VerificationCode(verification_code=code)


@serves(op.VERIFY_SLOT)
def verify_slot(asked: Asked[X509VerificationCertificate]) -> None:
    state = asked.state
    record = require_group(state, asked.id)
    held = _require_slot(record, asked.slot)
    proof = read_encoded_certificate(asked.body.certificate, bare_pem=state.switches.bare_pem == "accepted")
    require_proof(proof, held, state.clock.now(), state.switches)
    verified = held.model_copy(
        update={"verified": True, "code": None, "code_since": None, "etag": fresh_etag()}
    )
    state.groups.put(asked.id, _lagging(state, _changed(record, asked.slot, verified), asked.slot, held))


def fill(state: State, record: GroupRecord, slot: Slot, sent: SigningX509Certificate) -> GroupRecord:
    """The group with this certificate in the slot; its proof starts anew."""
    certificate = read_slot_certificate(sent.certificate, state.switches)
    thumbprint = sha1_thumbprint(certificate)
    _require_free(state, record, slot, thumbprint)
    before = record.slots.get(slot)
    kept = (
        before is not None
        and before.thumbprint == thumbprint
        and before.verified
        and state.switches.same_put == "keeps"
    )
    filled = SlotRecord(
        certificate=encoded(certificate),
        thumbprint=thumbprint,
        verified=kept or (sent.verified and state.switches.put_verified == "works"),
        etag=fresh_etag(),
        changed=state.clock.now(),
    )
    return _lagging(state, _changed(record, slot, filled), slot, before)


def shown(held: SlotRecord) -> SigningX509Certificate:
    """All that is ever told of a slot."""
    info = X509CertificateInfo(sha1_thumbprint=held.thumbprint)
    return SigningX509Certificate(verified=held.verified, info=info, etag=held.etag)


def require_group(state: State, group_id: str) -> GroupRecord:
    """The group, or 404."""
    record = state.groups.get(group_id)
    if record is None:
        raise problems.not_found(f"Enrollment group {group_id}")
    return record


def _require_x509(record: GroupRecord) -> GroupRecord:
    if record.group.attestation.x509 is None:
        raise problems.invalid(f"Enrollment group {record.group.id} has symmetric keys and no slots.")
    return record


def _require_slot(record: GroupRecord, slot: Slot) -> SlotRecord:
    held = record.slots.get(slot)
    if held is None:
        raise problems.not_found(f"The {slot} certificate of enrollment group {record.group.id}")
    return held


def _require_free(state: State, record: GroupRecord, slot: Slot, thumbprint: str) -> None:
    beside = record.slots.get(slot.other)
    if beside is not None and beside.thumbprint == thumbprint and state.switches.both_slots == "refused":
        raise problems.conflict(f"The {slot.other} slot of this group holds this certificate already.")
    if state.switches.shared_ca == "allowed":
        return
    for group_id, other in state.groups.after():
        if group_id != record.group.id and any(s.thumbprint == thumbprint for s in other.slots.values()):
            refuse = problems.conflict if state.switches.shared_ca == "409" else problems.invalid
            raise refuse(f"Enrollment group {group_id} holds this certificate already.")


def _changed(record: GroupRecord, slot: Slot, held: SlotRecord | None) -> GroupRecord:
    """With this in the slot; the group's etag moves along."""
    slots = {name: other for name, other in record.slots.items() if name is not slot}
    if held is not None:
        slots[slot] = held
    group = record.group.model_copy(update={"etag": fresh_etag()})
    before = {name: old for name, old in record.before.items() if name is not slot}
    return record.model_copy(update={"group": group, "slots": slots, "before": before})


def _lagging(state: State, record: GroupRecord, slot: Slot, before: SlotRecord | None) -> GroupRecord:
    if state.switches.reads == "immediate" or before is None:
        return record
    held = record.slots[slot].model_copy(update={"changed": state.clock.now()})
    return record.model_copy(
        update={
            "slots": {**record.slots, slot: held},
            "before": {**record.before, slot: shown(before)},
        }
    )


def _etag(record: GroupRecord, slot: Slot) -> str | None:
    held = record.slots.get(slot)
    return None if held is None else held.etag
