"""The ledger as the gateway sees it: a stream is opened, is brought up to date while it flows, and is settled.

Nothing here waits for a database. A stream that cannot be written down is not served.
"""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import Callable, Sequence
from itertools import islice
from pathlib import Path
from typing import TypeVar

import msgspec

from penstock import ids
from penstock.errors import PenstockError
from penstock.metering.row import Row
from penstock.outcome import Outcome
from penstock.store import connect
from penstock.store.database import Database, StoreError
from penstock.store.query import Page, Query
from penstock.store.spool import Spool
from penstock.store.writer import Writer
from penstock.stream.summary import Summary

logger = logging.getLogger("penstock.ledger")

CHECKPOINT_SECONDS = 1.0
CHECKPOINT_TOKENS = 200
TICK = 0.25
"""Seconds between two looks for what is to be checkpointed."""
SOON = 0.005
"""The same while there is more of it."""
CLOSING = 5.0
"""Seconds for the last rows at the gateway's end."""

A_TIME = 20
"""Checkpoints that are made at a time: about a millisecond."""
SoFar = Callable[[float], tuple[Row, bool]]
"""The row of an open stream as it stands at an instant, Unix seconds; False: more will be known of it soon."""
Answer = TypeVar("Answer")


class LedgerUnavailable(PenstockError):
    """No stream can be written down now."""


class _Open:
    """A stream that is not settled."""

    __slots__ = ("account", "at", "seen", "so_far")

    def __init__(self, row: Row, account: Summary, so_far: SoFar):
        self.account = account
        self.so_far = so_far
        self.at = row.started_at
        self.seen = 0

    def due(self, now: float) -> bool:
        """Enough has happened since the last checkpoint. One that is over is being settled, elsewhere."""
        if self.account.outcome is not None:
            return False
        grown = self._happened() - self.seen
        return grown >= CHECKPOINT_TOKENS or (grown > 0 and now - self.at >= CHECKPOINT_SECONDS)

    def checkpoint(self, now: float) -> Row:
        """Its row as it stands."""
        row, known = self.so_far(now)
        self.at, self.seen = now, self._happened() if known else -1
        return row

    def _happened(self) -> int:
        return self.account.token_events + len(self.account.attempts)


class Ledger:
    """Keeps rows at ``url``, by way of a spool in ``folder`` of ``limit`` bytes at most."""

    def __init__(
        self,
        url: str,
        folder: Path,
        *,
        limit: int,
        abandoned: float,
        wall: Callable[[], float] = time.time,
        step: Callable[[str], None] = lambda _: None,
    ):
        connect.check(url)
        self._url = url
        self._wall = wall
        self._open: dict[str, _Open] = {}
        self._ticking: asyncio.TimerHandle | None = None
        self._owed: list[Row] = []
        """Rows that the disk did not take."""
        self.spool = Spool(folder, ids.stream_id(os.urandom(13)).replace("st_", "gw_"), limit)
        self.writer = Writer(self.spool, lambda: connect.connect(url), abandoned=abandoned, wall=wall, step=step)

    # -- the life of a stream -------------------------------------------------------------------------------------

    def open(self, row: Row, account: Summary, so_far: SoFar) -> None:
        """A stream is accepted. Raises LedgerUnavailable: then it must not be served."""
        if self._owed or not self.spool.room(len(self._open)):
            why = self.writer.problem or "the spool is full"
            raise LedgerUnavailable(f"this stream cannot be accounted for now ({_public(why)}); try again later")
        try:
            self.spool.append([row])
        except OSError as error:
            logger.error("the ledger's spool %s: %s", self.spool.folder, error.strerror)
            message = f"this stream cannot be accounted for now (the spool: {error.strerror}); try again later"
            raise LedgerUnavailable(message) from None
        self._open[row.stream] = _Open(row, account, so_far)
        self.writer.wake()

    def settle(self, row: Row) -> None:
        """A stream is over, and this is its row. A second one for it changes nothing."""
        if self._open.pop(row.stream, None) is not None:
            self._owed.append(row)
            self._pay()

    def start(self) -> None:
        """Begin to write to the database, with what gateways that are gone have left."""
        self.writer.start()

    def keep(self, loop: asyncio.AbstractEventLoop) -> None:
        """Make checkpoints on this loop from now on."""
        self.start()
        if self._ticking is None:
            self._ticking = loop.call_later(TICK, self._tick, loop)

    def _tick(self, loop: asyncio.AbstractEventLoop) -> None:
        self._ticking = loop.call_later(SOON if self.checkpoint() else TICK, self._tick, loop)

    def checkpoint(self) -> bool:
        """Write down how far the open streams are, `A_TIME` of them. True: there are more."""
        if self._owed:
            self._pay()
            return False
        now = self._wall()
        due = list(islice((each for each in self._open.values() if each.due(now)), A_TIME))
        if due:
            try:
                self.spool.append([each.checkpoint(now) for each in due])
                self.writer.wake()
            except OSError as error:
                logger.error("checkpoints were not written: %s", error.strerror)
        return len(due) == A_TIME

    def _pay(self) -> None:
        try:
            self.spool.append(self._owed)
            self._owed.clear()
            self.writer.wake()
        except OSError as error:
            logger.error("rows wait in memory, and no stream is accepted: the ledger's spool: %s", error.strerror)

    # -- what it knows --------------------------------------------------------------------------------------------

    @property
    def figures(self) -> dict[str, float]:
        """For the metrics."""
        return {
            "rows": self.writer.written,
            "reachable": float(self.writer.reachable),
            "spool_bytes": self.spool.size,
            "open": len(self._open),
        }

    def page(self, query: Query) -> Page:
        """Settled rows, those of streams that were over by now among them. Waits: not for the event loop."""
        self.writer.flush(1.0)
        return self.read(lambda database: database.page(query))

    def spent(self, key: str, since: Sequence[float]) -> tuple[int, ...]:
        """Nano-dollars that a key has spent since each of these instants, by rows that are in the database now. Raises
        StoreError. Waits: not for the event loop."""
        self.writer.flush(1.0)
        if not self.writer.reachable:
            raise StoreError(self.writer.problem)
        return self.read(
            lambda database: tuple(
                sum(total.cost for total in database.totals(Query(key=key, since=instant), "key")) for instant in since
            )
        )

    def read(self, ask: Callable[[Database], Answer]) -> Answer:
        """Ask on a connection of its own. Waits."""
        database = connect.connect(self._url, create=False)
        try:
            return ask(database)
        finally:
            database.close()

    def halt(self) -> None:
        """Make no more checkpoints."""
        if self._ticking is not None:
            self._ticking.cancel()
            self._ticking = None

    def close(self) -> None:
        """Everything is written, to the database or at least to the spool. Waits. No stream may be under way."""
        for stream, each in list(self._open.items()):
            logger.error("stream %s was open at the gateway's end", stream)
            self._owed.append(msgspec.structs.replace(each.checkpoint(self._wall()), outcome=Outcome.CRASHED))
        self._open.clear()
        if self._owed:
            self._pay()
        for row in self._owed:
            logger.error("a row that no disk took: %s", row)
        self.writer.close(CLOSING)
        self.spool.close()


def _public(problem: str) -> str:
    """For clients: what is wrong, not where."""
    return "the ledger's database is away" if problem.startswith("the ledger ") else problem
