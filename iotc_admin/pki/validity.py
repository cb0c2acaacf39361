"""Hides from when until when a new certificate is valid: never before or beyond its issuer."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from iotc_admin.errors import OutsideValidity

if TYPE_CHECKING:
    from datetime import datetime

    from cryptography import x509

# Devices without a battery-backed clock are late by up to an hour after a restart.
BACK_DATED = timedelta(hours=1)
_SHORTEST = timedelta(seconds=1)


@dataclass(frozen=True, slots=True)
class Validity:
    """The two dates of a certificate, UTC, whole seconds."""

    not_before: datetime
    not_after: datetime


def lasting(lifetime: timedelta, *, now: datetime) -> Validity:
    """Valid from an hour ago for `lifetime` from now."""
    if lifetime < _SHORTEST:
        raise OutsideValidity("a lifetime must be positive", hint="use --days 1 or more")
    try:
        end = now + lifetime
    except OverflowError as failure:
        raise OutsideValidity(
            f"a lifetime of {lifetime.days} days ends after the year 9999", hint="use fewer --days"
        ) from failure
    return Validity((now - BACK_DATED).replace(microsecond=0), end.replace(microsecond=0))


def within(
    issuer: x509.Certificate, lifetime: timedelta | None, *, default: timedelta, now: datetime
) -> Validity:
    """Inside the issuer's dates: the default is shortened to fit, an explicit lifetime refused."""
    require_valid(issuer, now=now)
    wanted = lasting(default if lifetime is None else lifetime, now=now)
    if lifetime is not None and wanted.not_after > issuer.not_valid_after_utc:
        raise OutsideValidity(
            f"{wanted.not_after:%Y-%m-%d} is after the end of the issuer {_name(issuer)}, "
            f"{issuer.not_valid_after_utc:%Y-%m-%d}",
            hint=_largest(issuer, now),
        )
    return Validity(
        max(wanted.not_before, issuer.not_valid_before_utc),
        min(wanted.not_after, issuer.not_valid_after_utc),
    )


def require_valid(issuer: x509.Certificate, *, now: datetime) -> None:
    """Refuse to issue under a certificate that is not valid now."""
    if now < issuer.not_valid_before_utc:
        raise OutsideValidity(
            f"{_name(issuer)} is not valid before {issuer.not_valid_before_utc:%Y-%m-%d %H:%M} UTC",
            hint="check the clock of this computer",
        )
    if now > issuer.not_valid_after_utc:
        raise OutsideValidity(
            f"{_name(issuer)} expired on {issuer.not_valid_after_utc:%Y-%m-%d}",
            hint="make a new one and roll to it",
        )


def _largest(issuer: x509.Certificate, now: datetime) -> str:
    days = (issuer.not_valid_after_utc - now).days
    return f"use --days {days} or less" if days else "renew the issuer first: it ends within a day"


def _name(certificate: x509.Certificate) -> str:
    return certificate.subject.rfc4514_string()
