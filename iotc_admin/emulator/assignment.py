"""Decides about a device that asks to be provisioned, and lets it into the application and the hub."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal

from iotc_admin.contract.devices import Device
from iotc_admin.emulator.certificates import encoded
from iotc_admin.emulator.matching import INVALID, NoMatch, find_group, require_leaf
from iotc_admin.emulator.records import DeviceRecord, HubRecord, RegistrationRecord, fresh_etag
from iotc_admin.pki.description import sha1_thumbprint, sha256_thumbprint

if TYPE_CHECKING:
    from datetime import datetime

    from cryptography import x509

    from iotc_admin.contract.device_templates import DeviceTemplate
    from iotc_admin.emulator.matching import Hit
    from iotc_admin.emulator.records import AttestationRecord
    from iotc_admin.emulator.state import State

HUB_HOST: Final = "localhost"
"""There is one hub, behind the same doors; a bare name, as devices want it."""

_EDGE: Final = "EdgeModel"


@dataclass(frozen=True)
class Arrival:
    """A device that asks: its id as it writes it, its certificates, leaf first, and the model it claims."""

    registration_id: str
    chain: tuple[x509.Certificate, ...]
    model_id: object = None


def assign(state: State, arrival: Arrival, now: datetime) -> RegistrationRecord:
    """The decision, carried out. NoMatch when the certificate is good for nothing here.

    The individual enrollment of a device goes before all groups; the first hit decides.
    """
    require_leaf(arrival.chain[0], now)
    known = state.devices.in_any_case(arrival.registration_id)
    if known is not None and known.attestation is not None:
        _require_own(known.attestation, arrival.chain[0])
        return _decided(state, arrival, known, None, now)
    groups = [record for _, record in state.groups.after()]
    hit = find_group(arrival.chain, groups, now, state.switches)
    if hit.group.group.enabled is False:
        return _verdict(arrival, now, "disabled", hit)
    return _decided(state, arrival, known, hit, now)


def _require_own(attestation: AttestationRecord, leaf: x509.Certificate) -> None:
    if attestation.type != "x509" or encoded(leaf) not in attestation.certificates.values():
        raise NoMatch(INVALID)


def _decided(
    state: State, arrival: Arrival, known: DeviceRecord | None, hit: Hit | None, now: datetime
) -> RegistrationRecord:
    template = _template(state, arrival, known)
    blocked = known is not None and known.device.enabled is False
    if blocked or (hit is not None and not _suits(hit, template)):
        # The application's own allocator says no, and DPS passes that on.
        message = "Custom allocation failed with status code: 401"
        return _verdict(arrival, now, "failed", hit).model_copy(
            update={"error_code": 400209, "error_message": message}
        )
    device_id = _let_in(state, arrival, known, template)
    return _verdict(arrival, now, "assigned", hit).model_copy(update={"device_id": device_id})


def _suits(hit: Hit, template: DeviceTemplate | None) -> bool:
    """A group of type iotEdge takes Edge devices only, any other group none."""
    edge_group = hit.group.group.type == "iotEdge"
    return template is None or edge_group == (_EDGE in template.type)


def _template(state: State, arrival: Arrival, known: DeviceRecord | None) -> DeviceTemplate | None:
    """The template of the device; for one without, that of the model it claims."""
    if known is not None and known.device.template is not None:
        return state.templates.get(known.device.template)
    if not isinstance(arrival.model_id, str):
        return None
    named = state.templates.get(arrival.model_id)
    models = (template for _, template in state.templates.after())
    return named or next(
        (each for each in models if each.capability_model.get("@id") == arrival.model_id), None
    )


def _let_in(
    state: State, arrival: Arrival, known: DeviceRecord | None, template: DeviceTemplate | None
) -> str:
    """The id of the device, which from now on is in the application and may connect with this leaf."""
    rid = arrival.registration_id
    record = known or DeviceRecord(device=Device(id=rid, display_name=rid, enabled=True, simulated=False))
    update: dict[str, Any] = {"provisioned": True}
    if template is not None:
        update["template"] = template.id
    device = record.device
    if any(getattr(device, name) != value for name, value in update.items()):
        device = device.model_copy(update={**update, "etag": fresh_etag()})
        state.devices.put(device.id or rid, record.model_copy(update={"device": device}))
    device_id = device.id or rid
    thumbprint = sha256_thumbprint(arrival.chain[0])
    before = state.hub.get(device_id)
    hub = HubRecord(thumbprint=thumbprint)
    state.hub.put(device_id, before.model_copy(update={"thumbprint": thumbprint}) if before else hub)
    return device_id


def _verdict(
    arrival: Arrival, now: datetime, status: Literal["assigned", "failed", "disabled"], hit: Hit | None
) -> RegistrationRecord:
    return RegistrationRecord(
        registration_id=arrival.registration_id,
        operation_id="",
        status=status,
        created=now,
        updated=now,
        ready=now,
        etag=fresh_etag(),
        enrollment_group=hit.group.group.id if hit else None,
        signer=sha1_thumbprint(hit.signer) if hit else None,
    )
