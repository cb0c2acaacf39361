"""Where everything stands in the time line of the report: days become places, long names fit."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from iotc_admin.cli.output import day, plain

if TYPE_CHECKING:
    from datetime import datetime

    from iotc_admin.workflows.status import SlotStatus

WIDTH: Final = 960
_LEFT, _RIGHT = 270, 830
_TOP, _ROW = 44, 24
_ROWS: Final = 40
_LABEL: Final = 34
_CLOSEST: Final = 58
# The coming week is as wide as all that is a decade away: near dates are those that matter.
_LINEAR_DAYS: Final = 7
_EARLIEST, _SOONEST_END = -365, 40
# What is over needs less room than what is to come.
_PAST: Final = 0.4
_TICKS: Final = {
    -365: "1 year ago", -90: "3 months ago", -30: "1 month ago", -7: "1 week ago", 7: "1 week", 30: "1 month",
    90: "3 months", 365: "1 year", 1095: "3 years", 3650: "10 years", 9125: "25 years", 36500: "100 years",
}  # fmt: skip


@dataclass(frozen=True)
class Bar:
    """One certificate from now to its end; `due` is where the part begins in which it is to be renewed."""

    y: int
    label: str
    title: str
    state: str
    start: float
    due: float
    end: float
    date: str
    days: int


@dataclass(frozen=True)
class Timeline:
    """The certificates that expire first as bars, the others as marks in one last row."""

    bars: tuple[Bar, ...]
    marks: tuple[float, ...]
    ticks: tuple[tuple[float, str], ...]
    now: float
    height: int
    width: int = WIDTH
    left: int = _LEFT
    right: int = _RIGHT
    top: int = _TOP

    @property
    def bottom(self) -> int:
        return self.height - 14


def timeline(slots: Sequence[SlotStatus], now: datetime) -> Timeline | None:
    """The time line of those slots whose dates are known; None if there is none."""
    dated = sorted(((slot.dates.not_after, slot) for slot in slots if slot.dates), key=lambda each: each[0])
    if not dated:
        return None
    ends = [(end - now).total_seconds() / 86400 for end, _ in dated]
    scale = _Scale(max(_EARLIEST, min(*ends, -2)), max(*ends, _SOONEST_END))
    bars = tuple(_bar(place, slot, now, scale) for place, (_, slot) in enumerate(dated[:_ROWS]))
    marks = tuple(scale.x(end) for end in ends[_ROWS:])
    height = _TOP + _ROW * (len(bars) + bool(marks)) + 14
    return Timeline(bars, marks, _ticks(scale), scale.x(0), height)


@dataclass(frozen=True)
class _Scale:
    """Days from now to a place: even near now, ever narrower away from it."""

    first: float
    last: float

    def x(self, days: float) -> float:
        low, high = _bent(self.first), _bent(self.last)
        part = (_bent(min(max(days, self.first), self.last)) - low) / (high - low)
        return round(_LEFT + part * (_RIGHT - _LEFT), 1)


def _bent(days: float) -> float:
    bent = math.log1p(abs(days) / _LINEAR_DAYS)
    return bent if days >= 0 else -_PAST * bent


def _bar(place: int, slot: SlotStatus, now: datetime, scale: _Scale) -> Bar:
    assert slot.dates is not None  # noqa: S101
    assert slot.due_from is not None  # noqa: S101
    end = scale.x((slot.dates.not_after - now).total_seconds() / 86400)
    due = scale.x(max(0.0, (slot.due_from - now).total_seconds() / 86400))
    title = plain(f"{slot.held.place}: {slot.entry.subject if slot.entry else ''}")
    return Bar(
        y=_TOP + _ROW * place + _ROW // 2,
        label=shortened(plain(str(slot.held.place))),
        title=title,
        state=slot.state,
        start=scale.x(0),
        due=min(due, end),
        end=end,
        date=day(slot.dates.not_after),
        days=slot.days_left or 0,
    )


def _ticks(scale: _Scale) -> tuple[tuple[float, str], ...]:
    """Those that are in sight and leave each other room; nearest to now first, where they matter."""
    taken = [scale.x(0)]
    ticks = []
    for days in sorted(_TICKS, key=abs):
        x = scale.x(days)
        if scale.first <= days <= scale.last and all(abs(x - each) >= _CLOSEST for each in taken):
            taken.append(x)
            ticks.append((x, _TICKS[days]))
    return tuple(sorted(ticks))


def shortened(text: str) -> str:
    """A name that fits beside its bar: the middle goes, as beginnings and endings tell names apart."""
    if len(text) <= _LABEL:
        return text
    half = (_LABEL - 1) // 2
    return f"{text[:half]}…{text[-half:]}"
