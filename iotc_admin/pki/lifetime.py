"""Hides when a certificate is to be renewed: pure functions of its dates, a policy and the time."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

from iotc_admin.errors import SettingsError

if TYPE_CHECKING:
    from iotc_admin.pki.validity import Validity

_SHORT_LIFE: Final = timedelta(days=10)
_DAY: Final = timedelta(days=1)
_UNITS: Final = {"h": timedelta(hours=1), "d": _DAY, "w": timedelta(weeks=1)}


@dataclass(frozen=True, slots=True)
class Policy:
    """When to renew: so long before the end; without `within` by the part of the life that is over."""

    within: timedelta | None = None


def due_from(dates: Validity, policy: Policy) -> datetime:
    """When to renew: after two thirds of the lifetime; after half, if the lifetime is ten days or less."""
    if policy.within is not None:
        try:
            return dates.not_after - policy.within
        except OverflowError:
            return datetime.min.replace(tzinfo=UTC)
    life = dates.not_after - dates.not_before
    # A third of a short life would not survive a weekend in which nobody looks.
    part = life / 2 if life <= _SHORT_LIFE else life * 2 / 3
    # One that ends before it begins is over, not in its prime.
    return min(dates.not_before + part, dates.not_after)


def due(dates: Validity, policy: Policy, now: datetime) -> bool:
    """Whether it is to be renewed by now; an expired one always is."""
    return expired(dates, now) or now >= due_from(dates, policy)


def expired(dates: Validity, now: datetime) -> bool:
    """Whether it is over. The last second counts as valid, as X.509 has it."""
    return now > dates.not_after


def days_left(dates: Validity, now: datetime) -> int:
    """Whole days until it expires; negative from the moment on that it has."""
    return (dates.not_after - now) // _DAY


def read_duration(text: str) -> timedelta:
    """A span of time as people write it: `30d`, `12h`, `4w`. Raises `SettingsError`."""
    match = re.fullmatch(r"([0-9]{1,6})([hdw])", text.strip())
    if match is None:
        raise SettingsError(f"{text[:40]!r} is no span of time", hint="as in 30d, 12h or 4w")
    return int(match[1]) * _UNITS[match[2]]
