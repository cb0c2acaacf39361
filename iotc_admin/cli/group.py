"""`iotc-admin group ...`: enrollment groups and the certificates in their slots."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, cast

import typer

from iotc_admin.cli.doing import begin, telling
from iotc_admin.cli.keyfiles import (
    DRY_RUN,
    KEY_HELP,
    PROOF_WAITS,
    KeyPasswordFile,
    epilog,
    load_key,
)
from iotc_admin.cli.output import ask
from iotc_admin.cli.settings import Session
from iotc_admin.cli.slots import (
    SlotName,
    SlotOption,
    load_authorities,
    next_step,
    report_group,
    show_group,
    slot_of,
)
from iotc_admin.cli.views import group_cells, group_document
from iotc_admin.errors import SettingsError, UnsafePlan

if TYPE_CHECKING:
    from iotc_admin.client.client import Client
    from iotc_admin.contract.enrollment_groups import Slot
    from iotc_admin.ledger.ledger import Entry, Run
    from iotc_admin.workflows.enroll import Enrollment
    from iotc_admin.workflows.look import SlotView

app = typer.Typer(rich_markup_mode=None)


class GroupKind(StrEnum):
    iot = "iot"
    iotEdge = "iotEdge"  # noqa: N815 - the service's word


Name = Annotated[str, typer.Argument(metavar="NAME", help="The id of the group.")]


@app.command(
    epilog=epilog(
        "iotc-admin group create MyX509Group --root root_cert.pem",
        "iotc_admin.workflows.enroll_group(client, 'MyX509Group', primary=ca)",
        three=PROOF_WAITS,
    )
)
def create(
    ctx: typer.Context,
    name: Name,
    root: Annotated[str, typer.Option(metavar="CERT", help="The CA certificate for the primary slot.")],
    root_key: Annotated[str | None, typer.Option(metavar="KEY", help=KEY_HELP)] = None,
    secondary: Annotated[
        str | None, typer.Option(metavar="CERT", help="A CA certificate for the secondary slot.")
    ] = None,
    secondary_key: Annotated[str | None, typer.Option(metavar="KEY", help="Its key.")] = None,
    kind: Annotated[
        GroupKind | None, typer.Option("--type", help="Which devices it provisions (default: iot).")
    ] = None,
    display_name: Annotated[str | None, typer.Option(metavar="TEXT", help="Default: NAME.")] = None,
    disabled: Annotated[bool, typer.Option("--disabled", help="Make it refuse every device.")] = False,
    self_attest: Annotated[
        str | None,
        typer.Option(metavar="REASON", help="Count the certificates as verified without proof, and say why."),
    ] = None,
    key_password_file: KeyPasswordFile = None,
    secondary_key_password_file: Annotated[
        str | None, typer.Option(metavar="FILE", help="The same for the secondary's key.")
    ] = None,
) -> None:
    """Make a group with verified certificates: create, upload, ask for the code, sign it, verify, read back.

    Repeated, it changes nothing. Without the CA's key it does all it can, prints the code and the next
    command, and exits 3.
    """
    session = Session.begin(ctx.command_path, ctx.obj)
    reason = _reason(self_attest)
    _check_name(ctx, display_name)
    run = session.run()
    authorities = load_authorities(
        session,
        run,
        (SlotName.primary, root, root_key, key_password_file),
        (SlotName.secondary, secondary, secondary_key, secondary_key_password_file or key_password_file),
    )
    from iotc_admin.workflows.enroll import Enrollment, check_enrollment

    wanted = Enrollment(
        name, authorities, kind.value if kind else None, display_name, enabled=not disabled, attest=reason
    )
    check_enrollment(wanted, session.started)
    with session.client() as client:
        _enroll(session, client, wanted, run)


@app.command(
    "set-cert",
    epilog=epilog(
        "iotc-admin group set-cert MyX509Group --slot secondary --cert next_cert.pem",
        "iotc_admin.workflows.carry_out(client, wanted, plan_enrollment(client, wanted))",
        three=PROOF_WAITS,
    ),
)
def set_cert(
    ctx: typer.Context,
    name: Name,
    slot: SlotOption,
    cert: Annotated[str, typer.Option(metavar="CERT", help="The CA certificate.")],
    key: Annotated[str | None, typer.Option(metavar="KEY", help=KEY_HELP)] = None,
    replace: Annotated[
        bool, typer.Option("--replace", help="Take the place of another certificate; asks first.")
    ] = False,
    key_password_file: KeyPasswordFile = None,
) -> None:
    """Put a CA certificate into one slot of an existing group and prove possession of its key.

    A slot that holds another certificate is left alone without --replace.
    """
    session = Session.begin(ctx.command_path, ctx.obj)
    run = session.run()
    authorities = load_authorities(session, run, (slot, cert, key, key_password_file))
    from iotc_admin.workflows.enroll import Enrollment, check_enrollment

    wanted = Enrollment(name, authorities, replace=replace, create=False)
    check_enrollment(wanted, session.started)
    with session.client() as client:
        _enroll(session, client, wanted, run)


@app.command("list", epilog=epilog("iotc-admin group list -o json", "list(client.enrollment_groups.list())"))
def list_groups(ctx: typer.Context) -> None:
    """Every enrollment group with its slots."""
    session = Session.begin(ctx.command_path, ctx.obj)
    from iotc_admin.workflows.look import BOTH, group_view

    ledger = session.ledger_if_any()
    with session.client() as client:
        groups = list(client.enrollment_groups.list())
        views = [group_view(client, group.id or "", group, BOTH) for group in groups]
    session.output.table(
        [group_document(view, ledger, client.app) for view in views],
        ("ID", "TYPE", "ENABLED", "ATTESTS BY", "PRIMARY", "SECONDARY"),
        (
            (view.id, view.type, "yes" if view.enabled else "no", view.attestation, *group_cells(view))
            for view in views
        ),
    )


@app.command(
    epilog=epilog("iotc-admin group show MyX509Group", "client.enrollment_groups.get('MyX509Group')")
)
def show(ctx: typer.Context, name: Name) -> None:
    """One group, its slots, and what the ledger knows of the certificates in them."""
    session = Session.begin(ctx.command_path, ctx.obj)
    with session.client() as client:
        show_group(session, client, name)


@app.command(
    epilog=epilog(
        "iotc-admin group update MyX509Group --disable",
        "client.enrollment_groups.update('MyX509Group', EnrollmentGroupPatch(enabled=False))",
        three=DRY_RUN,
    )
)
def update(
    ctx: typer.Context,
    name: Name,
    display_name: Annotated[str | None, typer.Option(metavar="TEXT", help="The new display name.")] = None,
    enable: Annotated[bool, typer.Option("--enable", help="Let devices provision.")] = False,
    disable: Annotated[bool, typer.Option("--disable", help="Refuse every device.")] = False,
) -> None:
    """Change the display name, or enable or disable the group: only what is given, nothing else."""
    if display_name is None and not enable and not disable:
        raise typer.BadParameter("nothing to change: give --display-name, --enable or --disable", ctx)
    if enable and disable:
        raise typer.BadParameter("--enable and --disable exclude each other", ctx)
    _check_name(ctx, display_name)
    session = Session.begin(ctx.command_path, ctx.obj)
    from iotc_admin.workflows.apply import Hands
    from iotc_admin.workflows.groups import Change, plan_update, update_group

    change = Change(name, display_name, enable if enable or disable else None)
    with session.client() as client:
        plan = plan_update(client, change)
        if not begin(session, plan):
            return
        if plan.steps:
            update_group(client, change, plan, Hands(run=session.run(), told=telling(session)))
        report_group(session, client, plan, name)


@app.command(
    epilog=epilog(
        "iotc-admin group delete MyX509Group", "client.enrollment_groups.delete('MyX509Group')", three=DRY_RUN
    )
)
def delete(ctx: typer.Context, name: Name) -> None:
    """Delete a group with its certificates; asks first. Devices that are connected stay connected."""
    session = Session.begin(ctx.command_path, ctx.obj)
    from iotc_admin.workflows.apply import Hands, apply
    from iotc_admin.workflows.groups import plan_deletion

    with session.client() as client:
        plan = plan_deletion(client, name)
        if not begin(session, plan):
            return
        ask(f"Delete the enrollment group {name} with its certificates?", yes=session.yes)
        apply(plan, client, Hands(run=session.run(), told=telling(session)))
    session.output.result({"id": name, "deleted": True}, [f"{name} is deleted"])


@app.command(
    "remove-cert",
    epilog=epilog(
        "iotc-admin group remove-cert MyX509Group --slot secondary",
        "client.enrollment_groups.delete_certificate('MyX509Group', Slot.SECONDARY)",
        three=DRY_RUN,
    ),
)
def remove_cert(ctx: typer.Context, name: Name, slot: SlotOption) -> None:
    """Empty a slot; asks first. Devices under that CA no longer register; those connected stay connected."""
    session = Session.begin(ctx.command_path, ctx.obj)
    from iotc_admin.workflows.apply import Hands, apply
    from iotc_admin.workflows.groups import plan_removal

    with session.client() as client:
        plan = plan_removal(client, name, slot_of(slot))
        if not begin(session, plan):
            return
        if plan.steps:
            ask(f"Remove the certificate from {name}/{slot}?", yes=session.yes)
            apply(plan, client, Hands(run=session.run(), told=telling(session)))
        report_group(session, client, plan, name)


@app.command(
    epilog=epilog(
        "iotc-admin group code MyX509Group --slot primary",
        "client.enrollment_groups.generate_verification_code('MyX509Group', Slot.PRIMARY)",
        three=DRY_RUN,
    )
)
def code(ctx: typer.Context, name: Name, slot: SlotOption) -> None:
    """Ask for a verification code, for whoever holds the key. Codes given before no longer work."""
    session = Session.begin(ctx.command_path, ctx.obj)
    from iotc_admin.workflows.apply import Hands, apply
    from iotc_admin.workflows.groups import plan_code

    with session.client() as client:
        plan = plan_code(client, name, slot_of(slot))
        if not begin(session, plan):
            return
        outcome = apply(plan, client, Hands(run=session.run(), told=telling(session)))
    text = outcome.codes[slot_of(slot)]
    session.output.result({"verificationCode": text}, [text])
    session.output.say("codes given before no longer work")
    session.output.say(next_step(name, slot, text))


@app.command(
    epilog=epilog(
        "iotc-admin group verify MyX509Group --slot primary --verification-cert verification_cert.pem",
        "client.enrollment_groups.verify('MyX509Group', Slot.PRIMARY, proof)",
        three=PROOF_WAITS,
    )
)
def verify(
    ctx: typer.Context,
    name: Name,
    slot: SlotOption,
    key: Annotated[
        str | None, typer.Option(metavar="KEY", help="The CA's key, as in create: the proof is made here.")
    ] = None,
    verification_cert: Annotated[
        str | None, typer.Option(metavar="CERT", help="A proof that was signed elsewhere.")
    ] = None,
    key_password_file: KeyPasswordFile = None,
) -> None:
    """Prove possession of the key of the certificate in a slot, here or by a proof signed elsewhere."""
    if (key is None) == (verification_cert is None):
        raise typer.BadParameter("give either --key or --verification-cert", ctx)
    session = Session.begin(ctx.command_path, ctx.obj)
    if key is not None:
        _verify_here(session, name, slot_of(slot), key, key_password_file)
    else:
        _verify_from_elsewhere(session, name, slot_of(slot), cast("str", verification_cert))


def _verify_here(session: Session, name: str, slot: Slot, key: str, key_password_file: str | None) -> None:
    from iotc_admin.pki.authority import CertificateAuthority
    from iotc_admin.pki.bundle import certificate_beside_key
    from iotc_admin.pki.keys import tells_public_key
    from iotc_admin.pki.pem import read_certificate
    from iotc_admin.workflows.apply import Hands, apply
    from iotc_admin.workflows.groups import filled, plan_proof

    # Opened before anything is asked, unless the certificate must be known for it.
    signing_key = load_key(session, key, key_password_file) if tells_public_key(key) else None
    beside = certificate_beside_key(key, signing_key) if signing_key else None
    run = session.run()
    with session.client() as client:
        view = filled(client, name, slot)
        entry = run.ledger.find(view.thumbprint)
        if beside is None and entry is None:
            raise _unknown(name, slot, view)
        certificate = beside or read_certificate(cast("Entry", entry).pem.encode())
        signing_key = signing_key or load_key(session, key, key_password_file, certificate)
        authority = CertificateAuthority(certificate, signing_key)
        plan = plan_proof(client, name, slot, view, authority)
        if not begin(session, plan):
            return
        run.saw(certificate, app=client.app, holder=name, slot=slot)
        apply(plan, client, Hands({view.thumbprint: authority}, run=run, told=telling(session)))
        report_group(session, client, plan, name)


def _verify_from_elsewhere(session: Session, name: str, slot: Slot, verification_cert: str) -> None:
    from iotc_admin.pki.pem import read_certificate
    from iotc_admin.pki.store import load_certificates
    from iotc_admin.workflows.apply import Hands, apply
    from iotc_admin.workflows.groups import check_proof, filled, plan_submission

    proof = load_certificates(verification_cert)[0]
    with session.client() as client:
        check_proof(proof, None, client)
        run = session.run()
        view = filled(client, name, slot)
        entry = run.ledger.find(view.thumbprint)
        if entry is not None:
            check_proof(proof, read_certificate(entry.pem.encode()), client)
        plan = plan_submission(client, name, slot, view)
        if not begin(session, plan):
            return
        apply(plan, client, Hands(proof=proof, run=run, told=telling(session)))
        report_group(session, client, plan, name)


def _enroll(session: Session, client: Client, wanted: Enrollment, run: Run) -> None:
    from iotc_admin.workflows.enroll import carry_out, plan_enrollment
    from iotc_admin.workflows.plan import CreateGroup, PutCertificate

    plan = plan_enrollment(client, wanted)
    if not begin(session, plan):
        return
    for step in plan.steps:
        if isinstance(step, PutCertificate) and step.replaces:
            ask(f"{step}?", yes=session.yes)
    outcome = carry_out(client, wanted, plan, run, told=telling(session))
    if not any(isinstance(step, CreateGroup) for step in plan.steps) and _differs(wanted):
        session.output.say(
            f"{wanted.group} was there already: its display name and whether it is enabled stay as they are; "
            f"to change them: iotc-admin group update {wanted.group}"
        )
    report_group(session, client, plan, wanted.group, outcome)


def _differs(wanted: Enrollment) -> bool:
    return wanted.display_name is not None or not wanted.enabled


def _check_name(ctx: typer.Context, display_name: str | None) -> None:
    if display_name is not None and not display_name.strip():
        raise typer.BadParameter("--display-name is empty", ctx)


def _reason(text: str | None) -> str:
    if text is not None and not text.strip():
        raise SettingsError("--self-attest needs a reason", hint="say why no proof is needed; it is recorded")
    return (text or "").strip()


def _unknown(name: str, slot: Slot, view: SlotView) -> UnsafePlan:
    return UnsafePlan(
        f"the certificate in {name}/{slot}, {view.thumbprint}, is not known here",
        hint="put it beside the key as X_cert.pem and X_key.pem, or: iotc-admin ledger import CERT",
    )
