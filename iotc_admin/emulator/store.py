"""Hides SQLite: documents by kind and id, each request one transaction."""

from __future__ import annotations

import sqlite3
from contextlib import contextmanager
from threading import RLock
from typing import TYPE_CHECKING, Generic, TypeVar

from pydantic import BaseModel

from iotc_admin.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

D = TypeVar("D", bound=BaseModel)

_SCHEMA = (
    """CREATE TABLE IF NOT EXISTS documents (
        kind TEXT NOT NULL, id TEXT NOT NULL, body BLOB NOT NULL, PRIMARY KEY (kind, id)
    ) WITHOUT ROWID""",
    "CREATE INDEX IF NOT EXISTS any_case ON documents (kind, id COLLATE NOCASE)",
)


class Store:
    """Documents, in memory or in a file that one process at a time may open."""

    def __init__(self, path: Path | None = None) -> None:
        self._lock = RLock()
        self._connection = sqlite3.connect(
            path or ":memory:", check_same_thread=False, isolation_level=None, timeout=0.2
        )
        try:
            self._prepare()
        except sqlite3.Error as failure:
            self._connection.close()
            hint = "another emulator may be running on it: stop that, or choose another --data-dir"
            raise SettingsError(f"cannot use {path}: {failure}", hint=hint) from failure

    def _prepare(self) -> None:
        # Committed to the log of the operating system: survives the end of the process, whatever the signal.
        for pragma in ("locking_mode=EXCLUSIVE", "journal_mode=WAL", "synchronous=NORMAL"):
            self._connection.execute(f"PRAGMA {pragma}")
        with self.transaction():
            for statement in _SCHEMA:
                self._connection.execute(statement)

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All or nothing, and one at a time; what happened inside is durable after it."""
        with self._lock:
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield
            except BaseException:
                self._connection.execute("ROLLBACK")
                raise
            self._connection.execute("COMMIT")

    def close(self) -> None:
        with self._lock:
            self._connection.close()

    def get(self, kind: str, id_: str) -> bytes | None:
        query = "SELECT body FROM documents WHERE kind = ? AND id = ?"
        row = self._connection.execute(query, (kind, id_)).fetchone()
        return row[0] if row else None

    def in_any_case(self, kind: str, id_: str) -> str | None:
        """An id that is this one but for the case of its letters; the very same one first."""
        query = "SELECT id FROM documents WHERE kind = ? AND id = ? COLLATE NOCASE ORDER BY id = ? DESC, id"
        row = self._connection.execute(query, (kind, id_, id_)).fetchone()
        return row[0] if row else None

    def put(self, kind: str, id_: str, body: bytes) -> None:
        self._connection.execute("INSERT OR REPLACE INTO documents VALUES (?, ?, ?)", (kind, id_, body))

    def delete(self, kind: str, id_: str) -> bool:
        query = "DELETE FROM documents WHERE kind = ? AND id = ?"
        return self._connection.execute(query, (kind, id_)).rowcount > 0

    def delete_below(self, kind: str, prefix: str) -> None:
        """All of a kind whose ids begin with this."""
        query = "DELETE FROM documents WHERE kind = ? AND id >= ? AND id < ?"
        self._connection.execute(query, (kind, prefix, prefix + "\U0010ffff"))

    def count(self, kind: str) -> int:
        query = "SELECT count(*) FROM documents WHERE kind = ?"
        return int(self._connection.execute(query, (kind,)).fetchone()[0])

    def after(self, kind: str, id_: str) -> Iterator[tuple[str, bytes]]:
        """All of a kind whose ids come after `id_`, in the order of ids."""
        query = "SELECT id, body FROM documents WHERE kind = ? AND id > ? ORDER BY id"
        yield from self._connection.execute(query, (kind, id_))


class Shelf(Generic[D]):
    """All documents of one kind, read and written as models."""

    def __init__(self, store: Store, kind: str, model: type[D]) -> None:
        self._store = store
        self.kind = kind
        self._model = model

    def get(self, id_: str) -> D | None:
        body = self._store.get(self.kind, id_)
        return None if body is None else self._read(body)

    def in_any_case(self, id_: str) -> D | None:
        """The document under this id, whatever the case of its letters."""
        found = self._store.in_any_case(self.kind, id_)
        return None if found is None else self.get(found)

    def put(self, id_: str, document: D) -> None:
        body = document.model_dump_json(by_alias=True, exclude_unset=True)
        self._store.put(self.kind, id_, body.encode())

    def delete(self, id_: str) -> bool:
        """False when there was nothing."""
        return self._store.delete(self.kind, id_)

    def delete_below(self, prefix: str) -> None:
        """All whose ids begin with this."""
        self._store.delete_below(self.kind, prefix)

    def below(self, prefix: str) -> Iterator[tuple[str, D]]:
        """All whose ids begin with this, in the order of ids."""
        for found, document in self.after(prefix):
            if not found.startswith(prefix):
                return
            yield found, document

    def after(self, id_: str = "") -> Iterator[tuple[str, D]]:
        """All whose ids come after `id_`, in the order of ids."""
        for found, body in self._store.after(self.kind, id_):
            yield found, self._read(body)

    def count(self) -> int:
        return self._store.count(self.kind)

    def _read(self, body: bytes) -> D:
        return self._model.model_validate_json(body, by_alias=True)
