"""Hides how it is decided which certificate signed which: by name and signature, without policy."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.exceptions import InvalidSignature

from iotc_admin.pki.parsing import FAILURES, extension, quietly

if TYPE_CHECKING:
    from collections.abc import Iterable


def signed_by(certificate: x509.Certificate, issuer: x509.Certificate) -> bool:
    """Name and signature match; dates and CA flags are not asked."""
    try:
        with quietly():
            certificate.verify_directly_issued_by(issuer)
    except (InvalidSignature, *FAILURES):
        return False
    return True


def is_self_signed(certificate: x509.Certificate) -> bool:
    """True when the certificate's own key made its signature."""
    return signed_by(certificate, certificate)


def build_chain(
    leaf: x509.Certificate, candidates: Iterable[x509.Certificate]
) -> tuple[x509.Certificate, ...]:
    """The issuers of `leaf` among the candidates, nearest first, up to the root if it is there."""
    remaining = [each for each in dict.fromkeys(candidates) if each != leaf]
    chain: list[x509.Certificate] = []
    current = leaf
    while not is_self_signed(current):
        issuer = next((each for each in remaining if signed_by(current, each)), None)
        if issuer is None:
            break
        remaining.remove(issuer)
        chain.append(issuer)
        current = issuer
    return tuple(chain)


def room_below(chain: Iterable[x509.Certificate]) -> int | None:
    """How many CAs may still stand below the first of `chain`, its issuers after it; None for any number."""
    limits = ((_path_length(each), depth) for depth, each in enumerate(chain))
    # An issuer further up that allows n CAs below it has already spent one on each CA in between.
    return min((limit - depth for limit, depth in limits if limit is not None), default=None)


def _path_length(certificate: x509.Certificate) -> int | None:
    constraints = extension(certificate, x509.BasicConstraints)
    return None if constraints is None else constraints.path_length
