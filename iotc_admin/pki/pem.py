"""Hides the formats others write certificates, keys and requests in; ours are PEM, PKCS#8 and PKCS#12.

Content decides, never a file's name. Only `PkiError`s come out, whatever goes in.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import pkcs12

from iotc_admin.errors import BadPem, BrokenChain, PkiError
from iotc_admin.pki.containers import Block, blocks, is_pfx
from iotc_admin.pki.diagnosis import instead
from iotc_admin.pki.parsing import FAILURES, quietly

if TYPE_CHECKING:
    from collections.abc import Iterable

    from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes

    from iotc_admin.pki.keys import SigningKey

_LOCKED_HINT = "give the password with --key-password-file"
_CERTIFICATE_LABELS = ("CERTIFICATE", "X509 CERTIFICATE")
_REQUEST_LABELS = ("CERTIFICATE REQUEST", "NEW CERTIFICATE REQUEST")


def read_certificates(data: bytes, password: bytes | None = None) -> list[x509.Certificate]:
    """All certificates in PEM, DER, bare base64 or PFX; at least one. `password` opens a PFX."""
    if is_pfx(data):
        certificates = read_pfx(data, password)[1]
    else:
        found = blocks(data)
        certificates = [_certificate(each) for each in found if each.label in ("", *_CERTIFICATE_LABELS)]
    if not certificates:
        raise BadPem(instead(data, "certificate"), hint="give a certificate as PEM, DER or PFX")
    return certificates


def read_certificate(data: bytes, password: bytes | None = None) -> x509.Certificate:
    """The first certificate of `read_certificates`."""
    return read_certificates(data, password)[0]


def read_key(data: bytes, password: bytes | None = None) -> SigningKey:
    """The first private key: PKCS#1, SEC1, PKCS#8, encrypted or not, PEM, DER or PFX; RSA or EC."""
    if is_pfx(data):
        key = read_pfx(data, password)[0]
        if key is None:
            raise BadPem("holds certificates, but no private key", hint="give the key's own file")
        return key
    for block in blocks(data):
        if _may_hold_key(block):
            return _signing_key(_private_key(block, password))
    raise BadPem(instead(data, "private key"), hint="give a private key as PEM, DER or PFX")


def holds_key(data: bytes) -> bool:
    """True when a certificate's file also carries a private key."""
    return is_pfx(data) or any(block.label.endswith("PRIVATE KEY") for block in blocks(data))


def read_request(data: bytes) -> x509.CertificateSigningRequest:
    """A certificate request whose own signature is right, else BrokenChain."""
    for block in blocks(data):
        if block.label in ("", *_REQUEST_LABELS):
            request = _request(block)
            if not _signs_itself(request):
                raise BrokenChain(
                    "holds a certificate request that its own key did not sign",
                    hint="make the request again on the device",
                )
            return request
    raise BadPem(instead(data, "certificate request"), hint="give a PKCS#10 request as PEM or DER")


def read_pfx(data: bytes, password: bytes | None) -> tuple[SigningKey | None, list[x509.Certificate]]:
    """Key and certificates of a PKCS#12 file, the key's own certificate first."""
    try:
        with quietly():
            content = pkcs12.load_pkcs12(data, password)
    except FAILURES as failure:
        if password is None:
            raise BadPem("is a PFX that needs a password", hint=_LOCKED_HINT) from failure
        raise BadPem(
            "is a PFX that this password does not open",
            hint="check the password; if it is right, export again",
        ) from failure
    holders = [content.cert, *content.additional_certs]
    certificates = [_readable(holder.certificate) for holder in holders if holder is not None]
    return (None if content.key is None else _signing_key(content.key)), certificates


def certificate_pem(certificate: x509.Certificate) -> bytes:
    """The certificate as PEM."""
    return certificate.public_bytes(serialization.Encoding.PEM)


def fullchain_pem(certificate: x509.Certificate, chain: Iterable[x509.Certificate]) -> bytes:
    """The certificate and its issuers as one PEM, nearest first."""
    return b"".join(certificate_pem(each) for each in (certificate, *chain))


