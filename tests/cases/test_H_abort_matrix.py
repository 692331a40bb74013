"""H1. A stream that ends early has one row, with the right outcome; what is counted is what the provider sent, and what
is delivered is what the client got – for every cause, at every place, in every wire, streamed and folded. In virtual
time, a token for each byte."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from wire_providers import PROVIDERS

from penstock.framing.sse import SSEFramer
from penstock.metering.charge import Billing
from penstock.metering.prices import Price, PriceList, Rates
from penstock.metering.prompt import Counted
from penstock.metering.row import Row, opened
from penstock.outcome import Outcome
from penstock.stream.plan import Plan
from penstock.stream.settlement import Terms, settle, so_far
from penstock.stream.summary import Summary
from penstock.testing import frames
from penstock.testing.playbook import (
    BYTE_METER,
    ClientLeft,
    Play,
    Record,
    Shutdown,
    Stop,
    UpstreamBytes,
    UpstreamEnded,
    UpstreamHead,
    UpstreamOpened,
    plan,
)
from penstock.testing.steps import word
from penstock.wire.base import View
from penstock.wire.openai_chat import ChatDecoder
from penstock.wire.registry import UPSTREAM_WIRES
from penstock.wire.translated import Translated

PROMPT = 100
PRICES = PriceList([Price(model="m", rates=Rates(input=10**6, output=10 * 10**6), source="", date="")])
OPENED = opened(stream="st_play", started_at=100.0, key="k", route="gpt", client_wire="openai-chat", tags={})
PLACES = ("before the first token", "after one", "after ten", "all but usage")


class Source(msgspec.Struct, frozen=True):
    """A provider's words. ``rest``: what an answer has behind its words and before its usage."""

    wire: str
    kind: str
    start: bytes
    words: list[bytes]
    rest: bytes

    def said(self, place: str) -> tuple[bytes, str]:
        """What the provider has sent at a place, and the text in it."""
        count = {PLACES[0]: 0, PLACES[1]: 1}.get(place, 10)
        numbers = [0, *(1 + number % 2 for number in range(9))][:count]
        rest = self.rest if place == PLACES[3] else b""
        return self.start + b"".join(self.words[number] for number in numbers) + rest, "".join(map(word, numbers))


SOURCES = {
    "openai-chat": Source(
        "openai-chat",
        "text/event-stream",
        frames.role(),
        [frames.chunk(word(number)) for number in range(3)],
        frames.finish(),
    )
} | {
    name: Source(each.wire, each.kind, each.start, each.words, each.unfinished.get("a block is closed", b""))
    for name, each in PROVIDERS.items()
}


class Spent:
    """A budget that others may have spent."""

    def __init__(self) -> None:
        self.left = True

    def lasts(self, account: Summary) -> bool:
        """See `plan.Allowance`."""
        return self.left


def planned(source: Source, stream: bool, **options: Any) -> Plan:
    """One target that speaks the wire, for a client of openai-chat."""
    made = plan(targets=1, stream=stream, meter=BYTE_METER, **options)
    if source.wire == "openai-chat":
        return made
    (way,) = made.ways
    upstream = UPSTREAM_WIRES[source.wire]

    def decoder() -> Translated:
        return Translated(upstream.decoder(View(), None), made.client.writer())

    return msgspec.structs.replace(
        made, ways=(msgspec.structs.replace(way, wire=upstream, same_wire=False, decoder=decoder),)
    )


def silent(play: Play) -> None:
    """Nothing comes any more, until a deadline says so."""
    due = play.transcript.deadline()
    while due is not None and not play.transcript.over:
        play.at(due).passing_over()
        due = play.transcript.deadline()


CAUSES: dict[str, tuple[Outcome, Callable[[Play], object]]] = {
    "client": (Outcome.CLIENT_CLOSED, lambda play: play.give(ClientLeft())),
    "first token": (Outcome.FIRST_TOKEN_TIMEOUT, silent),
    "stall": (Outcome.STALLED, silent),
    "total": (Outcome.MAX_DURATION, silent),
    "cut": (Outcome.UPSTREAM_CUT, lambda play: play.give(UpstreamEnded(0, clean=False, reason="reset"))),
    "stopped": (Outcome.STOPPED, lambda play: play.give(Stop())),
    "shutdown": (Outcome.SHUTDOWN, lambda play: play.give(Shutdown())),
    "budget": (Outcome.BUDGET_EXCEEDED, lambda play: None),
    "killed": (Outcome.CRASHED, lambda play: None),
}
PATIENCE = {
    "first token": {"first_token": 9.0},
    "stall": {"between_tokens": 9.0},
    "total": {"total": 9.0, "first_token": None, "between_tokens": None},
}


