"""Look: which devices a breach affects, those with evidence first."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from iotc_admin.pki.description import sha1_thumbprint
from iotc_admin.pki.pem import read_certificate
from iotc_admin.workflows.known import issuers, newest_leafs
from iotc_admin.workflows.look import BOTH, look_at_attestations, look_at_devices, look_at_slots

if TYPE_CHECKING:
    from iotc_admin.client.client import Client
    from iotc_admin.contract.devices import Device
    from iotc_admin.ledger.ledger import Ledger


@dataclass(frozen=True)
class Affected:
    """`devices`: to be blocked, in this order. `missing`: named, but not there.

    `unproven`: those of the devices that no certificate in the ledger ties to the group; one with symmetric
    keys may have let them in. `doubtful`: provisioned by one of several groups with certificates, and nobody
    here knows by which; not to be blocked.
    """

    devices: tuple[Device, ...]
    unproven: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    doubtful: tuple[str, ...] = ()


def named(client: Client, devices: Sequence[str]) -> Affected:
    """The devices that a person names, in that order."""
    found = look_at_devices(client, dict.fromkeys(devices))
    there = tuple(device for device in found.values() if device is not None)
    return Affected(there, missing=tuple(each for each, device in found.items() if device is None))


def by_group(
    client: Client,
    ledger: Ledger | None,
    group: str,
    suspects: Iterable[str],
    told: Callable[[int], None] = lambda _: None,
) -> Affected:
    """The devices that a group has let in, as far as it is known: the application does not tell.

    First those whose certificate, by the ledger, comes from a suspect CA (SHA-1), then those of other CAs
    that the group ever held. Then all that have registered without a certificate of their own, if no other
    group can have let them in by a certificate: to tell takes a request for each, and `told` hears of how
    many before.
    """
    signers, (elsewhere, others) = _signers(ledger), _elsewhere(client, group)
    held = ledger.bound_for(client.app, group) if ledger else frozenset()
    sure: list[Device] = []
    likely: list[Device] = []
    unknown: list[Device] = []
    for device in client.devices.list():
        above = signers(device.id or "")
        if above & set(suspects):
            sure.append(device)
        elif device.provisioned and not above & elsewhere:
            (likely if above & held else unknown).append(device)
    sure += likely
    told(len(unknown))
    attestations = look_at_attestations(client, (device.id or "" for device in unknown))
    rest = tuple(device for device in unknown if attestations[device.id or ""] is None)
    ids = tuple(device.id or "" for device in rest)
    return Affected(tuple(sure), doubtful=ids) if others else Affected((*sure, *rest), unproven=ids)


def _elsewhere(client: Client, group: str) -> tuple[frozenset[str], int]:
    """The certificates in the slots of the other groups, and how many groups that are."""
    groups = [each.id or "" for each in client.enrollment_groups.list() if each.attestation.type == "x509"]
    others = [each for each in groups if each != group]
    slots = [slot for each in others for slot in look_at_slots(client, each, BOTH).values() if slot]
    return frozenset(slot.thumbprint for slot in slots), len(others)


def _signers(ledger: Ledger | None) -> Callable[[str], frozenset[str]]:
    """By the ledger: the CAs above the certificate that a device was given last, as SHA-1 thumbprints."""
    leafs = newest_leafs(ledger)

    def signers(device: str) -> frozenset[str]:
        entry = leafs.get(device.lower())
        if entry is None:
            return frozenset()
        above = issuers(ledger, read_certificate(entry.pem.encode()))
        return frozenset(sha1_thumbprint(each) for each in above)

    return signers
