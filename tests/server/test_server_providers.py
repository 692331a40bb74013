"""Kept-alive connections to providers, seen from a client."""

import asyncio

import pytest

from penstock.testing.rig import Rig, until
from penstock.testing.steps import cut, done, eof, fin, hdr, rst, tok, usage, words
from penstock.testing.upstream import Step

ANSWER: list[Step] = [hdr(), tok(2), fin(), usage(9, 2), done(), eof()]
SILENT_ENDS = {"closed": cut(), "reset": rst()}


async def test_one_connection_serves_one_answer_after_another(rig: Rig) -> None:
    upstream = await rig.upstream(ANSWER)
    gateway = await rig.gateway(upstream)
    for stream in (True, False, True):
        assert (await gateway.ask(stream)).text == words(2)
        await gateway.record()
        assert gateway.pool_idle == len(upstream.lines) == 1


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("how", SILENT_ENDS)
async def test_a_dead_kept_alive_connection_costs_the_client_nothing(rig: Rig, how: str, stream: bool) -> None:
    """The request goes once more, on a fresh connection to the same target; the generation is one."""
    upstream = await rig.upstream(ANSWER, [SILENT_ENDS[how]], ANSWER)
    gateway = await rig.gateway(upstream)
    await gateway.ask()
    first = await gateway.record()
    answer = await gateway.ask(stream)
    record = await gateway.record()
    assert (answer.status, answer.text, answer.ended) == (200, words(2), "clean")
    assert (record["outcome"], record["token_events"], record["usage"]) == ("completed", 2, first["usage"])
    assert record["target"] == "m1/model" and len(upstream.requests) == 3
    assert gateway.metric("penstock_streams_total", outcome="completed") == 2


@pytest.mark.parametrize("how", SILENT_ENDS)
async def test_it_goes_once_more_and_not_again(rig: Rig, how: str) -> None:
    upstream = await rig.upstream(ANSWER, [SILENT_ENDS[how]])
    gateway = await rig.gateway(upstream)
    await gateway.ask()
    answer = await gateway.ask()
    assert answer.status == 502 and answer.error is not None and answer.error["code"] == "upstream_cut"
    assert len(upstream.requests) == 3


async def test_a_kept_alive_connection_that_dies_after_its_first_word_is_not_asked_again(rig: Rig) -> None:
    """The provider has begun: whether once more is right is failover's to decide, with the next target."""
    upstream = await rig.upstream(ANSWER, [hdr(), cut()], ANSWER)
    other = await rig.upstream(ANSWER)
    gateway = await rig.gateway(upstream, other)
    await gateway.ask()
    answer = await gateway.ask()
    assert answer.text == words(2) and answer.headers["x-penstock-target"] == "m2/model"
    assert (len(upstream.requests), len(other.requests)) == (2, 1)


async def test_idle_connections_are_bounded(rig: Rig) -> None:
    upstream = await rig.upstream(ANSWER)
    gateway = await rig.gateway(upstream, provider={"max_idle": 3})
    answers = await asyncio.gather(*(gateway.ask() for _ in range(12)))
    assert all(answer.text == words(2) for answer in answers)
    await until(lambda: gateway.pool_idle == len(upstream.lines) and gateway.pool_busy == 0)
    assert 1 <= gateway.pool_idle <= 3
