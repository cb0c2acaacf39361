"""Do, on devices: what each step sends, and what a conflict or a lost answer means. Decides nothing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from cryptography import x509

from iotc_admin.contract.devices import (
    X509,
    Attestation,
    AttestationPatch,
    Device,
    X509Certificate,
    X509Certificates,
    X509CertificatesPatch,
    X509Patch,
)
from iotc_admin.contract.enrollment_groups import Slot
from iotc_admin.errors import AnswerLost, Conflict, NotFound, PlanError, PlanOutdated, ServiceDown
from iotc_admin.workflows.look import AttestationView, look_at_attestation, look_at_device
from iotc_admin.workflows.plan import (
    CreateDevice,
    DeleteDevice,
    DeviceStep,
    PatchAttestation,
    PutAttestation,
    RemoveAttestation,
    UpdateDevice,
)
from iotc_admin.workflows.proof import encoded

if TYPE_CHECKING:
    from iotc_admin.client.client import Client, Once


def do(step: DeviceStep, client: Client, certificates: Mapping[str, x509.Certificate]) -> None:
    """Carry out one step; `certificates` by SHA-1 thumbprint. Raises `PlanOutdated`."""
    match step:
        case CreateDevice():
            _create_device(step, client)
        case UpdateDevice():
            _update_device(step, client)
        case DeleteDevice():
            delete_device(step.device, client)
        case PutAttestation():
            _put_attestation(step, client, certificates)
        case PatchAttestation():
            _patch_attestation(step, client, certificates)
        case RemoveAttestation():
            _remove_attestation(step, client)


def _create_device(step: CreateDevice, client: Client) -> None:
    fields = _device_fields(step) | ({"simulated": True} if step.simulated else {})
    try:
        client.devices.create(step.device, Device.model_validate(fields, by_name=True))
    except Conflict as error:
        if look_at_device(client, step.device) is not None:
            raise PlanOutdated(f"device {step.device} exists by now", hint="repeat") from error
        error.hint = f"an application takes an id or a display name once: {_look(step.device)}"
        raise


def _update_device(step: UpdateDevice, client: Client) -> None:
    fields = _device_fields(step)
    fields |= {} if step.enabled is None else {"enabled": step.enabled}
    patch = fields | ({"etag": step.etag} if step.etag else {})
    try:
        shown = client.devices.update(step.device, Device.model_validate(patch, by_name=True)).enabled
        if step.enabled is not None and shown is (not step.enabled):
            how = "not blocked" if shown else "blocked"
            message = f"device {step.device} shows as {how}, though the application took the change"
            raise PlanError(message, hint=_look(step.device))
    except (AnswerLost, ServiceDown):
        found = look_at_device(client, step.device)
        if found is None or any(getattr(found, name) != value for name, value in fields.items()):
            raise
    except Conflict as error:
        found = look_at_device(client, step.device)
        if found is None or (found.etag or "") == step.etag:
            raise
        message = f"device {step.device} was changed meanwhile (etag before: {step.etag}, now: {found.etag})"
        raise PlanOutdated(message, hint=_look(step.device)) from error


def _put_attestation(
    step: PutAttestation, client: Client, certificates: Mapping[str, x509.Certificate]
) -> None:
    slots = _slots(step, certificates)
    body = Attestation(type="x509", x509=X509(client_certificates=X509Certificates(**slots)))
    try:
        client.devices.create_attestation(step.device, body)
    except NotFound as error:
        raise _gone(step.device) from error
    except Conflict as error:
        error.hint = _look(step.device)
        raise


def _patch_attestation(
    step: PatchAttestation, client: Client, certificates: Mapping[str, x509.Certificate]
) -> None:
    slots = X509CertificatesPatch(**_slots(step, certificates))
    body = AttestationPatch(type="x509", x509=X509Patch(client_certificates=slots))
    wanted = {Slot.PRIMARY: step.primary, Slot.SECONDARY: step.secondary}
    wanted = {slot: each for slot, each in wanted.items() if each}
    sent = False

    def attempt(once: Once) -> None:
        nonlocal sent
        # A patch carries no etag: what it would replace, and what it counts on, is looked at once more.
        view = look_at_attestation(client, step.device)
        if sent and view is not None and _holds(view, wanted):
            return
        if view is None or not _holds(view, _seen(step)):
            raise _changed(step.device)
        sent = True
        once.devices.update_attestation(step.device, body)

    try:
        client.patiently(attempt)
    except NotFound as error:
        raise _changed(step.device) from error
    except Conflict as error:
        error.hint = _look(step.device)
        raise


def _seen(step: PatchAttestation) -> dict[Slot, str]:
    """What the plan was made in view of."""
    return {
        Slot.PRIMARY: step.replaces_primary if step.primary else step.beside,
        Slot.SECONDARY: step.replaces_secondary if step.secondary else step.beside,
    }


def _remove_attestation(step: RemoveAttestation, client: Client) -> None:
    view = look_at_attestation(client, step.device)
    if view is None:
        return
    seen = {Slot.PRIMARY: step.primary, Slot.SECONDARY: step.secondary}
    if view.type != step.type or not _holds(view, seen):
        raise _changed(step.device)
    try:
        client.devices.delete_attestation(step.device)
    except NotFound:
        return


def delete_device(device: str, client: Client) -> None:
    """Whoever deleted it first, it is gone."""
    try:
        client.devices.delete(device)
    except NotFound:
        return


def _device_fields(step: CreateDevice | UpdateDevice) -> dict[str, object]:
    fields: dict[str, object] = {"display_name": step.display_name, "template": step.template}
    fields["organizations"] = None if step.organization is None else (step.organization,)
    return {name: value for name, value in fields.items() if value is not None}


def _slots(
    step: PutAttestation | PatchAttestation, certificates: Mapping[str, x509.Certificate]
) -> dict[str, X509Certificate]:
    named = {"primary": step.primary, "secondary": step.secondary}
    return {
        slot: X509Certificate(certificate=encoded(certificates[thumbprint]))
        for slot, thumbprint in named.items()
        if thumbprint
    }


def _holds(view: AttestationView, slots: Mapping[Slot, str]) -> bool:
    return all((view.slots[slot] or "") == thumbprint for slot, thumbprint in slots.items())


def _changed(device: str) -> PlanOutdated:
    message = f"the individual enrollment of {device} was changed meanwhile"
    return PlanOutdated(message, hint=_look(device))


def _gone(device: str) -> PlanOutdated:
    return PlanOutdated(f"device {device} was deleted meanwhile", hint=f"iotc-admin device create {device}")


def _look(device: str) -> str:
    return f"look at it: iotc-admin device show {device}"
