"""The one clock of the emulator; hides how far it was moved."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


def wall_clock() -> datetime:
    """The real time, UTC."""
    return datetime.now(UTC)


def _ignore(_offset: timedelta) -> None:
    return


class Clock:
    """A clock that can be moved; `remember` is told each offset. `date_skew` falsifies Date headers only."""

    def __init__(
        self,
        source: Callable[[], datetime] = wall_clock,
        *,
        offset: timedelta = timedelta(),
        remember: Callable[[timedelta], None] = _ignore,
    ) -> None:
        self._source = source
        self._offset = offset
        self._remember = remember
        self.date_skew = timedelta()

    def now(self) -> datetime:
        """The emulator's time, UTC."""
        return self._source() + self._offset

    def advance(self, by: timedelta) -> None:
        """Move the clock; a negative step moves it back. OverflowError beyond the years 1 to 9999."""
        self._move(self._offset + by)

    def set(self, to: datetime) -> None:
        """Move the clock to a time, from which it goes on. The time needs a zone."""
        self._move(to - self._source())

    def _move(self, offset: timedelta) -> None:
        _ = self._source() + offset
        self._remember(offset)
        self._offset = offset
