"""Look: the application as it stands, as frozen values. Sends reads only."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from iotc_admin.contract.enrollment_groups import EnrollmentGroup, SigningX509Certificate, Slot
from iotc_admin.contract.operations import GET_GROUP
from iotc_admin.errors import NotFound, SettingsError, UnsafePlan

if TYPE_CHECKING:
    from iotc_admin.client.client import Client

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
