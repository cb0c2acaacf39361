"""Hides what the service and its devices stumble over in a certificate: one short check each."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Literal, TypeAlias

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, SignatureAlgorithmOID

from iotc_admin.pki import description
from iotc_admin.pki.chain import signed_by
from iotc_admin.pki.keys import weakness
from iotc_admin.pki.names import DEVICE_ID_RULE, fault_of_device_id
from iotc_admin.pki.parsing import extension, has_readable_extensions, public_key_of, quietly
from iotc_admin.pki.validity import BACK_DATED

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from datetime import datetime

_STRONG_DIGESTS = ("SHA-256", "SHA-384", "SHA-512")
_SHORTEST_SERIAL = 64
_SOON = timedelta(days=30)
_LARGEST_CHAIN = 4096
_TLS_LENGTH_FIELD = 3
_GRACE = timedelta(seconds=1)  # certificates know no fractions of a second
_ISSUE_AGAIN = "issue the certificate again: iotc-admin cert"


@dataclass(frozen=True, slots=True)
class Finding:
    """One remark about a certificate; `code` is stable."""

    level: Literal["error", "warning"]
    code: str
    what: str
    cause: str
    fix: str


@dataclass(frozen=True, slots=True)
class Case:
    """What is judged, and in which light."""

    certificate: x509.Certificate
    now: datetime
    issuer: x509.Certificate | None
    device_id: str | None
    chain: tuple[x509.Certificate, ...]


def _error(code: str, what: str, cause: str, fix: str) -> Finding:
    return Finding("error", code, what, cause, fix)


def _warning(code: str, what: str, cause: str, fix: str) -> Finding:
    return Finding("warning", code, what, cause, fix)


def _dates(case: Case) -> Iterator[Finding]:
    begin, end = case.certificate.not_valid_before_utc, case.certificate.not_valid_after_utc
    if case.now > end:
        yield _error(
            "expired",
            f"expired on {end:%Y-%m-%d}",
            "its lifetime is over",
            f"{_ISSUE_AGAIN}, then roll to it",
        )
    if case.now < begin:
        yield _error(
            "not-yet-valid",
            f"is not valid before {begin:%Y-%m-%d %H:%M} UTC",
            "it starts in the future, or the clock of this computer is wrong",
            "check the clock, or wait",
        )


def _extensions(case: Case) -> Iterator[Finding]:
    if not has_readable_extensions(case.certificate):
        yield _error(
            "extensions-unreadable",
            "has extensions that cannot be parsed",
            "the program that made it encoded them wrongly",
            _ISSUE_AGAIN,
        )


def _key(case: Case) -> Iterator[Finding]:
    key = public_key_of(case.certificate)
    if fault := weakness(key):
        yield _error(
            "key-unsupported",
            f"has a key that is not accepted: {fault}",
            "the service takes RSA from 2048 bits and EC P-256 or P-384",
            f"{_ISSUE_AGAIN} with --key ec-p256",
        )
    elif isinstance(key, ec.EllipticCurvePublicKey) and isinstance(key.curve, ec.SECP521R1):
        yield _warning(
            "key-p521",
            "has an EC P-521 key",
            "many small TLS stacks do not know the curve",
            "prefer --key ec-p256 or ec-p384",
        )


def _signature(case: Case) -> Iterator[Finding]:
    if description.signature_digest(case.certificate) not in _STRONG_DIGESTS:
        yield _error(
            "signature-weak",
            f"is signed with {description.signature_algorithm(case.certificate)}",
            "the service takes RSA or ECDSA signatures with SHA-256 or better",
            _ISSUE_AGAIN,
        )
    elif case.certificate.signature_algorithm_oid == SignatureAlgorithmOID.RSASSA_PSS:
        yield _warning(
            "signature-pss",
            "is signed with RSA-PSS",
            "it is not documented that the service accepts it",
            "sign with PKCS#1 v1.5 padding, or with an EC key",
        )


def _issuer(case: Case) -> Iterator[Finding]:
    if case.issuer is not None and not signed_by(case.certificate, case.issuer):
        yield _error(
            "not-signed-by-issuer",
            f"was not signed by {case.issuer.subject.rfc4514_string()}",
            f"its issuer calls itself {case.certificate.issuer.rfc4514_string()}, or used another key",
            "give the certificate of the CA that signed it",
        )


def _authority(case: Case) -> Iterator[Finding]:
    if description.is_ca(case.certificate):
        return
    old = case.certificate.version is x509.Version.v1
    yield _error(
        "not-a-ca",
        "is not a CA certificate",
        "it is X.509 version 1, which has no CA flag" if old else "it is a leaf: the CA flag is not set",
        "give a root or intermediate: iotc-admin cert root NAME",
    )


def _signing_usage(case: Case) -> Iterator[Finding]:
    usage = extension(case.certificate, x509.KeyUsage)
    if usage is None:
        yield _warning(
            "key-usage-absent",
            "does not say what its key may be used for",
            "strict TLS stacks refuse a CA without keyUsage",
            _ISSUE_AGAIN,
        )
    elif not usage.key_cert_sign:
        yield _error(
            "key-usage-no-signing",
            "may not sign certificates",
            "its keyUsage lacks keyCertSign",
            "give a root or intermediate: iotc-admin cert root NAME",
        )


def _key_identifier(case: Case) -> Iterator[Finding]:
    if extension(case.certificate, x509.SubjectKeyIdentifier) is None:
        yield _warning(
            "key-identifier-absent",
            "has no subject key identifier",
            "some TLS stacks find issuers by it",
            _ISSUE_AGAIN,
        )


def _serial(case: Case) -> Iterator[Finding]:
    with quietly():
        serial = case.certificate.serial_number
    # A random number of 64 bits may start with zeros: count bytes.
    if serial <= 0 or -(-serial.bit_length() // 8) * 8 < _SHORTEST_SERIAL:
        yield _warning(
            "serial-short",
            f"has the serial number {serial}, shorter than {_SHORTEST_SERIAL} bits",
            "two certificates may get the same one",
            _ISSUE_AGAIN,
        )


def _ends_soon(case: Case) -> Iterator[Finding]:
    end = case.certificate.not_valid_after_utc
    if case.now <= end < case.now + _SOON:
        yield _warning(
            "expires-soon",
            f"expires on {end:%Y-%m-%d}, in {(end - case.now).days} days",
            "nothing it signs can outlive it",
            "make a new one and roll to it",
        )


def _leaf(case: Case) -> Iterator[Finding]:
    if description.is_ca(case.certificate):
        yield _error(
            "is-a-ca",
            "is a CA certificate",
            "the service refuses a CA in a device's place (401002)",
            "give the device's own certificate: iotc-admin cert device ID",
        )


def _name(case: Case) -> Iterator[Finding]:
    name = description.common_name(case.certificate)
    if name is None:
        yield _error(
            "name-absent", "has no common name", "the service takes the device id from it", DEVICE_ID_RULE
        )
        return
    if fault := fault_of_device_id(name):
        yield _error(
            "name-invalid", f"has the common name {name!r}: it {fault}", DEVICE_ID_RULE, _ISSUE_AGAIN
        )
    if name != name.lower():
        yield _warning(
            "name-upper-case",
            f"has upper-case letters in its common name {name!r}",
            "provisioning ignores case, the hub does not",
            "prefer lower-case ids",
        )
    if ":" in name:
        yield _warning(
            "name-colon",
            f"has a colon in its common name {name!r}",
            "some tools and file systems do not take it",
            "prefer - as separator",
        )


def _named_device(case: Case) -> Iterator[Finding]:
    name = description.common_name(case.certificate)
    if case.device_id is None or name in (None, case.device_id):
        return
    finding = _warning if str(name).lower() == case.device_id.lower() else _error
    yield finding(
        "name-differs",
        f"has the common name {name!r}, not {case.device_id!r}",
        "the common name must be the device id, letter by letter",
        f"iotc-admin cert device {case.device_id}",
    )


def _client_usage(case: Case) -> Iterator[Finding]:
    usage = extension(case.certificate, x509.ExtendedKeyUsage)
    if usage is not None and ExtendedKeyUsageOID.CLIENT_AUTH not in usage:
        yield _error(
            "usage-no-client",
            "may not be used by a TLS client",
            "its extendedKeyUsage lacks clientAuth",
            _ISSUE_AGAIN,
        )


def _inside_issuer(case: Case) -> Iterator[Finding]:
    if case.issuer is None:
        return
    begin, end = case.issuer.not_valid_before_utc, case.issuer.not_valid_after_utc
    if case.certificate.not_valid_after_utc > end or case.certificate.not_valid_before_utc < begin:
        yield _warning(
            "outside-issuer",
            f"is valid outside the dates of its issuer, {begin:%Y-%m-%d} to {end:%Y-%m-%d}",
            "it stops working when its issuer does",
            f"{_ISSUE_AGAIN}, with fewer --days",
        )


def _just_begun(case: Case) -> Iterator[Finding]:
    age = case.now - case.certificate.not_valid_before_utc
    if timedelta(0) <= age < BACK_DATED - _GRACE:
        yield _warning(
            "begins-now",
            "has been valid for less than an hour",
            "a device whose clock is late refuses to use it, or is refused",
            "date it back by an hour, as iotc-admin cert does",
        )


def _size(case: Case) -> Iterator[Finding]:
    sent = (case.certificate, *case.chain)
    size = sum(len(each.public_bytes(serialization.Encoding.DER)) + _TLS_LENGTH_FIELD for each in sent)
    if size > _LARGEST_CHAIN:
        yield _warning(
            "chain-large",
            f"is sent with its chain as {size} bytes",
            f"small TLS stacks fail above {_LARGEST_CHAIN}",
            "use EC keys, or fewer intermediates",
        )


Check: TypeAlias = "Callable[[Case], Iterator[Finding]]"

_FOR_ALL: tuple[Check, ...] = (_dates, _extensions, _key, _signature, _issuer)
FOR_ROOT: tuple[Check, ...] = (_authority, _signing_usage, *_FOR_ALL, _key_identifier, _serial, _ends_soon)
FOR_DEVICE: tuple[Check, ...] = (
    *(_leaf, _name, _named_device, _client_usage, *_FOR_ALL),
    *(_inside_issuer, _just_begun, _size),
)
