"""Replace what is suspect, by new keys only; what was shut stays shut."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cryptography import x509

from iotc_admin.contract.enrollment_groups import Slot
from iotc_admin.errors import KeyMismatch, PlanOutdated, UnsafePlan
from iotc_admin.ledger.breach import Author, Breach, Case, ever_suspect, open_case
from iotc_admin.pki.authority import CertificateAuthority
from iotc_admin.pki.chain import signed_by
from iotc_admin.pki.description import describe, sha1_thumbprint
from iotc_admin.pki.keys import spki_sha256
from iotc_admin.workflows.apply import Outcome
from iotc_admin.workflows.attach import (
    Attachment,
    carry_out_attachment,
    check_attachment,
    decide_attachment,
)
from iotc_admin.workflows.enroll import Enrollment, carry_out, check_enrollment, decide_enrollment
from iotc_admin.workflows.look import BOTH, existing, existing_device, look_at_attestation, look_at_group
from iotc_admin.workflows.plan import Plan, Prove, Step, short
from iotc_admin.workflows.proof import refuse_skew
from iotc_admin.workflows.roll import known

if TYPE_CHECKING:
    from datetime import datetime

    from iotc_admin.client.client import Client
    from iotc_admin.ledger.ledger import Ledger


@dataclass(frozen=True)
class Replacement:
    """What is wanted: these certificates in these slots. Of a device's, the keys are not asked for."""

    breach: Breach
    authorities: Mapping[Slot, CertificateAuthority]


@dataclass(frozen=True)
class ReplacementPlan:
    """What is to be done, and what a person should know before."""

    plan: Plan
    warnings: tuple[str, ...]


def check_replacement(wanted: Replacement, now: datetime) -> None:
    """All that can be checked without the application. Raises `SettingsError` or `PkiError`."""
    if wanted.breach.kind == "group":
        check_enrollment(_enrollment(wanted), now)
    else:
        check_attachment(_attachment(wanted), now)


def plan_replacement(client: Client, ledger: Ledger, wanted: Replacement) -> ReplacementPlan:
    """Check, look, decide. Sends reads only.

    Raises `UnsafePlan` where the breach is not contained, `KeyMismatch` for a key that was used before.
    """
    check_replacement(wanted, client.now())
    case = _contained(client, ledger, wanted.breach)
    for authority in wanted.authorities.values():
        _require_new(ledger, case, authority.certificate)
    plan = _decided(client, wanted)
    if any(isinstance(step, Prove) for step in plan.steps):
        refuse_skew(client)
    return ReplacementPlan(plan, tuple(_doubts(client, ledger, case, wanted)))


def replace_certificates(
    wanted: Replacement,
    planned: ReplacementPlan,
    client: Client,
    author: Author,
    told: Callable[[Step], None] = lambda _: None,
) -> Outcome:
    """Do what was planned; the group stays disabled, the device blocked. Repeated, it changes nothing.

    `outcome.codes` holds a verification code for each slot whose key is elsewhere. Raises `PlanOutdated`
    where somebody else changed the slots, or opened what was shut.
    """
    case = _contained(client, author.ledger, wanted.breach)

    def again() -> Plan:
        return plan_replacement(client, author.ledger, wanted).plan

    if wanted.breach.kind == "group":
        outcome = carry_out(
            client, _enrollment(wanted), planned.plan, author.run, told=told, again=again
        )  # fmt: skip
    else:
        outcome = carry_out_attachment(
            client, _attachment(wanted), planned.plan, author.run, told=told, again=again
        )
    if planned.plan.steps:
        new = {slot.value: sha1_thumbprint(each.certificate) for slot, each in wanted.authorities.items()}
        author.note(case, "replaced" if not outcome.codes else "replaced, proof still open", **new)
    _require_shut(client, wanted.breach)
    return outcome


def standing_suspects(client: Client, case: Case) -> dict[str, str]:
    """The suspect certificates that still stand in a slot, by slot."""
    suspects = set(case.suspects.values())
    return {slot: each for slot, each in _held(client, case.breach).items() if each in suspects}


def _held(client: Client, breach: Breach) -> dict[str, str]:
    if breach.kind == "group":
        group = look_at_group(client, breach.id, BOTH)
        return {slot.value: each.thumbprint for slot, each in group.slots.items() if each} if group else {}
    view = look_at_attestation(client, breach.id)
    return {slot.value: each for slot, each in view.slots.items() if each} if view else {}


