"""``penstock usage`` and ``penstock ledger``: reading the ledger, and keeping its tables up to date."""

from __future__ import annotations

import csv
import io
import json
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any, Literal, NoReturn, TypeVar, get_args

import click

from penstock import money
from penstock.cli.config_file import DEFAULT, load_config_file
from penstock.errors import PenstockError
from penstock.metering.row import fields
from penstock.outcome import Outcome
from penstock.store.connect import connect
from penstock.store.database import Database
from penstock.store.instants import day, parse_instant
from penstock.store.query import GROUPS, By, Query, Total

Format = Literal["table", "json", "csv"]
Answer = TypeVar("Answer")
PAGE = 1000
_OUTCOMES = [outcome.value for outcome in Outcome]


def _instant(context: click.Context, option: click.Parameter, value: str | None) -> float | None:
    if value is None:
        return None
    try:
        return parse_instant(value, time.time())
    except ValueError as error:
        raise click.BadParameter(f"{value!r} is no instant; allowed: {error}") from None


_config = click.option(
    "-c", "--config", "path", default=DEFAULT, show_default=True, metavar="FILE", help="The configuration."
)


@click.command("usage")
@_config
@click.option("--since", callback=_instant, help="Streams accepted since then: 2026-11-24, 24h, 7d, Unix seconds.")
@click.option("--until", callback=_instant, help="Streams accepted before then.")
@click.option("--by", type=click.Choice([*GROUPS, "stream"]), default="model", show_default=True, help="Sums by this.")
@click.option("--key", help="Only this key, by name.")
@click.option("--model", help="Only this model.")
@click.option("--outcome", type=click.Choice(_OUTCOMES), metavar="OUTCOME", help="Only streams that ended so.")
@click.option("--after", type=click.IntRange(0), default=0, help="Only rows behind this cursor; for --by stream.")
@click.option("--limit", type=click.IntRange(1), help="At most so many rows; for --by stream.")
@click.option("--format", "form", type=click.Choice(get_args(Format)), default="table", show_default=True)
def usage_command(path: str, by: By | Literal["stream"], form: Format, limit: int | None, **filters: Any) -> None:
    """Read the ledger: sums, or with --by stream every row, each with the cursor from which to go on later."""
    query = Query(**filters)
    if by == "stream":
        _rows(_ask(path, lambda database: _all(database, query, limit)), form)
    else:
        _totals(_ask(path, lambda database: database.totals(query, by)), by, form)


@click.group("ledger")
def ledger_command() -> None:
    """The ledger's database."""


@ledger_command.command("migrate")
@_config
def migrate_command(path: str) -> None:
    """Bring the ledger's tables up to date. The gateway does so itself when it starts, where it may."""
    missing = _ask(path, lambda database: database.migrate(), create=True)
    click.echo("the ledger is up to date" if not missing else f"migrations that were applied: {missing}")


def _ask(path: str, ask: Callable[[Database], Answer], *, create: bool = False) -> Answer:
    kept = load_config_file(path).ledger
    if kept is None:
        _fail(f"{path} switches the ledger off; take out ledger: null")
    try:
        database = connect(kept.url, create=create)
        try:
            return ask(database)
        finally:
            database.close()
    except PenstockError as error:
        _fail(str(error))


def _all(database: Database, query: Query, limit: int | None) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    after: int | None = query.after
    while after is not None and (limit is None or len(found) < limit):
        size = PAGE if limit is None else min(PAGE, limit - len(found))
        page = database.page(
            Query(key=query.key, model=query.model, outcome=query.outcome, since=query.since, until=query.until,
                  after=after, limit=size)
        )  # fmt: skip
        found += [{"cursor": str(cursor), **fields(row)} for cursor, row in page.rows]
        after = page.next
    return found


def _totals(totals: Sequence[Total], by: By, form: Format) -> None:
    lines = [
        {
            by: day(each.group) if isinstance(each.group, int) else each.group,
            "streams": each.streams,
            "input_tokens": each.input_tokens,
            "output_tokens": each.output_tokens,
            "cost_usd": money.text(each.cost),
            "unpriced": each.unpriced,
        }
        for each in totals
    ]
    _print(lines, (by, "streams", "input_tokens", "output_tokens", "cost_usd", "unpriced"), form)


def _rows(rows: Sequence[dict[str, Any]], form: Format) -> None:
    if form == "json":
        for row in rows:
            click.echo(json.dumps(row, ensure_ascii=False))
        return
    flat = []
    for row in rows:
        shown = {name: value for name, value in row.items() if not isinstance(value, dict | list)}
        for kind in ("counted", "reported", "delivered"):
            shown |= {f"{kind}_{name}": value for name, value in row[kind].items()}
        shown["tags"], shown["warnings"] = json.dumps(row["tags"]), "; ".join(row["warnings"])
        flat.append(shown)
    if form == "csv":
        _print(flat, tuple(flat[0]) if flat else ("cursor",), form)
    else:
        _print(flat, ("cursor", "stream", "key", "model", "outcome", "basis", "cost_usd", "duration_ms"), form)


def _print(lines: Sequence[dict[str, Any]], columns: Sequence[str], form: Format) -> None:
    if form == "json":
        click.echo(json.dumps(lines, ensure_ascii=False))
    elif form == "csv":
        out = io.StringIO()
        writer = csv.DictWriter(out, columns, extrasaction="ignore", lineterminator="\n")
        writer.writeheader()
        writer.writerows(lines)
        click.echo(out.getvalue(), nl=False)
    else:
        cells = [list(columns), *([_cell(line.get(column)) for column in columns] for line in lines)]
        widths = [max(len(row[place]) for row in cells) for place in range(len(columns))]
        for row in cells:
            click.echo("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def _cell(value: object) -> str:
    return "-" if value is None else str(value)


def _fail(message: str) -> NoReturn:
    click.echo(message, err=True)
    sys.exit(1)
