"""Proof of possession: code, sign, verify, read back; and what to do when one of them goes wrong."""

from __future__ import annotations

import base64
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from cryptography import x509

from iotc_admin.contract.enrollment_groups import Slot, X509VerificationCertificate
from iotc_admin.errors import (
    AnswerLost,
    BadRequest,
    Conflict,
    NotFound,
    PlanError,
    PlanOutdated,
    ServiceDown,
    UnsafePlan,
)
from iotc_admin.pki.authority import CertificateAuthority
from iotc_admin.pki.pem import certificate_pem
from iotc_admin.workflows.look import SlotView, look_at_slot
from iotc_admin.workflows.plan import short

if TYPE_CHECKING:
    from iotc_admin.client.client import Client

# Nothing is published about how soon a read shows what was written; half a minute is patience enough.
_READ_BACK_DELAYS: Final = (0.5, 1.0, 2.0, 4.0, 8.0, 15.0)
# A certificate signed by a clock that is further off than this carries dates that are not true.
_GREATEST_SKEW: Final = timedelta(minutes=5)


def encoded(certificate: x509.Certificate) -> str:
    """A certificate as the REST API takes it: base64 of its PEM text, on one line."""
    return base64.b64encode(certificate_pem(certificate)).decode()


def prove(
    client: Client, group: str, slot: Slot, authority: CertificateAuthority, *, thumbprint: str, etag: str
) -> SlotView:
    """Prove that the key of the slot's certificate is here. Returns the slot, verified.

    A code that was replaced meanwhile, an old etag and a lost answer are recovered from once. Raises
    `PlanError` after that, `PlanOutdated` when the slot holds another certificate by now.
    """
    failure = _try(client, group, slot, authority)
    view = require_holding(client, group, slot, thumbprint)
    if failure is None:
        return _verified(client, group, slot, thumbprint, view)
    if view.verified:
        return view
    again = _try(client, group, slot, authority)
    view_again = require_holding(client, group, slot, thumbprint)
    if view_again.verified or again is None:
        return _verified(client, group, slot, thumbprint, view_again)
    message = (
        f"{group}/{slot} refused the proof twice: {again} "
        f"(etag before: {etag or view.etag}, now: {view_again.etag})"
    )
    raise PlanError(
        message, hint=f"somebody else may be proving it too: iotc-admin group show {group}, then repeat"
    )


def submit(client: Client, group: str, slot: Slot, proof: x509.Certificate, thumbprint: str) -> SlotView:
    """Hand in a proof signed elsewhere. Returns the slot, verified. Raises `BadRequest` if it is refused."""
    try:
        client.enrollment_groups.verify(group, slot, X509VerificationCertificate(certificate=encoded(proof)))
    except (AnswerLost, ServiceDown):
        view = require_holding(client, group, slot, thumbprint)
        if not view.verified:
            raise
        return view
    except BadRequest as error:
        again = f"iotc-admin group code {group} --slot {slot}"
        error.hint = f"a proof counts for the last code only; ask for a new one: {again}"
        raise
    return _verified(client, group, slot, thumbprint, require_holding(client, group, slot, thumbprint))


def refuse_skew(client: Client) -> None:
    """Raises `UnsafePlan` when our clock and the application's differ too much to sign by."""
    skew = client.skew
    if skew is None or abs(skew) <= _GREATEST_SKEW:
        return
    seconds = timedelta(seconds=round(abs(skew).total_seconds()))
    way = "behind" if skew > timedelta() else "ahead of"
    message = (
        f"this machine's clock is {seconds} {way} the application's: what it signs would carry wrong dates"
    )
    raise UnsafePlan(message, hint="set the clock of this machine (NTP), then repeat")


def _try(client: Client, group: str, slot: Slot, authority: CertificateAuthority) -> Exception | None:
    groups = client.enrollment_groups
    try:
        code = groups.generate_verification_code(group, slot).verification_code
        proof = authority.prove(code, now=client.now())
        groups.verify(group, slot, X509VerificationCertificate(certificate=encoded(proof)))
    except (BadRequest, NotFound, Conflict, AnswerLost, ServiceDown) as error:
        return error
    return None


def require_holding(client: Client, group: str, slot: Slot, thumbprint: str) -> SlotView:
    """The slot as it stands. Raises `PlanOutdated` when it holds another certificate by now, or none."""
    view = look_at_slot(client, group, slot)
    if view is None or view.thumbprint != thumbprint:
        found = f"holds {short(view.thumbprint)}" if view else "is empty"
        message = f"{group}/{slot} {found} by now, not {short(thumbprint)}: somebody else changed it"
        raise PlanOutdated(message, hint=f"look at it: iotc-admin group show {group}")
    return view


def _verified(client: Client, group: str, slot: Slot, thumbprint: str, view: SlotView) -> SlotView:
    for delay in _READ_BACK_DELAYS:
        if view.verified:
            return view
        client.sleep(delay)
        view = require_holding(client, group, slot, thumbprint)
    if view.verified:
        return view
    message = f"{group}/{slot}: the proof was accepted, but the slot still does not show as verified"
    raise PlanError(message, hint=f"look again in a minute: iotc-admin group show {group}")
