"""The stores that a configuration names, opened."""

from __future__ import annotations

import secrets
import sqlite3
import time
from pathlib import Path
from typing import TYPE_CHECKING

from penstock.config import values
from penstock.config.journal import path_of
from penstock.drive.journal import Journal
from penstock.errors import PenstockError
from penstock.store.cipher import Cipher
from penstock.store.ledger import Ledger
from penstock.store.shared import Store

if TYPE_CHECKING:
    from penstock.store.redis_limits import RedisLimits


class MissingExtra(PenstockError):
    """The configuration asks for what is not installed."""


class StoreUnusable(PenstockError):
    """The configuration names a file that cannot be used."""


def journal_of(kept: values.Journal | None) -> tuple[Journal | None, Store | None]:
    """Where delivered frames are kept, and the store behind it. Raises MissingExtra, StoreUnusable."""
    if kept is None:
        return None, None
    store = _store(kept)
    return Journal(
        ttl=kept.ttl, per_stream=kept.per_stream, limit=kept.total, clock=time.monotonic, backing=store
    ), store


def cipher_of(kept: values.Journal) -> Cipher:
    """What encrypts a journal at rest. Raises MissingExtra, StoreUnusable."""
    try:
        return Cipher(kept.keys)
    except ImportError as error:
        raise MissingExtra("journal.key needs cryptography: pip install 'penstock[encryption]'") from error
    except ValueError as error:
        raise StoreUnusable("journal.key is no Fernet key: 32 bytes as url-safe base64") from error


def _store(kept: values.Journal) -> Store | None:
    cipher = cipher_of(kept)
    gateway = secrets.token_hex(8)
    if kept.url.startswith("sqlite:"):
        from penstock.store.sqlite_journal import SqliteJournal

        path = path_of(kept.url)
        try:
            return SqliteJournal(path, gateway=gateway, ttl=kept.ttl, per_stream=kept.per_stream, cipher=cipher)
        except sqlite3.Error as error:
            raise StoreUnusable(f"journal.url: {path}: {error}") from error
    if kept.url.startswith("memory:"):
        return None
    try:
        from penstock.store.redis_journal import RedisJournal
    except ModuleNotFoundError as error:
        raise MissingExtra("journal.url: for Redis install the extra: pip install 'penstock[redis]'") from error
    return RedisJournal(kept.url, gateway=gateway, ttl=kept.ttl, per_stream=kept.per_stream, cipher=cipher)


def ledger_at(kept: values.Ledger) -> Ledger:
    """The ledger of a configuration."""
    return Ledger(kept.url, Path(kept.spool), limit=kept.spool_size, abandoned=kept.abandoned)


def shared_limits(kept: values.SharedLimits | None) -> RedisLimits | None:
    """Where limits are kept together with other gateways. Raises MissingExtra."""
    if kept is None:
        return None
    try:
        from penstock.store.redis_limits import RedisLimits
    except ModuleNotFoundError as error:
        raise MissingExtra("limits.url: for Redis install the extra: pip install 'penstock[redis]'") from error
    return RedisLimits(kept.url)
