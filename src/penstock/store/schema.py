"""The ledger's tables, for SQLite and PostgreSQL alike: numbered migrations, and the statements over them.

A row is one stream. ``seq`` is null while the stream is open; it is given once, in the order in which rows become
visible, and is the cursor of every export. ``body`` is the whole row as JSON, the other columns are what is searched.
Parameters are ``$1``, ``$2``, … in their order, each once.
"""

from __future__ import annotations

from typing import Any

import msgspec

from penstock.metering.row import NO_TOKENS, Figure, Row, Tokens
from penstock.outcome import Outcome

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
_FIXED = ("stream", "owner", "started_at", "day", "key", "route")
"""What a row has from its first day: left alone, so are the indexes over it."""

_DEAREST = 2**62
"""Nano-dollars: more fits no column. The ``body`` has the whole number."""

LAST = "SELECT coalesce(max(seq), 0) FROM penstock_streams"
PUT = (
    f"INSERT INTO penstock_streams ({', '.join(_COLUMNS)}) "
    f"VALUES ({', '.join(f'${number}' for number in range(1, len(_COLUMNS) + 1))}) ON CONFLICT (stream) DO UPDATE SET "
    + ", ".join(f"{column} = excluded.{column}" for column in _COLUMNS if column not in _FIXED)
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


class Line(msgspec.Struct, kw_only=True):
    """A row as it was written: what is searched of it, and all of it as ``json``."""

    stream: str
    started_at: float
    key: str | None = None
    route: str
    provider: str | None = None
    model: str | None = None
    outcome: Outcome | None = None
    counted: Tokens = NO_TOKENS
    reported: Tokens = NO_TOKENS
    delivered: Tokens = NO_TOKENS
    charged: Figure = "none"
    cost: int | None = None
    json: bytes = b""


_LINES = msgspec.json.Decoder(Line)
_ROWS = msgspec.json.Decoder(Row)


def line(json: bytes) -> Line:
    """From JSON. Raises msgspec.DecodeError."""
    found = _LINES.decode(json)
    found.json = json
    return found


def row(json: bytes | str) -> Row:
    """The same, whole."""
    return _ROWS.decode(json)


def values(line: Line, seq: int | None, owner: str) -> tuple[Any, ...]:
    """A row's columns for `PUT`. NUL, which PostgreSQL takes in no text, is left out of those that are searched."""
    tokens = charged(line)
    return (
        line.stream,
        seq,
        owner,
        line.started_at,
        int(line.started_at // 86400),
        _text(line.key),
        _text(line.route) or "",
        _text(line.provider),
        _text(line.model),
        # Exactly a text: of a kind of it SQLite would ask how it is to be written.
        None if line.outcome is None else line.outcome.value,
        (tokens.input or 0) + (tokens.cache_read or 0) + (tokens.cache_write or 0),
        tokens.generated,
        None if line.cost is None else min(line.cost, _DEAREST),
        line.json.decode(),
    )


def charged(row: Row | Line) -> Tokens:
    """The numbers that the charge stands on; before there is one, what is known best."""
    if row.charged == "delivered":
        return row.delivered
    if row.charged == "counted":
        return row.counted
    return row.reported if row.charged == "reported" or row.reported.total else row.counted


def _text(value: str | None) -> str | None:
    return value.replace("\0", "") if value else value