def _contained(client: Client, ledger: Ledger, breach: Breach) -> Case:
    case = open_case(ledger, client.app, breach)
    if case is None:
        message = f"no breach of {breach} is on record in this ledger"
        hint = f"contain it first: iotc-admin breach contain {breach.option}; or use the ledger of who did"
        raise UnsafePlan(message, hint=hint)
    return case


def _require_shut(client: Client, breach: Breach) -> None:
    """Whoever opened it meanwhile: a person must hear of it."""
    if breach.kind == "group":
        is_open = existing(client, breach.id, ()).enabled
    else:
        is_open = existing_device(client, breach.id).enabled is not False
    if is_open:
        message = f"{breach} is {'enabled' if breach.kind == 'group' else 'not blocked'} by now"
        hint = f"if nobody meant to: iotc-admin breach contain {breach.option}"
        raise PlanOutdated(message, hint=hint)


def _require_new(ledger: Ledger, case: Case, certificate: x509.Certificate) -> None:
    """The key must never have been in use: neither one that was ever suspect, nor one that came with it."""
    facts = describe(certificate)
    if facts.sha1 in case.suspects.values():
        message = f"{short(facts.sha1)} is the certificate that is suspect"
        raise KeyMismatch(message, hint=_new(case))
    if facts.sha1 in ever_suspect(ledger):
        raise KeyMismatch(f"{short(facts.sha1)} was suspect in an earlier breach", hint=_new(case))
    for entry in ledger.with_key(spki_sha256(certificate.public_key())):
        if entry.sha256 != facts.sha256:
            message = f"the key of {facts.subject} was used before, in {short(entry.sha1)} ({entry.subject})"
            raise KeyMismatch(message, hint=_new(case))
        # What this breach itself bound for a slot is a repeat.
        if used := next((each for each in entry.sightings if each.holder and each.at < case.begun), None):
            place = f"{used.holder}/{used.slot}"
            message = f"{facts.subject} was used before, in {place}, since {used.at:%Y-%m-%d %H:%M} UTC"
            raise KeyMismatch(message, hint=_new(case))


def _new(case: Case) -> str:
    make = "root NAME" if case.breach.kind == "group" else f"device {case.breach.id}"
    return f"after a breach only a new key will do: iotc-admin cert {make}"


def _doubts(client: Client, ledger: Ledger, case: Case, wanted: Replacement) -> Iterator[str]:
    for thumbprint in case.suspects.values():
        suspect = known(ledger, thumbprint)
        if suspect is None:
            yield f"the ledger does not know {short(thumbprint)}: whether its key comes back cannot be told"
            continue
        for authority in wanted.authorities.values():
            if signed_by(authority.certificate, suspect):
                subject = authority.certificate.subject.rfc4514_string()
                yield f"{subject} is signed by {short(thumbprint)}, itself suspect: make it a root of its own"
    if all(Slot(slot) in wanted.authorities for slot in case.suspects):
        return
    for slot, thumbprint in standing_suspects(client, case).items():
        if Slot(slot) not in wanted.authorities:
            yield f"{wanted.breach.id}/{slot} is suspect, too, and not named: {short(thumbprint)} stays there"


def _decided(client: Client, wanted: Replacement) -> Plan:
    if wanted.breach.kind == "group":
        view = existing(client, wanted.breach.id, BOTH)
        if view.enabled:
            raise _not_shut(wanted.breach, "enabled")
        return decide_enrollment(client.app, _enrollment(wanted), view)
    if existing_device(client, wanted.breach.id).enabled is not False:
        raise _not_shut(wanted.breach, "not blocked")
    attestation = look_at_attestation(client, wanted.breach.id)
    if attestation is None:
        message = f"device {wanted.breach.id} has no certificate of its own: its group lets it in"
        attach = f"iotc-admin device attach-cert {wanted.breach.id} --primary CERT"
        hint = f"an individual enrollment outranks the group: {attach}"
        raise UnsafePlan(message, hint=hint)
    return decide_attachment(client.app, _attachment(wanted), attestation)


def _not_shut(breach: Breach, how: str) -> UnsafePlan:
    hint = f"contain the breach first: iotc-admin breach contain {breach.option}"
    return UnsafePlan(f"{breach} is {how}: whoever has the old key would be let in again", hint=hint)


def _enrollment(wanted: Replacement) -> Enrollment:
    return Enrollment(wanted.breach.id, wanted.authorities, replace=True, create=False)


def _attachment(wanted: Replacement) -> Attachment:
    certificates = {slot: each.certificate for slot, each in wanted.authorities.items()}
    return Attachment(wanted.breach.id, certificates)
