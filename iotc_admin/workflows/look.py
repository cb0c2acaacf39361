"""Look: the application as it stands, as frozen values. Sends reads only."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from iotc_admin.contract.devices import Attestation, Device
from iotc_admin.contract.enrollment_groups import EnrollmentGroup, SigningX509Certificate, Slot
from iotc_admin.contract.operations import GET_DEVICE, GET_GROUP
from iotc_admin.errors import NotFound, SettingsError, UnsafePlan

if TYPE_CHECKING:
    from iotc_admin.client.client import Client

_AT_ONCE: Final = 8
# The list comes in pages of 25: beyond this many devices it takes fewer requests.
_FEW: Final = 100
BOTH = (Slot.PRIMARY, Slot.SECONDARY)


@dataclass(frozen=True)
class SlotView:
    """A filled slot. The thumbprint is SHA-1, upper-case hex."""

    thumbprint: str
    verified: bool
    etag: str


@dataclass(frozen=True)
class GroupView:
    """An enrollment group with the slots that were read; an empty one is None."""

    id: str
    display_name: str
    enabled: bool
    type: str
    attestation: str
    etag: str
    slots: Mapping[Slot, SlotView | None]

    @property
    def takes_certificates(self) -> bool:
        return self.attestation == "x509"


@dataclass(frozen=True)
class AttestationView:
    """The individual enrollment of a device. Thumbprints are SHA-1, upper-case hex; an empty slot is None."""

    type: str
    slots: Mapping[Slot, str | None]


def look_at_group(client: Client, group_id: str, slots: Iterable[Slot] = BOTH) -> GroupView | None:
    """The group and those of its slots, or None if there is no such group."""
    try:
        group = client.enrollment_groups.get(group_id)
    except NotFound:
        return None
    return group_view(client, group_id, group, slots)


def group_view(client: Client, group_id: str, group: EnrollmentGroup, slots: Iterable[Slot]) -> GroupView:
    """A group that was read already, completed by its slots."""
    kind = group.attestation.type
    read = slots if kind == "x509" else ()
    return GroupView(
        id=group.id or group_id,
        display_name=group.display_name,
        enabled=group.enabled,
        type=group.type,
        attestation=kind,
        etag=group.etag or "",
        slots=look_at_slots(client, group_id, read),
    )


def look_at_slots(client: Client, group_id: str, slots: Iterable[Slot]) -> dict[Slot, SlotView | None]:
    """These slots; an empty one is None."""
    return {slot: look_at_slot(client, group_id, slot) for slot in slots}


def look_at_slot(client: Client, group_id: str, slot: Slot) -> SlotView | None:
    """The slot, or None if it is empty."""
    try:
        return slot_view(client.enrollment_groups.get_certificate(group_id, slot))
    except NotFound:
        return None


def slot_view(found: SigningX509Certificate) -> SlotView | None:
    """What the service says of a slot; one without a thumbprint is empty."""
    if found.info is None:
        return None
    return SlotView(found.info.sha1_thumbprint.upper(), found.verified, found.etag or "")


def existing(client: Client, group: str, slots: tuple[Slot, ...], *, certificates: bool = True) -> GroupView:
    """The group. Raises `NotFound`, and `UnsafePlan` if slots are asked of a group without."""
    check_group_id(group)
    view = look_at_group(client, group, slots)
    if view is None:
        message = f"there is no enrollment group {group}"
        hint = "see which there are: iotc-admin group list"
        raise NotFound(message, operation=GET_GROUP.name, status=404, hint=hint)
    if certificates and slots and not view.takes_certificates:
        message = f"group {group} attests by {view.attestation}: it holds no certificates"
        raise UnsafePlan(message, hint="see which do: iotc-admin group list")
    return view


def check_group_id(group: str) -> None:
    """Raises `SettingsError` for an id that no group can have."""
    if group and GET_GROUP.malformed_id((group,)) is None:
        return
    strange = sorted(set(re.findall(r"[^a-zA-Z0-9-]", group)))
    why = f"it holds {' '.join(map(repr, strange))}" if strange else f"it has {len(group)} characters"
    raise SettingsError(
        f"{group[:60]!r} cannot be the id of an enrollment group: {why}",
        hint="1 to 255 letters, digits and hyphens; the display name may hold anything: --display-name",
    )


def look_at_device(client: Client, device: str) -> Device | None:
    """The device, or None if there is no such device."""
    try:
        return client.devices.get(device)
    except NotFound:
        return None


def look_at_devices(client: Client, devices: Iterable[str]) -> dict[str, Device | None]:
    """These devices, None for those that are not there: one by one when they are few, else by the list."""
    ids = list(devices)
    if len(ids) <= _FEW:
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            return dict(zip(ids, pool.map(lambda each: look_at_device(client, each), ids), strict=True))
    found = {each.id: each for each in client.devices.list()}
    return {device: found.get(device) for device in ids}


def existing_device(client: Client, device: str, *, hint: str = "") -> Device:
    """The device. Raises `NotFound`."""
    found = look_at_device(client, device)
    if found is None:
        hint = hint or "see which there are: iotc-admin device list"
        message = f"there is no device {device}"
        raise NotFound(message, operation=GET_DEVICE.name, status=404, hint=hint)
    return found


def look_at_attestation(client: Client, device: str) -> AttestationView | None:
    """The individual enrollment, or None if the device has none, or if there is no such device."""
    try:
        return attestation_view(client.devices.get_attestation(device))
    except NotFound:
        return None


def look_at_attestations(client: Client, devices: Iterable[str]) -> dict[str, AttestationView | None]:
    """The individual enrollments of many devices, a few at a time: the pace of requests is the client's."""
    ids = list(devices)
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        return dict(zip(ids, pool.map(lambda each: look_at_attestation(client, each), ids), strict=True))


def attestation_view(found: Attestation) -> AttestationView:
    """What the service says of an individual enrollment."""
    held = found.x509.client_certificates if found.x509 else None
    certificates = {Slot.PRIMARY: held.primary, Slot.SECONDARY: held.secondary} if held else {}
    slots = dict.fromkeys(BOTH) | {
        slot: each.info.sha1_thumbprint.upper()
        for slot, each in certificates.items()
        if each is not None and each.info is not None
    }
    return AttestationView(found.type, slots)
