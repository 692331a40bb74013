"""The ledger's tables, for SQLite and PostgreSQL alike: numbered migrations, and the statements over them.

A row is one stream. ``seq`` is null while the stream is open; it is given once, in the order in which rows become
visible, and is the cursor of every export. ``body`` is the whole row as JSON, the other columns are what is searched.
Parameters are ``$1``, ``$2``, … in their order, each once.
"""

from __future__ import annotations

from typing import Any

from penstock.metering.row import Row, Tokens
from penstock.plain import encoded

MIGRATIONS: tuple[tuple[str, ...], ...] = (
    (
        """CREATE TABLE penstock_streams (
            stream TEXT PRIMARY KEY,
            seq BIGINT UNIQUE,
            owner TEXT NOT NULL,
            started_at DOUBLE PRECISION NOT NULL,
            day INTEGER NOT NULL,
            key TEXT,
            route TEXT NOT NULL,
            provider TEXT,
            model TEXT,
            outcome TEXT,
            input_tokens BIGINT NOT NULL,
            output_tokens BIGINT NOT NULL,
            cost BIGINT,
            body TEXT NOT NULL
        )""",
        "CREATE INDEX penstock_streams_open ON penstock_streams (owner) WHERE seq IS NULL",
        "CREATE INDEX penstock_streams_key ON penstock_streams (key, started_at)",
        "CREATE INDEX penstock_streams_started ON penstock_streams (started_at)",
        "CREATE TABLE penstock_owners (owner TEXT PRIMARY KEY, seen DOUBLE PRECISION NOT NULL)",
    ),
    (
        """CREATE TABLE penstock_copies (
            stream TEXT PRIMARY KEY,
            accepted_at DOUBLE PRECISION NOT NULL,
            body TEXT NOT NULL
        )""",
        "CREATE INDEX penstock_copies_accepted ON penstock_copies (accepted_at)",
    ),
)
"""Migration number 1 is the first. What was released is never changed, only added to."""

VERSIONS = "CREATE TABLE IF NOT EXISTS penstock_schema (version INTEGER NOT NULL)"
VERSION = "SELECT coalesce(max(version), 0) FROM penstock_schema"
SET_VERSION = "INSERT INTO penstock_schema (version) VALUES ($1)"

_COLUMNS = (
    "stream", "seq", "owner", "started_at", "day", "key", "route", "provider", "model", "outcome",
    "input_tokens", "output_tokens", "cost", "body",
)  # fmt: skip

_DEAREST = 2**62
"""Nano-dollars: more fits no column. The ``body`` has the whole number."""

LAST = "SELECT coalesce(max(seq), 0) FROM penstock_streams"
PUT = (
    f"INSERT INTO penstock_streams ({', '.join(_COLUMNS)}) "
    f"VALUES ({', '.join(f'${number}' for number in range(1, len(_COLUMNS) + 1))}) ON CONFLICT (stream) DO UPDATE SET "
    + ", ".join(f"{column} = excluded.{column}" for column in _COLUMNS[1:])
    # A settled row stays what it is.
    + " WHERE penstock_streams.seq IS NULL"
)
OPEN = "SELECT body FROM penstock_streams WHERE owner = $1 AND seq IS NULL"
SEEN = (
    "INSERT INTO penstock_owners (owner, seen) VALUES ($1, $2) ON CONFLICT (owner) DO UPDATE SET seen = excluded.seen"
)
GONE = "DELETE FROM penstock_owners WHERE owner = $1"
COPY = "INSERT INTO penstock_copies (stream, accepted_at, body) VALUES ($1, $2, $3) ON CONFLICT (stream) DO NOTHING"
OLD_COPIES = "SELECT stream FROM penstock_copies WHERE accepted_at < $1 ORDER BY accepted_at LIMIT $2"
DROP_COPY = "DELETE FROM penstock_copies WHERE stream = $1"
SILENT = "SELECT owner FROM penstock_owners WHERE seen < $1"


def values(row: Row, seq: int | None, owner: str) -> tuple[Any, ...]:
    """A row's columns for `PUT`. NUL, which PostgreSQL takes in no text, is left out of those that are searched."""
    tokens = charged(row)
    return (
        row.stream,
        seq,
        owner,
        row.started_at,
        int(row.started_at // 86400),
        _text(row.key),
        _text(row.route) or "",
        _text(row.provider),
        _text(row.model),
        row.outcome,
        (tokens.input or 0) + (tokens.cache_read or 0) + (tokens.cache_write or 0),
        tokens.generated,
        None if row.cost is None else min(row.cost, _DEAREST),
        encoded(row).decode(),
    )


def charged(row: Row) -> Tokens:
    """The numbers that the charge stands on; before there is one, what is known best."""
    if row.charged == "delivered":
        return row.delivered
    if row.charged == "counted":
        return row.counted
    return row.reported if row.charged == "reported" or row.reported.total else row.counted


def _text(value: str | None) -> str | None:
    return value.replace("\0", "") if value else value
