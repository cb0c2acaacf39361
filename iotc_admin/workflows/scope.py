"""The ID scope of an application: the REST API tells it only in the credentials of a device.

Without any device one is made for the moment. It stands in the journal before it is made, so that a run
that was cut short leaves nothing behind that the next one would not remove.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from iotc_admin.contract.devices import Device
from iotc_admin.errors import SettingsError, UnsafePlan
from iotc_admin.workflows.device_steps import delete_device

if TYPE_CHECKING:
    from iotc_admin.client.client import Client
    from iotc_admin.ledger.ledger import Ledger, Run

PREFIX: Final = "iotc-admin-scope-"
_BEGUN: Final = "temporary device begun"
_REMOVED: Final = "temporary device removed"


def known_id_scope(client: Client, ledger: Ledger | None) -> str | None:
    """The ID scope by the ledger or any device's credentials; sends reads only. None if neither tells."""
    known = ledger.id_scope(client.app) if ledger else None
    if known is not None:
        return known
    device = next(client.devices.list(), None)
    if device is None or not device.id:
        return None
    return _read(client, device.id, ledger)


def find_id_scope(client: Client, *, run: Run | None, agree: Callable[[], bool]) -> str:
    """The ID scope; if nothing tells it and `agree` says yes, by a device made for the moment.

    Removes what an earlier run had to leave. Raises `UnsafePlan` if a device would be needed and is not
    agreed to, `SettingsError` if there is no ledger to note it in.
    """
    if run:
        remove_leftovers(client, run)
    found = known_id_scope(client, run.ledger if run else None)
    if found is not None:
        return found
    if not agree():
        message = f"the ID scope of {client.app} is not known, and no device is there to tell it"
        hint = "give it with --id-scope: the application shows it under Permissions, Device connection groups"
        raise UnsafePlan(message, hint=hint)
    if run is None:
        message = "a device made for the moment is noted in the ledger first, and no ledger is given"
        raise SettingsError(message, hint="hand in run=Ledger(path).run(command, now)")
    return _by_a_temporary_device(client, run)


def remove_leftovers(client: Client, run: Run) -> None:
    """Remove the devices that earlier runs made for the moment and did not live to remove."""
    left: dict[str, None] = {}
    for event in run.ledger.events(_BEGUN, _REMOVED):
        if event.details.get("app") != client.app:
            continue
        device = str(event.details.get("device", ""))
        if event.event == _REMOVED:
            left.pop(device, None)
        elif device.startswith(PREFIX):
            left[device] = None
    for device in left:
        _remove(client, run, device)


def _by_a_temporary_device(client: Client, run: Run) -> str:
    device = f"{PREFIX}{secrets.token_hex(4)}"
    run.note(_BEGUN, client.now(), app=client.app, device=device)
    try:
        client.devices.create(device, Device(display_name=device))
        return _read(client, device, run.ledger)
    finally:
        _remove(client, run, device)


def _remove(client: Client, run: Run, device: str) -> None:
    delete_device(device, client)
    run.note(_REMOVED, client.now(), app=client.app, device=device)


def _read(client: Client, device: str, ledger: Ledger | None) -> str:
    id_scope = client.devices.get_credentials(device).id_scope
    if ledger:
        ledger.keep_id_scope(client.app, id_scope)
    return id_scope
