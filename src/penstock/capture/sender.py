"""Posts the lines of a spool to a webhook, in order, each at least once."""

from __future__ import annotations

import logging
import os
import threading
import urllib.error
import urllib.request
from email.message import Message
from http.client import HTTPException
from pathlib import Path
from typing import IO

from penstock.capture.sinks import Sink
from penstock.config.values import CaptureWebhook

logger = logging.getLogger("penstock.capture")
BATCH = 1024 * 1024
"""Bytes of a request, unless one line alone has more."""
FIRST_WAIT, LONGEST_WAIT = 1.0, 60.0
"""Seconds after a failure, doubled from one to the next."""
LAST = 2.0
"""Seconds that the end of the gateway waits for a request."""
REFUSED = frozenset({400, 413, 415, 422})
"""Answers that say of the lines themselves that they will never be taken."""


class Sender:
    """Runs on a thread of its own. ``cursor`` in the spool says how far the oldest file was taken."""

    def __init__(self, webhook: CaptureWebhook, spool: Sink):
        self._webhook = webhook
        self._spool = spool
        self._cursor = Path(webhook.spool) / "cursor"
        self._news = threading.Event()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="penstock-webhook", daemon=True)
        self._opener = urllib.request.build_opener(_NoRedirects)
        spool.counts.update(delivered=0, refused=0)

    def start(self) -> None:
        """Begin, with what an earlier process has left."""
        self._thread.start()

    def news(self) -> None:
        """Something was written."""
        self._news.set()

    def close(self) -> None:
        """Stop, behind the request that is under way where that is soon over; what is left stays in the spool."""
        self._stop.set()
        self._news.set()
        self._thread.join(LAST)

    def _run(self) -> None:
        wait = FIRST_WAIT
        while not self._stop.is_set():
            self._news.clear()
            try:
                sent = self._send_some()
            except (OSError, HTTPException, ValueError) as error:
                if wait == FIRST_WAIT:
                    logger.warning("the capture webhook does not take copies: %s; they wait in its spool", error)
                self._stop.wait(wait)
                wait = min(wait * 2, LONGEST_WAIT)
                continue
            wait = FIRST_WAIT
            if not sent:
                self._news.wait()

    def _send_some(self) -> bool:
        """One request. False when there was nothing to send. Raises what a request raises."""
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
        status = self._post(b"".join(lines))
        self._spool.counts["delivered" if status < 300 else "refused"] += len(lines)
        self._move(path, end)
        return True

    def _post(self, body: bytes) -> int:
        headers = {"content-type": "application/x-ndjson", **dict(self._webhook.headers)}
        request = urllib.request.Request(self._webhook.url, data=body, headers=headers, method="POST")
        try:
            with self._opener.open(request, timeout=self._webhook.timeout) as answer:
                answer.read(1024)
                return 200
        except urllib.error.HTTPError as error:
            with error:
                if error.code in REFUSED:
                    logger.warning("the capture webhook refuses copies with %d; they are dropped", error.code)
                    return error.code
            raise

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


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """A redirected POST would lose its body."""

    def redirect_request(
        self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str, headers: Message, newurl: str
    ) -> None:
        """Never."""
        return
