"""An enrollment group with verified certificates, from whatever stands there now.

Everything that can be checked without the application is checked before the first request. What is done
already is not done again, so a run that was cut short is repeated as it was.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING

from iotc_admin.contract.enrollment_groups import GroupType, Slot
from iotc_admin.errors import KeyMismatch, PlanOutdated, SettingsError, UnsafePlan
from iotc_admin.pki.authority import CertificateAuthority
from iotc_admin.pki.description import sha1_thumbprint
from iotc_admin.pki.keys import same_key
from iotc_admin.pki.lint import require
from iotc_admin.workflows.apply import Hands, Outcome, apply
from iotc_admin.workflows.look import (
    BOTH,
    GroupView,
    SlotView,
    check_group_id,
    look_at_group,
    look_at_slots,
)
from iotc_admin.workflows.plan import AskForCode, CreateGroup, Plan, Prove, PutCertificate, Step, short
from iotc_admin.workflows.proof import refuse_skew

if TYPE_CHECKING:
    from iotc_admin.client.client import Client
    from iotc_admin.ledger.ledger import Run


@dataclass(frozen=True)
class Enrollment:
    """What is wanted: a group, and a CA in one slot or in both.

    An authority without a key is uploaded, and its proof left to whoever holds the key. `attest` is the
    reason why the certificates count as verified without proof. `replace` permits to take the place of
    another certificate; `create` to make the group.
    """

    group: str
    authorities: Mapping[Slot, CertificateAuthority]
    type: GroupType | None = None
    display_name: str | None = None
    enabled: bool = True
    attest: str = ""
    replace: bool = False
    create: bool = True


def enroll_group(
    client: Client,
    group: str,
    *,
    primary: CertificateAuthority,
    secondary: CertificateAuthority | None = None,
    type: GroupType = "iot",  # noqa: A002 - the service's word
    display_name: str | None = None,
    enabled: bool = True,
    run: Run | None = None,
) -> Outcome:
    """Make the group, upload, prove possession, read back. Repeated, it changes nothing.

    `outcome.codes` holds a verification code for each slot whose key is elsewhere. Raises `PkiError` for a
    certificate that cannot serve, `UnsafePlan` when a slot holds another one: both before any write.
    """
    authorities = {Slot.PRIMARY: primary} | ({Slot.SECONDARY: secondary} if secondary else {})
    wanted = Enrollment(group, authorities, type, display_name, enabled)
    return carry_out(client, wanted, plan_enrollment(client, wanted), run)


def check_enrollment(wanted: Enrollment, now: datetime) -> None:
    """All that can be checked without the application. Raises `SettingsError` or `PkiError`."""
    check_group_id(wanted.group)
    for slot, authority in wanted.authorities.items():
        require(authority.certificate, role="root", now=now, name=f"the {slot} certificate")
    if len(wanted.authorities) == len(BOTH):
        _check_differ(*wanted.authorities.values())


def plan_enrollment(client: Client, wanted: Enrollment) -> Plan:
    """Check, look, decide. Sends reads only. Raises before anything is done that could not be finished."""
    check_enrollment(wanted, client.now())
    view = look_at_group(client, wanted.group, wanted.authorities)
    if view is not None and view.takes_certificates and _uploads(wanted, view):
        # Something will be written: the other slot matters too, it may hold the same certificate.
        rest = [slot for slot in BOTH if slot not in view.slots]
        view = replace(view, slots={**view.slots, **look_at_slots(client, wanted.group, rest)})
    plan = decide_enrollment(client.app, wanted, view)
    if any(isinstance(step, Prove) for step in plan.steps):
        refuse_skew(client)
    return plan


def carry_out(
    client: Client,
    wanted: Enrollment,
    plan: Plan,
    run: Run | None = None,
    *,
    told: Callable[[Step], None] = lambda _: None,
    again: Callable[[], Plan] | None = None,
) -> Outcome:
    """Do what was planned. If the application changed meanwhile, plan once more, but do nothing further.

    Raises `PlanOutdated` where the new plan would do what the old one did not. `again` plans anew, where
    more than the enrollment was asked before.
    """
    by_thumbprint = {
        sha1_thumbprint(authority.certificate): authority for authority in wanted.authorities.values()
    }
    if wanted.attest and run is None:
        message = "self-attestation leaves its reason in the ledger, and no ledger is given"
        raise SettingsError(message, hint="hand in run=Ledger(path).run(command, now)")
    if run:
        for slot, authority in wanted.authorities.items():
            run.saw(authority.certificate, app=client.app, holder=wanted.group, slot=slot)
    hands = Hands(by_thumbprint, run=run, told=told)
    try:
        return apply(plan, client, hands)
    except PlanOutdated as outdated:
        new = again() if again else plan_enrollment(client, wanted)
        if not new.steps:
            # Somebody else, or a request whose answer was lost, has done it all.
            return Outcome()
        if not new.within(plan):
            raise outdated from None
        return apply(new, client, hands)


def decide_enrollment(app: str, wanted: Enrollment, view: GroupView | None) -> Plan:
    """What is to be done so that the application is as wanted. Raises `UnsafePlan`."""
    if view is not None:
        _check_fits(wanted, view)
    elif not wanted.create:
        message = f"there is no enrollment group {wanted.group}"
        raise UnsafePlan(message, hint=f"make it: iotc-admin group create {wanted.group} --root CERT")
    create: tuple[Step, ...] = () if view is not None else (_creation(wanted),)
    slots = tuple(
        step
        for slot, authority in wanted.authorities.items()
        for step in _decide_slot(wanted, slot, authority, view.slots.get(slot) if view else None)
    )
    if view is not None and Plan(app, slots).uploads:
        _check_other_slots(wanted, view)
    return Plan(app, create + slots)


def _creation(wanted: Enrollment) -> CreateGroup:
    return CreateGroup(
        wanted.group, wanted.display_name or wanted.group, wanted.type or "iot", wanted.enabled
    )


def _decide_slot(
    wanted: Enrollment, slot: Slot, authority: CertificateAuthority, view: SlotView | None
) -> Iterator[Step]:
    thumbprint = sha1_thumbprint(authority.certificate)
    same = view is not None and view.thumbprint == thumbprint
    if view is not None and same and view.verified:
        return
    if view is not None and not same and not wanted.replace:
        raise _occupied(wanted, slot, view)
    if same and wanted.attest:
        message = f"{wanted.group}/{slot} holds this certificate already, unverified"
        raise UnsafePlan(
            message,
            hint="prove possession with the key, or take it out first: "
            f"iotc-admin group remove-cert {wanted.group} --slot {slot}",
        )
    if not same:
        replaces, etag = (view.thumbprint, view.etag) if view else ("", "")
        yield PutCertificate(wanted.group, slot, thumbprint, replaces, etag, wanted.attest)
    if wanted.attest:
        return
    if authority.key is None:
        yield AskForCode(wanted.group, slot, thumbprint)
    else:
        yield Prove(wanted.group, slot, thumbprint, view.etag if view and same else "")


def _uploads(wanted: Enrollment, view: GroupView) -> bool:
    return any(
        found is None or found.thumbprint != sha1_thumbprint(wanted.authorities[slot].certificate)
        for slot, found in view.slots.items()
    )


def _check_fits(wanted: Enrollment, view: GroupView) -> None:
    if not view.takes_certificates:
        message = f"group {view.id} exists and attests by {view.attestation}, not by certificates"
        raise UnsafePlan(message, hint="choose another name, or delete that group first")
    if wanted.type is not None and view.type != wanted.type:
        message = f"group {view.id} exists and is of type {view.type}, not {wanted.type}"
        raise UnsafePlan(message, hint=f"choose another name, or repeat with --type {view.type}")


def _check_other_slots(wanted: Enrollment, view: GroupView) -> None:
    for slot, authority in wanted.authorities.items():
        other = view.slots.get(slot.other)
        if other is not None and other.thumbprint == sha1_thumbprint(authority.certificate):
            message = f"{wanted.group}/{slot.other} holds this certificate already: {short(other.thumbprint)}"
            raise UnsafePlan(message, hint="a second slot is for a second CA; nothing needs to be done")


def _check_differ(first: CertificateAuthority, second: CertificateAuthority) -> None:
    hint = "the slots are there so that one CA can fail or expire: give the second its own key"
    if first.certificate == second.certificate:
        message = "both slots would hold the same certificate"
        raise KeyMismatch(message, hint=hint)
    if same_key(first.certificate.public_key(), second.certificate.public_key()):
        message = "the certificates for the two slots share one key"
        raise KeyMismatch(message, hint=hint)


def _occupied(wanted: Enrollment, slot: Slot, view: SlotView) -> UnsafePlan:
    message = f"{wanted.group}/{slot} holds another certificate: {short(view.thumbprint)}"
    return UnsafePlan(
        message,
        hint=f"to change it: iotc-admin group set-cert {wanted.group} --slot {slot} --cert CERT --replace",
    )
