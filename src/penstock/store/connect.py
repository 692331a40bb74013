"""From a ledger's URL to its database."""

from __future__ import annotations

from penstock.errors import PenstockError
from penstock.store.database import Database
from penstock.store.postgres import Postgres, check_installed
from penstock.store.sqlite import Sqlite

SQLITE = "sqlite:///"


def check(url: str) -> None:
    """Whether it can be used here. Raises PenstockError for a driver that is not installed."""
    if not url.startswith(SQLITE):
        check_installed()


def connect(url: str, *, create: bool = True) -> Database:
    """``sqlite:///file``, relative (three slashes) or absolute (four), or ``postgresql://…``. Raises StoreError."""
    if url.startswith(SQLITE):
        return Database(Sqlite(url.removeprefix(SQLITE), create=create))
    if url.startswith(("postgresql://", "postgres://")):
        return Database(Postgres(url))
    raise PenstockError("a ledger is kept at sqlite:///file or postgresql://…")
