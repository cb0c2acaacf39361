"""Whether a ledger is sound, without changing it."""

from __future__ import annotations

import re
import sqlite3
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from iotc_admin.ledger.ledger import VERSION

# SQLite 3.40 says so, without reason, of tables whose key is not in the order of their columns; and no
# damage needs this line to be seen, since NULL was refused when the row was written.
_FALSE_ALARM: Final = re.compile("ok$|NULL value in ")


@dataclass(frozen=True)
class Health:
    """`fault` is empty for a sound ledger; `newer` when a newer version of this program wrote it."""

    certificates: int = 0
    events: int = 0
    fault: str = ""
    newer: bool = False


def examine(file: Path) -> Health:
    """Reads the whole file once. A ledger that nobody has written to yet is sound."""
    # Not "ro": that would leave the files of SQLite's write-ahead log behind.
    address = f"{file.absolute().as_uri()}?mode=rw"
    try:
        with closing(sqlite3.connect(address, uri=True, timeout=5)) as db:
            return _examined(db)
    except (sqlite3.Error, ValueError) as error:
        return Health(fault=str(error))


def _examined(db: sqlite3.Connection) -> Health:
    (version,) = db.execute("PRAGMA user_version").fetchone()
    if version > VERSION:
        return Health(newer=True, fault=f"it is of version {version}, and this program knows {VERSION}")
    if wrong := [said for (said,) in db.execute("PRAGMA quick_check") if not _FALSE_ALARM.match(said)]:
        return Health(fault=" ".join(wrong[0].split()))
    if version == 0:
        return Health()
    (certificates,) = db.execute("SELECT count(*) FROM certificates").fetchone()
    (events,) = db.execute("SELECT count(*) FROM journal").fetchone()
    return Health(certificates, events)
