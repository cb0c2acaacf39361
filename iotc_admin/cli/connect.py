"""`iotc-admin device connect`: what a device would go through, done here with its certificate."""

from __future__ import annotations

import json
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from iotc_admin.cli.device_state import DeviceId
from iotc_admin.cli.doing import WAITS
from iotc_admin.cli.idscope import id_scope_of
from iotc_admin.cli.keyfiles import KeyPasswordFile, epilog, password
from iotc_admin.cli.settings import Session
from iotc_admin.errors import NotAllowedHere

if TYPE_CHECKING:
    from iotc_admin.device.connect import Connected, Step
    from iotc_admin.pki.identity import DeviceIdentity

app = typer.Typer(rich_markup_mode=None)


class TransportName(StrEnum):
    """How to reach DPS and the hub."""

    https = "https"
    mqtt = "mqtt"
    mqtt_ws = "mqtt-ws"


@app.command(
    epilog=epilog(
        "iotc-admin device connect pump-042 --cert pump-042_cert.pem --telemetry '{\"temperature\": 21}'",
        "iotc_admin.device.connect.connect(identity, id_scope='0ne00112233')",
        three="a dry run told the steps",
    )
)
def connect(
    ctx: typer.Context,
    device_id: DeviceId,
    cert: Annotated[
        str,
        typer.Option(metavar="CERT", help="Its certificate; a full chain, or one beside it, is sent too."),
    ],
    key: Annotated[str | None, typer.Option(metavar="KEY", help="Its key, if not found beside it.")] = None,
    id_scope: Annotated[
        str | None,
        typer.Option(metavar="SCOPE", help="The application's (IOTC_ID_SCOPE); without it, it is asked."),
    ] = None,
    dps_host: Annotated[
        str | None, typer.Option(metavar="HOST[:PORT]", help="Where DPS is (IOTC_DPS_HOST).")
    ] = None,
    mqtt_port: Annotated[
        int | None, typer.Option(metavar="PORT", min=1, max=65535, help="(IOTC_MQTT_PORT); default 8883.")
    ] = None,
    model_id: Annotated[
        str | None, typer.Option(metavar="DTMI", help="What the device says it is: its template.")
    ] = None,
    telemetry: Annotated[
        str | None, typer.Option(metavar="JSON", help="An object to send, as in '{\"temperature\": 21}'.")
    ] = None,
    count: Annotated[int, typer.Option(min=1, max=1_000_000, metavar="N", help="How often it is sent.")] = 1,
    interval: Annotated[
        float, typer.Option(min=0, max=86_400, metavar="S", help="Seconds in between.")
    ] = 1.0,
    transport: Annotated[TransportName, typer.Option(help="How it connects.")] = TransportName.https,
    key_password_file: KeyPasswordFile = None,
) -> None:
    """Register through DPS, connect to the assigned hub, send telemetry; each step with its time.

    No API token is needed when the ID scope is given.
    """
    message = _message(ctx, telemetry)
    session = Session.begin(ctx.command_path, ctx.obj)
    identity = _identity(device_id, cert, key, key_password_file)
    host, port = session.dps_host(dps_host), session.mqtt_port(mqtt_port)
    if session.dry_run:
        _tell_plan(session, device_id, host, transport, count if message else 0)
    scope = id_scope_of(session, id_scope)
    from iotc_admin.device.connect import connect as connect_device

    found = connect_device(
        identity,
        id_scope=scope,
        registration_id=device_id,
        dps_host=host,
        mqtt_port=port,
        transport=transport.value,
        model_id=model_id,
        telemetry=[message] * count if message else [],
        interval=interval,
        ca_file=session.ca_file,
        on_step=lambda step: session.output.result(None, [_line(step)]) if not session.output.json else None,
    )
    session.output.result(_document(found), _last_lines(found))


def _message(ctx: typer.Context, text: str | None) -> dict[str, Any] | None:
    if text is None:
        return None
    try:
        message = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise typer.BadParameter(f"--telemetry is not JSON: {error}", ctx) from None
    if not isinstance(message, dict):
        raise typer.BadParameter("--telemetry is not a JSON object, as in '{\"temperature\": 21}'", ctx)
    return message


def _identity(device_id: str, cert: str, key: str | None, key_password_file: str | None) -> DeviceIdentity:
    from iotc_admin.pki.description import common_name, names_device
    from iotc_admin.pki.identity import DeviceIdentity
    from iotc_admin.pki.keys import in_file

    if key is not None and not in_file(key):
        message = f"{key.partition('?')[0]}: a connection needs the device's key in a file"
        raise NotAllowedHere(message, hint="use a key from a file, or connect on the device itself")
    identity = DeviceIdentity.load(cert, key, password=password(key_password_file))
    name = common_name(identity.certificate)
    # DPS ignores case in registration ids, so it is left to decide.
    if not names_device(identity.certificate, device_id):
        said = "has no common name" if name is None else f"has the common name {name!r}"
        raise NotAllowedHere(
            f"{cert} {said}, not {device_id!r}: it is another device's",
            hint=f"name the certificate of {device_id}, or make one: iotc-admin cert device {device_id}",
        )
    return identity


def _tell_plan(session: Session, device_id: str, host: str, transport: TransportName, messages: int) -> None:
    steps = [
        f"register {device_id} at {host} over {transport}",
        "connect to the hub that is assigned",
        *([f"send telemetry, {messages} times" if messages > 1 else "send telemetry"] if messages else []),
    ]
    document = {"dpsHost": host, "transport": transport.value, "steps": steps}
    session.output.result({"registrationId": device_id, **document}, steps)
    raise typer.Exit(WAITS)


def _line(step: Step) -> str:
    return f"{step.name:9}  {step.outcome} ({step.milliseconds} ms)"


def _document(found: Connected) -> dict[str, Any]:
    return {
        "registrationId": found.registration_id,
        "deviceId": found.device_id,
        "assignedHub": found.assigned_hub,
        "enrollment": found.enrollment,
        "steps": [
            {"name": step.name, "milliseconds": step.milliseconds, "outcome": step.outcome}
            for step in found.steps
        ],
    }


def _last_lines(found: Connected) -> list[str]:
    return [f"{found.device_id} is at {found.assigned_hub}"]
