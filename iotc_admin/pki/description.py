"""Hides how a certificate is read for people and for the ledger; malformed parts count as absent."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID, SignatureAlgorithmOID

from iotc_admin.pki.chain import is_self_signed
from iotc_admin.pki.keys import key_kind_of, spki_sha256
from iotc_admin.pki.parsing import FAILURES, extension, public_key_of, quietly

if TYPE_CHECKING:
    from datetime import datetime

_USAGES = {
    "digital_signature": "digitalSignature",
    "content_commitment": "nonRepudiation",
    "key_encipherment": "keyEncipherment",
    "data_encipherment": "dataEncipherment",
    "key_agreement": "keyAgreement",
    "key_cert_sign": "keyCertSign",
    "crl_sign": "cRLSign",
}
_SIGNATURES = {
    oid: name for name, oid in vars(SignatureAlgorithmOID).items() if isinstance(oid, x509.ObjectIdentifier)
}
_PURPOSES = {
    oid: name for name, oid in vars(ExtendedKeyUsageOID).items() if isinstance(oid, x509.ObjectIdentifier)
}


@dataclass(frozen=True, slots=True)
class CertificateFacts:
    """What a certificate says. Names are RFC 4514, hashes and serial upper-case hex, times UTC."""

    subject: str
    issuer: str
    common_name: str | None
    serial: str
    sha1: str
    sha256: str
    spki_sha256: str | None
    not_before: datetime
    not_after: datetime
    key_type: str
    signature_algorithm: str
    is_ca: bool
    path_length: int | None
    key_usage: list[str]
    extended_key_usage: list[str]
    version: str
    self_signed: bool


def describe(certificate: x509.Certificate) -> CertificateFacts:
    """All facts of one certificate."""
    key = public_key_of(certificate)
    with quietly():
        return CertificateFacts(
            subject=certificate.subject.rfc4514_string(),
            issuer=certificate.issuer.rfc4514_string(),
            common_name=common_name(certificate),
            serial=_serial(certificate.serial_number),
            sha1=sha1_thumbprint(certificate),
            sha256=sha256_thumbprint(certificate),
            spki_sha256=None if key is None else spki_sha256(key),
            not_before=certificate.not_valid_before_utc,
            not_after=certificate.not_valid_after_utc,
            key_type=key_kind_of(key),
            signature_algorithm=signature_algorithm(certificate),
            is_ca=is_ca(certificate),
            path_length=path_length(certificate),
            key_usage=key_usage(certificate),
            extended_key_usage=extended_key_usage(certificate),
            version=certificate.version.name,
            self_signed=is_self_signed(certificate),
        )


def sha1_thumbprint(certificate: x509.Certificate) -> str:
    """Upper-case hex without colons, as IoT Central shows it."""
    return certificate.fingerprint(hashes.SHA1()).hex().upper()  # noqa: S303


def sha256_thumbprint(certificate: x509.Certificate) -> str:
    """Upper-case hex without colons."""
    return certificate.fingerprint(hashes.SHA256()).hex().upper()


def common_name(certificate: x509.Certificate | x509.CertificateSigningRequest) -> str | None:
    """The first CN of the subject."""
    found = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    return str(found[0].value) if found else None


def names_device(certificate: x509.Certificate, device_id: str) -> bool:
    """Whether its one CN is this id, but for the case of ASCII letters."""
    names = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    # Beyond ASCII, different letters may have the same lower case: the Kelvin sign is no k.
    same = [str(each.value).isascii() and str(each.value).lower() == device_id.lower() for each in names]
    return same == [True]


def is_ca(certificate: x509.Certificate) -> bool:
    """True when basicConstraints says CA."""
    constraints = extension(certificate, x509.BasicConstraints)
    return constraints is not None and constraints.ca


def path_length(certificate: x509.Certificate) -> int | None:
    """How many CAs may follow below; None when unlimited or not a CA."""
    constraints = extension(certificate, x509.BasicConstraints)
    return None if constraints is None else constraints.path_length


def key_usage(certificate: x509.Certificate) -> list[str]:
    """Names of RFC 5280; empty when the extension is absent."""
    usage = extension(certificate, x509.KeyUsage)
    return [] if usage is None else [word for flag, word in _USAGES.items() if getattr(usage, flag)]


def extended_key_usage(certificate: x509.Certificate) -> list[str]:
    """Names such as clientAuth, dotted where unknown; empty when the extension is absent."""
    usage = extension(certificate, x509.ExtendedKeyUsage)
    return [] if usage is None else [_oid_name(oid) for oid in usage]


def signature_algorithm(certificate: x509.Certificate) -> str:
    """For people: "SHA-256 with ECDSA"; dotted where unknown."""
    oid = certificate.signature_algorithm_oid
    digest = signature_digest(certificate)
    if not digest:
        return _oid_name(oid).capitalize()
    if oid == SignatureAlgorithmOID.RSASSA_PSS:
        return f"{digest} with RSA-PSS"
    return f"{digest} with {'ECDSA' if 'ECDSA' in _oid_name(oid) else 'RSA'}"


def signature_digest(certificate: x509.Certificate) -> str:
    """For people: "SHA-256", "SHA-1", "MD5"; empty when there is none or it is unknown."""
    try:
        algorithm = certificate.signature_hash_algorithm
    except FAILURES:
        return ""
    if algorithm is None:
        return ""
    name = algorithm.name.upper()
    return name if "-" in name else name.replace("SHA", "SHA-")


def _oid_name(oid: x509.ObjectIdentifier) -> str:
    return _SIGNATURES.get(oid) or _camel_case(_PURPOSES.get(oid, "")) or oid.dotted_string


def _camel_case(constant: str) -> str:
    first, *others = constant.lower().split("_")
    return first + "".join(each.capitalize() for each in others)


def _serial(number: int) -> str:
    # Whole octets, as every other tool shows it.
    digits = f"{number:X}"
    return digits if len(digits) % 2 == 0 else f"0{digits}"
