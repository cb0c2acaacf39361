"""Do: all that this tool can do to a live application, on one page. Decides nothing."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import TYPE_CHECKING

from cryptography import x509

from iotc_admin.contract.enrollment_groups import (
    EnrollmentGroup,
    EnrollmentGroupPatch,
    GroupAttestation,
    SigningX509Certificate,
    Slot,
)
from iotc_admin.errors import AnswerLost, Conflict, NotFound, PlanError, PlanOutdated, ServiceDown
from iotc_admin.pki.authority import CertificateAuthority
from iotc_admin.workflows import device_steps
from iotc_admin.workflows.look import GroupView, SlotView, look_at_group, look_at_slot
from iotc_admin.workflows.plan import (
    AskForCode,
    ConfirmVerified,
    CreateDevice,
    CreateGroup,
    DeleteDevice,
    DeleteGroup,
    PatchAttestation,
    Plan,
    Prove,
    PutAttestation,
    PutCertificate,
    RemoveAttestation,
    RemoveCertificate,
    SlotStep,
    Step,
    SubmitProof,
    UpdateDevice,
    UpdateGroup,
    details,
    short,
)
from iotc_admin.workflows.proof import encoded, prove, require_holding, submit

if TYPE_CHECKING:
    from iotc_admin.client.client import Client, Once
    from iotc_admin.ledger.ledger import Run


@dataclass(frozen=True)
class Hands:
    """What the steps of a plan name but do not hold."""

    authorities: Mapping[str, CertificateAuthority] = field(default_factory=dict)
    """By SHA-1 thumbprint."""
    certificates: Mapping[str, x509.Certificate] = field(default_factory=dict)
    """Of devices, by SHA-1 thumbprint."""
    proof: x509.Certificate | None = None
    run: Run | None = None
    told: Callable[[Step], None] = lambda _: None
    """Hears of each step when it is done."""


@dataclass(frozen=True)
class Outcome:
    """What was done. `codes`: verification codes that wait for whoever holds the key."""

    done: tuple[Step, ...] = ()
    codes: Mapping[Slot, str] = field(default_factory=dict)


@dataclass
class _Memory:
    """What earlier steps of the same plan leave for later ones."""

    etags: dict[tuple[str, Slot], str] = field(default_factory=dict)
    codes: dict[Slot, str] = field(default_factory=dict)
    created: set[str] = field(default_factory=set)
    """Groups; nobody else knows of their slots yet."""
    confirmed: list[ConfirmVerified] = field(default_factory=list)
    """What must stand in other slots, right before something goes."""


def apply(plan: Plan, client: Client, hands: Hands) -> Outcome:
    """Carry out a plan, step by step.

    Raises `PlanOutdated` where the application is not as the plan supposes; the steps before that are done.
    """
    memory = _Memory()
    for step in plan.steps:
        # Before and after: what was begun stands in the journal even if its answer is lost.
        _note(hands, "begin", step, client)
        _do(step, client, hands, memory)
        _note(hands, "done", step, client)
        hands.told(step)
    return Outcome(plan.steps, memory.codes)


def _note(hands: Hands, what: str, step: Step, client: Client) -> None:
    if hands.run:
        hands.run.note(f"{what}: {step}", client.now(), app=client.app, **details(step))


def _do(step: Step, client: Client, hands: Hands, memory: _Memory) -> None:
    match step:
        case CreateGroup():
            _create(step, client)
            memory.created.add(step.group)
        case UpdateGroup():
            _update(step, client)
        case DeleteGroup():
            client.enrollment_groups.delete(step.group)
        case (
            PutCertificate()
            | Prove()
            | AskForCode()
            | SubmitProof()
            | RemoveCertificate()
            | ConfirmVerified()
        ):
            _do_in_slot(step, client, hands, memory)
        case (
            CreateDevice()
            | UpdateDevice()
            | DeleteDevice()
            | PutAttestation()
            | PatchAttestation()
            | RemoveAttestation()
        ):
            device_steps.do(step, client, hands.certificates)


def _do_in_slot(step: SlotStep, client: Client, hands: Hands, memory: _Memory) -> None:
    groups = client.enrollment_groups
    match step:
        case PutCertificate():
            memory.etags[step.group, step.slot] = _put(step, client, hands, memory)
        case Prove():
            etag = memory.etags.get((step.group, step.slot), step.etag)
            authority = hands.authorities[step.thumbprint]
            prove(client, step.group, step.slot, authority, thumbprint=step.thumbprint, etag=etag)
        case AskForCode():
            code = groups.generate_verification_code(step.group, step.slot).verification_code
            # After it: the code is of no use for what somebody else put there.
            require_holding(client, step.group, step.slot, step.thumbprint)
            memory.codes[step.slot] = code
        case SubmitProof():
            assert hands.proof is not None, "a plan that submits a proof comes with one"  # noqa: S101
            submit(client, step.group, step.slot, hands.proof, step.thumbprint)
        case RemoveCertificate():
            _remove(step, client, memory)
        case ConfirmVerified():
            _confirm(step, client)
            memory.confirmed.append(step)


def _create(step: CreateGroup, client: Client) -> None:
    group = EnrollmentGroup(
        display_name=step.display_name,
        enabled=step.enabled,
        type=step.type,
        attestation=GroupAttestation(type="x509"),
    )
    try:
        client.enrollment_groups.create(step.group, group)
    except Conflict as error:
        if look_at_group(client, step.group, ()) is not None:
            raise PlanOutdated(f"group {step.group} exists by now", hint="repeat") from error
        error.hint = f"the display name {step.display_name!r} is taken: choose another with --display-name"
        raise


def _update(step: UpdateGroup, client: Client) -> None:
    fields = {"display_name": step.display_name, "enabled": step.enabled, "etag": step.etag or None}
    patch = EnrollmentGroupPatch(**{name: value for name, value in fields.items() if value is not None})
    try:
        shown = client.enrollment_groups.update(step.group, patch)
        if step.enabled is not None and "enabled" in shown.model_fields_set and shown.enabled != step.enabled:
            how = "enabled" if shown.enabled else "disabled"
            message = f"group {step.group} shows as {how}, though the application took the change"
            raise PlanError(message, hint=f"look at it: iotc-admin group show {step.group}")
    except (AnswerLost, ServiceDown):
        view = look_at_group(client, step.group, ())
        if view is None or not _is_updated(step, view):
            raise
    except Conflict as error:
        view = look_at_group(client, step.group, ())
        if view is None or view.etag == step.etag:
            raise
        message = f"group {step.group} was changed meanwhile (etag before: {step.etag}, now: {view.etag})"
        raise PlanOutdated(message, hint=f"look at it: iotc-admin group show {step.group}") from error


def _is_updated(step: UpdateGroup, view: GroupView) -> bool:
    return step.display_name in (None, view.display_name) and step.enabled in (None, view.enabled)


def _put(step: PutCertificate, client: Client, hands: Hands, memory: _Memory) -> str:
    authority = hands.authorities[step.thumbprint]
    if hands.run and step.attest:
        # Before it is claimed, not after: the claim must never stand without its reason.
        hands.run.note(
            "attested", client.now(), app=client.app, group=step.group, slot=step.slot,
            sha1Thumbprint=step.thumbprint, reason=step.attest,
        )  # fmt: skip
    fields: dict[str, object] = {"certificate": encoded(authority.certificate)}
    fields |= {"verified": True} if step.attest else {}
    fields |= {"etag": step.etag} if step.etag else {}
    body = SigningX509Certificate.model_validate(fields, by_name=True)
    etag = _send_certificate(step, client, body, memory)
    if step.attest:
        _check_attested(step, client)
    return etag


def _send_certificate(
    step: PutCertificate, client: Client, body: SigningX509Certificate, memory: _Memory
) -> str:
    """The slot's etag. Sent again only after a look: the same certificate once more would undo its proof."""
    sent = False

    def attempt(once: Once) -> str:
        nonlocal sent
        # An empty slot has no etag to hold against: what somebody else put there must not be overwritten.
        if sent or not (step.replaces or step.group in memory.created):
            view = look_at_slot(client, step.group, step.slot)
            if sent and view is not None and view.thumbprint == step.thumbprint:
                return view.etag
            _require_as_planned(step, view)
        if sent:
            _confirm_all(memory, client)
        sent = True
        return once.enrollment_groups.put_certificate(step.group, step.slot, body).etag or ""

    try:
        return client.patiently(attempt)
    except Conflict as error:
        _require_as_planned(step, look_at_slot(client, step.group, step.slot), error)
        if error.status == HTTPStatus.CONFLICT:
            error.hint = (
                f"a CA can serve one group only; {step.group}/{step.slot} is as it was: choose another CA, "
                f"or see who holds it: iotc-admin group list{_left_behind(step.group, memory)}"
            )
        raise


