"""Takes copies from the streams and brings them to the sinks, on a thread of its own."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from pathlib import Path

from penstock.capture.copy import Copy, line
from penstock.capture.seal import sealer
from penstock.capture.segments import Segments
from penstock.capture.sender import Receiver, Sender
from penstock.capture.sinks import Sink
from penstock.capture.table import Table
from penstock.capture.webhook import Webhook
from penstock.config.values import CaptureSinks

logger = logging.getLogger("penstock.capture")
GATHER = 0.02
"""Seconds for which copies are gathered: one flush of the disk for all of them."""
AGAIN = 1.0
"""Seconds after which a disk that took nothing is tried again."""
LAST = 5.0
"""Seconds that the end of the gateway waits for what is still in memory."""
SPOOL_FILE = 1024 * 1024


class Keeper:
    """The copies of one gateway, or of ``worker``, one of several from 1: each has folders of its own. Raises
    PenstockError for sinks that cannot be used."""

    def __init__(self, settings: CaptureSinks, worker: int | None = None):
        self.settings = settings
        self._folder = "" if worker is None else f"worker-{worker}"
        self._seal = sealer(settings.key)
        self._sinks: list[Sink] = []
        self._senders: list[Sender] = []
        if (files := settings.files) is not None:
            folder = Path(files.directory, self._folder)
            segments = Segments(folder, size=files.rotate_size, age=files.rotate_age, keep=files.keep)
            self._sinks.append(Sink("files", segments, memory=settings.memory))
        if (webhook := settings.webhook) is not None:
            self._spool("webhook", webhook.spool, webhook.max_spool, Webhook(webhook))
        if (database := settings.database) is not None:
            self._spool("database", database.spool, database.max_spool, Table(database))
        self._copies: deque[Copy] = deque()
        # Each is counted by one thread alone.
        self._offered = self._taken = 0
        self._no_room = 0
        self._wake = threading.Event()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="penstock-capture", daemon=True)
        self._thread.start()
        for sender in self._senders:
            sender.start()

    def _spool(self, name: str, folder: str, most: int, receiver: Receiver) -> None:
        """A sink by way of a spool."""
        place = Path(folder, self._folder)
        self._sinks.append(Sink(name, Segments(place, size=SPOOL_FILE), memory=self.settings.memory, most=most))
        self._senders.append(Sender(receiver, self._sinks[-1], place))

    def offer(self, copy: Copy) -> None:
        """A stream is over. Never waits; a copy for which there is no room is counted as dropped."""
        if self._offered - self._taken + copy.tape.kept > self.settings.memory:
            self._no_room += 1
            return
        self._offered += copy.tape.kept
        self._copies.append(copy)
        self._wake.set()

    def counts(self) -> dict[tuple[str, ...], int]:
        """What became of the copies, by sink and fate."""
        counts: dict[tuple[str, ...], int] = {}
        for sink in self._sinks:
            counts |= {(sink.name, fate): count for fate, count in sink.counts.items()}
            counts[sink.name, "dropped"] += self._no_room
        return counts

    def spooled(self) -> int:
        """Bytes that wait in spools on the disk."""
        return sum(sink.segments.size for sink in self._sinks if sink.name != "files")

    def close(self) -> None:
        """Write what is in memory, for a few seconds at most."""
        self._stop.set()
        self._wake.set()
        self._thread.join(LAST)
        for sender in self._senders:
            sender.stop()
        for sender in self._senders:
            sender.close()
        if not self._thread.is_alive():
            for sink in self._sinks:
                sink.give_up()

    def _drop(self) -> None:
        for sink in self._sinks:
            sink.counts["dropped"] += 1

    def _run(self) -> None:
        while not self._stop.is_set():
            waiting = any(sink.waiting for sink in self._sinks)
            self._wake.wait(AGAIN if waiting else None)
            self._stop.wait(GATHER)
            self._wake.clear()
            self._bring()
        self._bring()

    def _bring(self) -> None:
        while self._copies:
            copy = self._copies.popleft()
            self._taken += copy.tape.kept
            try:
                made = line(copy, self._seal)
            except Exception:
                logger.exception("no copy could be made of the stream %s", copy.summary.stream)
                self._drop()
                continue
            for sink in self._sinks:
                sink.take(made)
        for sink in self._sinks:
            if sink.waiting:
                try:
                    sink.write(time.monotonic())
                except Exception:
                    logger.exception("the copies for %s were not written", sink.name)
        for sender in self._senders:
            sender.news()
