"""Hides which checks a role asks for, and which error a failed one becomes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, TypeAlias

from iotc_admin.errors import BrokenChain, NotAllowedHere, OutsideValidity
from iotc_admin.pki.checks import FOR_DEVICE, FOR_ROOT, Case, Finding

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from cryptography import x509

    from iotc_admin.errors import PkiError

__all__ = ["Finding", "Role", "lint", "require"]

Role: TypeAlias = Literal["root", "device"]
"""What a certificate is to be: `root` is a CA in a group's slot, intermediates too; `device` a leaf."""

_ERRORS: dict[str, type[PkiError]] = {
    "expired": OutsideValidity,
    "not-yet-valid": OutsideValidity,
    "not-signed-by-issuer": BrokenChain,
}


def lint(
    certificate: x509.Certificate,
    *,
    role: Role,
    now: datetime,
    issuer: x509.Certificate | None = None,
    device_id: str | None = None,
    chain: Iterable[x509.Certificate] = (),
) -> list[Finding]:
    """What the service or its devices would stumble over, errors first. `chain` is what is sent along."""
    case = Case(certificate, now, issuer, device_id, tuple(chain))
    checks = FOR_ROOT if role == "root" else FOR_DEVICE
    return sorted((finding for check in checks for finding in check(case)), key=lambda each: each.level)


def require(
    certificate: x509.Certificate,
    *,
    role: Role,
    now: datetime,
    issuer: x509.Certificate | None = None,
    device_id: str | None = None,
    chain: Iterable[x509.Certificate] = (),
    name: str = "certificate",
) -> None:
    """OutsideValidity, BrokenChain or NotAllowedHere for the first error of `lint`. `name` is the file."""
    findings = lint(certificate, role=role, now=now, issuer=issuer, device_id=device_id, chain=chain)
    for finding in findings:
        if finding.level == "error":
            error = _ERRORS.get(finding.code, NotAllowedHere)
            raise error(f"{name} {finding.what}", hint=finding.fix)
