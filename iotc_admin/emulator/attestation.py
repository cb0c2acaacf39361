"""Serves the attestation of one device (individual enrollment) and its credentials."""

from __future__ import annotations

import hmac
from base64 import b64encode
from typing import TYPE_CHECKING

from cryptography.x509.oid import NameOID

from iotc_admin.contract import operations as op
from iotc_admin.contract.devices import (
    X509,
    Attestation,
    AttestationPatch,
    DeviceCredentials,
    X509Certificate,
    X509Certificates,
    X509CertificatesPatch,
)
from iotc_admin.contract.enrollment_groups import Slot, SymmetricKey, X509CertificateInfo
from iotc_admin.emulator import problems
from iotc_admin.emulator.certificates import decoded, encoded, read_encoded_certificate
from iotc_admin.emulator.devices import changed, require_device
from iotc_admin.emulator.records import AttestationRecord, DeviceRecord
from iotc_admin.emulator.routing import Asked, serves
from iotc_admin.pki.description import common_name, sha1_thumbprint

if TYPE_CHECKING:
    from cryptography import x509

    from iotc_admin.emulator.state import State

_LONGEST_CN = 64


@serves(op.GET_ATTESTATION)
def get_attestation(asked: Asked[None]) -> Attestation:
    return _shown(_require_attestation(require_device(asked.state, asked.id)))


@serves(op.PUT_ATTESTATION)
def put_attestation(asked: Asked[Attestation]) -> Attestation:
    record = require_device(asked.state, asked.id)
    asked.require_etag(record.device.etag)
    sent = asked.body
    certificates: dict[Slot, str] = {}
    if sent.x509 is not None:
        certificates = _replaced(asked.state, asked.id, {}, sent.x509.client_certificates)
    stored = AttestationRecord(
        type=sent.type, certificates=certificates, symmetric_key=sent.symmetric_key, tpm=sent.tpm
    )
    return _stored(asked.state, record, stored)


@serves(op.UPDATE_ATTESTATION)
def update_attestation(asked: Asked[AttestationPatch]) -> Attestation:
    record = require_device(asked.state, asked.id)
    asked.require_etag(record.device.etag)
    held, patch = _require_attestation(record), asked.body
    kind = patch.type or held.type
    arms = {"x509": patch.x509, "symmetricKey": patch.symmetric_key, "tpm": patch.tpm}
    if any(arm is not None for name, arm in arms.items() if name != kind):
        raise problems.invalid(f"The body holds what does not belong to an attestation of type {kind}.")
    if kind != held.type:
        if arms[kind] is None:
            raise problems.invalid(f"The attestation becomes {kind}, but its {kind} is missing.")
        held = AttestationRecord(type=kind)
    if kind == "x509":
        sent = patch.x509.client_certificates if patch.x509 else X509CertificatesPatch()
        certificates = _replaced(asked.state, asked.id, held.certificates, sent)
        return _stored(asked.state, record, held.model_copy(update={"certificates": certificates}))
    update = {"symmetric_key": patch.symmetric_key or held.symmetric_key, "tpm": patch.tpm or held.tpm}
    return _stored(asked.state, record, held.model_copy(update=update))


@serves(op.DELETE_ATTESTATION)
def delete_attestation(asked: Asked[None]) -> None:
    record = require_device(asked.state, asked.id)
    _require_attestation(record)
    asked.require_etag(record.device.etag)
    asked.state.devices.put(asked.id, changed(record, attestation=None))


@serves(op.GET_CREDENTIALS)
def get_credentials(asked: Asked[None]) -> DeviceCredentials:
    record = require_device(asked.state, asked.id)
    scope, held = asked.state.application.id_scope, record.attestation
    if held is None:
        return DeviceCredentials(id_scope=scope, symmetric_key=_derived_keys(asked.state, asked.id))
    own = _shown(held)
    arms = {"x509": own.x509, "symmetric_key": own.symmetric_key, "tpm": own.tpm}
    return DeviceCredentials(id_scope=scope, **{name: arm for name, arm in arms.items() if arm is not None})


def _require_attestation(record: DeviceRecord) -> AttestationRecord:
    if record.attestation is None:
        raise problems.not_found(f"The attestation of device {record.device.id}")
    return record.attestation


def _stored(state: State, record: DeviceRecord, attestation: AttestationRecord) -> Attestation:
    state.devices.put(record.device.id or "", changed(record, attestation=attestation))
    return _shown(attestation)


def _replaced(
    state: State,
    device_id: str,
    held: dict[Slot, str],
    sent: X509Certificates | X509CertificatesPatch | None,
) -> dict[Slot, str]:
    """The certificates after a merge of what was sent into what is held; null removes."""
    if sent is None:
        raise problems.invalid("An attestation of type x509 needs clientCertificates.")
    if state.switches.long_ids == "refused" and len(device_id) > _LONGEST_CN:
        raise problems.invalid(f"The device id has more than {_LONGEST_CN} characters, the limit of a CN.")
    merged = dict(held)
    for slot in Slot:
        if slot in sent.model_fields_set:
            _merge(state, device_id, merged, slot, getattr(sent, slot))
    if Slot.PRIMARY not in merged:
        raise problems.invalid("An attestation of type x509 needs a primary certificate.")
    return merged


def _merge(
    state: State, device_id: str, merged: dict[Slot, str], slot: Slot, sent: X509Certificate | None
) -> None:
    if sent is None:
        merged.pop(slot, None)
    elif sent.certificate is not None or slot not in merged:
        certificate = read_encoded_certificate(sent.certificate, bare_pem=True)
        if state.switches.device_cn == "checked":
            _require_own_names(certificate, device_id)
        merged[slot] = encoded(certificate)


def _require_own_names(certificate: x509.Certificate, device_id: str) -> None:
    issuers = certificate.issuer.get_attributes_for_oid(NameOID.COMMON_NAME)
    names = [common_name(certificate), *(name.value for name in issuers[:1])]
    if names != [device_id, device_id]:
        raise problems.invalid("The common names of subject and issuer are not both the device id.")


def _shown(held: AttestationRecord) -> Attestation:
    if held.type == "symmetricKey":
        return Attestation(type=held.type, symmetric_key=held.symmetric_key)
    if held.type == "tpm":
        return Attestation(type=held.type, tpm=held.tpm)
    slots = {slot.value: _certificate_info(each) for slot, each in held.certificates.items()}
    return Attestation(type=held.type, x509=X509(client_certificates=X509Certificates(**slots)))


def _certificate_info(record: str) -> X509Certificate:
    thumbprint = sha1_thumbprint(decoded(record))
    return X509Certificate(info=X509CertificateInfo(sha1_thumbprint=thumbprint))


def _derived_keys(state: State, device_id: str) -> SymmetricKey:
    def derived(slot: Slot) -> str:
        message = f"{slot}\n{device_id}".encode()
        return b64encode(hmac.digest(bytes.fromhex(state.application.secret), message, "sha256")).decode()

    return SymmetricKey(primary_key=derived(Slot.PRIMARY), secondary_key=derived(Slot.SECONDARY))
