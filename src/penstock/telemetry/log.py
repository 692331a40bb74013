"""Logging that never waits: lines go through a bounded queue to a thread; what does not fit is counted."""

from __future__ import annotations

import logging
import sys
import threading
from collections import deque
from datetime import UTC, datetime
from typing import Any, Literal, TextIO

import msgspec

from penstock import money
from penstock.metering.row import Row, fields
from penstock.plain import encoded
from penstock.stream.summary import Summary

QUEUE_LINES = 10_000
INTERVAL = 0.02
"""Seconds for which lines are gathered."""


class LogWriter:
    """Writes lines to ``stream`` from a thread of its own.

    The thread is woken by the first line and then gathers for a moment: a wake-up a line would cost the event loop
    more than the line, and looking without a reason costs an idle gateway more than anything else.
    """

    def __init__(self, stream: TextIO | None = None):
        self._stream = stream or _stderr()
        self._lines: deque[str] = deque()
        self._stop = threading.Event()
        self._wake = threading.Event()
        self._awake = False
        self._thread = threading.Thread(target=self._run, name="penstock-log", daemon=True)
        self.dropped = 0
        """Lines that did not fit, or could not be written."""
        self._thread.start()

    def write(self, line: str) -> None:
        """Queue a line."""
        if len(self._lines) >= QUEUE_LINES:
            self.dropped += 1
        else:
            self._lines.append(line)
            if not self._awake:
                self._awake = True
                self._wake.set()

    def close(self) -> None:
        """Write what is queued, within a second."""
        self._stop.set()
        self._wake.set()
        self._thread.join(1)

    def _run(self) -> None:
        while not self._stop.is_set():
            self._wake.wait()
            self._stop.wait(INTERVAL)
            self._wake.clear()
            self._awake = False
            self._drain()
        self._drain()

    def _drain(self) -> None:
        lines = []
        while self._lines:
            lines.append(self._lines.popleft())
        if not lines:
            return
        try:
            self._stream.write("\n".join(lines) + "\n")
            self._stream.flush()
        except (OSError, ValueError):
            self.dropped += len(lines)


def _stderr() -> TextIO:
    """Standard error by a way of its own: the interpreter does not end while a thread is stuck in `sys.stderr`, whose
    reader has stopped reading."""
    try:
        return open(sys.stderr.fileno(), "w", encoding="utf-8", errors="backslashreplace", closefd=False)
    except (OSError, ValueError):
        # It is no file.
        return sys.stderr


class DirectWriter(LogWriter):
    """Writes at once, without a thread: for a process that has nothing to wait for."""

    def __init__(self, stream: TextIO | None = None):
        self._stream = stream or sys.stderr
        self.dropped = 0

    def write(self, line: str) -> None:
        self._stream.write(line + "\n")
        self._stream.flush()

    def close(self) -> None:
        """Nothing waits."""


class LineHandler(logging.Handler):
    """Sends records of the standard library's loggers the same way, in the same format."""

    def __init__(self, writer: LogWriter, style: Literal["json", "console"]):
        super().__init__()
        self._writer = writer
        self._style = style

    def emit(self, record: logging.LogRecord) -> None:
        message = record.getMessage()
        if record.exc_info:
            message += "\n" + logging.Formatter().formatException(record.exc_info)
        if self._style == "json":
            line: dict[str, Any] = {
                "time": _timestamp(),
                "level": record.levelname.lower(),
                "logger": record.name,
                "message": message,
            }
            self._writer.write(encoded(line).decode())
        else:
            self._writer.write(f"{_timestamp()[11:23]} {record.levelname.lower():7} {message}")


def stream_line(summary: Summary, style: Literal["json", "console"]) -> str:
    """The one line of a stream."""
    shown = stream_fields(summary)
    if style == "json":
        return encoded(shown).decode()
    ttft = "-" if summary.first_token is None else f"{summary.first_token * 1000:.0f}ms"
    served = shown["target"] or "-"
    text = (
        f"{_timestamp()[11:23]} {summary.outcome:14} {summary.route} -> {served} "
        f"ttft={ttft} duration={summary.duration:.2f}s tokens={summary.token_events} "
        f"bytes={summary.bytes_out} attempts={len(summary.attempts)} {summary.stream}"
    )
    return text + (f" ({summary.reason})" if summary.reason else "")


def row_line(row: Row, style: Literal["json", "console"]) -> str:
    """The ledger row of a stream, for those who keep no ledger."""
    if style == "json":
        return encoded({"time": _timestamp(), "event": "row", **fields(row)}).decode()
    cost = "no price" if row.cost is None else f"${money.text(row.cost)}"
    tokens = f"counted={row.counted.total} reported={row.reported.total} delivered={row.delivered.generated}"
    return f"{_timestamp()[11:23]} row            {cost} ({row.basis}) {tokens} {row.stream}"


def stream_fields(summary: Summary) -> dict[str, Any]:
    """A stream's account as plain values: times in milliseconds, sizes in bytes."""
    served = summary.served
    shown: dict[str, Any] = {
        "time": _timestamp(),
        "event": "stream",
        "stream": summary.stream,
        "outcome": summary.outcome,
        "reason": summary.reason or None,
        "route": summary.route,
        "model": summary.model,
        "target": served.target if served else None,
        "client_wire": summary.client_wire,
        "streamed": summary.streamed,
        "committed": summary.committed,
        "status": summary.client_status,
        "ttft_ms": _milliseconds(summary.first_token),
        "duration_ms": _milliseconds(summary.duration),
        "frames": summary.frames_in,
        "token_events": summary.token_events,
        "bytes_in": summary.bytes_in,
        "bytes_out": summary.bytes_out,
        "blocked_ms": _milliseconds(summary.blocked),
        "keepalives": summary.keepalives,
        "left_ms": _milliseconds(summary.left),
        "leaving": summary.leaving or None,
        "redactions": summary.redactions,
        "tags": summary.tags,
        "checks": summary.checks,
        "finish": summary.finish,
        "usage": None if summary.usage is None else msgspec.to_builtins(summary.usage),
        "attempts": [
            {
                "target": attempt.target,
                "status": attempt.status,
                "outcome": attempt.outcome,
                "reason": attempt.reason or None,
                "continues": attempt.continues,
                "usage": None if attempt.usage is None else msgspec.to_builtins(attempt.usage),
                "started_ms": _milliseconds(attempt.started),
                "first_token_ms": _milliseconds(attempt.first_token),
                "ended_ms": _milliseconds(attempt.ended),
            }
            for attempt in summary.attempts
        ],
    }
    warnings = list(summary.warnings)
    if summary.malformed:
        warnings.append(f"malformed_frames={summary.malformed}")
    shown["warnings"] = warnings
    return shown


def _milliseconds(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds * 1000, 1)


def _timestamp() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
