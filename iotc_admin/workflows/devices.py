"""Devices themselves, without their certificates: create, update, delete."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from iotc_admin.contract.devices import Device
from iotc_admin.errors import PlanOutdated, UnsafePlan
from iotc_admin.pki.names import require_device_id
from iotc_admin.workflows.apply import Hands, Outcome, apply
from iotc_admin.workflows.look import existing_device, look_at_device
from iotc_admin.workflows.plan import CreateDevice, DeleteDevice, Plan, Step, UpdateDevice

if TYPE_CHECKING:
    from iotc_admin.client.client import Client


@dataclass(frozen=True)
class DeviceWish:
    """What a device shall be; None: as the application has it. `enabled=False` blocks it."""

    device: str
    display_name: str | None = None
    template: str | None = None
    organization: str | None = None
    enabled: bool | None = None
    simulated: bool = False


def plan_device(client: Client, wish: DeviceWish) -> Plan:
    """Make the device; nothing to do if it is there as wished. Raises `UnsafePlan` if it is there otherwise.

    An id that cannot be a registration id is refused before the first request.
    """
    require_device_id(wish.device)
    found = look_at_device(client, wish.device)
    if found is not None:
        _check_alike(wish, found)
        return Plan(client.app, ())
    step = CreateDevice(wish.device, wish.display_name, wish.template, wish.simulated, wish.organization)
    return Plan(client.app, (step,))


def create_device(client: Client, wish: DeviceWish, plan: Plan, hands: Hands) -> Outcome:
    """Do what was planned; nothing if somebody else has made the very same device meanwhile."""
    try:
        return apply(plan, client, hands)
    except PlanOutdated:
        if plan_device(client, wish).steps:
            raise
        return Outcome()


def plan_device_update(client: Client, wish: DeviceWish) -> Plan:
    """Only the fields that differ. Raises `NotFound`."""
    found = existing_device(client, wish.device)
    name, template, organization, enabled = _differences(wish, found)
    if (name, template, organization, enabled) == (None, None, None, None):
        return Plan(client.app, ())
    step = UpdateDevice(wish.device, name, template, organization, enabled, found.etag or "")
    return Plan(client.app, (step,))


def update_device(client: Client, wish: DeviceWish, plan: Plan, hands: Hands) -> Outcome:
    """Do what was planned; once more with a fresh etag if the device was changed meanwhile."""
    try:
        return apply(plan, client, hands)
    except PlanOutdated as outdated:
        again = plan_device_update(client, wish)
        if not again.within(plan):
            raise outdated from None
        return apply(again, client, hands)


def plan_device_deletion(client: Client, device: str) -> Plan:
    """Raises `NotFound`."""
    existing_device(client, device)
    steps: tuple[Step, ...] = (DeleteDevice(device),)
    return Plan(client.app, steps)


def _differences(wish: DeviceWish, found: Device) -> tuple[str | None, str | None, str | None, bool | None]:
    organizations = None if wish.organization is None else (wish.organization,)
    return (
        wish.display_name if wish.display_name != found.display_name else None,
        wish.template if wish.template != found.template else None,
        wish.organization if organizations != (found.organizations or ()) else None,
        wish.enabled if wish.enabled != (found.enabled is not False) else None,
    )


def _check_alike(wish: DeviceWish, found: Device) -> None:
    if wish.simulated and not found.simulated:
        message = f"device {wish.device} exists and is not simulated"
        raise UnsafePlan(message, hint=f"choose another id, or: iotc-admin device delete {wish.device}")
    name, template, organization, _ = _differences(wish, found)
    options = {"--display-name": name, "--template": template, "--organization": organization}
    given = [f"{option} {value!r}" for option, value in options.items() if value is not None]
    if given:
        message = f"device {wish.device} exists and differs: {_as_it_is(found)}"
        hint = f"to change it: iotc-admin device update {wish.device} {' '.join(given)}"
        raise UnsafePlan(message, hint=hint)


def _as_it_is(found: Device) -> str:
    organizations = ", ".join(found.organizations or ()) or "none"
    return (
        f"display name {found.display_name!r}, template {found.template or 'none'}, "
        f"organization {organizations}"
    )
