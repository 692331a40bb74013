"""The writer: one thread that takes rows from the spool to the database, and never gives up."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from pathlib import Path

from penstock.store.database import Database, StoreError
from penstock.store.spool import Left, Spool, read

logger = logging.getLogger("penstock.ledger")

INTERVAL = 0.2
"""Seconds for which rows are gathered."""
BEAT = 15.0
"""Seconds between two signs of life."""
PAUSES = (0.25, 0.5, 1.0, 2.0, 5.0)
"""Seconds between attempts while the database is away."""
CRASHED = "the gateway died; settled from the last checkpoint"
SILENT = "the gateway was not heard of any more; settled from the last checkpoint that came"


class Writer:
    """Between ``spool`` and what ``connect`` opens. ``abandoned``: seconds without a sign of life after which the
    streams of a gateway on another machine are settled as crashed; ``step`` is told of every write, for tests."""

    def __init__(
        self,
        spool: Spool,
        connect: Callable[[], Database],
        *,
        abandoned: float,
        wall: Callable[[], float] = time.time,
        step: Callable[[str], None] = lambda _: None,
    ):
        self._spool = spool
        self._connect = connect
        self._abandoned = abandoned
        self._wall = wall
        self._step = step
        self._database: Database | None = None
        self._failures = 0
        self._looked = self._beaten = float("-inf")
        self._stop = threading.Event()
        self._wake = threading.Event()
        self._hurry = threading.Event()
        self._turned = threading.Condition()
        self._turns = 0
        self.reachable = True
        """The database took what it was last given."""
        self.written = 0
        """Rows that were settled in the database."""
        self.problem = ""
        """Why it is not reachable."""
        self._thread = threading.Thread(target=self._run, name="penstock-ledger", daemon=True)

    def start(self) -> None:
        """Begin, unless it has begun."""
        if self._thread.ident is None:
            self._thread.start()

    def wake(self) -> None:
        """There are rows."""
        # To look is cheaper than to set, and is enough: it is cleared before the rows are looked for.
        if not self._wake.is_set():
            self._wake.set()

    def flush(self, seconds: float) -> bool:
        """Wait until what was spooled by now is in the database. Waits: not for the event loop."""
        with self._turned:
            # The turn that is under way may have begun too early.
            wanted = self._turns + 2
            self._turned.wait_for(lambda: self._turns >= wanted or not self._hurried(), seconds)
            return self._turns >= wanted

    def _hurried(self) -> bool:
        self._hurry.set()
        self._wake.set()
        return self._thread.is_alive()

    def close(self, seconds: float) -> None:
        """Write what is left, within ``seconds``; the rest stays in the spool for the next start."""
        self.start()
        self._stop.set()
        self._hurry.set()
        self._wake.set()
        self._thread.join(seconds)

    # -- the thread -----------------------------------------------------------------------------------------------

    def _run(self) -> None:
        try:
            while not self._stop.is_set():
                self._hurry.clear()
                self._wake.clear()
                self._turn()
                if self._failures:
                    self._stop.wait(PAUSES[min(self._failures, len(PAUSES)) - 1])
                else:
                    self._wake.wait(BEAT)
                    self._hurry.wait(INTERVAL)
            self._turn()
            if self._database is not None and not self._failures:
                self._database.bury(self._spool.owner, CRASHED)
        except StoreError as error:
            logger.error("%s", error)
        except Exception:
            logger.exception("the ledger's writer has failed")
        finally:
            if self._database is not None:
                self._database.close()

    def _turn(self) -> None:
        try:
            database = self._connected()
            now = self._wall()
            for segment in self._spool.cut():
                self._write(database, segment, self._spool.owner)
                self._step("before drop")
                self._spool.drop(segment)
                self._step("dropped")
            if now - self._beaten >= BEAT:
                self._beaten = now
                database.beat(self._spool.owner, now)
            if now - self._looked >= self._abandoned / 10:
                self._looked = now
                self._take_over(database, now)
        except (StoreError, OSError) as error:
            self._failed(str(error))
        except Exception as error:
            if not self._failures:
                logger.exception("the ledger's writer has failed")
            self._failed(f"the ledger's writer: {type(error).__name__}")
        else:
            self._worked()

    def _connected(self) -> Database:
        if self._database is None:
            database = self._connect()
            try:
                database.migrate()
            except StoreError:
                database.close()
                raise
            self._database = database
        return self._database

    def _failed(self, problem: str) -> None:
        self.reachable, self.problem = False, problem
        if not self._failures:
            logger.error("%s; rows wait in %s", problem, self._spool.folder)
        self._failures += 1
        if self._database is not None:
            self._database.close()
            self._database = None

    def _worked(self) -> None:
        if self._failures:
            logger.warning("the ledger's database takes rows again")
        self._failures = 0
        self.reachable, self.problem = True, ""
        with self._turned:
            self._turns += 1
            self._turned.notify_all()

    def _write(self, database: Database, segment: Path, owner: str) -> None:
        lines, broken = read(segment)
        if broken:
            logger.error("%s: lines that are no rows: %d", segment, broken)
        self._step("before put")
        database.put_lines(lines, owner)
        self._step("put")
        self.written += sum(line.outcome is not None for line in lines)

    def _take_over(self, database: Database, now: float) -> None:
        """The rows of gateways that are gone: known by their lock on this machine, else by their silence."""
        for left in Left.found(self._spool.folder.parent, self._spool.owner):
            try:
                for segment in left.segments():
                    self._write(database, segment, left.owner)
                    segment.unlink()
                    self._step("dropped")
                self._bury(database, left.owner, CRASHED)
            finally:
                left.release()
        here = {each.name for each in self._spool.folder.parent.iterdir()}
        for owner in database.silent(now - self._abandoned):
            if owner not in here:
                self._bury(database, owner, SILENT)

    def _bury(self, database: Database, owner: str, warning: str) -> None:
        self._step("before bury")
        count = database.bury(owner, warning)
        self._step("buried")
        self.written += count
        if count:
            logger.warning("streams of a gateway that is gone were settled as crashed: %d", count)
