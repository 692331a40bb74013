"""C. Failover and hedging: who serves the client when two are asked."""

from typing import Any

import pytest

from penstock.policy.hedge import HedgeAfter
from penstock.testing import messages
from penstock.testing.client import Answer
from penstock.testing.rig import LiveGateway, Rig
from penstock.testing.steps import cut, done, eof, err, fin, hdr, pause, raw, role, st, tok, until_closed, usage, words
from penstock.testing.upstream import Script, ScriptedUpstream

STREAM = pytest.mark.parametrize("stream", [True, False], ids=["streamed", "folded"])
SOON = HedgeAfter(fixed=0.1)


class Chat:
    """openai-chat at both ends."""

    wire = "openai-chat"
    quiet: Script = (hdr(), role())
    answer: Script = (tok(3), fin(), usage(9, 3), done())
    error: Script = (err("server_error"),)
    text = words(3)

    async def gateway(self, rig: Rig, *upstreams: ScriptedUpstream, **options: Any) -> LiveGateway:
        return await rig.gateway(*upstreams, first_token=2, connect=2, hedge=SOON, **options)

    async def ask(self, gateway: LiveGateway, stream: bool) -> Answer:
        return await gateway.ask(stream)

    def said(self, answer: Answer) -> str:
        return answer.text


class Messages(Chat):
    """anthropic-messages at both ends."""

    wire = "anthropic-messages"
    quiet = (hdr(), raw(messages.start() + messages.opened() + messages.PING))
    answer = (raw(messages.text("w0 ") + messages.text("w1 w2 ") + messages.closed() + messages.finish()), eof())
    error = (raw(messages.frame("error", error={"type": "overloaded_error", "message": "Overloaded"})),)
    text = "w0 w1 w2 "

    async def gateway(self, rig: Rig, *upstreams: ScriptedUpstream, **options: Any) -> LiveGateway:
        origins = [upstream.base_url.removesuffix("/v1") for upstream in upstreams]
        wire = {"wire": self.wire}
        return await rig.gateway(*origins, first_token=2, connect=2, hedge=SOON, provider=wire, **options)

    async def ask(self, gateway: LiveGateway, stream: bool) -> Answer:
        client = await gateway.connect()
        asked = {"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": "Hello"}], "stream": stream}
        await client.post("/v1/messages", asked)
        try:
            return await client.answer()
        finally:
            client.close()

    def said(self, answer: Answer) -> str:
        if answer.headers["content-type"].startswith("application/json"):
            return str(answer.json["content"][0]["text"])
        return messages.read(answer.body).joined("text", "text")


WIRE = pytest.mark.parametrize("wire", [Chat(), Messages()], ids=lambda wire: wire.wire)


@WIRE
@STREAM
async def test_C9_the_second_has_its_token_sooner(rig: Rig, wire: Chat, stream: bool) -> None:
    """Only the winner's frames reach the client, and the loser is closed at once."""
    slow = await rig.upstream([*wire.quiet, until_closed()])
    quick = await rig.upstream([*wire.quiet, *wire.answer])
    gateway = await wire.gateway(rig, slow, quick)
    answer = await wire.ask(gateway, stream)
    assert (answer.status, wire.said(answer)) == (200, wire.text)
    assert (answer.headers["x-penstock-target"], answer.headers["x-penstock-attempts"]) == ("m2/model", "2")
    assert quick.requests[0].started - slow.requests[0].started > 0.09
    await slow.requests[0].closed(within=0.1)
    record = await gateway.record()
    assert (record["outcome"], record["target"]) == ("completed", "m2/model")
    fates = [(attempt["outcome"], attempt["reason"]) for attempt in record["attempts"]]
    assert fates == [(None, "lost the race"), (None, None)]
    assert gateway.metric("penstock_hedges_total", route="m", won="true") == 1
    assert gateway.metric("penstock_attempts_total", target="m1/model", outcome="lost") == 1
    assert gateway.metric("penstock_streams_total", target="m2/model", outcome="completed") == 1


