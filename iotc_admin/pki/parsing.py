"""Hides how cryptography reacts to malformed and sloppy certificates: which exceptions, which warnings."""

from __future__ import annotations

import warnings
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cryptography.hazmat.primitives.asymmetric.types import CertificatePublicKeyTypes

FAILURES = (
    ValueError,
    TypeError,
    UnsupportedAlgorithm,
    x509.InvalidVersion,
    x509.DuplicateExtension,
    x509.UnsupportedGeneralNameType,
)

ExtensionValue = TypeVar("ExtensionValue", bound=x509.ExtensionType)


@contextmanager
def quietly() -> Iterator[None]:
    """Inside, cryptography does not warn: a serial of zero or an over-long name is lint's business."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        yield


def extension(certificate: x509.Certificate, kind: type[ExtensionValue]) -> ExtensionValue | None:
    """The value of one extension; None when absent or when the extensions cannot be parsed."""
    try:
        return certificate.extensions.get_extension_for_class(kind).value
    except (x509.ExtensionNotFound, *FAILURES):
        return None


def public_key_of(certificate: x509.Certificate) -> CertificatePublicKeyTypes | None:
    """The public key; None when it is of a kind nobody here can read."""
    try:
        return certificate.public_key()
    except FAILURES:
        return None


def has_readable_extensions(certificate: x509.Certificate) -> bool:
    """False when malformed extensions hide what the certificate may be used for."""
    try:
        _ = certificate.extensions
    except FAILURES:
        return False
    return True
