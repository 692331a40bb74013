"""Brings the lines of a spool to whom they are for, in order, each at least once."""

from __future__ import annotations

import logging
import os
import threading
import time
from pathlib import Path
from typing import Protocol

from penstock.capture.sinks import Sink
from penstock.errors import PenstockError

logger = logging.getLogger("penstock.capture")
BATCH = 1024 * 1024
"""Bytes of a request, unless one line alone has more."""
FIRST_WAIT, LONGEST_WAIT = 1.0, 60.0
"""Seconds after a failure, doubled from one to the next."""
LAST = 2.0
"""Seconds that the end of the gateway waits for a request."""


class Undelivered(PenstockError):
    """Nothing was taken now; later it may be. Its words are fit for the log."""


class Receiver(Protocol):
    """For whom lines are. It may take its time; used by one thread."""

    tidies: float | None
    """Seconds from one call of `tidy` to the next."""

    def deliver(self, lines: list[bytes]) -> bool:
        """Take lines, all of them; False where it will never take these. Raises Undelivered."""
        ...

    def tidy(self) -> None:
        """Put away what is too old. Never raises."""
        ...

    def close(self) -> None:
        """Nothing more comes."""
        ...


class Sender:
    """Runs on a thread of its own. ``cursor`` in the spool says how far the oldest file was taken."""

    def __init__(self, receiver: Receiver, spool: Sink, folder: Path):
        self._receiver = receiver
        self._spool = spool
        self._cursor = folder / "cursor"
        self._news = threading.Event()
        self._stop = threading.Event()
        self._tidied = 0.0
        self._thread = threading.Thread(target=self._run, name=f"penstock-{spool.name}", daemon=True)
        spool.counts.update(delivered=0, refused=0)

    def start(self) -> None:
        """Begin, with what an earlier process has left."""
        self._thread.start()

    def news(self) -> None:
        """Something was written."""
        self._news.set()

    def stop(self) -> None:
        """Send no more, but for the request that is under way; what is left stays in the spool."""
        self._stop.set()
        self._news.set()

    def close(self) -> None:
        """Stopped, where the request under way is soon over."""
        self.stop()
        self._thread.join(LAST)

    def _run(self) -> None:
        wait = FIRST_WAIT
        while not self._stop.is_set():
            self._news.clear()
            try:
                self._tidy()
                sent = self._send_some()
            except (Undelivered, OSError) as error:
                if wait == FIRST_WAIT:
                    name = self._spool.name
                    logger.warning("the capture %s does not take copies: %s; they wait in its spool", name, error)
                self._stop.wait(wait)
                wait = min(wait * 2, LONGEST_WAIT)
                continue
            wait = FIRST_WAIT
            if not sent:
                self._news.wait(self._receiver.tidies)
        self._receiver.close()

    def _tidy(self) -> None:
        every, now = self._receiver.tidies, time.monotonic()
        if every is not None and (not self._tidied or now - self._tidied >= every):
            self._tidied = now
            self._receiver.tidy()

    def _send_some(self) -> bool:
        """One request. False when there was nothing to send. Raises Undelivered, and OSError of the spool."""
        paths = self._spool.segments.paths
        if not paths:
            return False
        path = paths[0]
        current = path == self._spool.segments.current
        at = self._position(path)
        lines, end = _lines(path, at)
        if not lines:
            if current:
                return False
            # Read to its end, and nothing more is written to it.
            path.unlink(missing_ok=True)
            return True
        taken = self._receiver.deliver(lines)
        self._spool.counts["delivered" if taken else "refused"] += len(lines)
        self._move(path, end)
        return True

    def _position(self, path: Path) -> int:
        try:
            name, at = self._cursor.read_text().split()
        except (OSError, ValueError):
            return 0
        return int(at) if name == path.name and at.isdigit() else 0

    def _move(self, path: Path, at: int) -> None:
        new = self._cursor.with_suffix(".new")
        new.write_text(f"{path.name} {at}")
        os.replace(new, self._cursor)


def _lines(path: Path, at: int) -> tuple[list[bytes], int]:
    """Whole lines from ``at`` on, a batch of them, and where they end."""
    lines: list[bytes] = []
    size = 0
    with open(path, "rb") as file:
        file.seek(at)
        for line in file:
            if not line.endswith(b"\n") or (lines and size + len(line) > BATCH):
                break
            lines.append(line)
            size += len(line)
    return lines, at + size
