"""kill -9 between any two writes: no row is lost, none is there twice."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from penstock.metering.row import Row
from penstock.outcome import Outcome
from penstock.store.ledger import Ledger
from penstock.store.query import Query

HERE = Path(__file__).parent


def die(url: str, folder: Path, step: int) -> list[str]:
    """What a gateway said before it died at that step."""
    command = [sys.executable, str(HERE / "dying_gateway.py"), url, str(folder), str(step)]
    return subprocess.run(command, check=False, stdout=subprocess.PIPE, timeout=60).stdout.decode().splitlines()


def rows_after_a_start(url: str, folder: Path) -> dict[str, Row]:
    ledger = Ledger(url, folder, limit=1 << 24, abandoned=900)
    ledger.start()
    try:
        # Taking over what is left is done in the first turn.
        assert ledger.writer.flush(30)
        found = [row for _, row in ledger.page(Query(limit=1000)).rows]
    finally:
        ledger.close()
    assert not list(folder.iterdir()), "nothing is left in the spool"
    assert len({row.stream for row in found}) == len(found), "a row is there twice"
    return {row.stream: row for row in found}


def test_kill_at_every_step(url: str, tmp_path: Path) -> None:
    spool, ends = tmp_path / "spool", set()
    opened: set[str] = set()
    for step in range(1, 1000):
        said = die(url, spool, step)
        found = rows_after_a_start(url, spool)
        opened |= {line.split()[1] for line in said if line.startswith("opened")}
        settled = {line.split()[1] for line in said if line.startswith("settled")}
        assert opened <= set(found), f"step {step}: a stream is lost"
        for stream, row in found.items():
            if stream.startswith(f"st_{step}_"):
                ends.add(row.outcome)
                assert row.outcome is Outcome.COMPLETED or stream not in settled, f"step {step}: a settlement is lost"
                if row.outcome is Outcome.CRASHED and f"checkpointed {stream[-3]}" in said:
                    assert (row.reported.output, row.ended_at) == (7, row.started_at + 1), f"step {step}: a checkpoint"
        if said and said[-1] == "whole":
            break
    else:
        raise AssertionError("it never lives to its end")
    assert step > 15
    assert ends == {Outcome.COMPLETED, Outcome.CRASHED}
