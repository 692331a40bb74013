"""A ledger in a process of its own that kills itself at its step number N. It says what it has done, line by line:
``opened st_9_0_1`` and ``settled st_9_0_1`` once the call has returned, ``whole`` when it has lived to its end."""

from __future__ import annotations

import os
import signal
import sys
from functools import partial
from pathlib import Path

from ledger_rows import row

from penstock.metering.row import Row
from penstock.outcome import Outcome
from penstock.store.ledger import Ledger
from penstock.stream.settlement import Terms, settle, so_far
from penstock.stream.summary import AttemptSummary, Summary
from penstock.usage import Usage

TERMS = Terms()


def known(account: Summary, opened: Row, at: float) -> tuple[Row, bool]:
    """See `ledger.SoFar`."""
    return so_far(account, opened, at, TERMS), True


def main(url: str, folder: str, last: int) -> None:
    steps = 0

    def step(name: str) -> None:
        nonlocal steps
        steps += 1
        if steps == last:
            os.kill(os.getpid(), signal.SIGKILL)

    def say(line: str) -> None:
        os.write(1, f"{line}\n".encode())

    now = 1_000_000.0
    ledger = Ledger(url, Path(folder), limit=1 << 24, abandoned=900, wall=lambda: now, step=step)
    ledger.start()
    for turn, flushing in enumerate((True, False)):
        accounts = [
            Summary(
                stream=f"st_{last}_{turn}_{n}",
                route="m",
                model="m",
                client_wire="openai-chat",
                streamed=True,
                attempts=[AttemptSummary(target="p/m", started=0.0)],
            )
            for n in range(2)
        ]
        for account in accounts:
            opened = row(account.stream, None, ended_at=None, started_at=now)
            ledger.open(opened, account, partial(known, account, opened))
            say(f"opened {account.stream}")
            step("opened")
        if flushing:
            ledger.writer.flush(5)
        now += 1
        for account in accounts:
            account.token_events = 7
            account.usage = Usage(output=7)
        ledger.checkpoint()
        step("checkpoint")
        if flushing:
            ledger.writer.flush(5)
        say(f"checkpointed {turn}")
        for account in accounts:
            account.outcome = Outcome.COMPLETED
            ledger.settle(settle(account, row(account.stream, None, started_at=1_000_000.0), now, TERMS).row)
            say(f"settled {account.stream}")
            step("settled")
        if flushing:
            ledger.writer.flush(5)
    ledger.close()
    say("whole")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
