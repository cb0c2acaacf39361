"""How groups, devices and certificates look: as documents for programs, as lines for people."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from iotc_admin.cli.output import day, iso

if TYPE_CHECKING:
    from iotc_admin.contract.devices import Device
    from iotc_admin.contract.enrollment_groups import Slot
    from iotc_admin.ledger.ledger import Entry, Event, Ledger
    from iotc_admin.pki.description import CertificateFacts
    from iotc_admin.workflows.look import AttestationView, GroupView, SlotView


def group_document(
    view: GroupView, ledger: Ledger | None, app: str, codes: Mapping[Slot, str] | None = None
) -> dict[str, Any]:
    """What `group show -o json` prints; a slot whose proof waits has its `verificationCode` besides.

    `idScope` is there when the ledger knows it: no answer about a group tells.
    """
    id_scope = ledger.id_scope(app) if ledger else None
    slots: dict[str, Any] = {"primary": None, "secondary": None}
    for slot, found in view.slots.items():
        if found is not None:
            slots[slot.value] = _slot_document(found, ledger)
            if codes and slot in codes:
                slots[slot.value]["verificationCode"] = codes[slot]
    return {
        "id": view.id,
        "displayName": view.display_name,
        "enabled": view.enabled,
        "type": view.type,
        "etag": view.etag,
        **({"idScope": id_scope} if id_scope else {}),
        "slots": slots,
    }


def group_lines(view: GroupView, ledger: Ledger | None, app: str) -> Iterator[str]:
    """What `group show` prints for people."""
    state = "enabled" if view.enabled else "disabled"
    name = "" if view.display_name == view.id else f" ({view.display_name})"
    yield f"{view.id}{name}: {view.type}, {view.attestation}, {state}"
    if id_scope := ledger.id_scope(app) if ledger else None:
        yield f"  {'ID scope':9}  {id_scope}"
    for slot, found in view.slots.items():
        if found is None:
            yield f"  {slot:9}  empty"
            continue
        yield f"  {slot:9}  {found.thumbprint}  {'verified' if found.verified else 'NOT VERIFIED'}"
        yield from _known_lines(found.thumbprint, ledger)


def group_cells(view: GroupView) -> tuple[str, str]:
    """The two slots in a table."""
    cells = ["-" if found is None else _cell(found) for found in view.slots.values()]
    primary, secondary = (*cells, "-", "-")[:2]
    return primary, secondary


def device_document(
    device: Device, id_scope: str | None, attestation: AttestationView | None, ledger: Ledger | None
) -> dict[str, Any]:
    """What `device show -o json` prints: the service's own device, and what else there is to know."""
    held = attestation and {
        "type": attestation.type,
        **{
            slot.value: thumbprint and _certificate_of(thumbprint, ledger)
            for slot, thumbprint in attestation.slots.items()
        },
    }
    return {**device.to_wire(), "idScope": id_scope, "attestation": held}


def device_lines(
    device: Device, id_scope: str | None, attestation: AttestationView | None, ledger: Ledger | None
) -> Iterator[str]:
    """What `device show` prints for people."""
    name = "" if device.display_name in (None, device.id) else f" ({device.display_name})"
    yield f"{device.id}{name}: {', '.join(device_state(device))}"
    owners = ", ".join(device.organizations or ())
    for title, value in (("template", device.template), ("owned by", owners), ("ID scope", id_scope)):
        if value:
            yield f"  {title:9}  {value}"
    if attestation is None:
        yield f"  {'attests':9}  by its enrollment group: it has no certificate of its own"
        return
    yield f"  {'attests':9}  by {attestation.type} of its own"
    if attestation.type != "x509":
        return
    for slot, thumbprint in attestation.slots.items():
        yield f"  {slot:9}  {thumbprint or 'empty'}"
        if thumbprint:
            yield from _known_lines(thumbprint, ledger)


