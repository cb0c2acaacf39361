"""One device as the commands show it: read, its ID scope remembered, printed for people or programs."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Annotated

import typer

from iotc_admin.cli.doing import ended
from iotc_admin.cli.views import device_document, device_lines
from iotc_admin.errors import NotAllowed, SettingsError

if TYPE_CHECKING:
    from iotc_admin.cli.settings import Session
    from iotc_admin.client.client import Client
    from iotc_admin.workflows.plan import Plan

DeviceId = Annotated[str, typer.Argument(metavar="ID", help="The id of the device.")]


def show_device(session: Session, client: Client, device_id: str) -> None:
    """What `device show` prints."""
    from iotc_admin.workflows.look import existing_device, look_at_attestation

    device = existing_device(client, device_id)
    attestation = look_at_attestation(client, device_id)
    id_scope = id_scope_by(session, client, device_id)
    ledger = session.ledger_if_any()
    session.output.result(
        device_document(device, id_scope, attestation, ledger),
        device_lines(device, id_scope, attestation, ledger),
    )


def report_device(session: Session, client: Client, plan: Plan, device_id: str) -> None:
    """What was done, for people; for programs, what `show` prints."""
    if session.output.json:
        show_device(session, client, device_id)
    else:
        session.output.result(None, [f"{device_id}: {ended(plan)}"])


def id_scope_by(session: Session, client: Client, device_id: str) -> str | None:
    """The ID scope by this device's credentials; by the ledger for whoever may not read those."""
    try:
        id_scope = client.devices.get_credentials(device_id).id_scope
    except NotAllowed:
        ledger = session.ledger_if_any()
        return ledger.id_scope(client.app) if ledger else None
    remember_id_scope(session, client, id_scope)
    return id_scope


def remember_id_scope(session: Session, client: Client, id_scope: str) -> None:
    """Keep it for the commands that no answer tells it."""
    # Only a convenience: where nothing can be written, reading still works.
    if not session.dry_run:
        with suppress(SettingsError):
            session.ledger().keep_id_scope(client.app, id_scope)
