"""One slot rolled: the certificate of a group or a device replaced by the next, and never the last good one.

Everything that would take the ground from under devices is refused before the first write; what can be known
of the certificates that stand there now comes from the ledger.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Literal, TypeAlias

from cryptography import x509

from iotc_admin.contract.enrollment_groups import Slot
from iotc_admin.errors import KeyMismatch, OutsideValidity, SettingsError, UnsafePlan
from iotc_admin.pki.authority import CertificateAuthority
from iotc_admin.pki.description import sha1_thumbprint
from iotc_admin.pki.keys import same_key
from iotc_admin.pki.lint import require
from iotc_admin.pki.names import require_device_id
from iotc_admin.pki.pem import read_certificate
from iotc_admin.workflows.apply import Outcome
from iotc_admin.workflows.attach import (
    Attachment,
    carry_out_attachment,
    decide_attachment,
)
from iotc_admin.workflows.enroll import Enrollment, carry_out, decide_enrollment
from iotc_admin.workflows.look import (
    BOTH,
    AttestationView,
    GroupView,
    check_group_id,
    existing,
    existing_device,
    look_at_attestation,
)
from iotc_admin.workflows.plan import ConfirmVerified, Plan, Prove, PutCertificate, Step, short
from iotc_admin.workflows.proof import refuse_skew

if TYPE_CHECKING:
    from iotc_admin.client.client import Client
    from iotc_admin.ledger.ledger import Ledger, Run

Kind: TypeAlias = Literal["group", "device"]
Reason: TypeAlias = Literal["expiry", "breach"]


@dataclass(frozen=True)
class Roll:
    """What is wanted: this certificate in this slot of a group or of a device, in place of what is there.

    In a `breach` even the last good certificate goes. `renew_same_key` permits a new certificate for the
    key that it replaces. The authority of a device is its certificate; its key is not asked for.
    """

    kind: Kind
    id: str
    slot: Slot
    authority: CertificateAuthority
    reason: Reason = "expiry"
    renew_same_key: bool = False

    @property
    def certificate(self) -> x509.Certificate:
        return self.authority.certificate

    @property
    def place(self) -> str:
        return f"{self.id}/{self.slot}"


@dataclass(frozen=True)
class RollPlan:
    """What is to be done, and what a person should know before."""

    plan: Plan
    warnings: tuple[str, ...]


@dataclass(frozen=True)
class Standing:
    """A filled slot as it stands. `counts`: devices are let in by it, its dates aside; what only the

    certificate can tell is unknown where the ledger has none.
    """

    place: str
    thumbprint: str
    counts: bool
    certificate: x509.Certificate | None

    def valid(self, now: datetime) -> bool | None:
        """Whether it is within its dates; None if nobody here knows."""
        if self.certificate is None:
            return None
        return self.certificate.not_valid_before_utc <= now <= self.certificate.not_valid_after_utc


def roll_certificate(client: Client, wanted: Roll, *, run: Run) -> Outcome:
    """Replace one slot, prove possession, read back. Repeated, it changes nothing.

    `outcome.codes` holds a verification code if the CA's key is elsewhere. Raises `PkiError` and
    `UnsafePlan` before any write.
    """
    return carry_out_roll(client, wanted, plan_roll(client, run.ledger, wanted).plan, run)


def check_roll(wanted: Roll, now: datetime) -> None:
    """All that can be checked without the application. Raises `SettingsError` or `PkiError`."""
    if wanted.renew_same_key and wanted.reason == "breach":
        message = "in a breach a key is never used again"
        raise SettingsError(message, hint="make a certificate with a new key: iotc-admin cert root NAME")
    if wanted.kind == "group":
        check_new_ca(wanted.id, wanted.certificate, now)
    else:
        require_device_id(wanted.id)
        require(wanted.certificate, role="device", now=now, device_id=wanted.id, name="the new certificate")


def check_new_ca(group: str, certificate: x509.Certificate, now: datetime) -> None:
    """All that can be said of a group's next CA without the application. Raises as `check_roll`."""
    check_group_id(group)
    require(certificate, role="root", now=now, name="the new certificate")


