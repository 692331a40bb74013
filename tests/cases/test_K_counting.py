"""K4. The tokens of a long prompt are counted beside the event loop, which has streams to serve."""

from __future__ import annotations

import random
import threading
from pathlib import Path
from typing import Any

import msgspec
import pytest

from penstock.config.values import Ledger, Metering
from penstock.metering.counter import PieceCounter
from penstock.testing.client import CHAT
from penstock.testing.rig import Rig, config, request, until
from penstock.testing.steps import done, fin, forever, hdr, pause, role, tok

_RANDOM = random.Random(4)
PROMPT = " ".join("".join(_RANDOM.choices("abcdefghijklmnopqrstuvwxyz", k=6)) for _ in range(50_000))
"""Some 150,000 tokens."""
STREAMS = 50


async def test_K4_a_long_prompt_is_counted_beside_the_streams(
    rig: Rig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loop, on_loop = threading.current_thread(), [0]
    counting, go_on = threading.Event(), threading.Event()
    add = PieceCounter.add

    def watched(self: PieceCounter, text: str) -> None:
        if threading.current_thread() is loop:
            on_loop.append(len(text))
        elif text[:100] in PROMPT and len(text) > 1000:
            counting.set()
            go_on.wait(10)
        add(self, text)

    monkeypatch.setattr(PieceCounter, "add", watched)
    going = [hdr(), role(), forever(tok(1), pause(0.02))]
    upstream = await rig.upstream(*[going] * STREAMS, [hdr(), role(), tok(3), fin(), done()])
    kept = Ledger(url=f"sqlite:///{tmp_path / 'rows.db'}", spool=str(tmp_path / "spool"))
    settings = config([upstream], between_tokens=None, total=60)
    gateway = await rig.gateway(settings=msgspec.structs.replace(settings, ledger=kept, metering=Metering()))
    clients = [await gateway.open() for _ in range(STREAMS)]
    for client in clients:
        await client.events(2)
    long = await gateway.connect()
    await long.post(CHAT, request(messages=[{"role": "user", "content": PROMPT}]))
    assert (await long.answer()).marks == 1
    await until(counting.is_set)
    for client in clients:
        await client.events(5)
    go_on.set()
    row: list[dict[str, Any]] = []
    while not row:
        row = (await gateway.get(f"/v1/usage?stream={long.headers['x-penstock-stream']}")).json["data"]
    assert row[0]["counted"]["input"] > 128_000
    assert max(on_loop) < 1000
    for client in clients:
        client.close()