def possible(cause: str, place: str) -> bool:
    """Waiting for a first token ends with it, a stall and a spent budget begin behind it."""
    before = place == PLACES[0]
    return {"first token": before, "stall": not before, "budget": not before}.get(cause, True)


def played(source: Source, cause: str, place: str, *, stream: bool) -> tuple[Play, str]:
    """The stream that ends there, and the text that the provider has sent."""
    allowance = Spent()
    made = planned(source, stream, keepalive=None, commit_after=None, **PATIENCE.get(cause, {}))
    if cause == "budget":
        made = msgspec.structs.replace(made, allowance=allowance)
    data, text = source.said(place)
    kind = ((b"content-type", source.kind.encode()),)
    play = Play(made).start().passing_over().at(0.5).give(UpstreamOpened(0), UpstreamHead(0, 200, kind)).passing_over()
    allowance.left = False
    if data:
        play.at(1.0).give(UpstreamBytes(0, data)).passing_over()
    play.at(2.0).passing_over()
    CAUSES[cause][1](play)
    if cause != "killed":
        silent(play.passing_over())
    return play.passing_over(), text


def row_of(play: Play, billing: Billing) -> Row:
    """Its row; of a stream that goes on, the checkpoint that a crash would leave."""
    terms = Terms(prices=PRICES, prompt=lambda meter: Counted(PROMPT, True), billing=billing)
    if play.transcript.over:
        return settle(play.account, OPENED, 101.0, terms).row
    return so_far(play.account, OPENED, 101.0, terms)


def got(play: Play, *, stream: bool) -> str:
    """The text that the client got, as a client of openai-chat reads it."""
    if play.transcript.head is None or play.transcript.head.status != 200:
        return ""
    if not stream:
        choices = json.loads(play.body)["choices"] if play.body.strip() else []
        return "".join(choice["message"]["content"] or "" for choice in choices)
    framer, decoder = SSEFramer(), ChatDecoder()
    events = [event for frame in framer.feed(play.body) for event in decoder.decode(frame)[1]]
    return "".join(event.text for event in events if event.token)  # type: ignore[attr-defined]


CELLS = [
    pytest.param(cause, place, id=f"{cause}, {place}") for cause in CAUSES for place in PLACES if possible(cause, place)
]


@pytest.mark.parametrize("stream", [True, False], ids=["streamed", "folded"])
@pytest.mark.parametrize("source", SOURCES.values(), ids=SOURCES)
@pytest.mark.parametrize(("cause", "place"), CELLS)
def test_H1_abort_matrix(source: Source, cause: str, place: str, stream: bool) -> None:
    play, text = played(source, cause, place, stream=stream)
    outcome = CAUSES[cause][0]
    row = row_of(play, Billing())
    if cause == "killed":
        assert not play.transcript.over and row.outcome is None
    else:
        assert sum(isinstance(command, Record) for command in play.transcript.commands) == 1
        # With its finish an answer may be whole, whatever comes then.
        allowed = {outcome, Outcome.COMPLETED} if place == PLACES[3] else {outcome}
        assert row.outcome in allowed
    assert (row.counted.output or 0) == len(text)
    seen = got(play, stream=stream)
    assert (row.delivered.output or 0) == len(seen)
    assert seen == (
        text if stream or row.outcome in (Outcome.COMPLETED, Outcome.STOPPED, Outcome.BUDGET_EXCEEDED) else ""
    )
    assert row.reported.output is None or source.wire != "openai-chat"
    charged = max(len(text), (row.reported.output or 0)) * 10
    prompt = row.reported.input if row.reported.input is not None else PROMPT
    if not text and outcome is Outcome.UPSTREAM_CUT and row.reported.input is None:
        prompt = 0
    assert row.cost == prompt + charged
    delivered = row_of(play, Billing(charge="delivered"))
    assert delivered.outcome is row.outcome
    assert (delivered.cost or 0) <= row.cost
    atomic = row_of(play, Billing(partial=False))
    assert atomic.cost == (row.cost if row.outcome in (Outcome.COMPLETED, Outcome.STOPPED) else 0)
