"""What is asked of the ledger, and the SQL of it."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from penstock.metering.row import Row

By = Literal["key", "model", "outcome", "day", "route"]
GROUPS: tuple[By, ...] = ("key", "model", "outcome", "day", "route")
MOST = 1000
"""Rows a page."""


class Query(msgspec.Struct, frozen=True, kw_only=True):
    """Settled rows, oldest settlement first. ``since`` (included) and ``until`` (not) are Unix seconds of the streams'
    acceptance; ``after`` is the cursor of the last row that was seen already. None: no matter."""

    stream: str | None = None
    key: str | None = None
    model: str | None = None
    outcome: str | None = None
    since: float | None = None
    until: float | None = None
    after: int = 0
    limit: int = 100

    def rows(self) -> tuple[str, list[Any]]:
        """One more than the limit, so that it is seen whether there are more."""
        where, values = self._where()
        order = f" ORDER BY seq LIMIT {self.limit + 1}"
        return f"SELECT seq, body FROM penstock_streams WHERE {where}{order}", values

    def totals(self, by: By) -> tuple[str, list[Any]]:
        """Sums by one column: its value, streams, input tokens, output tokens, nano-dollars, streams without price."""
        where, values = self._where()
        sums = (
            "count(*), sum(input_tokens), sum(output_tokens), coalesce(sum(cost), 0), "
            "sum(CASE WHEN cost IS NULL THEN 1 ELSE 0 END)"
        )
        return f"SELECT {by}, {sums} FROM penstock_streams WHERE {where} GROUP BY {by} ORDER BY {by}", values

    def _where(self) -> tuple[str, list[Any]]:
        terms, values = ["seq > $1"], [self.after]  # type: tuple[list[str], list[Any]]
        for column, value in (
            ("stream =", self.stream),
            ("key =", self.key),
            ("model =", self.model),
            ("outcome =", self.outcome),
            ("started_at >=", self.since),
            ("started_at <", self.until),
        ):
            if value is not None:
                values.append(value)
                terms.append(f"{column} ${len(values)}")
        return " AND ".join(terms), values


class Total(msgspec.Struct, frozen=True, kw_only=True):
    """The sums of one group. ``cost`` is nano-dollars, without the ``unpriced`` streams."""

    group: str | int | None
    streams: int
    input_tokens: int
    output_tokens: int
    cost: int
    unpriced: int


class Page(msgspec.Struct, frozen=True):
    """Rows, each behind its cursor, and the cursor for what follows; None: that was all."""

    rows: tuple[tuple[int, Row], ...]
    next: int | None