def key_pem(key: SigningKey, password: bytes | None = None) -> bytes:
    """The key as PKCS#8 PEM, encrypted when a password is given. PkiError if it cannot leave where it is."""
    exported = export_key(key, password)
    if exported is None:
        raise PkiError("the key cannot be copied from where it is", hint="use it where it is")
    return exported


def export_key(key: SigningKey, password: bytes | None = None) -> bytes | None:
    """Like `key_pem`, but None for a key that cannot leave where it is."""
    encryption = serialization.NoEncryption() if password is None else _encryption(password)
    try:
        return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption)
    except (NotImplementedError, TypeError, ValueError, UnsupportedAlgorithm, PkiError):
        return None


def pfx(
    name: str,
    key: SigningKey,
    certificate: x509.Certificate,
    chain: Iterable[x509.Certificate],
    password: bytes,
) -> bytes:
    """Key, certificate and chain as PKCS#12."""
    # The table of key types in cryptography is closed; a key that lives elsewhere has no bytes to put in.
    try:
        return pkcs12.serialize_key_and_certificates(
            name.encode(), key, certificate, list(chain), _encryption(password)
        )
    except (TypeError, NotImplementedError) as failure:
        raise PkiError("the key cannot be copied into a PFX", hint="leave out --pfx") from failure


def _encryption(password: bytes) -> serialization.KeySerializationEncryption:
    if not password:
        raise PkiError("the password is empty", hint="put a password in the file, or leave the option out")
    return serialization.BestAvailableEncryption(password)


def _certificate(block: Block) -> x509.Certificate:
    try:
        with quietly():
            certificate = x509.load_der_x509_certificate(block.der)
    except FAILURES as failure:
        what = "holds a damaged certificate" if block.label else instead(block.content, "certificate")
        raise BadPem(what, hint="export the certificate again") from failure
    return _readable(certificate)


def _readable(certificate: x509.Certificate) -> x509.Certificate:
    # Names are parsed late and then kept: a certificate that passes here answers from now on.
    try:
        with quietly():
            _ = certificate.subject, certificate.issuer
            _ = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    except FAILURES as failure:
        raise BadPem(
            "holds a certificate whose names or dates cannot be read", hint="export the certificate again"
        ) from failure
    return certificate


def _may_hold_key(block: Block) -> bool:
    return not block.label or block.label.endswith("PRIVATE KEY")


def _private_key(block: Block, password: bytes | None) -> PrivateKeyTypes:
    load = serialization.load_pem_private_key if block.label else serialization.load_der_private_key
    try:
        return load(block.content, None)
    except TypeError as encrypted:
        if password is None:
            raise BadPem("holds an encrypted private key", hint=_LOCKED_HINT) from encrypted
    except FAILURES as failure:
        raise BadPem(_key_failure(block, failure), hint="give an RSA or EC private key") from failure
    try:
        return load(block.content, password)
    except FAILURES as failure:
        raise BadPem(
            "holds a private key that this password does not open", hint="check the file with the password"
        ) from failure


def _key_failure(block: Block, failure: Exception) -> str:
    if isinstance(failure, UnsupportedAlgorithm):
        return "holds a private key of a kind that is not supported"
    return "holds a damaged private key" if block.label else instead(block.content, "private key")


def _signing_key(key: PrivateKeyTypes) -> SigningKey:
    if isinstance(key, ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey):
        return key
    kind = type(key).__name__.removesuffix("PrivateKey")
    raise BadPem(f"holds a private key of kind {kind}", hint="give an RSA or EC private key")


def _request(block: Block) -> x509.CertificateSigningRequest:
    try:
        with quietly():
            request = x509.load_der_x509_csr(block.der)
            _ = request.subject, request.public_key()
    except FAILURES as failure:
        what = (
            "holds a damaged certificate request"
            if block.label
            else instead(block.content, "certificate request")
        )
        raise BadPem(what, hint="make the request again on the device") from failure
    return request


def _signs_itself(request: x509.CertificateSigningRequest) -> bool:
    try:
        return request.is_signature_valid
    except FAILURES:
        return False
