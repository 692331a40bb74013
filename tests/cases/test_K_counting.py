"""K4. Counting the tokens of a long prompt holds up no stream."""

from __future__ import annotations

import random
import time
from pathlib import Path

from penstock.metering.encodings import O200K
from penstock.testing.process import ServeProcess, document
from penstock.testing.rig import Rig, request
from penstock.testing.steps import done, fin, forever, hdr, pause, role, tok
from penstock.vocabularies import read
from penstock.wire import json

_RANDOM = random.Random(4)
PROMPT = " ".join("".join(_RANDOM.choices("abcdefghijklmnopqrstuvwxyz", k=6)) for _ in range(50_000))
"""Words that nobody has counted before: some 150,000 tokens."""
STREAMS = 50


async def test_K4_a_long_prompt_is_counted_beside_the_streams(rig: Rig, tmp_path: Path) -> None:
    going = [hdr(), role(), forever(tok(1), pause(0.05))]
    upstream = await rig.upstream(*[going] * STREAMS, [hdr(), role(), tok(3), fin(), done()])
    settings = {**document([upstream.base_url]), "ledger": {"url": "sqlite:///rows.db"}}
    async with ServeProcess(settings, tmp_path) as process:
        clients = [await process.open(model="gpt-4o") for _ in range(STREAMS)]
        for client in clients:
            await client.events(2)
        await longest_pause(process)
        asked = await process.connect()
        await asked.post("/v1/chat/completions", request("gpt-4o", messages=[{"role": "user", "content": PROMPT}]))
        answer = await asked.answer()
        assert answer.marks == 1
        row = {"data": []}
        while not row["data"]:
            row = (await process.get(f"/v1/usage?stream={answer.headers['x-penstock-stream']}")).json
            for client in clients:
                await client.events(1)
        longest = await longest_pause(process)
    tokens, seconds = counted_here()
    assert abs(row["data"][0]["counted"]["input"] - tokens) < 20
    assert tokens > 128_000
    assert longest < seconds / 3, "the event loop waited while the prompt was counted"


async def longest_pause(process: ServeProcess) -> float:
    """Of the event loop since the last time that this was asked, in seconds."""
    told = (await process.get("/metrics")).body.decode()
    name = "penstock_event_loop_pause_seconds_max "
    return max(float(line.removeprefix(name)) for line in told.splitlines() if line.startswith(name))


def counted_here() -> tuple[int, float]:
    """The tokens of the prompt, and the processor's time that counting them all at once takes."""
    vocabulary = read(O200K)
    began = time.process_time()
    counter = vocabulary.counter()
    counter.add(json.loads(json.dumps(PROMPT)))
    return counter.tokens(), time.process_time() - began
