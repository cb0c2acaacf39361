"""Judges which enrollment group, if any, stands for the certificates that a device sent."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from iotc_admin.contract.enrollment_groups import Slot
from iotc_admin.emulator.certificates import decoded
from iotc_admin.pki.chain import build_chain, signed_by
from iotc_admin.pki.description import is_ca, key_usage, path_length

if TYPE_CHECKING:
    from datetime import datetime

    from cryptography import x509

    from iotc_admin.emulator.records import GroupRecord
    from iotc_admin.emulator.switches import Switches

INVALID = "Invalid certificate."
NO_CA = "CA certificate not found."
NO_MATCH = "Signing certificate info did not match chain elements."


class NoMatch(Exception):
    """No group stands for this certificate; the message is the service's own."""


@dataclass(frozen=True)
class Hit:
    """The group that decides, and its certificate that signed what the device sent."""

    group: GroupRecord
    signer: x509.Certificate


def require_leaf(leaf: x509.Certificate, now: datetime) -> None:
    """NoMatch unless the certificate is one of a device, and valid now."""
    if is_ca(leaf) or not _valid(leaf, now):
        raise NoMatch(INVALID)


def find_group(
    chain: tuple[x509.Certificate, ...], groups: Iterable[GroupRecord], now: datetime, switches: Switches
) -> Hit:
    """The nearest signer upwards that stands verified in a slot; disabled groups decide as others do."""
    leaf, *sent = chain
    slots = [
        (group, decoded(held.certificate))
        for group in groups
        for slot in Slot
        if (held := group.slots.get(slot)) is not None and held.verified
    ]
    for depth, subject in enumerate(_upwards(leaf, sent)):
        if depth and not _may_sign(subject, depth - 1, now):
            raise NoMatch(INVALID)
        for group, signer in slots:
            if _signed(subject, signer, switches):
                if not _may_sign(signer, depth, now):
                    raise NoMatch(INVALID)
                return Hit(group, signer)
    raise NoMatch(NO_MATCH if sent else NO_CA)


def _upwards(leaf: x509.Certificate, sent: Iterable[x509.Certificate]) -> Iterator[x509.Certificate]:
    # Most devices hang right below a group's CA: their chain need not be put together.
    yield leaf
    yield from build_chain(leaf, sent)


def _signed(subject: x509.Certificate, signer: x509.Certificate, switches: Switches) -> bool:
    if subject == signer or not signed_by(subject, signer):
        return False
    # A CA renewed under its old key and name: the signatures of its predecessor fit it, too.
    return switches.renewed_ca == "matches" or subject.not_valid_before_utc >= signer.not_valid_before_utc


def _may_sign(issuer: x509.Certificate, below: int, now: datetime) -> bool:
    """Whether it may stand in a path with so many CA certificates below it."""
    limit, usage = path_length(issuer), key_usage(issuer)
    able = is_ca(issuer) and (not usage or "keyCertSign" in usage)
    return able and _valid(issuer, now) and (limit is None or below <= limit)


def _valid(certificate: x509.Certificate, now: datetime) -> bool:
    return certificate.not_valid_before_utc <= now <= certificate.not_valid_after_utc
