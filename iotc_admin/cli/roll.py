"""`iotc-admin roll`: one slot's certificate replaced by the next."""

from __future__ import annotations

from dataclasses import replace
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from iotc_admin.cli import rollover
from iotc_admin.cli.device_state import report_device
from iotc_admin.cli.doing import begin, telling
from iotc_admin.cli.keyfiles import KEY_HELP, PROOF_WAITS, KeyPasswordFile, epilog, password
from iotc_admin.cli.listing import Listing
from iotc_admin.cli.output import ask
from iotc_admin.cli.settings import Session
from iotc_admin.cli.slots import SlotName, load_authorities, report_group, slot_of

if TYPE_CHECKING:
    from iotc_admin.client.client import Client
    from iotc_admin.ledger.ledger import Run
    from iotc_admin.pki.authority import CertificateAuthority
    from iotc_admin.workflows.roll import Roll


class Why(StrEnum):
    """Why a certificate is replaced."""

    expiry = "expiry"
    breach = "breach"


app = typer.Typer(
    cls=Listing,
    rich_markup_mode=None,
    invoke_without_command=True,
    add_completion=False,
    epilog=epilog(
        "iotc-admin roll --group MyX509Group --slot secondary --cert next_cert.pem",
        "iotc_admin.workflows.roll.roll_certificate(client, wanted, run=run)",
        three=PROOF_WAITS,
    ),
)
rollover.add_to(app)


@app.callback()
def roll(
    ctx: typer.Context,
    group: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="The enrollment group; needed if there are several."),
    ] = None,
    device: Annotated[str | None, typer.Option(metavar="ID", help="A device instead of a group.")] = None,
    slot: Annotated[SlotName | None, typer.Option(help="Which slot gets the new certificate.")] = None,
    cert: Annotated[str | None, typer.Option(metavar="NEW", help="The new certificate.")] = None,
    key: Annotated[str | None, typer.Option(metavar="KEY", help=KEY_HELP)] = None,
    reason: Annotated[
        Why, typer.Option(help="In a breach even the last verified certificate goes.")
    ] = Why.expiry,
    renew_same_key: Annotated[
        bool, typer.Option("--renew-same-key", help="The new certificate has the key of the old one.")
    ] = False,
    key_password_file: KeyPasswordFile = None,
) -> None:
    """Replace the certificate in one slot of a group or a device, prove possession, read back; asks first.

    Refused where it would take away the only verified, valid certificate. With a command after it (plan,
    start, status, resume, retire, abort): a new CA beside the old one, and the old one out when every device
    has left it.
    """
    if ctx.invoked_subcommand is not None:
        _refuse_options(ctx, group, device, slot, cert, key)
        return
    if slot is None or cert is None:
        raise typer.BadParameter("give --slot and --cert, or a command: plan, start, status ...", ctx)
    if "" in (group, device):
        # A shell variable that is not set must not become "the only group there is".
        raise typer.BadParameter("the name after --group or --device is empty", ctx)
    if group and device:
        raise typer.BadParameter("give either --group or --device", ctx)
    if renew_same_key and reason is Why.breach:
        raise typer.BadParameter("--renew-same-key never goes with --reason breach", ctx)
    session = Session.begin(ctx.command_path, ctx.obj)
    run = session.run()
    authority = _authority(session, run, device, (slot, cert, key, key_password_file))
    from iotc_admin.workflows.roll import Kind, Roll, check_roll, only_group

    kind: Kind = "device" if device else "group"
    place = (kind, device or group or "", slot_of(slot))
    wanted = Roll(*place, authority, reason.value, renew_same_key=renew_same_key)
    if wanted.id:
        check_roll(wanted, session.started)
    with session.client() as client:
        if not wanted.id:
            wanted = replace(wanted, id=only_group(client))
        _roll(session, client, wanted, run)


def _refuse_options(ctx: typer.Context, *given: object) -> None:
    if any(each is not None for each in given):
        message = f"its options stand behind the command: roll {ctx.invoked_subcommand} --group NAME"
        raise typer.BadParameter(message, ctx)


def _roll(session: Session, client: Client, wanted: Roll, run: Run) -> None:
    from iotc_admin.workflows.roll import carry_out_roll, plan_roll

    rolled = plan_roll(client, run.ledger, wanted)
    for warning in rolled.warnings:
        session.output.warn(warning)
    if not begin(session, rolled.plan):
        return
    if rolled.plan.steps:
        ask(f"{'; '.join(map(str, rolled.plan.steps))}?", yes=session.yes)
    outcome = carry_out_roll(client, wanted, rolled.plan, run, told=telling(session))
    if wanted.kind == "device":
        report_device(session, client, rolled.plan, wanted.id)
    else:
        report_group(session, client, rolled.plan, wanted.id, outcome)


def _authority(
    session: Session,
    run: Run,
    device: str | None,
    named: tuple[SlotName, str, str | None, str | None],
) -> CertificateAuthority:
    """The new certificate, of a group with its key. A device's own key is compared if given, and not kept."""
    from iotc_admin.pki.authority import CertificateAuthority
    from iotc_admin.pki.identity import DeviceIdentity
    from iotc_admin.pki.store import load_certificates

    slot, cert, key, password_file = named
    if not device:
        return load_authorities(session, run, named)[slot_of(slot)]
    if key is not None:
        secret = password(password_file)
        certificate = DeviceIdentity.load(cert, key, password=secret, access=session.key_access()).certificate
    else:
        certificate = load_certificates(cert)[0]
    if not session.dry_run:
        run.saw(certificate, file=cert)
    return CertificateAuthority(certificate, None)
