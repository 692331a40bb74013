"""A table of the ledger's database that takes copies."""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Callable
from datetime import datetime

import msgspec

from penstock.capture.sender import Undelivered
from penstock.config.values import CaptureDatabase
from penstock.store.connect import connect
from penstock.store.database import Database, StoreError

logger = logging.getLogger("penstock.capture")
TIDIES = 60.0
"""Seconds from one look for copies that are too old to the next."""
_AT_ONCE = 500
"""Copies that one statement deletes, so that the ledger, which writes too, never waits for long."""


class _Head(msgspec.Struct):
    stream: str
    time: datetime


_HEAD = msgspec.json.Decoder(_Head)


class Table:
    """See `sender.Receiver`. The connection is made when it is needed, and anew after a failure."""

    def __init__(self, settings: CaptureDatabase, clock: Callable[[], float] = time.time):
        self._settings = settings
        self._clock = clock
        self._database: Database | None = None
        self.tidies = None if settings.keep is None else TIDIES

    def deliver(self, lines: list[bytes]) -> bool:
        """See `sender.Receiver`. A copy that comes twice is there once."""
        copies = []
        for line in lines:
            try:
                head = _HEAD.decode(line)
            except msgspec.MsgspecError as error:
                logger.warning("a line of the capture database's spool is no copy, and is left out: %s", error)
                continue
            copies.append((head.stream, head.time.timestamp(), line.rstrip(b"\n").decode("utf-8", "replace")))
        try:
            self._connected().put_copies(copies)
        except StoreError as error:
            self.close()
            raise Undelivered(str(error)) from error
        return True

    def tidy(self) -> None:
        """Delete the copies of streams that began too long ago."""
        if self._settings.keep is None:
            return
        before = self._clock() - self._settings.keep
        try:
            while self._connected().drop_copies(before, _AT_ONCE) == _AT_ONCE:
                pass
        except StoreError:
            # The next delivery will tell.
            self.close()

    def close(self) -> None:
        """See `sender.Receiver`."""
        database, self._database = self._database, None
        if database is not None:
            database.close()

    def _connected(self) -> Database:
        if self._database is None:
            database = connect(self._settings.url)
            with contextlib.ExitStack() as undo:
                undo.callback(database.close)
                database.migrate()
                undo.pop_all()
            self._database = database
        return self._database
