"""`iotc-admin device attach-cert`, `detach-cert`, `credentials`: how one device proves who it is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from iotc_admin.cli.device_state import DeviceId, remember_id_scope, report_device
from iotc_admin.cli.doing import begin, telling
from iotc_admin.cli.keyfiles import DRY_RUN, epilog
from iotc_admin.cli.output import ask
from iotc_admin.cli.settings import Session

if TYPE_CHECKING:
    from cryptography import x509

    from iotc_admin.contract.devices import DeviceCredentials
    from iotc_admin.contract.enrollment_groups import Slot
    from iotc_admin.ledger.ledger import Run

app = typer.Typer(rich_markup_mode=None)


@app.command(
    "attach-cert",
    epilog=epilog(
        "iotc-admin device attach-cert pump-042 --primary pump-042_cert.pem",
        "iotc_admin.workflows.attach_certificates(client, 'pump-042', primary=pump.certificate)",
        three=DRY_RUN,
    ),
)
def attach_cert(
    ctx: typer.Context,
    device_id: DeviceId,
    primary: Annotated[
        str | None, typer.Option(metavar="CERT", help="The device's certificate for the primary slot.")
    ] = None,
    secondary: Annotated[
        str | None, typer.Option(metavar="CERT", help="A certificate for the secondary slot.")
    ] = None,
) -> None:
    """Give a device certificates of its own (individual enrollment). Its key is not needed and not read.

    A slot that is not named stays as it is; one that holds another certificate gets this one in its place.
    Repeated, it changes nothing.
    """
    if primary is None and secondary is None:
        raise typer.BadParameter("give --primary, --secondary or both", ctx)
    session = Session.begin(ctx.command_path, ctx.obj)
    from iotc_admin.workflows.attach import (
        Attachment,
        carry_out_attachment,
        check_attachment,
        doubts,
        plan_attachment,
    )

    run = session.run()
    wanted = Attachment(device_id, _certificates(session, run, primary, secondary))
    check_attachment(wanted, session.started)
    for doubt in doubts(wanted, session.started):
        session.output.warn(doubt)
    with session.client() as client:
        plan = plan_attachment(client, wanted)
        if not begin(session, plan):
            return
        carry_out_attachment(client, wanted, plan, run, told=telling(session))
        report_device(session, client, plan, device_id)


@app.command(
    "detach-cert",
    epilog=epilog(
        "iotc-admin device detach-cert pump-042",
        "client.devices.delete_attestation('pump-042')",
        three=DRY_RUN,
    ),
)
def detach_cert(ctx: typer.Context, device_id: DeviceId) -> None:
    """Remove a device's individual enrollment; asks first. Enrollment groups decide about it again."""
    session = Session.begin(ctx.command_path, ctx.obj)
    from iotc_admin.workflows.apply import Hands, apply
    from iotc_admin.workflows.attach import plan_detachment

    with session.client() as client:
        plan = plan_detachment(client, device_id)
        if not begin(session, plan):
            return
        if plan.steps:
            ask(f"Remove the individual enrollment of {device_id}?", yes=session.yes)
            apply(plan, client, Hands(run=session.run(), told=telling(session)))
        report_device(session, client, plan, device_id)


@app.command(
    epilog=epilog(
        "iotc-admin device credentials pump-042", "client.devices.get_credentials('pump-042').id_scope"
    )
)
def credentials(
    ctx: typer.Context,
    device_id: DeviceId,
    show_keys: Annotated[bool, typer.Option("--show-keys", help="Print symmetric keys, too.")] = False,
) -> None:
    """The ID scope, and by what kind of credential the device may connect."""
    session = Session.begin(ctx.command_path, ctx.obj)
    from iotc_admin.errors import NotFound
    from iotc_admin.workflows.look import existing_device

    with session.client() as client:
        try:
            found = client.devices.get_credentials(device_id)
        except NotFound:
            existing_device(client, device_id)
            raise
        remember_id_scope(session, client, found.id_scope)
    document = _credentials_document(found, show_keys=show_keys)
    keys = document.get("symmetricKey", {})
    lines = [f"{name:12}  {value}" for name, value in keys.items()]
    session.output.result(
        document,
        [
            f"{'ID scope':12}  {found.id_scope}",
            f"{'connects by':12}  {document['type'] or 'nothing'}",
            *lines,
        ],
    )
    if show_keys and not keys:
        session.output.say(f"{device_id} has no symmetric keys")


def _credentials_document(found: DeviceCredentials, *, show_keys: bool) -> dict[str, Any]:
    arms = {"x509": found.x509, "symmetricKey": found.symmetric_key, "tpm": found.tpm}
    kind = next((name for name, arm in arms.items() if arm is not None), None)
    document: dict[str, Any] = {"idScope": found.id_scope, "type": kind}
    if show_keys and found.symmetric_key is not None:
        document["symmetricKey"] = found.symmetric_key.to_wire()
    return document


def _certificates(
    session: Session, run: Run, primary: str | None, secondary: str | None
) -> dict[Slot, x509.Certificate]:
    from iotc_admin.contract.enrollment_groups import Slot
    from iotc_admin.pki.store import load_certificates

    found = {}
    for slot, file in ((Slot.PRIMARY, primary), (Slot.SECONDARY, secondary)):
        if file is not None:
            found[slot] = certificate = load_certificates(file)[0]
            if not session.dry_run:
                run.saw(certificate, file=file)
    return found
