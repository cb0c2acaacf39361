"""One pace for all processes of a user: the service allows 20 requests per second per application.

The next free place in the queue, the last twenty places taken and the rate stand in one SQLite row per
application. A success raises the rate a little, a refusal cuts it; whoever comes next starts where the
others have got to.
"""

from __future__ import annotations

import json
import logging
import sqlite3
import threading
import time
import weakref
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

# Just below the 20 the service allows: exactly 20 is refused as soon as two requests bunch up.
CEILING: Final = 19.4
# How far a command may run ahead of its place: about ten requests, so that a single command never waits.
AHEAD: Final = 0.5

# No more than this many places in any window of this length, a run ahead included: a service that counts
# by a sliding second sees the requests a little bunched by the network.
_PLACES: Final = 20
WINDOW: Final = 1.03
_FLOOR: Final = 0.5
_RAISE: Final = 0.02
_CUT: Final = 0.8
_CUT_AT_MOST_EVERY: Final = 1.0
# A place further off than this was written under another clock.
_ABSURD: Final = 60.0

_SCHEMA: Final = (
    "CREATE TABLE IF NOT EXISTS queue"
    " (app TEXT PRIMARY KEY, next REAL, rate REAL, cut REAL, places TEXT NOT NULL DEFAULT '[]')"
)
_log = logging.getLogger("iotc_admin.client")


@dataclass(frozen=True)
class Pace:
    """Requests a second as they are allowed now and at most, and when one was last refused for the rate."""

    rate: float
    ceiling: float
    refused: datetime | None


class Pacer:
    """Hands out places in the queue to one application.

    `file` is shared by processes; without one, or where it cannot be used, the pace is this process's own.
    `ceiling`: requests a second; `ahead`: seconds; `window`: seconds in which at most 20 places lie;
    `patience`: how many seconds to wait for the others' writes.
    """

    def __init__(
        self,
        app: str,
        *,
        file: Path | None = None,
        ceiling: float = CEILING,
        ahead: float = AHEAD,
        window: float = WINDOW,
        patience: float = 5.0,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._app = app
        self._ceiling = ceiling
        self._ahead = ahead
        self._window = window
        self._clock = clock
        self._lock = threading.Lock()
        self._db = _open(file, patience)
        self.close = weakref.finalize(self, self._db.close)
        self._do("INSERT OR IGNORE INTO queue (app, next, rate, cut) VALUES (?, 0, ?, 0)", (app, ceiling))

    def take(self) -> float:
        """Take the next place in the queue; how many seconds to wait for it."""
        now = self._clock()
        with self._lock:
            try:
                self._db.execute("BEGIN IMMEDIATE")
                place = self._next_place(now)
                self._db.execute("COMMIT")
            except (sqlite3.Error, TypeError, ValueError, ArithmeticError) as error:
                self._start_over(error)
                return 0.0
        return place - now

    def _start_over(self, error: Exception) -> None:
        """A row that nobody can read is as good as none."""
        _complain(error)
        if self._db.in_transaction:
            self._do(
                "UPDATE queue SET next = 0, rate = ?, cut = 0, places = '[]' WHERE app = ?",
                (self._ceiling, self._app),
            )
            self._do("COMMIT", ())

    def _next_place(self, now: float) -> float:
        query = "SELECT next, rate, places FROM queue WHERE app = ?"
        row = self._db.execute(query, (self._app,)).fetchone()
        free, rate = float(row[0]), max(float(row[1]), _FLOOR)
        places = [float(place) for place in json.loads(row[2])]
        if free > now + _ABSURD:
            free, places = now, []
        free = max(free, now)
        window = places[-_PLACES] + self._window if len(places) >= _PLACES else now
        place = max(now, free - self._ahead, window)
        self._db.execute(
            "UPDATE queue SET next = ?, places = ? WHERE app = ?",
            (free + 1 / rate, json.dumps([*places, place][-_PLACES:]), self._app),
        )
        return place

    def pace(self) -> Pace:
        """How fast this application is asked at the moment."""
        query = "SELECT rate, cut FROM queue WHERE app = ?"
        with self._lock:
            try:
                rate, cut = self._db.execute(query, (self._app,)).fetchone()
                refused = datetime.fromtimestamp(float(cut), UTC) if cut else None
                return Pace(min(max(float(rate), _FLOOR), self._ceiling), self._ceiling, refused)
            except (sqlite3.Error, TypeError, ValueError, ArithmeticError, OSError) as error:
                self._start_over(error)
                return Pace(self._ceiling, self._ceiling, None)

    def went_well(self) -> None:
        """A request was served: the rate may rise a little."""
        with self._lock:
            self._do(
                "UPDATE queue SET rate = min(rate + ?, ?) WHERE app = ?", (_RAISE, self._ceiling, self._app)
            )

    def was_refused(self) -> None:
        """A request was refused for the rate: cut it, at most once a second for all processes."""
        now = self._clock()
        with self._lock:
            self._do(
                "UPDATE queue SET rate = max(rate * ?, ?), cut = ? WHERE app = ? AND abs(? - cut) >= ?",
                (_CUT, _FLOOR, now, self._app, now, _CUT_AT_MOST_EVERY),
            )

    def _do(self, statement: str, values: tuple[object, ...]) -> None:
        try:
            self._db.execute(statement, values)
        except sqlite3.Error as error:
            _complain(error)


def _complain(error: Exception) -> None:
    # The pace is a courtesy: the service still refuses what is too much, and refusals are retried.
    _log.warning("the shared pace is not to be had: %s", error)


def _open(file: Path | None, patience: float) -> sqlite3.Connection:
    if file is not None:
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            return _connect(str(file), patience)
        except (OSError, sqlite3.Error) as error:
            _log.warning("%s cannot be shared (%s): other processes are paced apart", file, error)
    return _connect(":memory:", patience)


def _connect(where: str, patience: float) -> sqlite3.Connection:
    # A lost row costs a second of pace, so nothing is synced to the disk; WAL outlives a killed process.
    db = sqlite3.connect(where, isolation_level=None, check_same_thread=False, timeout=patience)
    try:
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("PRAGMA synchronous = OFF")
        db.execute(_SCHEMA)
    except sqlite3.Error:
        db.close()
        raise
    return db
