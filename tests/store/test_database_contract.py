"""What every database of the ledger does, the same."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest
from ledger_rows import row

from penstock.metering.row import AttemptLine, Row, Tokens
from penstock.outcome import Outcome
from penstock.store import schema
from penstock.store.connect import connect
from penstock.store.database import Database, StoreError
from penstock.store.query import GROUPS, Query


def rows(database: Database, **query: object) -> list[Row]:
    return [each for _, each in database.page(Query(**query)).rows]  # type: ignore[arg-type]


def test_a_settled_row_comes_back_as_it_was(database):
    line = AttemptLine(target="p/gpt", status=200, started_ms=0.5, counted=Tokens(output=20), cost=300)
    whole = row(attempts=(line,), warnings=("no_price",), tags={"policy": "eu-1"}, committed=True, ttft_ms=12.5)
    database.put([whole], "gw_1")
    assert rows(database) == [whole]


def test_an_open_row_is_not_seen_until_it_is_settled(database):
    database.put([row(outcome=None)], "gw_1")
    assert rows(database) == []
    database.put([row(cost=500)], "gw_1")
    (settled,) = rows(database)
    assert settled.cost == 500


def test_settled_twice_is_settled_once(database):
    database.put([row(cost=1)], "gw_1")
    database.put([row(cost=2)], "gw_1")
    database.put([row(outcome=None, cost=3)], "gw_1")
    database.put([row(cost=4), row(cost=5)], "gw_2")
    (settled,) = rows(database)
    assert settled.cost == 1


def test_in_one_batch_the_latest_checkpoint_and_the_settlement_hold(database):
    database.put([row(outcome=None), row(outcome=None, cost=7), row(cost=8), row(outcome=None, cost=9)], "gw_1")
    (settled,) = rows(database)
    assert settled.cost == 8


def test_what_a_dead_owner_left_is_settled_from_its_last_checkpoint(database):
    database.put([row("st_a", None, ended_at=None), row("st_b", None, cost=42, warnings=("w",)), row("st_c")], "gw_1")
    database.put([row("st_d", None)], "gw_2")
    assert database.bury("gw_1", "it died") == 2
    assert database.bury("gw_1", "it died") == 0
    found = {each.stream: each for each in rows(database)}
    assert set(found) == {"st_a", "st_b", "st_c"}
    assert found["st_a"].outcome is found["st_b"].outcome is Outcome.CRASHED
    assert found["st_a"].ended_at == found["st_a"].started_at
    assert (found["st_b"].cost, found["st_b"].warnings) == (42, ("w", "it died"))
    assert found["st_c"].outcome is Outcome.COMPLETED


def test_who_is_silent_is_known(database):
    database.beat("gw_1", 100.0)
    database.beat("gw_2", 100.0)
    database.beat("gw_2", 200.0)
    assert database.silent(150.0) == ["gw_1"]
    database.bury("gw_1", "")
    assert database.silent(150.0) == []


def test_pages_have_every_row_once_in_the_order_of_settlement(database):
    for number in range(25):
        database.put([row(f"st_{number:02}")], "gw_1")
    seen, after = [], 0
    while after is not None:
        page = database.page(Query(after=after, limit=10))
        seen += [each.stream for _, each in page.rows]
        after = page.next
    assert seen == [f"st_{number:02}" for number in range(25)]


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ({"stream": "st_a"}, ["st_a"]),
        ({"key": "team-b"}, ["st_b"]),
        ({"model": "other"}, ["st_b"]),
        ({"outcome": "stalled"}, ["st_c"]),
        ({"since": 2000.0}, ["st_b", "st_c"]),
        ({"until": 2000.0}, ["st_a"]),
        ({"since": 2000.0, "until": 3000.0, "key": "team-b"}, ["st_b"]),
        ({"key": "'; DROP TABLE penstock_streams; --"}, []),
    ],
)
def test_filters(database, query, found):
    database.put(
        [
            row("st_a", started_at=1000.0),
            row("st_b", started_at=2000.0, key="team-b", model="other"),
            row("st_c", Outcome.STALLED, started_at=3000.0),
        ],
        "gw_1",
    )
    assert [each.stream for each in rows(database, **query)] == found


@pytest.mark.parametrize("by", GROUPS)
def test_totals(database, by):
    day = 86400.0
    database.put(
        [
            row("st_a", started_at=day),
            row("st_b", started_at=day * 2 - 1),
            row("st_c", Outcome.STALLED, started_at=day * 2, key="b", model="x", route="n", cost=None),
        ],
        "gw_1",
    )
    first, second = database.totals(Query(), by)
    if first.unpriced:
        first, second = second, first
    assert (first.streams, first.input_tokens, first.output_tokens, first.cost, first.unpriced) == (2, 30, 40, 600, 0)
    assert (second.streams, second.cost, second.unpriced) == (1, 0, 1)
    wanted = {"key": "b", "model": "x", "outcome": "stalled", "day": 2, "route": "n"}
    assert second.group == wanted[by]


def test_no_totals_of_nothing(database):
    assert database.totals(Query(), "key") == []


def test_text_of_clients_is_kept_whatever_it_is(database):
    odd = row(key="a\0b", model="\u202e'\"\\ \U0001f600", warnings=("nul \0",))
    database.put([odd], "gw_1")
    assert rows(database) == [odd]


def test_cursors_never_go_back_with_several_writers(opening: Callable[[], Database]):
    reader, seen, writers = opening(), [], 4
    connections = [opening() for _ in range(writers)]

    def write(number: int) -> None:
        for turn in range(10):
            connections[number].put([row(f"st_{number}_{turn}_{each}") for each in range(3)], f"gw_{number}")

    threads = [threading.Thread(target=write, args=(number,)) for number in range(writers)]
    for thread in threads:
        thread.start()
    after = 0
    while len(seen) < writers * 30:
        alive = any(thread.is_alive() for thread in threads)
        page = reader.page(Query(after=after, limit=1000))
        seen += [each.stream for _, each in page.rows]
        after = page.rows[-1][0] if page.rows else after
        assert alive or page.rows or len(seen) == writers * 30, "a row became visible behind the cursor"
    assert len(set(seen)) == writers * 30
    for thread in threads:
        thread.join()


def test_a_copy_is_there_once_and_goes_when_it_is_old(database):
    database.put_copies([("st_a", 100.0, '{"a":1}'), ("st_b", 200.5, '"\\u0000"'), ("st_c", 300.0, "{}")])
    database.put_copies([("st_a", 100.0, "again"), ("st_d", 50.0, "{}")])
    copies = "SELECT stream, accepted_at, body FROM penstock_copies ORDER BY accepted_at"
    assert [tuple(row) for row in database._do.fetch(copies)][1:3] == [
        ("st_a", 100.0, '{"a":1}'),
        ("st_b", 200.5, '"\\u0000"'),
    ]
    assert [database.drop_copies(300.0, 2), database.drop_copies(300.0, 2), database.drop_copies(300.0, 2)] == [2, 1, 0]
    assert [stream for stream, _, _ in database._do.fetch(copies)] == ["st_c"]


def test_a_ledger_of_an_earlier_version_takes_copies_too(url):
    first = connect(url)
    try:
        before, schema.MIGRATIONS = schema.MIGRATIONS, schema.MIGRATIONS[:1]
        try:
            assert first.migrate() == 1
        finally:
            schema.MIGRATIONS = before
        first.put([row("st_old")], "gw_1")
        assert first.migrate() == len(schema.MIGRATIONS) - 1
        first.put_copies([("st_old", 1.0, "{}")])
        assert [each.stream for each in rows(first)] == ["st_old"]
    finally:
        first.close()


def test_migrations_run_once(url):
    first, second = connect(url), connect(url)
    try:
        assert first.migrate() == len(schema.MIGRATIONS)
        assert second.migrate() == 0
    finally:
        first.close()
        second.close()


def test_a_newer_ledger_is_refused(url, database):
    database._do.run(
        schema.SET_VERSION if url.startswith("postgres") else "INSERT INTO penstock_schema VALUES (?)", (99,)
    )
    other = connect(url)
    try:
        with pytest.raises(StoreError, match="newer Penstock"):
            other.migrate()
    finally:
        other.close()


def test_a_ledger_that_is_not_there():
    with pytest.raises(StoreError, match=r"the ledger 127\.0\.0\.1:1/x: "):
        connect("postgresql://me:secret@127.0.0.1:1/x")
    with pytest.raises(StoreError, match="there is no ledger at /nowhere/x"):
        connect("sqlite:////nowhere/x", create=False)
    with pytest.raises(StoreError, match="unable to open"):
        connect("sqlite:////nowhere/x")


@pytest.mark.parametrize("url", ["postgresql://me:sec/ret@h/d", "postgresql://me:secret@h:port/d"])
def test_no_password_is_in_any_message(url):
    with pytest.raises(StoreError) as caught:
        connect(url)
    assert "ret" not in str(caught.value)
