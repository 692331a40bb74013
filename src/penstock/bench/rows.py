"""What rows cost: 10,000 streams a minute opened, brought up to date while they flow, settled and written, against the
same streams without a ledger and without counts, in a process of its own.

Run as a program it reads seconds from its arguments, and writes what it found as JSON.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import tempfile
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path

import msgspec

from penstock import ids
from penstock.bench import proc
from penstock.bench.job import BenchError
from penstock.config.values import Config, Ledger, Metering, Route, Target
from penstock.outcome import Outcome
from penstock.ports import Recorder
from penstock.server.bookkeeping import Bookkeeper, bookkeeper
from penstock.store.ledger import Ledger as Rows
from penstock.stores import ledger_at
from penstock.stream.settlement import Settled
from penstock.stream.summary import AttemptSummary, Summary
from penstock.usage import Usage
from penstock.wire.registry import client_wire_at

A_MINUTE = 10_000
TITLE = f"The ledger: {A_MINUTE:,} rows a minute, in SQLite"
UNDER_WAY = 200
"""Streams at a time: each lives 1.2 s."""
_ROUTE = Route(name="gpt-4o", targets=(Target("openai", "gpt-4o"),))
_PATH = "/v1/chat/completions"
_REQUEST = b'{"model":"gpt-4o","stream":true,"messages":[{"role":"user","content":"%s"}]}' % (b"word " * 300)


class Found(msgspec.Struct, frozen=True):
    """``cpu``: seconds of it in ``seconds``; ``idle``: the same without a ledger. ``others``: of other programs."""

    rows: int
    seconds: float
    cpu: float
    idle: float
    others: float


def rows_round(seconds: float) -> dict[str, dict[str, float]]:
    """One round. Raises BenchError."""
    command = [sys.executable, "-m", "penstock.bench.rows", str(seconds)]
    done = subprocess.run(command, capture_output=True, timeout=4 * seconds + 60, check=False)
    if done.returncode:
        lines = done.stderr.decode(errors="replace").strip().splitlines() or ["no reason given"]
        raise BenchError(f"the ledger: the round failed: {lines[-1]}")
    found = msgspec.json.decode(done.stdout, type=Found)
    return {
        "ledger": {
            "load_busy": 0.0,
            "others_busy": found.others / found.seconds,
            "core_percent": (found.cpu - found.idle) / found.seconds * 100,
            "cpu_us_per_row": (found.cpu - found.idle) / found.rows * 1e6,
            "rows_per_s": found.rows / found.seconds,
        }
    }


class _Nobody:
    """Records nothing."""

    def record(self, summary: Summary) -> None:
        """Nothing."""


async def _paced(count: int, each: Callable[[], None]) -> float:
    """Do it so often, `A_MINUTE`. The CPU time that the process has used meanwhile."""
    began, cpu = time.monotonic(), time.process_time()
    for number in range(1, count + 1):
        each()
        due = began + number * 60 / A_MINUTE
        if (wait := due - time.monotonic()) > 0:
            await asyncio.sleep(wait)
    return time.process_time() - cpu


def _refused(stream: str) -> None:
    raise BenchError(f"the ledger: stream {stream} was refused")


class _Streams:
    """Streams of which one begins with every step, and lives for `UNDER_WAY` of them: so a checkpoint is due."""

    def __init__(self, books: tuple[Rows, Bookkeeper] | None):
        wire = client_wire_at(_PATH)
        assert wire is not None
        self._wire = wire
        self._books = books
        self._live: deque[tuple[Recorder, Summary]] = deque()
        self._recorder = _Nobody()

    def step(self) -> None:
        """One is accepted, and the oldest is over."""
        self._begin()
        if len(self._live) > UNDER_WAY:
            self.end()

    def _begin(self) -> None:
        name = ids.stream_id(os.urandom(13))
        request = self._wire.read(_PATH, "", _REQUEST)
        attempt = AttemptSummary(target="openai/gpt-4o", label="openai/gpt-4o", started=0.01, status=200)
        summary = Summary(
            stream=name, route="gpt-4o", model="gpt-4o", client_wire=self._wire.name, streamed=True, attempts=[attempt]
        )
        recorder: Recorder = self._recorder
        if self._books is not None:
            ledger, keeper = self._books
            recorder = account = keeper.account(recorder, name, self._wire, request, _ROUTE, None)
            account.written_down(ledger, summary, _refused)
        summary.token_events, summary.committed, summary.first_token, attempt.first_token = 60, True, 0.4, 0.4
        self._live.append((recorder, summary))

    def end(self) -> None:
        """The oldest is over, with its usage."""
        recorder, summary = self._live.popleft()
        (attempt,) = summary.attempts
        attempt.usage, attempt.ended, summary.duration = Usage(input=320, output=60), 1.2, 1.2
        summary.outcome = Outcome.COMPLETED
        recorder.record(summary)

    def end_all(self) -> None:
        """Those that are left are over."""
        while self._live:
            self.end()


async def measure(seconds: float) -> Found:
    """Measure in this process."""
    count = max(1, round(seconds * A_MINUTE / 60))
    with tempfile.TemporaryDirectory(prefix="penstock-bench-") as folder:
        kept = Ledger(url=f"sqlite:///{folder}/penstock.db", spool=str(Path(folder) / "spool"))
        ledger = ledger_at(kept)

        def book(settled: Settled) -> None:
            ledger.settle(settled.row)

        keeper = bookkeeper(Config(routes=(_ROUTE,), ledger=kept, metering=Metering()), book)
        assert keeper is not None
        keeper.start()
        without, streams = _Streams(None), _Streams((ledger, keeper))
        await _paced(UNDER_WAY, without.step)
        idle = await _paced(count, without.step)
        without.end_all()
        ledger.keep(asyncio.get_running_loop())
        await _paced(UNDER_WAY, streams.step)
        busy, began, cpu = proc.busy_seconds(), time.monotonic(), time.process_time()
        used = await _paced(count, streams.step)
        took, all_of_it = time.monotonic() - began, time.process_time() - cpu
        others = max(0.0, proc.busy_seconds() - busy - all_of_it)
        streams.end_all()
        ledger.halt()
        await keeper.close()
        await asyncio.to_thread(ledger.close)
        if ledger.writer.written != count + UNDER_WAY:
            raise BenchError(f"{ledger.writer.written} of {count + UNDER_WAY} rows were written")
    return Found(count, took, used, idle, others)


if __name__ == "__main__":
    # As in a gateway.
    import uvloop

    from penstock.app import quiet_collector

    quiet_collector()
    found = uvloop.run(measure(float(sys.argv[1])))
    sys.stdout.buffer.write(msgspec.json.encode(found))
