"""What a database of the ledger does. Everything here waits: it belongs to the writer's thread, or a reader's."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Protocol

import msgspec

from penstock.errors import PenstockError
from penstock.metering.row import Row
from penstock.outcome import Outcome
from penstock.store import schema
from penstock.store.query import By, Page, Query, Total
from penstock.store.schema import Line


class StoreError(PenstockError):
    """The database is away, full, or not what it should be. Its message is fit for the log and holds no credential."""


class Statements(Protocol):
    """One connection of one transaction at a time. Everything raises StoreError."""

    def migrate(self) -> int:
        """Bring the tables up to date; the number of migrations that were missing."""
        ...

    def fetch(self, sql: str, values: Sequence[Any] = ()) -> list[Sequence[Any]]:
        """The rows of a query."""
        ...

    def run(self, sql: str, values: Sequence[Any]) -> None:
        """One statement in a transaction of its own."""
        ...

    def run_all(self, sql: str, rows: Sequence[Sequence[Any]]) -> None:
        """One statement with each of some rows of values, in one transaction."""
        ...

    def put(self, settled: Sequence[Line], opened: Sequence[Line], owner: str) -> None:
        """Rows of one owner, in one transaction: the settled ones are numbered in their order."""
        ...

    def close(self) -> None:
        """Give the connection back. Never raises."""


class Database:
    """The ledger's questions and answers over a connection's statements."""

    def __init__(self, statements: Statements):
        self._do = statements

    def migrate(self) -> int:
        """See `Statements.migrate`."""
        return self._do.migrate()

    def put(self, rows: Iterable[Row], owner: str) -> None:
        """See `put_lines`."""
        self.put_lines([schema.line(msgspec.json.encode(row)) for row in rows], owner)

    def put_lines(self, lines: Sequence[Line], owner: str) -> None:
        """Open rows are opened or brought up to date, settled ones settled. Settled twice is settled once."""
        latest: dict[str, Line] = {}
        for line in lines:
            known = latest.get(line.stream)
            if known is None or known.outcome is None:
                latest[line.stream] = line
        settled = [line for line in latest.values() if line.outcome is not None]
        self._do.put(settled, [line for line in latest.values() if line.outcome is None], owner)

    def beat(self, owner: str, now: float) -> None:
        """The owner lives."""
        self._do.run(schema.SEEN, (owner, now))

    def bury(self, owner: str, warning: str) -> int:
        """Settle what an owner that is gone has left open as ``crashed``, from the last checkpoint."""
        found = self._do.fetch(schema.OPEN, (owner,))
        left = [_crashed(schema.row(body), warning) for (body,) in found]
        if left:
            self.put(left, owner)
        self._do.run(schema.GONE, (owner,))
        return len(left)

    def silent(self, since: float) -> list[str]:
        """Owners that were not heard of since then."""
        return [owner for (owner,) in self._do.fetch(schema.SILENT, (since,))]

    def put_copies(self, copies: Sequence[tuple[str, float, str]]) -> None:
        """Copies of streams: which, when it was accepted (Unix seconds), and the line. Those that are there stay."""
        self._do.run_all(schema.COPY, copies)

    def drop_copies(self, before: float, most: int) -> int:
        """Delete the oldest copies from before an instant, some of them; how many they were."""
        old = self._do.fetch(schema.OLD_COPIES, (before, most))
        if old:
            self._do.run_all(schema.DROP_COPY, old)
        return len(old)

    def page(self, query: Query) -> Page:
        """Settled rows."""
        found = self._do.fetch(*query.rows())
        rows = found[: query.limit]
        follows = rows[-1][0] if len(found) > query.limit else None
        return Page(tuple((seq, schema.row(body)) for seq, body in rows), follows)

    def totals(self, query: Query, by: By) -> list[Total]:
        """Sums by one column."""
        return [
            Total(group=group, streams=streams, input_tokens=int(given), output_tokens=int(made), cost=int(cost),
                  unpriced=int(unpriced))
            for group, streams, given, made, cost, unpriced in self._do.fetch(*query.totals(by))
        ]  # fmt: skip

    def close(self) -> None:
        """See `Statements.close`."""
        self._do.close()


def _crashed(row: Row, warning: str) -> Row:
    ended = row.started_at if row.ended_at is None else row.ended_at
    return msgspec.structs.replace(
        row, outcome=Outcome.CRASHED, ended_at=ended, basis="estimated", warnings=(*row.warnings, warning)
    )