def _left_behind(group: str, memory: _Memory) -> str:
    made = f"; {group} was made and stays, empty: iotc-admin group delete {group}"
    return made if group in memory.created else ""


def _check_attested(step: PutCertificate, client: Client) -> None:
    view = look_at_slot(client, step.group, step.slot)
    if view is None or not view.verified:
        message = f"{step.group}/{step.slot}: the application does not take the attestation, proof is needed"
        raise PlanError(message, hint=f"iotc-admin group verify {step.group} --slot {step.slot} --key KEY")


def _require_as_planned(step: PutCertificate, view: SlotView | None, cause: Exception | None = None) -> None:
    if (view.thumbprint if view else "") == step.replaces and (view.etag if view else "") == step.etag:
        return
    now = f"holds {short(view.thumbprint)} (etag {view.etag})" if view else "is empty"
    before = f"held {short(step.replaces)} (etag {step.etag})" if step.replaces else "was empty"
    message = f"{step.group}/{step.slot} {before} and {now} by now"
    raise PlanOutdated(message, hint=f"look at it: iotc-admin group show {step.group}") from cause


def _confirm_all(memory: _Memory, client: Client) -> None:
    for each in memory.confirmed:
        _confirm(each, client)


def _confirm(step: ConfirmVerified, client: Client) -> None:
    view = look_at_slot(client, step.group, step.slot)
    if view is not None and view.verified and view.thumbprint == step.thumbprint:
        return
    holds = f"holds {short(view.thumbprint)}" if view else "is empty"
    now = f"{holds}, unverified" if view and not view.verified else holds
    message = f"{step.group}/{step.slot} {now} by now, not {short(step.thumbprint)}, verified"
    raise PlanOutdated(message, hint=f"look at it: iotc-admin group show {step.group}")


def _remove(step: RemoveCertificate, client: Client, memory: _Memory) -> None:
    def attempt(once: Once) -> None:
        view = look_at_slot(client, step.group, step.slot)
        if view is None:
            return
        _require_removable(step, view)
        # Last of all: nothing lies between this look and the removal.
        _confirm_all(memory, client)
        try:
            once.enrollment_groups.delete_certificate(step.group, step.slot)
        except NotFound:
            return

    client.patiently(attempt)


def _require_removable(step: RemoveCertificate, view: SlotView) -> None:
    place, now = f"{step.group}/{step.slot}", short(view.thumbprint)
    if view.thumbprint != step.thumbprint:
        message = f"{place} holds {now} by now, not {short(step.thumbprint)}"
    elif step.unverified and view.verified:
        message = f"{place}: {now} was unverified, and somebody else has proven it by now"
    else:
        return
    raise PlanOutdated(message, hint=f"look at it: iotc-admin group show {step.group}")
