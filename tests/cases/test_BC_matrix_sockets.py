"""B, C. Sixty cells of the matrix over real sockets: always the same ones, of every fault some."""

from __future__ import annotations

import json
import random
import ssl
from typing import Any

import msgspec
import pytest
import trustme
from matrix_run import LANES, REFUSAL, Lane, Promise, healthy, script
from matrix_table import CELLS, Cell, Phase, Then
from matrix_talk import TALKS, WORDS

from penstock.testing.client import Answer
from penstock.testing.rig import MODEL, LiveGateway, Rig, config, until
from penstock.testing.run import Ends, Fails, Responds, Script, Sends, Stalls
from penstock.testing.run import Step as Happens
from penstock.testing.steps import cut, eof, hdr, pause, raw, rst, st, until_closed
from penstock.testing.upstream import ScriptedUpstream, Step

SIZE = 60
DEADLINE = 0.25
"""Seconds, of every phase."""
NOT_HERE = ("client blocks", "shutdown")
"""They have cases of their own over real sockets (K1, N3)."""


def sample() -> list[tuple[Lane, Cell, bool]]:
    """The cells: every fault in turn, each time in another phase and for another client."""
    chance = random.Random(4)
    cells = [cell for cell in CELLS if cell.row.fault not in NOT_HERE]
    faults = list(dict.fromkeys(cell.row.fault for cell in cells))
    found: list[tuple[Lane, Cell, bool]] = []
    while len(found) < SIZE:
        fault = faults[len(found) % len(faults)]
        cell = chance.choice([cell for cell in cells if cell.row.fault == fault])
        drawn = chance.choice(LANES), cell, chance.random() < 0.7
        found += [] if drawn in found or (fault, cell.phase) == ("reset", Phase.TLS) else [drawn]
    return found


def steps(happens: Script, fault: str, kind: str) -> list[Step]:
    """A script of virtual time as that of a real provider, in less time."""
    found: list[Step] = []
    for delay, step in happens:
        found += [pause(delay / 20), *_step(step, fault, kind)]
    return found


def _step(step: Happens, fault: str, kind: str) -> list[Step]:
    # A reset throws away what its receiver has not read yet: first it is let read.
    broken = [pause(0.05), rst()] if fault == "reset" else [cut()]
    if isinstance(step, Responds):
        return [hdr(content_type=kind)]
    if isinstance(step, Sends):
        return [raw(step.data)]
    if isinstance(step, Ends):
        return [eof()] if step.clean else broken
    if isinstance(step, Fails):
        return broken
    return [until_closed()] if isinstance(step, Stalls) else []


async def first_target(rig: Rig, lane: Lane, cell: Cell) -> tuple[str, ScriptedUpstream | None]:
    """The base URL of the target with the fault, and what answers there."""
    talk, fault = TALKS[lane.first], cell.row.fault
    if cell.phase in (Phase.CONNECT, Phase.TLS) and fault == "client leaves":
        fault = "silence"
    if fault == "refused":
        gone = await ScriptedUpstream([eof()]).start()
        await gone.stop()
        return gone.base_url, None
    if fault == "untrusted":
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        trustme.CA().issue_cert("127.0.0.1").configure_cert(context)
        return (await rig.upstream([eof()], ssl=context)).base_url, None
    if cell.phase is Phase.CONNECT:
        return rig.blackhole().base_url, None
    if cell.phase is Phase.TLS:
        # It waits for a request's line, and says nothing to a handshake.
        return (await rig.upstream([eof()])).base_url.replace("http:", "https:"), None
    if fault.startswith("status"):
        upstream = await rig.upstream([st(int(fault.split(" ")[1]), REFUSAL, [("retry-after", "7")])])
        return upstream.base_url, upstream
    if fault == "client leaves":
        fault = "silence"
    happens = script(talk, "w", fault, cell.phase)
    upstream = await rig.upstream([*steps(happens, fault, talk.kind.decode()), until_closed()])
    return upstream.base_url, upstream


async def gateway_of(rig: Rig, promise: Promise, first: str) -> tuple[LiveGateway, ScriptedUpstream]:
    """A gateway with that target and a healthy one, and the healthy one."""
    lane, fault = promise.lane, promise.cell.row.fault
    talk = TALKS[lane.second]
    second = await rig.upstream(steps(healthy(talk, "k"), "", talk.kind.decode()))
    settings = config(
        [first, second.base_url],
        connect=DEADLINE,
        first_token=DEADLINE,
        between_tokens=DEADLINE,
        max_frame=8_000,
        malformed="fail" if fault == "malformed, fail" else "skip",
    )
    providers = []
    for provider, name in zip(settings.providers, (lane.first, lane.second), strict=True):
        wire = TALKS[name].wire
        url = provider.base_url if wire.startswith("openai-") else provider.base_url.removesuffix("/v1")
        providers.append(msgspec.structs.replace(provider, wire=wire, base_url=url))
    return await rig.gateway(settings=msgspec.structs.replace(settings, providers=tuple(providers))), second


@pytest.mark.parametrize(
    ("lane", "cell", "streamed"),
    sample(),
    ids=lambda each: (
        f"{each.row.case} {each.row.fault} {each.phase.name.lower()}" if isinstance(each, Cell) else str(each)
    ),
)
async def test_a_cell(rig: Rig, lane: Lane, cell: Cell, streamed: bool) -> None:
    promise = Promise(lane, cell, streamed=streamed)
    url, upstream = await first_target(rig, lane, cell)
    gateway, second = await gateway_of(rig, promise, url)
    if promise.then is Then.GONE:
        await leaves(gateway, promise, upstream)
    else:
        came_of_it(promise, await lane.speaker.ask(gateway, streamed))
    record = await gateway.record()
    found = [attempt["outcome"] for attempt in record["attempts"]]
    if promise.then is Then.NEXT:
        assert (record["outcome"], found[0], len(found)) == ("completed", promise.outcome, 2)
    else:
        assert record["outcome"] == promise.outcome
        assert len(found) == 1 and not second.requests
    if upstream is not None and not upstream.requests[0].ended:
        await upstream.requests[0].closed(within=1.0)


async def leaves(gateway: LiveGateway, promise: Promise, upstream: ScriptedUpstream | None) -> None:
    """The client goes when the first target has come so far."""
    speaker, client = promise.lane.speaker, await gateway.connect()
    path = speaker.path if promise.streamed or not speaker.whole_path else speaker.whole_path
    asked: dict[str, Any] = {} if speaker.whole_path else {"model": MODEL, "stream": promise.streamed}
    await client.post(path, {**asked, **speaker.question})
    await until(lambda: len(gateway.gateway.streams) == 1, what="a stream is under way")
    if upstream is not None:
        await upstream.asked()
    client.close()


def came_of_it(promise: Promise, answer: Answer) -> None:
    """Hold what the client got to the table."""
    speaker, told, then = promise.lane.speaker, promise.lane.speaker.told(answer), promise.then
    if then in (Then.NEXT, Then.WHOLE):
        letter = "k" if then is Then.NEXT else "w"
        assert told.text == "".join(f"{letter}{number} " for number in range(WORDS))
        assert (answer.status, answer.ended, told.error) == (200, "clean", None) and told.successes
        return
    assert told.error is not None and not told.successes
    if then is Then.FRAME:
        assert told.text == promise.words
        assert answer.ended == ("cut" if speaker.cuts else "clean")
    else:
        assert (answer.status, answer.ended) == (promise.status, "clean")
        assert json.loads(answer.body)
