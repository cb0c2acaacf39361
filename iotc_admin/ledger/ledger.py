"""What IoT Central never gives back: the certificates behind its thumbprints; and who did what, when.

One SQLite file, 0600. Hidden here: the schema, that every write is on the disk before it counts, and that
several processes write at once.
"""

from __future__ import annotations

import json
import os
import sqlite3
import stat
import threading
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from iotc_admin.errors import SettingsError

if TYPE_CHECKING:
    from cryptography import x509

VERSION: Final = 3
_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS certificates (
    sha256 TEXT PRIMARY KEY, sha1 TEXT NOT NULL, spki_sha256 TEXT NOT NULL, subject TEXT NOT NULL,
    issuer TEXT NOT NULL, serial TEXT NOT NULL, not_before TEXT NOT NULL, not_after TEXT NOT NULL,
    key_type TEXT NOT NULL, pem TEXT NOT NULL);
CREATE INDEX IF NOT EXISTS by_sha1 ON certificates (sha1);
CREATE TABLE IF NOT EXISTS runs (
    id INTEGER PRIMARY KEY, at TEXT NOT NULL, command TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS sightings (
    run INTEGER NOT NULL REFERENCES runs, sha256 TEXT NOT NULL REFERENCES certificates,
    file TEXT NOT NULL, app TEXT NOT NULL, holder TEXT NOT NULL, slot TEXT NOT NULL,
    PRIMARY KEY (run, sha256, app, holder, slot)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS journal (
    id INTEGER PRIMARY KEY, run INTEGER NOT NULL REFERENCES runs, at TEXT NOT NULL, event TEXT NOT NULL,
    details TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS id_scopes (app TEXT PRIMARY KEY, id_scope TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS breaches (
    id INTEGER PRIMARY KEY, app TEXT NOT NULL, kind TEXT NOT NULL, holder TEXT NOT NULL,
    suspects TEXT NOT NULL, begun TEXT NOT NULL, closed TEXT);
CREATE TABLE IF NOT EXISTS breach_devices (
    id INTEGER PRIMARY KEY, breach INTEGER NOT NULL REFERENCES breaches, device TEXT NOT NULL,
    state TEXT NOT NULL, at TEXT NOT NULL, UNIQUE (breach, device));
"""
_MAGIC: Final = b"SQLite format 3\0"
_COLUMNS: Final = "sha1, sha256, spki_sha256, subject, issuer, serial, not_before, not_after, key_type, pem"


@dataclass(frozen=True)
class Sighting:
    """When a certificate passed through the tool: in which file, bound for which slot of what."""

    at: datetime
    command: str
    file: str
    app: str
    holder: str
    """The enrollment group or device."""
    slot: str


@dataclass(frozen=True)
class Entry:
    """A certificate the ledger knows. Thumbprints are upper-case hex, times UTC."""

    sha1: str
    sha256: str
    spki_sha256: str
    subject: str
    issuer: str
    serial: str
    not_before: datetime
    not_after: datetime
    key_type: str
    pem: str
    sightings: tuple[Sighting, ...]


@dataclass(frozen=True)
class Event:
    """One line of the journal."""

    at: datetime
    command: str
    event: str
    details: dict[str, Any]


class Ledger:
    """The ledger in `file`, made 0600 when it is new. Raises `SettingsError` when it cannot be used.

    `patience`: for so many seconds it waits for another process that writes.
    """

    def __init__(self, file: Path, *, patience: float = 10) -> None:
        self.file = file
        self._lock = threading.Lock()
        with self._translated():
            _make_private(file)
            self._db = sqlite3.connect(file, isolation_level=None, check_same_thread=False, timeout=patience)
            self.close = weakref.finalize(self, self._db.close)
            self._prepare()

    def _prepare(self) -> None:
        (version,) = self._db.execute("PRAGMA user_version").fetchone()
        if version > VERSION:
            message = f"the ledger {self.file} was written by a newer version of iotc-admin"
            raise SettingsError(message, hint="update iotc-admin, or name another file with --ledger")
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute("PRAGMA synchronous = FULL")
        if version < VERSION:
            self._db.executescript(f"BEGIN IMMEDIATE; {_SCHEMA} PRAGMA user_version = {VERSION}; COMMIT")

    def run(self, command: str, now: datetime) -> Run:
        """A run of a command: what it sees and does is recorded under it, from the first line on."""
        return Run(self, command, now)

    def find(self, thumbprint: str) -> Entry | None:
        """The certificate with this SHA-1 or SHA-256 thumbprint, colons and case aside."""
        wanted = thumbprint.replace(":", "").upper()
        return next(iter(self._entries("WHERE sha1 = ? OR sha256 = ?", (wanted, wanted))), None)

    def entries(self) -> list[Entry]:
        """Every certificate, those that expire first in front."""
        return self._entries("", ())

    def with_subject(self, subject: str) -> list[Entry]:
        """The certificates of this subject, as RFC 4514 writes it."""
        return self._entries("WHERE subject = ?", (subject,))

    def with_issuer(self, issuer: str) -> list[Entry]:
        """The certificates that name this issuer, as RFC 4514 writes it."""
        return self._entries("WHERE issuer = ?", (issuer,))

    def with_key(self, spki_sha256: str) -> list[Entry]:
        """The certificates for this public key, by the SHA-256 of its SubjectPublicKeyInfo."""
        return self._entries("WHERE spki_sha256 = ?", (spki_sha256,))

    def bound_for(self, app: str, holder: str) -> frozenset[str]:
        """The certificates that were ever bound for this group or device, as SHA-1 thumbprints."""
        query = "SELECT DISTINCT sha1 FROM sightings JOIN certificates USING (sha256)"
        rows = self.rows(f"{query} WHERE app = ? AND holder = ?", (app, holder))
        return frozenset(str(sha1) for (sha1,) in rows)

    def events(self, *named: str, prefix: str = "") -> list[Event]:
        """The journal, oldest first; only the events of these names, or that begin so, if any are given."""
        which = f"event IN ({', '.join('?' * len(named))})" if named else "substr(event, 1, length(?)) = ?"
        query = "SELECT j.at, command, event, details FROM journal j JOIN runs ON runs.id = run"
        query = f"{query} WHERE {which} ORDER BY j.id"
        with self._translated():
            return [
                Event(_time(at), command, event, json.loads(details))
                for at, command, event, details in self.rows(query, named or (prefix, prefix))
            ]

    def rows(self, query: str, values: tuple[object, ...]) -> list[tuple[Any, ...]]:
        """What a query of the schema above finds."""
        with self._translated():
            return self._db.execute(query, values).fetchall()

    def id_scope(self, app: str) -> str | None:
        """The ID scope of this application, if it was ever told."""
        with self._translated():
            row = self._db.execute("SELECT id_scope FROM id_scopes WHERE app = ?", (app,)).fetchone()
            return None if row is None else str(row[0])

    def keep_id_scope(self, app: str, id_scope: str) -> None:
        """Remember it; an application that was made anew under its old name has another one."""
        if self.id_scope(app) != id_scope:
            with self.writing() as db:
                db.execute("INSERT OR REPLACE INTO id_scopes VALUES (?,?)", (app, id_scope))

    def _entries(self, where: str, values: tuple[str, ...]) -> list[Entry]:
        with self._translated():
            rows = self._db.execute(
                f"SELECT {_COLUMNS} FROM certificates {where} ORDER BY not_after, rowid",  # noqa: S608 - constants
                values,
            ).fetchall()
            return [self._entry(*row) for row in rows]

    def _entry(self, *row: str) -> Entry:
        sha1, sha256, spki, subject, issuer, serial, not_before, not_after, key_type, pem = map(str, row)
        dates = _time(not_before), _time(not_after)
        seen = self._sightings(sha256)
        return Entry(sha1, sha256, spki, subject, issuer, serial, *dates, key_type, pem, seen)

    def _sightings(self, sha256: str) -> tuple[Sighting, ...]:
        query = (
            "SELECT at, command, file, app, holder, slot FROM sightings JOIN runs ON runs.id = run"
            " WHERE sha256 = ? ORDER BY run, app, holder, slot"
        )
        with self._translated():
            rows = self._db.execute(query, (sha256,)).fetchall()
            return tuple(Sighting(_time(at), *rest) for at, *rest in rows)

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """One transaction: all of it is on the disk afterwards, or none."""
        with self._lock, self._translated():
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield self._db
            except BaseException:
                self._db.execute("ROLLBACK")
                raise
            self._db.execute("COMMIT")

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, OSError, ValueError, TypeError, OverflowError) as error:
            message = f"the ledger {self.file} cannot be used: {error}"
            # Another file would not know what this one has on record.
            hint = (
                "another process writes to it: wait for it, then repeat"
                if getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_BUSY
                else "name another file with --ledger or IOTC_LEDGER, or move this one away"
            )
            raise SettingsError(message, hint=hint) from None


class Run:
    """One run of a command, as the ledger sees it. Nothing is written before there is something to say."""

    def __init__(self, ledger: Ledger, command: str, now: datetime) -> None:
        self.ledger = ledger
        self._command = command
        self._now = now
        self._id: int | None = None

    def saw(
        self,
        certificate: x509.Certificate,
        *,
        file: str = "",
        app: str = "",
        holder: str = "",
        slot: str = "",
    ) -> None:
        """This certificate passed through, from this file or bound for this slot."""
        # Reading the ledger needs no cryptography, which costs a command 40 ms.
        from iotc_admin.pki.description import describe  # noqa: PLC0415
        from iotc_admin.pki.pem import certificate_pem  # noqa: PLC0415

        facts = describe(certificate)
        values = (
            *(facts.sha1, facts.sha256, facts.spki_sha256, facts.subject, facts.issuer, facts.serial),
            *(facts.not_before.isoformat(), facts.not_after.isoformat(), facts.key_type),
            certificate_pem(certificate).decode(),
        )
        with self.ledger.writing() as db:
            run = self._begun(db)
            db.execute(
                f"INSERT OR IGNORE INTO certificates ({_COLUMNS}) VALUES (?,?,?,?,?,?,?,?,?,?)",  # noqa: S608
                values,
            )
            file = file or self._file_of(db, run, facts.sha256)
            db.execute(
                "INSERT OR REPLACE INTO sightings VALUES (?,?,?,?,?,?)",
                (run, facts.sha256, file, app, holder, slot),
            )
            if holder:
                db.execute(
                    "DELETE FROM sightings WHERE run = ? AND sha256 = ? AND holder = ''", (run, facts.sha256)
                )

    def note(self, event: str, now: datetime, **details: str) -> None:
        """A line in the journal; never a secret."""
        with self.ledger.writing() as db:
            db.execute(
                "INSERT INTO journal (run, at, event, details) VALUES (?,?,?,?)",
                (self._begun(db), now.isoformat(), event, json.dumps(details)),
            )

    def _begun(self, db: sqlite3.Connection) -> int:
        if self._id is None:
            row = db.execute(
                "INSERT INTO runs (at, command) VALUES (?,?) RETURNING id",
                (self._now.isoformat(), self._command),
            ).fetchone()
            self._id = int(row[0])
        return self._id

    @staticmethod
    def _file_of(db: sqlite3.Connection, run: int, sha256: str) -> str:
        query = "SELECT file FROM sightings WHERE run = ? AND sha256 = ? AND file != ''"
        row = db.execute(query, (run, sha256)).fetchone()
        return str(row[0]) if row else ""


def _make_private(file: Path) -> None:
    file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    handle = os.open(file, os.O_RDWR | os.O_CREAT | os.O_NONBLOCK, 0o600)
    try:
        state = os.fstat(handle)
        # Only what is a ledger, or an empty file, is ours to change.
        if not stat.S_ISREG(state.st_mode) or os.read(handle, len(_MAGIC)) not in (b"", _MAGIC):
            raise OSError("it is something else")
        if state.st_mode & 0o077:
            os.fchmod(handle, 0o600)
    finally:
        os.close(handle)


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)
