"""Hides the forms in which certificates arrive, and what each place demands of them."""

from __future__ import annotations

from base64 import b64decode, b64encode
from binascii import Error as NotBase64
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from iotc_admin.emulator import problems
from iotc_admin.errors import PkiError
from iotc_admin.pki.description import is_ca
from iotc_admin.pki.pem import read_certificate

if TYPE_CHECKING:
    from iotc_admin.emulator.switches import Switches

_ARMOUR = "-----BEGIN"
_DER_SEQUENCE = b"\x30"


def read_slot_certificate(sent: str | None, switches: Switches) -> x509.Certificate:
    """A CA certificate for a slot of a group, from base64 of PEM text or of DER."""
    certificate = read_encoded_certificate(sent, bare_pem=switches.bare_pem == "accepted")
    if not is_ca(certificate):
        raise problems.invalid("The certificate is not a CA certificate: basicConstraints does not say CA.")
    return certificate


def read_encoded_certificate(sent: str | None, *, bare_pem: bool) -> x509.Certificate:
    """The first certificate in base64 of PEM text or of DER, where allowed also in PEM text itself."""
    if not sent:
        raise problems.invalid("The body holds no certificate.")
    if _ARMOUR in sent:
        if not bare_pem:
            raise problems.invalid("The certificate is PEM text; base64 of the PEM text is expected.")
        return _parse(sent.encode())
    try:
        data = b64decode("".join(sent.split()), validate=True)
    except (NotBase64, ValueError) as failure:
        raise problems.invalid("The certificate is not a valid base64 string.") from failure
    return _parse(data)


def encoded(certificate: x509.Certificate) -> str:
    """Base64 of DER, as records keep it."""
    return b64encode(certificate.public_bytes(Encoding.DER)).decode()


def decoded(record: str) -> x509.Certificate:
    """What `encoded` wrote."""
    return x509.load_der_x509_certificate(b64decode(record))


def _parse(data: bytes) -> x509.Certificate:
    # Base64 of base64 of DER, as az sends a DER file named .pem, is read by nobody.
    if not (data.startswith(_DER_SEQUENCE) or _ARMOUR.encode() in data):
        raise problems.invalid("The base64 string holds neither PEM text nor a DER certificate.")
    try:
        return read_certificate(data)
    except PkiError as failure:
        raise problems.invalid(f"The certificate cannot be read: {failure}.") from failure
