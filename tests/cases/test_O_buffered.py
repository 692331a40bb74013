"""O. Answers that are asked for whole, and providers that stream when they should not, or do not when they should."""

import json
from typing import Any

import msgspec
import pytest
from wire_clients import SPEAKERS

from penstock.config.values import Config, Provider, Route, Target
from penstock.sim.provider import Sim
from penstock.testing import frames
from penstock.testing.rig import Rig, config, until
from penstock.testing.steps import (
    done,
    fin,
    forever,
    hdr,
    pause,
    ping,
    raw,
    role,
    st,
    tok,
    tool,
    until_closed,
    usage,
    words,
)
from penstock.wire.registry import UPSTREAM_WIRES

ASKED: dict[str, bool | None] = {"true": True, "false": False, "absent": None}


async def test_O1_a_long_answer_in_one_piece(rig: Rig) -> None:
    """It takes four times as long as any silence may last, and is whole."""
    upstream = await rig.upstream([hdr(0.2), role(), tok(20, gap=0.1), fin(), usage(9, 20), done()])
    gateway = await rig.gateway(upstream, total=10.0)
    answer = await gateway.ask(stream=False)
    record = await gateway.record()
    assert (answer.status, answer.text, answer.ended) == (200, words(20), "clean")
    assert answer.json["usage"]["completion_tokens"] == 20
    assert answer.json["choices"][0]["finish_reason"] == "stop"
    assert record["outcome"] == "completed" and record["duration_ms"] >= 2000
    assert upstream.requests[0].json["stream"] is True and not record["streamed"]
    # Nothing was written before the answer was whole.
    assert answer.reads[0][0] - answer.asked >= 2.0 and answer.headers["content-length"] == str(len(answer.body))


@pytest.mark.parametrize("stream", [None, False])
@pytest.mark.parametrize(
    ("steps", "options", "outcome"),
    [
        pytest.param([hdr(), role(), forever(ping(), pause(0.05))], {}, "first_token_timeout", id="no token"),
        pytest.param([hdr(), tok(3), forever(ping(), pause(0.05))], {}, "stalled", id="stalled"),
        pytest.param([hdr(), forever(tok(1), pause(0.1))], {"total": 0.8}, "max_duration", id="too long"),
    ],
)
async def test_O1_the_deadlines_hold_for_it(
    rig: Rig, steps: list[Any], options: dict[str, Any], outcome: str, stream: bool | None
) -> None:
    upstream = await rig.upstream(steps)
    gateway = await rig.gateway(upstream, **options)
    answer = await gateway.ask(stream)
    assert answer.status == 504 and answer.error is not None and answer.error["code"] == outcome
    assert answer.headers["content-type"] == "application/json"
    assert (await gateway.record())["outcome"] == outcome
    await upstream.requests[0].closed()


async def test_O1_failover_is_possible_to_the_last_moment(rig: Rig) -> None:
    """Nothing of the answer was released: half of it may be thrown away."""
    first = await rig.upstream([hdr(), role(), tok(5), pause(0.1), raw(frames.error("overloaded"))])
    second = await rig.upstream([hdr(), role(), tok(2), fin(), done()])
    gateway = await rig.gateway(first, second)
    answer = await gateway.ask(stream=False)
    record = await gateway.record()
    assert (answer.status, answer.text, record["outcome"]) == (200, words(2), "completed")
    assert answer.headers["x-penstock-target"] == "m2/model" and answer.headers["x-penstock-attempts"] == "2"


def document(*, tools: bool = False) -> dict[str, Any]:
    """A whole answer, as a provider gives it that does not stream."""
    message: dict[str, Any] = {"role": "assistant", "content": None if tools else words(3), "refusal": None}
    if tools:
        call = {"id": "call_1", "type": "function", "function": {"name": "weather", "arguments": '{"city":"Rome"}'}}
        message["tool_calls"] = [call]
    return {
        "id": "c1",
        "object": "chat.completion",
        "created": 1,
        "model": "m",
        "choices": [
            {"index": 0, "message": message, "logprobs": None, "finish_reason": "tool_calls" if tools else "stop"}
        ],
        "usage": {"prompt_tokens": 9, "completion_tokens": 3, "total_tokens": 12},
        "system_fingerprint": "fp",
    }


def steps(form: str, tools: bool) -> list[Any]:
    """The same answer as a stream, and as a document under two labels."""
    if form == "stream":
        said = [tool(), fin("tool_calls")] if tools else [tok(3), fin()]
        return [hdr(), role(), *said, usage(9, 3), done()]
    return [st(200, json.dumps(document(tools=tools)).encode(), kind=form)]


FORMS = ["stream", "application/json", "text/event-stream"]


