"""The CA of an Edge device, which signs its modules' certificates, and what others trust it by."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Final

from iotc_admin.errors import BrokenChain, NotAllowedHere
from iotc_admin.pki.chain import build_chain, is_self_signed, room_below
from iotc_admin.pki.description import is_ca
from iotc_admin.pki.keys import KeyKind
from iotc_admin.pki.names import require_device_id
from iotc_admin.workflows.edge.identity_checks import DOWNSTREAM_FIX, DOWNSTREAM_REASON

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from cryptography import x509

    from iotc_admin.pki.authority import CertificateAuthority
    from iotc_admin.pki.keys import SigningKey
    from iotc_admin.workflows.edge.format import Format

EDGE_CA_LIFETIME: Final = timedelta(days=365)
_SUFFIX: Final = "-edge-ca"


def edge_ca_name(device_id: str) -> str:
    """The common name: not the device id, so that nobody takes the one certificate for the other."""
    return require_device_id(f"{require_device_id(device_id)}{_SUFFIX}")


def issue_edge_ca(
    issuer: CertificateAuthority,
    device_id: str,
    *,
    now: datetime,
    target: Format,
    lifetime: timedelta | None = None,
    kind: KeyKind = KeyKind.EC_P256,
    key: SigningKey | None = None,
) -> CertificateAuthority:
    """A CA for a device's modules, for 365 days or until its issuer ends.

    `key` is its own, else a fresh one is made. Its path length is what the runtime needs that reads `target`:
    0, or 1 for the workload CA of 1.1.
    Raises `NotAllowedHere` if the CAs above leave no room for it.
    """
    room = room_below((issuer.certificate, *issuer.chain))
    needed = target.cas_below + 1
    if room is not None and room < needed:
        above = issuer.certificate.subject.rfc4514_string()
        message = (
            f"the path lengths allow {max(room, 0)} CAs below {above}, "
            f"and an Edge CA for {target.release} takes {needed}"
        )
        raise NotAllowedHere(
            message, hint="issue it from a CA further up, or from one with a larger --path-length"
        )
    ends = issuer.certificate.not_valid_after_utc
    default = None if ends < now + EDGE_CA_LIFETIME else EDGE_CA_LIFETIME
    return issuer.issue_intermediate(
        edge_ca_name(device_id),
        now=now,
        lifetime=lifetime or default,
        kind=kind,
        key=key,
        path_length=target.cas_below,
    )


def trust_bundle(certificates: Iterable[x509.Certificate]) -> tuple[x509.Certificate, ...]:
    """The roots among the certificates and their issuers: what modules and downstream devices are to trust.

    Raises `NotAllowedHere` for a device's certificate, `BrokenChain` for a CA whose root is not there.
    """
    given = tuple(dict.fromkeys(certificates))
    for each in given:
        if not is_ca(each):
            message = f"{each.subject.rfc4514_string()} is a device's certificate: {DOWNSTREAM_REASON}"
            raise NotAllowedHere(message, hint=f"give CA certificates only; the device: {DOWNSTREAM_FIX}")
        root = (each, *build_chain(each, given))[-1]
        if not is_self_signed(root):
            message = f"the issuer of {root.subject.rfc4514_string()} is not there"
            raise BrokenChain(message, hint="give the root too, or the file with the full chain")
    return tuple(each for each in given if is_self_signed(each))
