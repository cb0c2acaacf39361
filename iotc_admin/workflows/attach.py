"""A device's own certificates (individual enrollment), from whatever stands there now.

Everything that can be checked without the application is checked before the first request, and only
certificates are asked for: the device's key stays where it is. What is done already is not done again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Final

from cryptography import x509

from iotc_admin.contract.enrollment_groups import Slot
from iotc_admin.errors import KeyMismatch, PlanError, PlanOutdated, SettingsError, UnsafePlan
from iotc_admin.pki.chain import is_self_signed
from iotc_admin.pki.description import sha1_thumbprint
from iotc_admin.pki.keys import same_key
from iotc_admin.pki.lint import lint, require
from iotc_admin.pki.names import require_device_id
from iotc_admin.workflows.apply import Hands, Outcome, apply
from iotc_admin.workflows.look import BOTH, AttestationView, existing_device, look_at_attestation
from iotc_admin.workflows.plan import (
    PatchAttestation,
    Plan,
    PutAttestation,
    RemoveAttestation,
    Step,
    short,
)

if TYPE_CHECKING:
    from iotc_admin.client.client import Client
    from iotc_admin.ledger.ledger import Run

# Nothing is published about how soon a read shows what was written.
_READ_BACK_DELAYS: Final = (0.5, 1.0, 2.0, 4.0, 8.0)


@dataclass(frozen=True)
class Attachment:
    """What is wanted: these certificates in the slots of a device; slots not named stay as they are."""

    device: str
    certificates: Mapping[Slot, x509.Certificate]


def attach_certificates(
    client: Client,
    device: str,
    *,
    primary: x509.Certificate | None = None,
    secondary: x509.Certificate | None = None,
    run: Run | None = None,
) -> Outcome:
    """Put certificates into the slots of an existing device and read back. Repeated, it changes nothing.

    A slot that holds another certificate gets this one in its place. Raises `PkiError` for a certificate
    that cannot serve this device, `UnsafePlan` when it attests otherwise: both before any write.
    """
    given = {Slot.PRIMARY: primary, Slot.SECONDARY: secondary}
    wanted = Attachment(device, {slot: each for slot, each in given.items() if each is not None})
    return carry_out_attachment(client, wanted, plan_attachment(client, wanted), run)


def check_attachment(wanted: Attachment, now: datetime) -> None:
    """All that can be checked without the application. Raises `SettingsError` or `PkiError`."""
    require_device_id(wanted.device)
    if not wanted.certificates:
        raise SettingsError("no certificate is given", hint="give --primary, --secondary or both")
    for slot, certificate in wanted.certificates.items():
        require(certificate, role="device", now=now, device_id=wanted.device, name=f"the {slot} certificate")
    if len(wanted.certificates) == len(BOTH):
        _check_differ(*wanted.certificates.values())


def doubts(wanted: Attachment, now: datetime) -> Iterator[str]:
    """What does not stand in the way, but a person should know."""
    for slot, certificate in wanted.certificates.items():
        for finding in lint(certificate, role="device", now=now, device_id=wanted.device):
            if finding.level == "warning":
                yield f"the {slot} certificate {finding.what}: {finding.cause}"
        if not is_self_signed(certificate):
            yield (
                f"the {slot} certificate is issued by {certificate.issuer.rfc4514_string()}, not by itself: "
                f"it counts by its thumbprint alone, its issuer is not looked at; "
                f"to let a CA decide, use an enrollment group"
            )


def plan_attachment(client: Client, wanted: Attachment) -> Plan:
    """Check, look, decide. Sends reads only. Raises before anything is done that could not be finished."""
    check_attachment(wanted, client.now())
    view = look_at_attestation(client, wanted.device)
    if view is None:
        # The service says the same of a device without an enrollment and of one that is not there.
        make = f"make it first: iotc-admin device create {wanted.device}"
        existing_device(client, wanted.device, hint=make)
    return decide_attachment(client.app, wanted, view)


def decide_attachment(app: str, wanted: Attachment, view: AttestationView | None) -> Plan:
    """What is to be done so that the slots hold what is wanted. Raises `UnsafePlan`."""
    if view is not None and view.type != "x509":
        message = f"device {wanted.device} attests by {view.type}, not by certificates"
        raise UnsafePlan(message, hint=f"take that out first: iotc-admin device detach-cert {wanted.device}")
    thumbprints = {slot: sha1_thumbprint(each) for slot, each in wanted.certificates.items()}
    held = view.slots if view else {}
    if not any(held.values()):
        return Plan(app, (_first(wanted.device, thumbprints),))
    _check_not_in_both(wanted.device, thumbprints, held)
    new = {slot: each for slot, each in thumbprints.items() if held.get(slot) != each}
    if not new:
        return Plan(app, ())
    step = PatchAttestation(
        wanted.device,
        primary=new.get(Slot.PRIMARY, ""),
        secondary=new.get(Slot.SECONDARY, ""),
        replaces_primary=held.get(Slot.PRIMARY) or "" if Slot.PRIMARY in new else "",
        replaces_secondary=held.get(Slot.SECONDARY) or "" if Slot.SECONDARY in new else "",
        beside=next((held.get(slot) or "" for slot in BOTH if slot not in new), ""),
    )
    return Plan(app, (step,))


def carry_out_attachment(
    client: Client,
    wanted: Attachment,
    plan: Plan,
    run: Run | None = None,
    *,
    told: Callable[[Step], None] = lambda _: None,
    again: Callable[[], Plan] | None = None,
) -> Outcome:
    """Do what was planned and read back. If the device changed meanwhile, plan once more, but do no more.

    Raises `PlanOutdated` where the new plan would do what the old one did not. `again` plans anew, where
    more than the attachment was asked before.
    """
    by_thumbprint = {sha1_thumbprint(each): each for each in wanted.certificates.values()}
    if run:
        for slot, certificate in wanted.certificates.items():
            run.saw(certificate, app=client.app, holder=wanted.device, slot=slot)
    hands = Hands(certificates=by_thumbprint, run=run, told=told)
    try:
        outcome = apply(plan, client, hands)
    except PlanOutdated as outdated:
        new = again() if again else plan_attachment(client, wanted)
        if not new.within(plan):
            raise outdated from None
        outcome = apply(new, client, hands)
    if outcome.done:
        _read_back(client, wanted)
    return outcome


def plan_detachment(client: Client, device: str) -> Plan:
    """Remove the individual enrollment, whatever its type; nothing to do if there is none.

    Raises `NotFound` if there is no such device.
    """
    view = look_at_attestation(client, device)
    if view is None:
        existing_device(client, device)
        return Plan(client.app, ())
    primary, secondary = (view.slots[slot] or "" for slot in BOTH)
    return Plan(client.app, (RemoveAttestation(device, view.type, primary, secondary),))


def _first(device: str, thumbprints: Mapping[Slot, str]) -> PutAttestation:
    if Slot.PRIMARY not in thumbprints:
        message = f"device {device} has no certificate yet, and its first must be the primary"
        hint = f"iotc-admin device attach-cert {device} --primary CERT [--secondary CERT]"
        raise UnsafePlan(message, hint=hint)
    return PutAttestation(device, thumbprints[Slot.PRIMARY], thumbprints.get(Slot.SECONDARY, ""))


def _check_not_in_both(device: str, thumbprints: Mapping[Slot, str], held: Mapping[Slot, str | None]) -> None:
    after = {**held, **thumbprints}
    if after[Slot.PRIMARY] == after[Slot.SECONDARY]:
        slot = next(slot for slot in thumbprints if held.get(slot.other) == thumbprints[slot]).other
        message = f"{device}/{slot} holds this certificate already: {short(after[slot] or '')}"
        raise UnsafePlan(message, hint="a second slot is for a second certificate; nothing needs to be done")


def _check_differ(first: x509.Certificate, second: x509.Certificate) -> None:
    hint = "the second slot is there so that one certificate can expire or leak: give it its own key"
    if first == second:
        raise KeyMismatch("both slots would hold the same certificate", hint=hint)
    if same_key(first.public_key(), second.public_key()):
        raise KeyMismatch("the certificates for the two slots share one key", hint=hint)


def _read_back(client: Client, wanted: Attachment) -> None:
    expected = {slot: sha1_thumbprint(each) for slot, each in wanted.certificates.items()}
    for delay in (*_READ_BACK_DELAYS, 0):
        view = look_at_attestation(client, wanted.device)
        if view is not None and expected.items() <= view.slots.items():
            return
        client.sleep(delay)
    message = f"device {wanted.device}: the certificates were accepted, but do not show"
    raise PlanError(message, hint=f"look again in a minute: iotc-admin device show {wanted.device}")
