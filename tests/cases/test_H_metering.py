"""H. What a stream cost: right for streams that end early, and it says how it knows."""

from typing import Any, cast

import msgspec
import pytest
from endings import STREAM

from penstock.config.values import Config, Metering, Route, Target
from penstock.metering.prices import Price, Rates
from penstock.ports import Recorder
from penstock.server.bookkeeping import bookkeeper
from penstock.testing import frames
from penstock.testing.rig import LiveGateway, Rig, config, until
from penstock.testing.steps import cut, done, eof, err, fin, hdr, raw, role, rst, until_closed, usage
from penstock.testing.upstream import Step
from penstock.wire.openai_chat_client import read_request
from penstock.wire.openai_chat_wire import OpenAIChatClient

PRICE = Price(model="gpt-4o", rates=Rates(input=10**6, output=10 * 10**6), source="", date="", configured=True)
HELLO = [{"role": "user", "content": "Hello world"}]
"""Nine tokens, by any account."""
SAID = [raw(frames.chunk(word)) for word in ("antidis", "establishment", "arianism", " is", " one", " word")]
TEXT = 6 + 3
"""Tokens of "antidisestablishmentarianism is one word", which are not its chunks."""


def metered(*upstreams: Any, model: str = "gpt-4o", **options: Any) -> Config:
    settings = config(upstreams, **options)
    (route,) = settings.routes
    targets = tuple(Target(target.provider, model) for target in route.targets)
    route = msgspec.structs.replace(route, targets=targets)
    return msgspec.structs.replace(settings, routes=(route,), metering=Metering(), prices=(PRICE,))


async def row(gateway: LiveGateway) -> dict[str, Any]:
    def rows() -> list[dict[str, Any]]:
        return [line for line in gateway.writer.parsed if line.get("event") == "row"]

    await until(rows, within=10.0, what="a row")
    (only,) = rows()
    return only


CUTS: dict[str, tuple[list[Step], str]] = {
    "cut": ([cut()], "upstream_cut"),
    "reset": ([rst()], "upstream_cut"),
    "error": ([err(message="a long story of what went wrong, which nobody generated")], "upstream_error"),
    "stall": ([until_closed()], "stalled"),
}


@STREAM
@pytest.mark.parametrize(("ending", "outcome"), CUTS.values(), ids=CUTS)
async def test_H1_an_interrupted_stream_is_charged_for_what_came(
    rig: Rig, stream: bool, ending: list[Step], outcome: str
) -> None:
    upstream = await rig.upstream([hdr(), role(), *SAID, *ending])
    gateway = await rig.gateway(upstream, settings=metered(upstream))
    await gateway.ask(stream, messages=HELLO)
    line = await row(gateway)
    assert (line["outcome"], line["charged"], line["basis"]) == (outcome, "counted", "exact")
    assert (line["counted"]["input"], line["counted"]["output"]) == (9, TEXT)
    assert (line["delivered"]["output"] or 0) == (TEXT if stream else 0)
    assert line["cost_usd"] == (9 + 10 * TEXT) * 1e-9


@STREAM
async def test_H3_without_a_report_it_is_counted(rig: Rig, stream: bool) -> None:
    upstream = await rig.upstream([hdr(), role(), *SAID, fin(), done(), eof()])
    gateway = await rig.gateway(upstream, settings=metered(upstream))
    await gateway.ask(stream, messages=HELLO)
    line = await row(gateway)
    assert line["reported"]["output"] is None
    assert (line["counted"]["output"], line["delivered"]["output"], line["basis"]) == (TEXT, TEXT, "exact")


async def test_H12_a_chunk_is_not_a_token(rig: Rig) -> None:
    text = "antidisestablishmentarianism is one word"
    for pieces in ([text], list(text)):
        upstream = await rig.upstream([hdr(), *(raw(frames.chunk(piece)) for piece in pieces), fin(), done(), eof()])
        gateway = await rig.gateway(upstream, settings=metered(upstream))
        await gateway.ask()
        assert (await row(gateway))["counted"]["output"] == TEXT


async def test_H14_an_estimate_is_told_from_a_report(rig: Rig) -> None:
    for ending, basis in ([usage(9, 6), done()], "exact"), ([done()], "estimated"):
        upstream = await rig.upstream([hdr(), *SAID, fin(), *ending, eof()])
        gateway = await rig.gateway(upstream, settings=metered(upstream, model="claude-like"))
        await gateway.ask(messages=HELLO)
        assert (await row(gateway))["basis"] == basis


async def test_C10_an_attempt_that_failed_is_a_line_of_the_same_row(rig: Rig) -> None:
    first = await rig.upstream([hdr(), until_closed()])
    second = await rig.upstream([hdr(), *SAID, fin(), usage(9, 9), done(), eof()])
    gateway = await rig.gateway(first, second, settings=metered(first, second))
    await gateway.ask(messages=HELLO)
    line = await row(gateway)
    assert [(one["target"], one["outcome"], one["basis"]) for one in line["attempts"]] == [
        ("m1/gpt-4o", "first_token_timeout", "estimated"),
        ("m2/gpt-4o", None, "exact"),
    ]
    assert line["cost_usd"] == round(sum(one["cost_usd"] for one in line["attempts"]), 12) == (9 + 9 + 90) * 1e-9


async def test_H14_what_was_counted_is_told_to_the_client_and_not_booked_as_reported(rig: Rig) -> None:
    upstream = await rig.upstream([hdr(), role(), *SAID, until_closed()])
    gateway = await rig.gateway(upstream, settings=metered(upstream))
    client = await gateway.open(messages=HELLO, stream_options={"include_usage": True})
    await client.events(1 + len(SAID))
    await gateway.post(f"/v1/streams/{client.headers['x-penstock-stream']}/stop", b"")
    told = (await client.answer()).chunks[-1]["usage"]
    assert told["completion_tokens"] == TEXT
    assert 9 <= told["prompt_tokens"] < 30, "estimated by its length"
    line = await row(gateway)
    assert (line["outcome"], line["charged"], line["basis"]) == ("stopped", "counted", "exact")
    assert (line["counted"]["input"], line["counted"]["output"]) == (9, TEXT)
    assert (line["reported"]["input"], line["reported"]["output"]) == (None, None)


def test_H14_a_long_prompt_with_a_picture_is_estimated_without_the_picture() -> None:
    picture = {"type": "image_url", "image_url": {"url": "data:image/png;base64," + "A" * 400_000}}
    turn = {"role": "user", "content": [picture, {"type": "text", "text": "a" * 400}]}
    body = {"model": "gpt-4o", "messages": [turn]}
    request = read_request(msgspec.json.encode(body))
    keeper = bookkeeper(Config(providers=(), routes=(), metering=Metering()), lambda settled: None)
    assert keeper is not None
    route = Route(name="m", targets=())
    account = keeper.account(cast("Recorder", None), "st_1", OpenAIChatClient(), request, route, None)
    assert 100 < account.prompt_about() < 2_000