@pytest.mark.parametrize("tools", [False, True], ids=["text", "tools"])
@pytest.mark.parametrize("asked", ASKED)
@pytest.mark.parametrize("form", FORMS)
async def test_O3_the_caller_decides(rig: Rig, form: str, asked: str, tools: bool) -> None:
    """What the provider does is the provider's business."""
    upstream = await rig.upstream(steps(form, tools))
    gateway = await rig.gateway(upstream)
    streamed = ASKED[asked] is True
    options = {"stream_options": {"include_usage": True}} if streamed else {}
    answer = await gateway.ask(ASKED[asked], **options)
    record = await gateway.record()
    assert (answer.status, answer.ended, record["outcome"]) == (200, "clean", "completed")
    assert record["usage"]["output"] == 3 and record["streamed"] is streamed
    arguments = '{"city":"Rome"}'
    if streamed:
        assert answer.headers["content-type"] == "text/event-stream; charset=utf-8"
        assert answer.marks == 1 and answer.events[-1].data == "[DONE]"
        assert answer.finishes == ["tool_calls" if tools else "stop"]
        assert all(chunk["object"] == "chat.completion.chunk" for chunk in answer.chunks)
        assert answer.chunks[-1]["choices"] == [] and answer.chunks[-1]["usage"]["completion_tokens"] == 3
        calls = [call for delta in answer.deltas for call in delta.get("tool_calls") or ()]
        if tools:
            assert calls[0]["id"] == "call_1" and {call["index"] for call in calls} == {0}
            assert "".join(call["function"].get("arguments", "") for call in calls) == arguments
        else:
            assert answer.text == words(3) and not calls
    else:
        assert answer.headers["content-type"] == "application/json" and not answer.body.startswith(b"data:")
        assert answer.json["object"] == "chat.completion" and answer.json["usage"]["completion_tokens"] == 3
        choice = answer.json["choices"][0]
        assert choice["finish_reason"] == ("tool_calls" if tools else "stop")
        if tools:
            (call,) = choice["message"]["tool_calls"]
            assert call["function"] == {"name": "weather", "arguments": arguments} and "index" not in call
        else:
            assert choice["message"]["content"] == words(3)


@pytest.mark.parametrize("asked", ASKED)
async def test_O3_a_stream_that_says_json_and_breaks_is_still_a_failure(rig: Rig, asked: str) -> None:
    upstream = await rig.upstream([hdr(content_type="application/json"), role(), tok(2)])
    gateway = await rig.gateway(upstream)
    answer = await gateway.ask(ASKED[asked])
    assert answer.error is not None and answer.error["code"] == "upstream_cut" and answer.marks == 0
    assert answer.status == (200 if ASKED[asked] else 502)


# -- every wire ---------------------------------------------------------------------------------------------------

SIM = "sim?tokens=6&gap=1ms&first=0&seed=5"
WIRES = sorted(UPSTREAM_WIRES)


def over(sim: Sim, wire: str, model: str = SIM, **fields: Any) -> Config:
    """A gateway over the simulated provider, which speaks that wire."""
    base = sim.base_url if wire.startswith("openai-") else sim.base_url.removesuffix("/v1")
    provider = Provider(name="sim", wire=wire, base_url=base, api_key="sk-simulated", **fields)
    return Config(providers=(provider,), routes=(Route(name="m", targets=(Target("sim", model),)),))


@pytest.mark.parametrize("wire", WIRES)
async def test_O2_a_provider_of_any_wire_that_ignores_stream_true(rig: Rig, wire: str) -> None:
    async with Sim() as sim:
        gateway = await rig.gateway(settings=over(sim, wire, SIM + "&json=1"))
        plain = await rig.gateway(settings=over(sim, wire))
        answer, expected = await gateway.ask(), await plain.ask()
        assert (answer.status, answer.text, answer.marks) == (200, expected.text, 1) and answer.text
        assert answer.finishes == expected.finishes == ["stop"]
        folded = await gateway.ask(stream=False)
        assert folded.json["choices"][0]["message"]["content"] == expected.text
        assert folded.json["usage"]["completion_tokens"] > 0


@pytest.mark.parametrize("wire", WIRES)
async def test_O2_one_that_cannot_stream_is_asked_without(rig: Rig, wire: str) -> None:
    async with Sim() as sim:
        gateway = await rig.gateway(settings=over(sim, wire, fake_stream=True))
        plain = await rig.gateway(settings=over(sim, wire))
        expected = await plain.ask()
        answer = await gateway.ask()
        assert (answer.status, answer.text, answer.marks) == (200, expected.text, 1) and answer.text
        assert answer.headers["content-type"].startswith("text/event-stream")
        assert answer.finishes == ["stop"] and (await gateway.record())["outcome"] == "completed"
        folded = await gateway.ask(stream=False)
        assert folded.json["choices"][0]["message"]["content"] == expected.text


