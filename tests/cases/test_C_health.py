"""C. Failover: what fails before the first token is repaired, what fails after it is told. Health is fair (A5, A6)."""

import asyncio
import time
from typing import Any, NamedTuple

import msgspec
import pytest

from penstock.policy.health import HealthRules
from penstock.policy.retry_budget import RetryLimits
from penstock.testing import frames, messages, responses
from penstock.testing.client import CHAT, Answer
from penstock.testing.rig import LiveGateway, Rig, config, until
from penstock.testing.steps import (
    accept,
    cut,
    done,
    eof,
    err,
    fin,
    forever,
    hdr,
    pause,
    ping,
    raw,
    role,
    st,
    tok,
    until_closed,
    usage,
    words,
)
from penstock.testing.upstream import Script, Step
from penstock.wire.registry import UPSTREAM_WIRES

STREAM = pytest.mark.parametrize("stream", [True, False], ids=["streamed", "folded"])
ANSWER: Script = [hdr(), role(), tok(3), fin(), usage(9, 3), done()]
SLACK = 1.0
"""Seconds that a deadline may be late on a busy machine."""


class Wire(NamedTuple):
    """A client's wire, and its provider's words."""

    path: str
    body: dict[str, Any]
    began: bytes
    """Bookkeeping before any output, with an id of its own."""
    failed: bytes
    """An error inside a 200."""
    answer: bytes


def lost(data: bytes, old: bytes) -> bytes:
    """The bookkeeping of an attempt that is not to be seen."""
    assert old in data
    return data.replace(old, b"lost_id")


CREATED = responses.created() + responses.frame("response.in_progress", response=responses.response())
ASKED = [{"role": "user", "content": "Hello"}]
WIRES = {
    "openai-chat": Wire(
        CHAT,
        {"messages": ASKED},
        lost(frames.role(), b"c1"),
        frames.error("Overloaded", type="overloaded_error"),
        frames.answer("Hel", "lo"),
    ),
    "anthropic-messages": Wire(
        "/v1/messages",
        {"messages": ASKED, "max_tokens": 50},
        lost(messages.start(), b"msg_1") + messages.PING + messages.opened(),
        messages.frame("error", error={"type": "overloaded_error", "message": "Overloaded"}),
        messages.answer("Hel", "lo"),
    ),
    "openai-responses": Wire(
        "/v1/responses",
        {"input": "Hello"},
        lost(CREATED + responses.added(), b"resp_1"),
        responses.frame("error", code="insufficient_quota", message="Overloaded", param=None, sequence_number=3),
        responses.answer("Hel", "lo"),
    ),
}
ON_EVERY_WIRE = pytest.mark.parametrize("name", WIRES)


async def asked(gateway: LiveGateway, wire: Wire, stream: bool) -> Answer:
    client = await gateway.connect()
    await client.post(wire.path, {"model": "m", "stream": stream, **wire.body})
    answer = await client.answer()
    client.close()
    return answer


def served_alone(answer: Answer, wire: Wire, stream: bool) -> None:
    """The second target's answer, all of it, once, and nothing of the first's."""
    assert answer.status == 200
    assert answer.headers["x-penstock-target"] == "m2/model"
    assert answer.headers["x-penstock-attempts"] == "2"
    assert b"lost_id" not in answer.body
    assert b"verloaded" not in answer.body
    if stream:
        assert answer.body == wire.answer
    else:
        assert answer.body.count(b'"Hello"') == 1


# -- A5, A6: health is fair ---------------------------------------------------------------------------------------


async def test_A5_clients_that_leave_are_no_evidence(rig: Rig) -> None:
    first = await rig.upstream([hdr(), role(), forever(tok(1, gap=0.02))])
    second = await rig.upstream(ANSWER)
    gateway = await rig.gateway(first, second)
    for count in range(10):
        client = await gateway.open()
        await client.events(2)
        client.close()
        assert (await gateway.record())["outcome"] == "client_closed"
        assert len(first.requests) == count + 1
    assert second.requests == []
    assert gateway.metric("penstock_target_ejected", target="m1/model") == 0


