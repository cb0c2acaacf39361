"""Enrollment groups and the certificates in their slots."""

from __future__ import annotations

from enum import StrEnum
from typing import Literal, get_args

from pydantic import Field, ValidationInfo, field_validator

from iotc_admin.contract.wire import STRICT, OneOf, Patch, Wire


class Slot(StrEnum):
    """Where a group or a device holds a certificate. Both are equal: there is no active one."""

    PRIMARY = "primary"
    SECONDARY = "secondary"

    @property
    def other(self) -> Slot:
        return Slot.SECONDARY if self is Slot.PRIMARY else Slot.PRIMARY


GroupType = Literal["iot", "iotEdge"]


class SymmetricKey(Wire):
    """A pair of shared keys, base64."""

    primary_key: str = Field(repr=False)
    secondary_key: str = Field(repr=False)


class X509CertificateInfo(Wire):
    """All that the service ever tells of a certificate: SHA-1 of its DER, upper-case hex."""

    sha1_thumbprint: str


class SigningX509Certificate(Wire):
    """A slot of an enrollment group.

    `certificate` (base64 of PEM text or of DER) goes in and never comes back. `verified=True` in a PUT
    skips proof of possession.
    """

    verified: bool = False
    certificate: str | None = None
    info: X509CertificateInfo | None = None
    etag: str | None = None


class SigningX509Certificates(Wire):
    """The two slots. The service leaves this empty in a group; reading the slots tells."""

    primary: SigningX509Certificate | None = None
    secondary: SigningX509Certificate | None = None


class SigningX509(Wire):
    signing_certificates: SigningX509Certificates | None = None


class GroupAttestation(OneOf):
    """How the devices of a group prove who they are.

    `x509`: by a certificate issued by a CA in one of the slots. `symmetricKey`: by a key derived from the
    group's.
    """

    x509: SigningX509 | None = None
    symmetric_key: SymmetricKey | None = None


class EnrollmentGroup(Wire):
    """An enrollment group. `type` says which devices it provisions; `enabled=False` refuses them all."""

    id: str | None = None
    display_name: str
    enabled: bool = True
    type: str
    attestation: GroupAttestation
    etag: str | None = None

    @field_validator("type")
    @classmethod
    def _known_type(cls, value: str, info: ValidationInfo) -> str:
        if info.context == STRICT and value not in get_args(GroupType):
            message = f"{value!r} is none of {', '.join(get_args(GroupType))}"
            raise ValueError(message)
        return value


class EnrollmentGroupPatch(Patch):
    """What may change in a group. Leave out what shall stay: `enabled` above all."""

    display_name: str | None = None
    enabled: bool | None = None
    etag: str | None = None


class X509VerificationCode(Wire):
    """A one-time code; a certificate with it as common name, signed by the CA, proves possession."""

    verification_code: str


class X509VerificationCertificate(Wire):
    """The answer to a verification code, base64 of PEM text or of DER."""

    certificate: str
