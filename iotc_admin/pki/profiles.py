"""Hides what each kind of certificate says, so that the strictest judges accept it.

Judges: RFC 5280 linters, `openssl verify -x509_strict`, Python 3.13's default TLS contexts.
"""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING, TypeAlias

from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from iotc_admin.errors import NotAllowedHere
from iotc_admin.pki.keys import signature_hash
from iotc_admin.pki.parsing import extension

if TYPE_CHECKING:
    from collections.abc import Iterable

    from iotc_admin.pki.keys import SigningKey, VerifyingKey
    from iotc_admin.pki.validity import Validity

Profile: TypeAlias = tuple[tuple[x509.ExtensionType, bool], ...]
"""Extensions, each with whether it is critical."""


def authority(path_length: int | None) -> Profile:
    """A root or an intermediate."""
    if path_length is not None and path_length < 0:
        raise NotAllowedHere(
            f"a path length of {path_length} is negative", hint="use --path-length 0 or more"
        )
    return (
        (x509.BasicConstraints(ca=True, path_length=path_length), True),
        (_key_usage(certificates=True), True),
    )


def device() -> Profile:
    """A device, and the verification certificate of a proof of possession."""
    return _leaf(ExtendedKeyUsageOID.CLIENT_AUTH)


def server(names: Iterable[str], addresses: Iterable[str]) -> Profile:
    """A TLS server under these DNS names and IP addresses."""
    try:
        alternatives: list[x509.GeneralName] = [x509.DNSName(name) for name in names]
        alternatives += [x509.IPAddress(ipaddress.ip_address(each)) for each in addresses]
    except ValueError as failure:
        raise NotAllowedHere(
            f"not a server's name or address: {failure}", hint="use ASCII names"
        ) from failure
    return (
        *_leaf(ExtendedKeyUsageOID.SERVER_AUTH),
        (x509.SubjectAlternativeName(alternatives), False),
    )


def certify(
    name: str,
    public_key: VerifyingKey,
    profile: Profile,
    validity: Validity,
    *,
    issuer: x509.Certificate | None,
    key: SigningKey,
) -> x509.Certificate:
    """Sign a certificate with `key`, which is the issuer's, or the subject's own if `issuer` is None."""
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject if issuer is None else issuer.subject)
        .public_key(public_key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(validity.not_before)
        .not_valid_after(validity.not_after)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public_key), critical=False)
        .add_extension(_authority_key(issuer, key), critical=False)
    )
    for value, critical in profile:
        builder = builder.add_extension(value, critical)
    return builder.sign(key, signature_hash(key))


def _leaf(purpose: x509.ObjectIdentifier) -> Profile:
    return (
        (x509.BasicConstraints(ca=False, path_length=None), True),
        (_key_usage(certificates=False), True),
        (x509.ExtendedKeyUsage([purpose]), False),
    )


def _key_usage(*, certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not certificates,
        key_cert_sign=certificates,
        crl_sign=certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _authority_key(issuer: x509.Certificate | None, key: SigningKey) -> x509.AuthorityKeyIdentifier:
    own = None if issuer is None else extension(issuer, x509.SubjectKeyIdentifier)
    if own is not None:
        return x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(own)
    return x509.AuthorityKeyIdentifier.from_issuer_public_key(key.public_key())