def plan_roll(client: Client, ledger: Ledger | None, wanted: Roll) -> RollPlan:
    """Check, look, decide. Sends reads only. Raises before anything is done that could not be finished."""
    check_roll(wanted, client.now())
    if wanted.kind == "device":
        return _plan_device(client, ledger, wanted)
    return plan_in_view(client, ledger, wanted, existing(client, wanted.id, BOTH))


def plan_in_view(client: Client, ledger: Ledger | None, wanted: Roll, view: GroupView) -> RollPlan:
    """The same for a group that was looked at and a certificate that was checked already."""
    slots = standing_in_group(view, ledger)
    warnings = tuple(judge(wanted, slots, client.now()))
    plan = decide_enrollment(client.app, _enrollment(wanted), view)
    if any(isinstance(step, Prove) for step in plan.steps):
        refuse_skew(client)
    return RollPlan(Plan(client.app, (*_keeping(wanted, slots, plan), *plan.steps)), warnings)


def carry_out_roll(
    client: Client,
    wanted: Roll,
    plan: Plan,
    run: Run,
    *,
    told: Callable[[Step], None] = lambda _: None,
) -> Outcome:
    """Do what was planned. If the application changed meanwhile, plan once more, but do nothing further.

    Raises `PlanOutdated` where the new plan would do what the old one did not.
    """

    def again() -> Plan:
        return plan_roll(client, run.ledger, wanted).plan

    if wanted.kind == "device":
        return carry_out_attachment(client, _attachment(wanted), plan, run, told=told, again=again)
    return carry_out(client, _enrollment(wanted), plan, run, told=told, again=again)


def only_group(client: Client) -> str:
    """The id of the one X.509 group of the application. Raises `UnsafePlan` when there are more, or none."""
    groups = [each.id or "" for each in client.enrollment_groups.list() if each.attestation.type == "x509"]
    if len(groups) == 1:
        return groups[0]
    if not groups:
        message = "the application has no enrollment group that holds certificates"
        raise UnsafePlan(message, hint="make one: iotc-admin group create NAME --root CERT")
    message = f"the application has {len(groups)} groups that hold certificates: {', '.join(groups)}"
    raise UnsafePlan(message, hint="say which: --group NAME")


def standing_in_group(view: GroupView, ledger: Ledger | None) -> Mapping[Slot, Standing]:
    """The filled slots of a group, with the certificates that the ledger knows."""
    return {
        slot: Standing(f"{view.id}/{slot}", held.thumbprint, held.verified, known(ledger, held.thumbprint))
        for slot, held in view.slots.items()
        if held is not None
    }


def known(ledger: Ledger | None, thumbprint: str) -> x509.Certificate | None:
    """The certificate behind a thumbprint, if the ledger has it."""
    entry = ledger.find(thumbprint) if ledger else None
    return read_certificate(entry.pem.encode()) if entry else None


def judge(wanted: Roll, slots: Mapping[Slot, Standing], now: datetime) -> Iterator[str]:
    """What a person should know. Raises `UnsafePlan` or `PkiError` for what must not be done."""
    here, other = slots.get(wanted.slot), slots.get(wanted.slot.other)
    if other is not None:
        yield from _beside(wanted, other)
    if here is None or here.thumbprint == sha1_thumbprint(wanted.certificate):
        return
    yield from _succeeding(wanted, here)
    if not here.counts:
        return
    if wanted.reason == "expiry":
        yield from _leaving_one(wanted, here, other, now)
    yield (
        f"devices with certificates of {short(here.thumbprint)} no longer register once it is replaced; "
        "those that are connected stay connected"
    )


def _beside(wanted: Roll, other: Standing) -> Iterator[str]:
    if other.thumbprint == sha1_thumbprint(wanted.certificate):
        message = f"{other.place} holds this certificate already: {short(other.thumbprint)}"
        raise UnsafePlan(message, hint="roll to a certificate of its own, with a key of its own")
    if other.certificate is None:
        yield _unmanaged(other, "whether the two share a key")
    elif same_key(other.certificate.public_key(), wanted.certificate.public_key()):
        message = f"{other.place} holds a certificate with the same key: {short(other.thumbprint)}"
        raise KeyMismatch(
            message,
            hint="the slots are there so that one key can fail or leak: give this certificate its own",
        )