async def test_A5_clients_that_give_up_on_silence_are_evidence(rig: Rig) -> None:
    silent = await rig.upstream([accept(), until_closed()])
    second = await rig.upstream(ANSWER)
    gateway = await rig.gateway(silent, second, first_token=0.6)
    for _ in range(5):
        client = await gateway.open()
        await asyncio.sleep(0.45)
        client.close()
        assert (await gateway.record())["outcome"] == "client_closed"
    answer = await gateway.ask()
    assert (answer.text, answer.headers["x-penstock-target"]) == (words(3), "m2/model")
    assert answer.headers["x-penstock-attempts"] == "1"
    assert len(silent.requests) == 5
    assert gateway.metric("penstock_target_ejected", target="m1/model") == 1


async def test_A5_a_target_that_fails_is_left_out_and_found_again(rig: Rig) -> None:
    first = await rig.upstream(*[[st(503)]] * 5, ANSWER)
    second = await rig.upstream(ANSWER)
    gateway = await rig.gateway(first, second)
    gateway.gateway.targets.rules = HealthRules(ejection=0.4, probe_interval=0.4)
    for _ in range(8):
        assert (await gateway.ask()).text == words(3)
    assert (len(first.requests), len(second.requests)) == (5, 8)
    assert gateway.metric("penstock_target_ejected", target="m1/model") == 1
    await asyncio.sleep(0.45)
    answer = await gateway.ask()
    assert answer.headers["x-penstock-target"] == "m1/model"
    assert gateway.metric("penstock_target_ejected", target="m1/model") == 0
    said = [line["message"] for line in gateway.writer.parsed if line.get("logger") == "penstock.targets"]
    assert [line for line in said if "ejected" in line]


async def test_A5_with_health_off_every_target_has_its_turn(rig: Rig) -> None:
    first, second = await rig.upstream([st(503)]), await rig.upstream(ANSWER)
    gateway = await rig.gateway(first, second, health=False)
    for _ in range(8):
        assert (await gateway.ask()).text == words(3)
    assert (len(first.requests), len(second.requests)) == (8, 8)


async def test_A5_when_all_are_out_they_are_asked_all_the_same(rig: Rig) -> None:
    targets = [await rig.upstream([st(503)]) for _ in range(2)]
    gateway = await rig.gateway(*targets)
    for _ in range(8):
        assert (await gateway.ask()).status == 503
    assert [len(target.requests) for target in targets] == [8, 8]


@STREAM
async def test_A6_nobody_is_asked_for_a_client_that_left(rig: Rig, stream: bool) -> None:
    first, second = await rig.upstream([pause(0.4), st(503)]), await rig.upstream(ANSWER)
    gateway = await rig.gateway(first, second, first_token=2)
    client = await gateway.open(stream)
    await until(lambda: first.requests)
    await asyncio.sleep(0.1)
    client.close()
    assert (await gateway.record())["outcome"] == "client_closed"
    await asyncio.sleep(0.5)
    assert second.requests == []


# -- C1, C2: an error inside a 200, and bookkeeping before it -------------------------------------------------------


@STREAM
@ON_EVERY_WIRE
async def test_C1_an_error_as_the_first_event_leads_to_the_next_target(rig: Rig, name: str, stream: bool) -> None:
    wire = WIRES[name]
    first, second = await rig.upstream([hdr(), raw(wire.failed)]), await rig.upstream([hdr(), raw(wire.answer)])
    gateway = await rig.gateway(first, second, provider={"wire": name})
    served_alone(await asked(gateway, wire, stream), wire, stream)
    record = await gateway.record()
    assert [attempt["outcome"] for attempt in record["attempts"]] == ["upstream_error", None]


@STREAM
@ON_EVERY_WIRE
async def test_C1_of_the_only_target_it_is_a_status(rig: Rig, name: str, stream: bool) -> None:
    wire = WIRES[name]
    upstream = await rig.upstream([hdr(), raw(wire.failed), pause(5)])
    gateway = await rig.gateway(upstream, provider={"wire": name})
    answer = await asked(gateway, wire, stream)
    assert answer.status >= 429
    assert answer.headers["content-type"].startswith("application/json")
    assert answer.json["error"]["message"] == "Overloaded"
    await upstream.requests[0].closed(within=1.0)


