"""A deploy under load: one gateway takes the port over from another while streams are under way and more come.

    python -m penstock.testing.rolling --streams 500 --seconds 10 --workers 2

Exit 1 when a stream was refused, cut or lost.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
from collections import Counter
from pathlib import Path

import msgspec

from penstock.sim.provider import Sim
from penstock.testing.client import CHAT, RawClient
from penstock.testing.process import ServeProcess, document
from penstock.testing.rig import request, until

GAP = 0.1
"""Seconds between two tokens of a stream."""
SHARE = 0.5
"""Of the streams are under way when the new gateway comes; the others come while the old one leaves."""


class Told(msgspec.Struct):
    """``ends`` counts how streams ended for their clients; ``outcomes`` and ``shares`` are what the old and the new
    gateway recorded."""

    ends: Counter[str]
    outcomes: Counter[str]
    shares: tuple[int, int]
    errors: list[str]
    code: int
    """The old gateway's exit code."""


async def ask(port: int) -> str:
    """One stream on a connection of its own: ``whole``, or what went wrong."""
    try:
        client = await RawClient.connect("127.0.0.1", port)
    except OSError as error:
        return f"no connection: {error}"
    try:
        await client.post(CHAT, request())
        answer = await client.answer(within=120)
    except (OSError, EOFError, TimeoutError, AssertionError) as error:
        return f"lost: {error!r}"
    finally:
        client.close()
    if answer.status != 200 or answer.error is not None:
        return f"refused: {answer.status} {answer.body[:200]!r}"
    return "whole" if answer.ended == "clean" and answer.marks == 1 and answer.finishes[-1:] == ["stop"] else "cut"


async def rolling(folder: Path, *, streams: int, seconds: float, workers: int) -> Told:
    """The deploy. The old gateway gets SIGTERM in the middle of the first streams."""
    async with Sim() as sim:
        server = {"workers": workers, "reuse_port": True, "drain": f"{seconds * 3 + 10:g}s"}
        settings = document([sim.base_url], server=server)
        settings["routes"]["m"]["targets"] = [f"m1/sim?tokens={round(seconds / GAP)}&gap={round(GAP * 1000)}ms&first=0"]
        for name in ("old", "new"):
            (folder / name).mkdir()
        async with ServeProcess(settings, folder / "old") as old:
            first = round(streams * SHARE)
            asked = [asyncio.create_task(ask(old.port)) for _ in range(first)]
            await until(lambda: sim.streams == first, within=30, what="the first streams are under way")
            async with ServeProcess(settings, folder / "new", port=old.port) as new:

                async def more(count: int) -> None:
                    for _ in range(count):
                        asked.append(asyncio.create_task(ask(old.port)))
                        await asyncio.sleep(0.003)

                between = (streams - first) // 3
                await more(between)
                old.terminate()
                await more(streams - first - between)
                ends = Counter(await asyncio.gather(*asked))
                code = await old.exit_code(within=60)
                await until(lambda: len(old.records) + len(new.records) >= streams, within=10, what="a record a stream")
                records = [*old.records, *new.records]
                return Told(
                    ends=ends,
                    outcomes=Counter(record["outcome"] for record in records),
                    shares=(len(old.records), len(new.records)),
                    errors=[*old.errors, *new.errors],
                    code=code,
                )


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m penstock.testing.rolling")
    parser.add_argument("--streams", type=int, default=500)
    parser.add_argument("--seconds", type=float, default=10.0, help="that a stream takes")
    parser.add_argument("--workers", type=int, default=1)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        told = asyncio.run(rolling(Path(folder), streams=given.streams, seconds=given.seconds, workers=given.workers))
    sys.stdout.write(f"ends {dict(told.ends)}, outcomes {dict(told.outcomes)}, old and new {told.shares}\n")
    sys.stdout.writelines(f"{line}\n" for line in told.errors)
    return 0 if set(told.ends) == {"whole"} and not told.errors else 1


if __name__ == "__main__":
    sys.exit(main())
