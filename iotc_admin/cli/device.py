"""`iotc-admin device ...`: devices; their certificates and connections stand in files of their own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from iotc_admin.cli import connect, device_certificates, explain
from iotc_admin.cli.device_state import DeviceId, id_scope_by, report_device, show_device
from iotc_admin.cli.doing import begin, telling
from iotc_admin.cli.keyfiles import DRY_RUN, epilog
from iotc_admin.cli.output import ask, iso
from iotc_admin.cli.settings import Session
from iotc_admin.cli.views import device_document, device_state

if TYPE_CHECKING:
    from iotc_admin.client.client import Client
    from iotc_admin.contract.devices import Device

app = typer.Typer(rich_markup_mode=None)

Template = Annotated[
    str | None, typer.Option(metavar="DTMI", help="The device template, as in dtmi:plant7:pump;1.")
]
DisplayName = Annotated[str | None, typer.Option(metavar="TEXT", help="Default: ID.")]
Organization = Annotated[str | None, typer.Option(metavar="ORG", help="The organization it belongs to.")]


@app.command(
    epilog=epilog(
        "iotc-admin device create pump-042 --template 'dtmi:com:example:Thermostat;1'",
        "client.devices.create('pump-042', Device(template='dtmi:com:example:Thermostat;1'))",
        three=DRY_RUN,
    )
)
def create(
    ctx: typer.Context,
    device_id: DeviceId,
    template: Template = None,
    display_name: DisplayName = None,
    simulated: Annotated[bool, typer.Option("--simulated", help="The application plays the device.")] = False,
    organization: Organization = None,
) -> None:
    """Make a device. Repeated, it changes nothing; a device that is there with other values is left alone."""
    _check_given(ctx, template, display_name, organization)
    session = Session.begin(ctx.command_path, ctx.obj)
    from iotc_admin.workflows.apply import Hands
    from iotc_admin.workflows.devices import DeviceWish, create_device, plan_device

    wish = DeviceWish(device_id, display_name, template, organization, simulated=simulated)
    with session.client() as client:
        plan = plan_device(client, wish)
        if not begin(session, plan):
            return
        if plan.steps:
            create_device(client, wish, plan, Hands(run=session.run(), told=telling(session)))
        report_device(session, client, plan, device_id)


@app.command(epilog=epilog("iotc-admin device show pump-042", "client.devices.get('pump-042')"))
def show(ctx: typer.Context, device_id: DeviceId) -> None:
    """One device, its certificates and what the ledger knows of them, and the ID scope."""
    session = Session.begin(ctx.command_path, ctx.obj)
    with session.client() as client:
        show_device(session, client, device_id)


@app.command("list", epilog=epilog("iotc-admin device list -o json", "list(client.devices.list())"))
def list_devices(
    ctx: typer.Context,
    odata_filter: Annotated[
        str | None,
        typer.Option("--filter", metavar="TEXT", help="Only these, as in: displayName eq 'Pump'."),
    ] = None,
) -> None:
    """Every device. With -o json each with its certificates, which takes a request per device."""
    session = Session.begin(ctx.command_path, ctx.obj)
    with session.client() as client:
        devices = list(client.devices.list(filter=odata_filter))
        documents = _documents(session, client, devices) if session.output.json else []
    session.output.table(
        documents,
        ("ID", "NAME", "TEMPLATE", "STATE"),
        ((d.id or "", d.display_name or "", d.template or "-", ", ".join(device_state(d))) for d in devices),
    )


@app.command(
    epilog=epilog(
        "iotc-admin device update pump-042 --block",
        "client.devices.update('pump-042', Device(enabled=False))",
        three=DRY_RUN,
    )
)
def update(
    ctx: typer.Context,
    device_id: DeviceId,
    display_name: Annotated[str | None, typer.Option(metavar="TEXT", help="The new display name.")] = None,
    template: Template = None,
    organization: Organization = None,
    block: Annotated[bool, typer.Option("--block", help="Refuse the device; asks first.")] = False,
    unblock: Annotated[bool, typer.Option("--unblock", help="Let it in again.")] = False,
) -> None:
    """Change what is given, nothing else. A blocked device neither registers nor connects."""
    if (display_name, template, organization) == (None, None, None) and not block and not unblock:
        options = "--display-name, --template, --organization, --block or --unblock"
        raise typer.BadParameter(f"nothing to change: give {options}", ctx)
    if block and unblock:
        raise typer.BadParameter("--block and --unblock exclude each other", ctx)
    _check_given(ctx, template, display_name, organization)
    session = Session.begin(ctx.command_path, ctx.obj)
    from iotc_admin.workflows.apply import Hands
    from iotc_admin.workflows.devices import DeviceWish, plan_device_update, update_device

    wish = DeviceWish(device_id, display_name, template, organization, unblock if block or unblock else None)
    with session.client() as client:
        plan = plan_device_update(client, wish)
        if not begin(session, plan):
            return
        if plan.steps and block:
            ask(f"Block the device {device_id}?", yes=session.yes)
        if plan.steps:
            update_device(client, wish, plan, Hands(run=session.run(), told=telling(session)))
        report_device(session, client, plan, device_id)


@app.command(
    epilog=epilog("iotc-admin device delete pump-042", "client.devices.delete('pump-042')", three=DRY_RUN)
)
def delete(ctx: typer.Context, device_id: DeviceId) -> None:
    """Delete a device with its certificates and data; asks first. Its group may let it in again."""
    session = Session.begin(ctx.command_path, ctx.obj)
    from iotc_admin.workflows.apply import Hands, apply
    from iotc_admin.workflows.devices import plan_device_deletion

    with session.client() as client:
        plan = plan_device_deletion(client, device_id)
        if not begin(session, plan):
            return
        ask(f"Delete the device {device_id} with its certificates and data?", yes=session.yes)
        apply(plan, client, Hands(run=session.run(), told=telling(session)))
    session.output.result({"id": device_id, "deleted": True}, [f"{device_id} is deleted"])


@app.command(
    epilog=epilog(
        "iotc-admin device telemetry pump-042 temperature",
        "client.devices.telemetry('pump-042', 'temperature')",
    )
)
def telemetry(
    ctx: typer.Context,
    device_id: DeviceId,
    name: Annotated[str, typer.Argument(metavar="NAME", help="The telemetry, as its template names it.")],
) -> None:
    """The last value the application has, and when it came."""
    session = Session.begin(ctx.command_path, ctx.obj)
    from iotc_admin.errors import NotFound
    from iotc_admin.workflows.look import existing_device

    with session.client() as client:
        try:
            found = client.devices.telemetry(device_id, name)
        except NotFound as error:
            existing_device(client, device_id)
            error.hint = f"{device_id} has sent no {name} yet, or its template does not name it"
            raise
    when = iso(found.timestamp) if found.timestamp else None
    document = {"value": found.value, "timestamp": when}
    session.output.result(document, [f"{_shown(found.value)}  {when or 'at a time not known'}"])


# Their help stands where the noun's own commands stand.
app.add_typer(device_certificates.app)
app.add_typer(connect.app)
app.add_typer(explain.app)


def _documents(session: Session, client: Client, devices: list[Device]) -> list[dict[str, object]]:
    from iotc_admin.workflows.look import look_at_attestations

    if not devices:
        return []
    ids = [device.id or "" for device in devices]
    id_scope = id_scope_by(session, client, ids[0])
    ledger = session.ledger_if_any()
    attestations = look_at_attestations(client, ids)
    return [device_document(each, id_scope, attestations[each.id or ""], ledger) for each in devices]


def _shown(value: object) -> str:
    import json

    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _check_given(
    ctx: typer.Context, template: str | None, display_name: str | None, organization: str | None
) -> None:
    given = {"--template": template, "--display-name": display_name, "--organization": organization}
    for option, value in given.items():
        if value is not None and not value.strip():
            raise typer.BadParameter(f"{option} is empty", ctx)