@WIRE
@STREAM
async def test_C9_the_first_has_its_token_after_all(rig: Rig, wire: Chat, stream: bool) -> None:
    first = await rig.upstream([*wire.quiet, pause(0.25), *wire.answer])
    second = await rig.upstream([*wire.quiet, until_closed()])
    gateway = await wire.gateway(rig, first, second)
    answer = await wire.ask(gateway, stream)
    assert (answer.status, wire.said(answer)) == (200, wire.text)
    assert answer.headers["x-penstock-target"] == "m1/model"
    await second.requests[0].closed(within=0.1)
    record = await gateway.record()
    assert [attempt["reason"] for attempt in record["attempts"]] == [None, "lost the race"]
    assert gateway.metric("penstock_hedges_total", route="m", won="false") == 1


@WIRE
@STREAM
@pytest.mark.parametrize("failing", [0, 1], ids=["the first fails", "the second fails"])
@pytest.mark.parametrize("fault", ["error frame", "500", "cut"])
async def test_C9_the_fastest_failure_wins_nothing(
    rig: Rig, wire: Chat, stream: bool, failing: int, fault: str
) -> None:
    ends: Script = {"error frame": (*wire.quiet, *wire.error, eof()), "500": (st(500),), "cut": (*wire.quiet, cut())}[
        fault
    ]
    # The first fails while the second is on its way: it must not have failed before that was asked.
    bad: Script = (pause(0.2), *ends) if failing == 0 else ends
    good: Script = (*wire.quiet, pause(0.4), *wire.answer)
    upstreams = [await rig.upstream(bad if number == failing else good) for number in (0, 1)]
    gateway = await wire.gateway(rig, *upstreams)
    answer = await wire.ask(gateway, stream)
    assert (answer.status, wire.said(answer)) == (200, wire.text)
    record = await gateway.record()
    outcomes = [attempt["outcome"] for attempt in record["attempts"]]
    assert outcomes[failing] == ("upstream_cut" if fault == "cut" else "upstream_error")
    assert outcomes[1 - failing] is None
    assert record["target"] == f"m{2 - failing}/model"


@WIRE
@STREAM
async def test_C9_both_fail_and_the_third_serves(rig: Rig, wire: Chat, stream: bool) -> None:
    first = await rig.upstream([*wire.quiet, pause(0.25), cut()])
    second = await rig.upstream([st(503)])
    third = await rig.upstream([*wire.quiet, *wire.answer])
    gateway = await wire.gateway(rig, first, second, third)
    answer = await wire.ask(gateway, stream)
    assert (answer.status, wire.said(answer)) == (200, wire.text)
    assert answer.headers["x-penstock-attempts"] == "3"


@STREAM
async def test_C9_a_client_that_leaves_during_the_race_closes_both(rig: Rig, stream: bool) -> None:
    upstreams = [await rig.upstream([hdr(), role(), until_closed()]) for _ in range(2)]
    gateway = await rig.gateway(*upstreams, hedge=SOON, first_token=2)
    client = await gateway.open(stream)
    await upstreams[1].asked()
    client.close()
    for upstream in upstreams:
        await upstream.requests[0].closed(within=1.0)
    assert (await gateway.record())["outcome"] == "client_closed"


async def test_C9_hedges_stay_within_their_budget(rig: Rig) -> None:
    """Ten at once, and then one for every twenty requests, however slow the first target is."""
    slow = await rig.upstream([hdr(), pause(0.05), tok(1), fin(), done()])
    second = await rig.upstream([hdr(), until_closed()])
    gateway = await rig.gateway(slow, second, hedge=HedgeAfter(fixed=0.01))
    for _ in range(30):
        assert (await gateway.ask()).status == 200
    assert len(second.requests) == 11
    assert gateway.metric("penstock_hedges_total", won="false") == 11


async def test_C9_a_delay_that_is_learnt(rig: Rig) -> None:
    """Nothing is known at first; then the slowest of twenty is hedged."""
    quick: Script = [hdr(), pause(0.01), tok(1), fin(), done()]
    first = await rig.upstream(*[quick] * 60, [hdr(), until_closed()])
    second = await rig.upstream([hdr(), tok(2), fin(), done()])
    gateway = await rig.gateway(first, second, hedge=HedgeAfter(quantile=0.95, floor=0.1), first_token=2)
    for _ in range(60):
        assert (await gateway.ask()).text == words(1)
    assert not second.requests
    assert (await gateway.ask()).text == words(2)
    assert second.requests[0].started - first.requests[60].started < 0.5
