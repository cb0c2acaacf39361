"""Judges proof of possession: does this certificate show that its sender holds the key of that slot?"""

from __future__ import annotations

import hmac
from datetime import timedelta
from typing import TYPE_CHECKING

from cryptography.x509.oid import NameOID

from iotc_admin.emulator import problems
from iotc_admin.emulator.certificates import decoded
from iotc_admin.pki.chain import signed_by
from iotc_admin.pki.description import common_name

if TYPE_CHECKING:
    from datetime import datetime

    from cryptography import x509

    from iotc_admin.emulator.records import SlotRecord
    from iotc_admin.emulator.switches import Switches

_HOUR = timedelta(hours=1)


def require_proof(proof: x509.Certificate, slot: SlotRecord, now: datetime, switches: Switches) -> None:
    """Raises the problem that tells why the proof is none."""
    _require_current_code(proof, slot, now, switches)
    authority = decoded(slot.certificate)
    if proof.issuer != authority.subject:
        raise problems.proof_refused(
            f"The verification certificate was issued by {proof.issuer.rfc4514_string()!r}, "
            f"but the slot holds {authority.subject.rfc4514_string()!r}."
        )
    if not signed_by(proof, authority):
        raise problems.proof_refused(
            "The verification certificate was not signed with the key of the slot's certificate."
        )
    if now < proof.not_valid_before_utc:
        raise problems.proof_refused("The verification certificate is not valid yet.")
    if now > proof.not_valid_after_utc:
        raise problems.proof_refused("The verification certificate has expired.")


def _require_current_code(
    proof: x509.Certificate, slot: SlotRecord, now: datetime, switches: Switches
) -> None:
    if slot.code is None or slot.code_since is None:
        raise problems.proof_refused("No verification code is pending: generate one first.")
    if switches.code_lifetime == "hour" and now > slot.code_since + _HOUR:
        raise problems.proof_refused("The verification code has expired: generate another.")
    names = proof.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    if len(names) != 1 or not hmac.compare_digest((common_name(proof) or "").encode(), slot.code.encode()):
        raise problems.proof_refused(
            "The common name of the verification certificate is not the current verification code."
        )