@STREAM
@ON_EVERY_WIRE
async def test_C2_bookkeeping_commits_nothing(rig: Rig, name: str, stream: bool) -> None:
    wire = WIRES[name]
    first = await rig.upstream([hdr(), raw(wire.began), pause(0.1), raw(wire.failed)])
    second = await rig.upstream([hdr(), raw(wire.answer)])
    gateway = await rig.gateway(first, second, provider={"wire": name})
    served_alone(await asked(gateway, wire, stream), wire, stream)


@STREAM
@ON_EVERY_WIRE
async def test_C2_when_all_fail_it_is_a_status(rig: Rig, name: str, stream: bool) -> None:
    wire = WIRES[name]
    targets = [await rig.upstream([hdr(), raw(wire.began), raw(wire.failed)]) for _ in range(2)]
    gateway = await rig.gateway(*targets, provider={"wire": name})
    answer = await asked(gateway, wire, stream)
    assert answer.status >= 429
    assert answer.json["error"]["message"] == "Overloaded"
    assert b"lost_id" not in answer.body


# -- C3, C10: after the commit --------------------------------------------------------------------------------------

BREAKS: dict[str, Step] = {"cut": cut(), "error": err("overloaded_error", "busy"), "silence": until_closed()}


@pytest.mark.parametrize("broken", BREAKS.values(), ids=BREAKS)
async def test_C3_after_output_nobody_else_is_asked(rig: Rig, broken: Step) -> None:
    first, second = await rig.upstream([hdr(), role(), tok(10), broken]), await rig.upstream(ANSWER)
    gateway = await rig.gateway(first, second, between_tokens=0.3)
    answer = await gateway.ask()
    assert "".join(delta.get("content") or "" for delta in answer.deltas) == words(10)
    assert answer.error is not None
    assert (answer.marks, answer.finishes) == (0, [])
    assert second.requests == []


async def test_C10_after_the_commit_there_is_no_second_generation(rig: Rig) -> None:
    first, second = await rig.upstream([hdr(), role(), tok(3), cut()]), await rig.upstream(ANSWER)
    gateway = await rig.gateway(first, second)
    await gateway.ask()
    assert (len(first.requests), len(second.requests)) == (1, 0)
    record = await gateway.record()
    assert (record["outcome"], len(record["attempts"])) == ("upstream_cut", 1)


# -- C6: whatever the provider's wire -------------------------------------------------------------------------------


@STREAM
@pytest.mark.parametrize("name", sorted(UPSTREAM_WIRES))
async def test_C6_a_failure_at_once_leads_on_whatever_the_wire(rig: Rig, name: str, stream: bool) -> None:
    first = await rig.upstream([st(429, {"error": {"message": "slow down"}})])
    second = await rig.upstream(ANSWER)
    settings = config([first, second])
    one, other = settings.providers
    one = msgspec.structs.replace(one, wire=name, region="us-east-1")
    gateway = await rig.gateway(settings=msgspec.structs.replace(settings, providers=(one, other)))
    answer = await gateway.ask(stream, max_tokens=50)
    assert (answer.status, answer.text, answer.headers["x-penstock-target"]) == (200, words(3), "m2/model")
    assert len(first.requests) == 1


# -- C7: an empty success -------------------------------------------------------------------------------------------

EMPTY: dict[str, Script] = {
    "finish without output": [hdr(), role(), fin(), done()],
    "nothing at all": [hdr(), eof()],
    "comments": [hdr(), ping(), eof()],
}


@STREAM
@pytest.mark.parametrize("script", EMPTY.values(), ids=EMPTY)
async def test_C7_an_empty_answer_leads_to_the_next_target(rig: Rig, script: Script, stream: bool) -> None:
    gateway = await rig.gateway(await rig.upstream(script), await rig.upstream(ANSWER))
    answer = await gateway.ask(stream)
    assert (answer.status, answer.text, answer.headers["x-penstock-target"]) == (200, words(3), "m2/model")


