"""Judges a configuration file: its form, its settings, the files it names, and the group it provisions by."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from iotc_admin.errors import NotAllowedHere
from iotc_admin.pki.chain import build_chain, is_self_signed
from iotc_admin.pki.description import common_name, sha1_thumbprint
from iotc_admin.workflows.edge.findings import error
from iotc_admin.workflows.edge.identity_checks import check_identity
from iotc_admin.workflows.edge.material_checks import check_material
from iotc_admin.workflows.edge.settings_checks import check_settings
from iotc_admin.workflows.look import look_at_attestation, look_at_group

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from iotc_admin.client.client import Client
    from iotc_admin.workflows.edge.findings import Finding
    from iotc_admin.workflows.edge.material import Material
    from iotc_admin.workflows.edge.reading import Document
    from iotc_admin.workflows.look import AttestationView, GroupView


@dataclass(frozen=True)
class Enrollments:
    """What the application knows of the device: the group it is to come by, and its own enrollment."""

    name: str
    group: GroupView | None
    individual: AttestationView | None


def look_at_enrollments(client: Client, group: str, document: Document, material: Material) -> Enrollments:
    """Reads the group and the device's individual enrollment; sends reads only."""
    device_id = _device_id(document, material)
    individual = look_at_attestation(client, device_id) if device_id else None
    return Enrollments(group, look_at_group(client, group), individual)


def lint(
    document: Document,
    material: Material,
    *,
    now: datetime,
    enrollments: Enrollments | None = None,
) -> list[Finding]:
    """What the runtime, DPS or downstream devices would stumble over: errors first, then by line."""
    found = list(document.faults)
    if document.data or not found:
        found += [
            *check_settings(document),
            *check_identity(document),
            *check_material(document, material, now),
        ]
    if enrollments:
        found += _check_enrollments(document, material, enrollments)
    return sorted(found, key=lambda each: (each.level, each.line or 0))


def require(findings: list[Finding]) -> None:
    """NotAllowedHere for the first error."""
    for finding in findings:
        if finding.level == "error":
            raise NotAllowedHere(f"the configuration {finding.what}: {finding.cause}", hint=finding.fix)


def _device_id(document: Document, material: Material) -> str | None:
    held = material.get("identity_cert")
    name = common_name(held.certificates[0]) if held and held.certificates else None
    return document.text("registration_id") or name


def _check_enrollments(document: Document, material: Material, known: Enrollments) -> Iterator[Finding]:
    yield from _check_group(document, material, known)
    if known.individual is None or known.individual.type != "x509":
        return
    path = ("provisioning", "attestation", "identity_cert", "auto_renew")
    if document.at(path) is not None:
        yield error(
            "auto-renew-individual",
            "renews its identity certificate by itself, and the device has an individual enrollment",
            "after the first renewal the enrollment knows another certificate: the device cannot come back",
            "iotc-admin device detach-cert ID, or remove auto_renew",
            document.line(path),
        )


def _check_group(document: Document, material: Material, known: Enrollments) -> Iterator[Finding]:
    line, group = document.line_of("id_scope"), known.group
    if group is None:
        fix = f"iotc-admin group create {known.name} --type iotEdge --root CERT"
        yield error(
            "group-absent", f"has no group: {known.name} is not there", "it was never created", fix, line
        )
        return
    if group.type != "iotEdge":
        yield error(
            "group-not-edge",
            f"would provision by {group.id}, a group of type {group.type}",
            "such a group lets no Edge runtime in; the type of a group cannot be changed",
            "iotc-admin group create NAME --type iotEdge --root CERT",
            line,
        )
    if not group.enabled:
        fix = f"iotc-admin group update {group.id} --enable"
        yield error(
            "group-disabled",
            f"would provision by {group.id}, which is disabled",
            "it lets nobody in",
            fix,
            line,
        )
    yield from _check_slots(document, material, group)


def _check_slots(document: Document, material: Material, group: GroupView) -> Iterator[Finding]:
    held = material.get("identity_cert")
    verified = {slot.thumbprint for slot in group.slots.values() if slot and slot.verified}
    chain = build_chain(held.certificates[0], held.certificates) if held and held.certificates else ()
    # Without its root the file does not show all issuers.
    if not (chain and is_self_signed(chain[-1])) or verified & {sha1_thumbprint(each) for each in chain}:
        return
    yield error(
        "group-other-ca",
        f"names an identity whose issuers stand in no verified slot of {group.id}",
        "DPS looks for a signer of the certificate there",
        f"iotc-admin group show {group.id}; iotc-admin device explain ID --cert CERT",
        document.line_of("identity_cert"),
    )
