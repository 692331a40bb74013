"""E6. Keep-alives that break no client: the provider's and the gateway's own."""

import openai
import pytest

from penstock.testing import frames
from penstock.testing.rig import MESSAGES, LiveGateway, Rig
from penstock.testing.steps import done, fin, hdr, pause, raw, role, tok, tool
from penstock.testing.upstream import Step


async def sdk_text(gateway: LiveGateway) -> str:
    """What openai-python makes of a stream."""
    async with openai.AsyncOpenAI(base_url=gateway.base_url, api_key="any", max_retries=0) as client:
        stream = await client.chat.completions.create(
            model="m",
            stream=True,
            messages=MESSAGES,  # type: ignore[arg-type]
        )
        return "".join([chunk.choices[0].delta.content or "" async for chunk in stream if chunk.choices])


KEEPALIVE = {"keepalive": 0.03, "commit_after": 0.03, "first_token": 5.0, "between_tokens": 5.0, "total": 10.0}
PAUSE = pause(0.15)


async def test_E6_comments_of_the_provider_stay_comments(rig: Rig) -> None:
    data = b": OPENROUTER PROCESSING\n\n" * 3 + frames.role() + b": OPENROUTER PROCESSING\n\n" + frames.chunk("hi")
    data += b":\n\n" + frames.finish() + b": ping\n\n" + frames.DONE
    upstream = await rig.upstream([raw(data)])
    gateway = await rig.gateway(upstream)
    answer = await gateway.ask()
    record = await gateway.record()
    assert (answer.text, answer.ended, record["outcome"]) == ("hi", "clean", "completed")
    assert b"data: :" not in answer.body and len(answer.events) == 4
    assert await sdk_text(gateway) == "hi"


async def test_E6_no_keepalive_meets_an_id(rig: Rig) -> None:
    """A comment after an ``id`` is an empty event to openai-python, and its end."""
    steps = [hdr(), raw(b": early\n\n")]
    for number, frame in enumerate([frames.role(), frames.chunk("a"), frames.chunk("b")]):
        steps += [raw(b"id: %d\n" % number + frame), PAUSE, raw(b": ping\n\n")]
    upstream = await rig.upstream([*steps, fin(), done()])
    gateway = await rig.gateway(upstream, **KEEPALIVE)
    assert await sdk_text(gateway) == "ab"


EMPTY = [b"data:\n\n", b"data: \n\n", b"data\n\n", b"event: ping\n\n", b"event: ping\ndata:\n\n"]


@pytest.mark.parametrize("empty", EMPTY)
async def test_E6_empty_events_of_the_provider_do_not_reach_clients(rig: Rig, empty: bytes) -> None:
    data = empty + frames.role() + empty + frames.chunk("hi") + empty + frames.finish() + frames.DONE
    upstream = await rig.upstream([raw(data)])
    gateway = await rig.gateway(upstream)
    answer = await gateway.ask()
    record = await gateway.record()
    assert answer.body == frames.answer("hi") and record["outcome"] == "completed"
    assert await sdk_text(gateway) == "hi"


@pytest.mark.parametrize(
    "steps",
    [
        pytest.param([PAUSE, hdr(), role(), tok(1)], id="before the headers"),
        pytest.param([hdr(), PAUSE, role(), PAUSE, tok(1)], id="before the first token"),
        pytest.param([raw(b"event: x\n"), PAUSE, raw(frames.chunk("w0 "))], id="between the lines of an event"),
        pytest.param([tok(1), raw(frames.chunk("w1 ")[:40]), PAUSE, raw(frames.chunk("w1 ")[40:])], id="inside JSON"),
        pytest.param([tok(1), raw(frames.chunk("")[:-1]), PAUSE, raw(b"\n")], id="before a blank line"),
        pytest.param([tok(1), tool("{}"), PAUSE, tool("{}", call=1), PAUSE], id="inside a tool call"),
    ],
)
async def test_E6_own_keepalives_only_between_events(rig: Rig, steps: list[Step]) -> None:
    upstream = await rig.upstream([*steps, fin(), done()])
    gateway = await rig.gateway(upstream, **KEEPALIVE)
    answer = await gateway.ask()
    record = await gateway.record()
    assert record["outcome"] == "completed" and record["keepalives"] >= 2
    blocks = answer.body.split(b"\n\n")
    assert sum(block == b": keep-alive" for block in blocks) == record["keepalives"]
    assert answer.body.count(b"keep-alive") == record["keepalives"]
    assert answer.text.startswith("w0 ") and answer.marks == 1
    assert (await sdk_text(gateway)).startswith("w0 ")
