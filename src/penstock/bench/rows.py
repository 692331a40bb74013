"""What rows cost: 10,000 a minute opened, brought up to date, settled and written, in a process of its own.

Run as a program it reads seconds from its arguments, and writes what it found as JSON.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path

import msgspec

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
_PATH = "/v1/chat/completions"
_REQUEST = b'{"model":"gpt-4o","stream":true,"messages":[{"role":"user","content":"%s"}]}' % (b"word " * 300)


class Found(msgspec.Struct, frozen=True):
    """``cpu``: seconds of it in ``seconds``; ``idle``: the same of the loop alone. ``others``: of other programs."""

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


async def _paced(count: int, each: partial[None]) -> float:
    """Do it so often, `A_MINUTE`. The CPU time that the process has used meanwhile."""
    began, cpu = time.monotonic(), time.process_time()
    for number in range(1, count + 1):
        each()
        due = began + number * 60 / A_MINUTE
        if (wait := due - time.monotonic()) > 0:
            await asyncio.sleep(wait)
    return time.process_time() - cpu


def _stream(ledger: Rows, keeper: Bookkeeper, recorder: Recorder, route: Route) -> None:
    """One stream: accepted, a checkpoint a second old, over with its usage."""
    wire = client_wire_at(_PATH)
    assert wire is not None
    name = f"st_{time.monotonic_ns()}"
    account = keeper.account(recorder, name, wire, wire.read(_PATH, "", _REQUEST), route, None)
    attempt = AttemptSummary(target="openai/gpt-4o", label="openai/gpt-4o", started=0.01, status=200)
    summary = Summary(
        stream=name, route="gpt-4o", model="gpt-4o", client_wire=wire.name, streamed=True, attempts=[attempt]
    )
    ledger.open(account.row, summary, partial(account.so_far, summary))
    summary.token_events, summary.committed, summary.first_token, attempt.first_token = 400, True, 0.4, 0.4
    ledger.checkpoint()
    attempt.usage, attempt.ended, summary.duration = Usage(input=320, output=400), 8.0, 8.0
    summary.outcome = Outcome.COMPLETED
    account.record(summary)


async def measure(seconds: float) -> Found:
    """Measure in this process."""
    count = max(1, round(seconds * A_MINUTE / 60))
    route = Route(name="gpt-4o", targets=(Target("openai", "gpt-4o"),))
    with tempfile.TemporaryDirectory(prefix="penstock-bench-") as folder:
        kept = Ledger(url=f"sqlite:///{folder}/penstock.db", spool=str(Path(folder) / "spool"))
        ledger = ledger_at(kept)

        def book(settled: Settled) -> None:
            ledger.settle(settled.row)

        keeper = bookkeeper(Config(routes=(route,), ledger=kept, metering=Metering()), book)
        assert keeper is not None
        keeper.start()
        ledger.start()
        idle = await _paced(count, partial(_nothing))
        busy, began, cpu = proc.busy_seconds(), time.monotonic(), time.process_time()
        used = await _paced(count, partial(_stream, ledger, keeper, _Nobody(), route))
        took, all_of_it = time.monotonic() - began, time.process_time() - cpu
        others = max(0.0, proc.busy_seconds() - busy - all_of_it)
        await keeper.close()
        await asyncio.to_thread(ledger.close)
        if ledger.writer.written != count:
            raise BenchError(f"{ledger.writer.written} of {count} rows were written")
    return Found(count, took, used, idle, others)


def _nothing() -> None:
    """What the loop does without a ledger."""


if __name__ == "__main__":
    sys.stdout.buffer.write(msgspec.json.encode(asyncio.run(measure(float(sys.argv[1])))))