@STREAM
@pytest.mark.parametrize("script", EMPTY.values(), ids=EMPTY)
async def test_C7_of_the_only_target_it_is_an_error(rig: Rig, script: Script, stream: bool) -> None:
    gateway = await rig.gateway(await rig.upstream(script))
    answer = await gateway.ask(stream)
    assert answer.error is not None
    assert (answer.status, answer.error["code"]) == (502, "empty")


# -- C8: who has served ---------------------------------------------------------------------------------------------


@STREAM
async def test_C8_the_target_that_served_is_named(rig: Rig, stream: bool) -> None:
    gateway = await rig.gateway(await rig.upstream([st(500)]), await rig.upstream(ANSWER))
    answer = await gateway.ask(stream)
    assert (answer.headers["x-penstock-target"], answer.headers["x-penstock-attempts"]) == ("m2/model", "2")
    record = await gateway.record()
    assert record["target"] == "m2/model"
    assert [(one["target"], one["outcome"]) for one in record["attempts"]] == [
        ("m1/model", "upstream_error"),
        ("m2/model", None),
    ]


# -- C11: when to come back -----------------------------------------------------------------------------------------


@STREAM
@pytest.mark.parametrize("waits", [("7", "20"), ("20", "7")])
async def test_C11_the_smallest_wait_is_passed_on(rig: Rig, stream: bool, waits: tuple[str, str]) -> None:
    busy = [st(429, {"error": {"message": f"wait {wait}"}}, [("retry-after", wait)]) for wait in waits]
    gateway = await rig.gateway(*[await rig.upstream([step]) for step in busy])
    answer = await gateway.ask(stream)
    assert (answer.status, answer.headers["retry-after"]) == (429, "7")


async def test_C11_who_asks_to_be_left_alone_is(rig: Rig) -> None:
    first = await rig.upstream([st(429, {"error": {"message": "slow down"}}, [("retry-after", "7")])])
    second = await rig.upstream(ANSWER)
    gateway = await rig.gateway(first, second)
    for _ in range(3):
        assert (await gateway.ask()).text == words(3)
    assert (len(first.requests), len(second.requests)) == (1, 3)


async def test_C11_retries_never_become_the_load(rig: Rig) -> None:
    upstream = await rig.upstream([st(503)])
    gateway = await rig.gateway(upstream, retries=3, health=False)
    gateway.gateway.targets.limits = RetryLimits(ratio=0.0, minimum=0.5, seconds=10.0)
    for _ in range(10):
        assert (await gateway.ask()).status == 503
    assert len(upstream.requests) == 10 + 5


# -- C12: nobody's fault but the provider's ---------------------------------------------------------------------------


@STREAM
async def test_C12_a_cut_is_not_the_callers_fault(rig: Rig, stream: bool) -> None:
    gateway = await rig.gateway(await rig.upstream([hdr(), role(), tok(3), cut()]))
    answer = await gateway.ask(stream)
    assert answer.error is not None
    assert answer.error["code"] == "upstream_cut"
    assert answer.error["type"] == "server_error"
    assert answer.status == (200 if stream else 502)


@STREAM
async def test_C12_a_callers_fault_inside_a_200_is_retryable(rig: Rig, stream: bool) -> None:
    bad = err("invalid_request_error", "timed out", "request_timeout")
    gateway = await rig.gateway(await rig.upstream([hdr(), role(), bad]), await rig.upstream(ANSWER))
    assert (await gateway.ask(stream)).text == words(3)


# -- C13: failover and streaming --------------------------------------------------------------------------------------


async def test_C13_behind_a_failover_tokens_stream(rig: Rig) -> None:
    first = await rig.upstream([st(503)])
    second = await rig.upstream([hdr(), role(), tok(5, gap=0.1), fin(), done()])
    gateway = await rig.gateway(first, second)
    client = await gateway.open()
    seen: list[float] = []
    for count in range(2, 7):
        await client.events(count)
        seen.append(time.monotonic())
    written = [instant for instant, _ in second.requests[0].writes][1:6]
    assert all(abs(at - out) < 0.08 for at, out in zip(seen, written, strict=True))
    assert (await client.answer()).text == words(5)
