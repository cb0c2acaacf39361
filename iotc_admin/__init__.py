"""X.509 device identities for Azure IoT Central.

`Client` and `AsyncClient` speak the REST API, `CertificateAuthority` and `DeviceIdentity` make and read
certificates, `workflows` join the two, `emulator` stands in for the service.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from iotc_admin import emulator, errors, workflows
    from iotc_admin.client.async_client import AsyncClient
    from iotc_admin.client.client import Client
    from iotc_admin.client.credentials import ApiToken, EntraToken
    from iotc_admin.client.pacing import Pacer
    from iotc_admin.contract.devices import Attestation, Device, DeviceCredentials
    from iotc_admin.contract.enrollment_groups import (
        EnrollmentGroup,
        EnrollmentGroupPatch,
        GroupAttestation,
        SigningX509Certificate,
        Slot,
        X509VerificationCertificate,
    )
    from iotc_admin.errors import (
        AnswerLost,
        BadRequest,
        Conflict,
        IotcError,
        NotAllowed,
        NotAuthenticated,
        NotFound,
        PkiError,
        PlanError,
        ProvisioningRefused,
        RateLimited,
        RunIncomplete,
        ServiceDown,
        ServiceError,
        SettingsError,
        UnexpectedAnswer,
        Unreachable,
    )
    from iotc_admin.ledger.ledger import Ledger
    from iotc_admin.pki.authority import CertificateAuthority
    from iotc_admin.pki.identity import DeviceIdentity
    from iotc_admin.pki.keys import KeyKind

__version__ = "0.1.0"

# Where each name lives: loaded when it is first used, so that importing the package stays cheap.
_HOMES: Final = {
    "iotc_admin": ("emulator", "errors", "workflows"),
    "iotc_admin.client.async_client": ("AsyncClient",),
    "iotc_admin.client.client": ("Client",),
    "iotc_admin.client.credentials": ("ApiToken", "EntraToken"),
    "iotc_admin.client.pacing": ("Pacer",),
    "iotc_admin.contract.devices": ("Attestation", "Device", "DeviceCredentials"),
    "iotc_admin.contract.enrollment_groups": (
        "EnrollmentGroup",
        "EnrollmentGroupPatch",
        "GroupAttestation",
        "SigningX509Certificate",
        "Slot",
        "X509VerificationCertificate",
    ),
    "iotc_admin.errors": (
        "AnswerLost",
        "BadRequest",
        "Conflict",
        "IotcError",
        "NotAllowed",
        "NotAuthenticated",
        "NotFound",
        "PkiError",
        "PlanError",
        "ProvisioningRefused",
        "RateLimited",
        "RunIncomplete",
        "ServiceDown",
        "ServiceError",
        "SettingsError",
        "UnexpectedAnswer",
        "Unreachable",
    ),
    "iotc_admin.ledger.ledger": ("Ledger",),
    "iotc_admin.pki.authority": ("CertificateAuthority",),
    "iotc_admin.pki.identity": ("DeviceIdentity",),
    "iotc_admin.pki.keys": ("KeyKind",),
}

__all__ = [
    "AnswerLost",
    "ApiToken",
    "AsyncClient",
    "Attestation",
    "BadRequest",
    "CertificateAuthority",
    "Client",
    "Conflict",
    "Device",
    "DeviceCredentials",
    "DeviceIdentity",
    "EnrollmentGroup",
    "EnrollmentGroupPatch",
    "EntraToken",
    "GroupAttestation",
    "IotcError",
    "KeyKind",
    "Ledger",
    "NotAllowed",
    "NotAuthenticated",
    "NotFound",
    "Pacer",
    "PkiError",
    "PlanError",
    "ProvisioningRefused",
    "RateLimited",
    "RunIncomplete",
    "ServiceDown",
    "ServiceError",
    "SettingsError",
    "SigningX509Certificate",
    "Slot",
    "UnexpectedAnswer",
    "Unreachable",
    "X509VerificationCertificate",
    "emulator",
    "errors",
    "workflows",
]


def __getattr__(name: str) -> object:
    for home, names in _HOMES.items():
        if name in names:
            if home == __name__:
                return import_module(f"{home}.{name}")
            found: object = getattr(import_module(home), name)
            return found
    message = f"module {__name__!r} has no attribute {name!r}"
    raise AttributeError(message)


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
