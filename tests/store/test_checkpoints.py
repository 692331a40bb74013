"""When open streams are written down, in virtual time."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import msgspec
import pytest
from ledger_rows import row

from penstock.metering.row import Row
from penstock.outcome import Outcome
from penstock.store import schema, spool
from penstock.store.connect import connect
from penstock.store.ledger import A_TIME, Ledger
from penstock.store.query import Query
from penstock.stream.summary import Summary


class Kept:
    """A ledger whose database nobody writes to, and its clock."""

    def __init__(self, folder: Path):
        self.now = 1000.0
        self.known = True
        self.ledger = Ledger(
            f"sqlite:///{folder}/l.db", folder / "spool", limit=1 << 24, abandoned=900, wall=lambda: self.now
        )

    def open(self, name: str = "st_1") -> Summary:
        """A stream is accepted."""
        account = Summary(stream=name, route="m", model="m", client_wire="openai-chat", streamed=True)
        opened = row(name, None, started_at=self.now, ended_at=None)
        self.ledger.open(opened, account, partial(self._so_far, opened))
        return account

    def _so_far(self, opened: Row, at: float) -> tuple[Row, bool]:
        return msgspec.structs.replace(opened, ended_at=at), self.known

    def written(self) -> list[Row]:
        """The rows of checkpoints and settlements since the last call."""
        found = [schema.row(each.json) for segment in self.ledger.spool.cut() for each in spool.read(segment)[0]]
        for segment in self.ledger.spool.cut():
            self.ledger.spool.drop(segment)
        return [each for each in found if each.ended_at is not None]


@pytest.fixture
def kept(tmp_path: Path) -> Iterator[Kept]:
    made = Kept(tmp_path)
    yield made
    made.ledger.close()


def test_every_second_in_which_something_came(kept):
    account = kept.open()
    kept.now += 5
    kept.ledger.checkpoint()
    assert kept.written() == [], "nothing has come"
    account.token_events = 1
    kept.ledger.checkpoint()
    assert [each.ended_at for each in kept.written()] == [1005]
    account.token_events = 2
    kept.now += 0.9
    kept.ledger.checkpoint()
    assert kept.written() == []
    kept.now += 0.1
    kept.ledger.checkpoint()
    assert [each.ended_at for each in kept.written()] == [1006]
    kept.now += 5
    kept.ledger.checkpoint()
    assert kept.written() == [], "nothing has come since"


def test_two_hundred_tokens_do_not_wait_for_the_second(kept):
    account = kept.open()
    account.token_events = 199
    kept.ledger.checkpoint()
    assert kept.written() == []
    account.token_events = 200
    kept.ledger.checkpoint()
    assert len(kept.written()) == 1


def test_one_that_could_not_be_counted_yet_is_made_again(kept):
    account = kept.open()
    account.token_events, kept.known = 5, False
    for known, count in ((False, 1), (True, 1), (True, 0)):
        kept.known = known
        kept.now += 1
        kept.ledger.checkpoint()
        assert len(kept.written()) == count


def test_a_stream_that_is_over_gets_none_and_is_settled_once(kept):
    account = kept.open()
    account.token_events, account.outcome = 500, Outcome.COMPLETED
    kept.ledger.checkpoint()
    assert kept.written() == []
    for _ in range(2):
        kept.ledger.settle(row("st_1"))
    assert [each.outcome for each in kept.written()] == [Outcome.COMPLETED]
    assert kept.ledger.figures["open"] == 0


def test_many_are_written_a_few_at_a_time(kept):
    for number in range(A_TIME + 3):
        kept.open(f"st_{number}").token_events = 200
    assert kept.ledger.checkpoint()
    assert len(kept.written()) == A_TIME
    assert not kept.ledger.checkpoint()
    assert len(kept.written()) == 3


def test_what_is_open_at_the_end_is_settled_as_it_stands(tmp_path):
    kept = Kept(tmp_path)
    kept.open()
    kept.now += 1
    kept.ledger.close()
    database = connect(f"sqlite:///{tmp_path}/l.db")
    ((_, found),) = database.page(Query()).rows
    database.close()
    assert (found.outcome, found.ended_at) == (Outcome.CRASHED, 1001)