def device_state(device: Device) -> list[str]:
    """Whether it has registered, and whether it may."""
    state = ["provisioned" if device.provisioned else "not yet provisioned"]
    state += ["simulated"] if device.simulated else []
    return [*state, "blocked"] if device.enabled is False else state


def certificate_document(facts: CertificateFacts) -> dict[str, Any]:
    """What `cert show -o json` prints of a certificate."""
    return {
        "subject": facts.subject,
        "issuer": facts.issuer,
        "serialNumber": facts.serial,
        "notBefore": iso(facts.not_before),
        "notAfter": iso(facts.not_after),
        "keyType": facts.key_type,
        "signatureAlgorithm": facts.signature_algorithm,
        "sha1Thumbprint": facts.sha1,
        "sha256Thumbprint": facts.sha256,
        "spkiSha256": facts.spki_sha256,
        "ca": facts.is_ca,
        "pathLength": facts.path_length,
        "selfSigned": facts.self_signed,
    }


def certificate_lines(facts: CertificateFacts) -> Iterator[str]:
    """What `cert show` prints for people."""
    yield f"subject      {facts.subject}"
    yield f"issuer       {facts.issuer}{' (self-signed)' if facts.self_signed else ''}"
    yield f"serial       {facts.serial}"
    yield f"valid        {iso(facts.not_before)} to {iso(facts.not_after)}"
    yield f"key          {facts.key_type}, signed with {facts.signature_algorithm}"
    yield f"SHA-1        {facts.sha1}"
    yield f"SHA-256      {facts.sha256}"
    length = "" if facts.path_length is None else f", path length {facts.path_length}"
    yield f"CA           {'yes' + length if facts.is_ca else 'no'}"


def entry_document(entry: Entry) -> dict[str, Any]:
    """What `ledger list -o json` prints of a certificate."""
    return {
        "sha1Thumbprint": entry.sha1,
        "sha256Thumbprint": entry.sha256,
        "spkiSha256": entry.spki_sha256,
        "subject": entry.subject,
        "issuer": entry.issuer,
        "serialNumber": entry.serial,
        "notBefore": iso(entry.not_before),
        "notAfter": iso(entry.not_after),
        "keyType": entry.key_type,
        "sightings": [
            {
                "time": iso(seen.at),
                "command": seen.command,
                "file": seen.file or None,
                "app": seen.app or None,
                "holder": seen.holder or None,
                "slot": seen.slot or None,
            }
            for seen in entry.sightings
        ],
    }


def event_document(event: Event) -> dict[str, Any]:
    """A line of the journal."""
    return {
        "time": iso(event.at),
        "command": event.command,
        "event": event.event,
        "details": event.details,
    }


def _slot_document(found: SlotView, ledger: Ledger | None) -> dict[str, Any]:
    own = _certificate_of(found.thumbprint, ledger)
    return {
        "sha1Thumbprint": found.thumbprint,
        "verified": found.verified,
        "etag": found.etag,
        "certificate": own["certificate"],
    }


def _certificate_of(thumbprint: str, ledger: Ledger | None) -> dict[str, Any]:
    entry = ledger.find(thumbprint) if ledger else None
    certificate = entry and {
        "subject": entry.subject,
        "issuer": entry.issuer,
        "notBefore": iso(entry.not_before),
        "notAfter": iso(entry.not_after),
        "sha256Thumbprint": entry.sha256,
    }
    return {"sha1Thumbprint": thumbprint, "certificate": certificate}


def _known_lines(thumbprint: str, ledger: Ledger | None) -> Iterator[str]:
    entry = ledger.find(thumbprint) if ledger else None
    if entry is None:
        yield f"  {'':9}  not in the ledger; to know its dates: iotc-admin ledger import CERT"
        return
    yield f"  {'':9}  {entry.subject}, issued by {entry.issuer}"
    yield f"  {'':9}  {day(entry.not_before)} to {day(entry.not_after)}"


def _cell(found: SlotView) -> str:
    return f"{found.thumbprint[:8]}.. {'verified' if found.verified else 'NOT VERIFIED'}"
