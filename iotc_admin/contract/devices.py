"""Devices, their attestation (individual enrollment) and credentials."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal, Self

from pydantic import Field, ValidationInfo, model_validator

from iotc_admin.contract.enrollment_groups import SymmetricKey, X509CertificateInfo
from iotc_admin.contract.wire import STRICT, OneOf, Patch, Wire


class Device(Wire):
    """A device. `enabled=False` blocks it; `provisioned` once it has registered. Also its own patch."""

    id: str | None = None
    etag: str | None = None
    display_name: str | None = None
    template: str | None = None
    enabled: bool | None = None
    provisioned: bool | None = None
    simulated: bool | None = None
    organizations: tuple[str, ...] | None = None


class X509Certificate(Wire):
    """A device's own certificate: `certificate` goes in, `info` comes back."""

    certificate: str | None = None
    info: X509CertificateInfo | None = None


class X509Certificates(Wire):
    primary: X509Certificate
    secondary: X509Certificate | None = None


class X509(Wire):
    client_certificates: X509Certificates | None = None


class Tpm(Wire):
    endorsement_key: str


class Attestation(OneOf):
    """How one device proves who it is; `x509` holds its own certificates."""

    x509: X509 | None = None
    symmetric_key: SymmetricKey | None = None
    tpm: Tpm | None = None

    @model_validator(mode="after")
    def _complete(self, info: ValidationInfo) -> Self:
        if info.context == STRICT and not self.model_fields_set - {"type"}:
            message = f"type {self.type!r} comes without its field"
            raise ValueError(message)
        return self


class X509CertificatesPatch(Patch):
    primary: X509Certificate | None = None
    secondary: X509Certificate | None = None


class X509Patch(Patch):
    client_certificates: X509CertificatesPatch | None = None


class AttestationPatch(Patch):
    """Changes just the slots it names."""

    type: Literal["x509", "symmetricKey", "tpm"] | None = None
    x509: X509Patch | None = None
    symmetric_key: SymmetricKey | None = None
    tpm: Tpm | None = None


class DeviceCredentials(Wire):
    """How a device may connect; the only answer of the REST API that names the ID scope."""

    id_scope: str
    symmetric_key: SymmetricKey | None = None
    x509: X509 | None = None
    tpm: Tpm | None = None


class DeviceTelemetry(Wire):
    """The last value of one telemetry, and when it arrived."""

    value: Any = None
    timestamp: datetime | None = None


class DeviceCommand(Wire):
    """A command and its answer; time-outs in seconds. The device answers with `response_code`, as in HTTP."""

    id: str | None = None
    connection_timeout: int | None = Field(default=None, ge=0, le=30)
    response_timeout: int | None = Field(default=None, ge=5, le=30)
    request: Any = None
    response: Any = None
    response_code: int | None = None


class DeviceProperties(Wire):
    """Properties by name, components as objects; what the device reported, and what it is asked to be."""

    @classmethod
    def read_strictly(cls, data: bytes) -> Self:
        """Names are the device's own: none is unknown."""
        return cls.model_validate_json(data, strict=True, extra="allow", context=STRICT)


class DevicePropertiesPatch(DeviceProperties, Patch):
    """Changes just the properties it names; null removes."""


class CertificateProperties(Wire):
    """What a device reports of the certificate it registered with last, among its other properties.

    The thumbprint is SHA-1, upper-case hex.
    """

    certificate_thumbprint: str | None = None
    certificate_not_after: datetime | None = None
    last_registration: datetime | None = None