def _succeeding(wanted: Roll, here: Standing) -> Iterator[str]:
    old, new = here.certificate, wanted.certificate
    if old is None:
        yield _unmanaged(here, "whether the new one lasts longer and has a new key")
        return
    if not wanted.renew_same_key and same_key(old.public_key(), new.public_key()):
        message = f"the certificate has the key of the one it replaces, {short(here.thumbprint)}"
        permit = "; to renew it with the same key nevertheless: --renew-same-key"
        raise KeyMismatch(message, hint=f"make a new key{permit if wanted.reason == 'expiry' else ''}")
    if new.not_valid_after_utc >= old.not_valid_after_utc:
        return
    message = (
        f"the certificate expires on {new.not_valid_after_utc:%Y-%m-%d}, before the one it replaces, "
        f"on {old.not_valid_after_utc:%Y-%m-%d}"
    )
    if wanted.reason == "breach":
        yield message
    else:
        raise OutsideValidity(message, hint="make one that lasts longer, with --days")


def _leaving_one(wanted: Roll, here: Standing, other: Standing | None, now: datetime) -> Iterator[str]:
    """What must stand in the other slot while this one is changed."""
    what = f"{here.place} holds the only {'verified ' if wanted.kind == 'group' else ''}certificate"
    free = f"--slot {wanted.slot.other}"
    if other is None or not other.counts:
        why = "nothing" if other is None else "an unverified certificate"
        message = f"{what}, {short(here.thumbprint)}: there is {why} in the other slot"
        hint = f"roll into the other slot first: {free}; if this one is compromised: --reason breach"
        raise UnsafePlan(message, hint=hint)
    valid = other.valid(now)
    if valid is None:
        yield _unmanaged(other, "whether it is still valid")
    elif not valid and here.valid(now) is not False:
        message = f"{what} that is valid, {short(here.thumbprint)}: {other.place} is outside its dates"
        hint = f"roll the other slot: {free}; if this one is compromised: --reason breach"
        raise UnsafePlan(message, hint=hint)


def _unmanaged(slot: Standing, what: str) -> str:
    return (
        f"{slot.place} holds {short(slot.thumbprint)}, which the ledger does not know: "
        f"{what} cannot be told; to adopt it: iotc-admin ledger import CERT"
    )


def _keeping(wanted: Roll, slots: Mapping[Slot, Standing], plan: Plan) -> Iterator[Step]:
    """Look once more, right before a verified certificate goes, that the other is still there."""
    other = slots.get(wanted.slot.other)
    replaces = any(isinstance(step, PutCertificate) and step.replaces for step in plan.steps)
    if replaces and slots[wanted.slot].counts and other is not None and wanted.reason == "expiry":
        yield ConfirmVerified(wanted.id, wanted.slot.other, other.thumbprint)


def _plan_device(client: Client, ledger: Ledger | None, wanted: Roll) -> RollPlan:
    view = look_at_attestation(client, wanted.id)
    if view is None:
        existing_device(client, wanted.id)
        message = f"device {wanted.id} has no certificate of its own: there is nothing to roll"
        raise UnsafePlan(
            message, hint=f"give it one: iotc-admin device attach-cert {wanted.id} --primary CERT"
        )
    slots = _standing_in_device(wanted.id, view, ledger)
    warnings = tuple(judge(wanted, slots, client.now()))
    return RollPlan(decide_attachment(client.app, _attachment(wanted), view), warnings)


def _standing_in_device(device: str, view: AttestationView, ledger: Ledger | None) -> Mapping[Slot, Standing]:
    return {
        slot: Standing(f"{device}/{slot}", thumbprint, counts=True, certificate=known(ledger, thumbprint))
        for slot, thumbprint in view.slots.items()
        if thumbprint is not None
    }


def _enrollment(wanted: Roll) -> Enrollment:
    return Enrollment(wanted.id, {wanted.slot: wanted.authority}, replace=True, create=False)


def _attachment(wanted: Roll) -> Attachment:
    return Attachment(wanted.id, {wanted.slot: wanted.certificate})
