"""Hides how a file's content is recognised, so that an error can say what was found instead."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.hazmat.primitives import serialization

from iotc_admin.pki.containers import blocks, is_pfx
from iotc_admin.pki.parsing import FAILURES, quietly

if TYPE_CHECKING:
    from iotc_admin.pki.containers import Block

_WORDS = {
    "CERTIFICATE": "a certificate",
    "X509 CERTIFICATE": "a certificate",
    "CERTIFICATE REQUEST": "a certificate request",
    "NEW CERTIFICATE REQUEST": "a certificate request",
    "PUBLIC KEY": "a public key",
    "X509 CRL": "a revocation list",
    "PKCS7": "a PKCS#7 container",
    "OPENSSH PRIVATE KEY": "an OpenSSH private key",
}


def instead(data: bytes, wanted: str) -> str:
    """What `data` is or holds, as the end of a sentence that starts with the file's name."""
    if not data.strip():
        return "is empty"
    if is_pfx(data):
        return f"is a PFX without a {wanted}"
    found = [word for word in map(_word, blocks(data)) if word and word.split(" ", 1)[1] != wanted]
    if found:
        return f"holds {found[0]}, but no {wanted}"
    return f"is not a {wanted}"


def _word(block: Block) -> str:
    if not block.label:
        return _bare_word(block.content)
    if block.label in _WORDS:
        return _WORDS[block.label]
    return "a private key" if block.label.endswith("PRIVATE KEY") else ""


def _bare_word(der: bytes) -> str:
    for word, read in (
        ("a certificate", x509.load_der_x509_certificate),
        ("a certificate request", x509.load_der_x509_csr),
        ("a public key", serialization.load_der_public_key),
    ):
        try:
            with quietly():
                read(der)
        except FAILURES:
            continue
        return word
    return "a private key" if _is_bare_key(der) else ""


def _is_bare_key(der: bytes) -> bool:
    try:
        serialization.load_der_private_key(der, None)
    except TypeError:  # how cryptography says: encrypted
        return True
    except FAILURES:
        return False
    return True