@pytest.mark.parametrize("client", SPEAKERS)
@pytest.mark.parametrize("streamed", [True, False])
async def test_O3_its_clients_get_the_form_that_they_asked_for(rig: Rig, client: str, streamed: bool) -> None:
    speaker = SPEAKERS[client]
    async with Sim() as sim:
        gateway = await rig.gateway(settings=over(sim, client.partition(" ")[0], fake_stream=True))
        plain = await rig.gateway(settings=over(sim, client.partition(" ")[0]))
        answer, expected = await speaker.ask(gateway, streamed), await speaker.ask(plain, streamed)
        assert answer.status == 200 and answer.headers["content-type"] == expected.headers["content-type"]
        told, wanted = speaker.told(answer), speaker.told(expected)
        assert (told.text, told.successes, told.error) == (wanted.text, wanted.successes, None) and told.text


async def test_O2_fake_stream_of_a_route(rig: Rig) -> None:
    upstream = await rig.upstream([st(200, json.dumps(document()).encode(), kind="application/json")])
    settings = config([upstream])
    settings = msgspec.structs.replace(
        settings, routes=(msgspec.structs.replace(settings.routes[0], fake_stream=True),)
    )
    gateway = await rig.gateway(settings=settings)
    answer = await gateway.ask()
    assert (answer.text, answer.finishes, answer.marks) == (words(3), ["stop"], 1)
    asked = upstream.requests[0]
    assert asked.json["stream"] is False and "stream_options" not in asked.json
    assert asked.headers["accept"] == "application/json"


async def test_O2_an_error_of_one_that_cannot_stream_is_its_own(rig: Rig) -> None:
    upstream = await rig.upstream([st(429, {"error": {"message": "slow down", "type": "rate_limit_error"}})])
    settings = config([upstream], provider={"fake_stream": True})
    answer = await (await rig.gateway(settings=settings)).ask()
    assert answer.status == 429 and answer.error is not None and answer.error["message"] == "slow down"


# -- O1: the heartbeat --------------------------------------------------------------------------------------------


async def test_O1_a_heartbeat_keeps_a_proxy_awake(rig: Rig) -> None:
    """No silence is longer than the heartbeat, and what comes is one JSON document."""
    upstream = await rig.upstream([hdr(0.2), role(), tok(10, gap=0.1), fin(), usage(9, 10), done()])
    gateway = await rig.gateway(upstream, total=10.0, heartbeat=0.15)
    answer = await gateway.ask(stream=False)
    assert (answer.status, answer.headers["content-type"], answer.ended) == (200, "application/json", "clean")
    assert answer.headers["x-accel-buffering"] == "no" and "content-length" not in answer.headers
    assert answer.body.startswith(b"   ") and json.loads(answer.body)["choices"][0]["message"]["content"] == words(10)
    record = await gateway.record()
    assert record["keepalives"] >= 3 and record["outcome"] == "completed"


async def test_O1_a_fast_answer_has_no_heartbeat(rig: Rig) -> None:
    gateway = await rig.gateway(await rig.upstream([hdr(), role(), tok(3), fin(), done()]), heartbeat=0.3)
    answer = await gateway.ask(stream=False)
    assert answer.headers["content-length"] == str(len(answer.body)) and answer.json["object"] == "chat.completion"


async def test_O1_behind_a_heartbeat_an_error_is_told_and_the_body_is_cut(rig: Rig) -> None:
    gateway = await rig.gateway(await rig.upstream([hdr(), role(), tok(2), until_closed()]), heartbeat=0.15)
    answer = await gateway.ask(stream=False)
    assert answer.status == 200 and answer.ended != "clean"
    assert json.loads(answer.body)["error"]["code"] == "stalled" == (await gateway.record())["outcome"]


async def test_O1_failover_is_possible_behind_a_heartbeat(rig: Rig) -> None:
    first = await rig.upstream([hdr(0.3), role(), tok(5), pause(0.1), raw(frames.error("overloaded"))])
    second = await rig.upstream([hdr(), role(), tok(2), fin(), done()])
    gateway = await rig.gateway(first, second, heartbeat=0.1)
    answer = await gateway.ask(stream=False)
    assert json.loads(answer.body)["choices"][0]["message"]["content"] == words(2) and answer.body[:1] == b" "


async def test_O1_who_leaves_between_heartbeats_is_seen(rig: Rig) -> None:
    upstream = await rig.upstream([hdr(), role(), tok(100, gap=0.05)])
    gateway = await rig.gateway(upstream, heartbeat=0.1, total=20)
    client = await gateway.open(stream=False)
    await until(lambda: upstream.requests and upstream.requests[0].tokens_written > 4)
    client.close()
    await upstream.requests[0].closed(within=1.0)
    assert (await gateway.record())["outcome"] == "client_closed"
