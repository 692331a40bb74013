"""The ledger in a SQLite file: WAL, every commit synced."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from penstock.store import schema
from penstock.store.database import StoreError
from penstock.store.schema import Line

PATIENCE = 5.0
"""Seconds to wait for another process that writes."""
_PARAMETER = re.compile(r"\$\d+")


class Sqlite:
    """One connection. A file that is to be read only must exist."""

    def __init__(self, path: str, *, create: bool = True):
        self._path = path
        if not create and not Path(path).exists():
            todo = "start the gateway, which makes it, or name another with ledger: {url: …}"
            raise StoreError(f"there is no ledger at {path}: {todo}")
        with self._named():
            # Autocommit: transactions are begun by hand.
            self._db = sqlite3.connect(path, timeout=PATIENCE, isolation_level=None, check_same_thread=False)
        try:
            with self._named():
                self._db.execute("PRAGMA journal_mode = WAL")
                self._db.execute("PRAGMA synchronous = FULL")
        except StoreError:
            self._db.close()
            raise

    @contextmanager
    def _named(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise StoreError(f"the ledger {self._path}: {error}") from error

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with self._named():
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield self._db
                self._db.execute("COMMIT")
            except BaseException:
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
                raise

    def migrate(self) -> int:
        """See `database.Statements`."""
        with self._transaction() as db:
            db.execute(schema.VERSIONS)
            (version,) = db.execute(schema.VERSION).fetchone()
            if version > len(schema.MIGRATIONS):
                raise StoreError(f"the ledger {self._path} was made by a newer Penstock (schema {version})")
            for number in range(version, len(schema.MIGRATIONS)):
                for statement in schema.MIGRATIONS[number]:
                    db.execute(statement)
                db.execute(_own(schema.SET_VERSION), (number + 1,))
        return len(schema.MIGRATIONS) - int(version)

    def fetch(self, sql: str, values: Sequence[Any] = ()) -> list[Sequence[Any]]:
        """See `database.Statements`."""
        with self._named():
            return self._db.execute(_own(sql), tuple(values)).fetchall()

    def run(self, sql: str, values: Sequence[Any]) -> None:
        """See `database.Statements`."""
        with self._named():
            self._db.execute(_own(sql), tuple(values))

    def run_all(self, sql: str, rows: Sequence[Sequence[Any]]) -> None:
        """See `database.Statements`."""
        with self._transaction() as db:
            db.executemany(_own(sql), rows)

    def put(self, settled: Sequence[Line], opened: Sequence[Line], owner: str) -> None:
        """See `database.Statements`."""
        with self._transaction() as db:
            (last,) = db.execute(schema.LAST).fetchone()
            db.executemany(_PUT, [schema.values(line, None, owner) for line in opened])
            db.executemany(_PUT, [schema.values(line, last + n, owner) for n, line in enumerate(settled, 1)])

    def close(self) -> None:
        """See `database.Statements`."""
        try:
            self._db.close()
        except sqlite3.Error:
            pass


def _own(sql: str) -> str:
    return _PARAMETER.sub("?", sql)


_PUT = _own(schema.PUT)
