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
from penstock.capture.sender import Sender
from penstock.capture.sinks import Sink
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
    """The copies of one gateway. Raises PenstockError for sinks that cannot be used."""

    def __init__(self, settings: CaptureSinks):
        self.settings = settings
        self._seal = sealer(settings.key)
        self._sinks: list[Sink] = []
        self._sender: Sender | None = None
        if (files := settings.files) is not None:
            segments = Segments(Path(files.directory), size=files.rotate_size, age=files.rotate_age, keep=files.keep)
            self._sinks.append(Sink("files", segments, memory=settings.memory))
        if (webhook := settings.webhook) is not None:
            segments = Segments(Path(webhook.spool), size=SPOOL_FILE)
            spool = Sink("webhook", segments, memory=settings.memory, most=webhook.max_spool)
            self._sinks.append(spool)
            self._sender = Sender(webhook, spool)
        self._copies: deque[Copy] = deque()
        # Each is counted by one thread alone.
        self._offered = self._taken = 0
        self._no_room = 0
        self._wake = threading.Event()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="penstock-capture", daemon=True)
        self._thread.start()
        if self._sender is not None:
            self._sender.start()

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
        """Bytes that wait for the webhook on the disk."""
        return sum(sink.segments.size for sink in self._sinks if sink.name == "webhook")

    def close(self) -> None:
        """Write what is in memory, for a few seconds at most."""
        self._stop.set()
        self._wake.set()
        self._thread.join(LAST)
        if self._sender is not None:
            self._sender.close()
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
        if self._sender is not None:
            self._sender.news()
