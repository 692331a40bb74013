"""H1. The abort matrix goes on: answers that are blocked, and clients that leave a stream that is read on (``drain``)
or goes on without them (``detach``). Counted is what the provider sent, delivered what the client got, or may still
get."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
import pytest
from test_H_abort_matrix import PLACES, PROMPT, SOURCES, Source, got, planned, row_of, silent

from penstock.framing.sse import SSEFramer
from penstock.metering.charge import Billing
from penstock.outcome import Outcome
from penstock.stages.contract import Block, Channel
from penstock.stages.pipeline import StagesPlan
from penstock.stream.inputs import Input
from penstock.stream.plan import Resumable
from penstock.testing.playbook import (
    ClientLeft,
    Play,
    Record,
    Shutdown,
    Stop,
    UpstreamBytes,
    UpstreamEnded,
    UpstreamHead,
    UpstreamOpened,
)
from penstock.testing.steps import word
from penstock.wire.editors import Asked, editor_of
from penstock.wire.openai_chat import ChatDecoder

EACH = pytest.mark.parametrize("source", SOURCES.values(), ids=SOURCES)
STREAM = pytest.mark.parametrize("stream", [True, False], ids=["streamed", "folded"])
MORE = 5
"""Words that come behind the place."""


class Upto(msgspec.Struct, frozen=True):
    """Blocks an answer of more characters."""

    limit: int
    name: str = "upto"

    def open(self) -> Counting:
        return Counting(self.limit)


class Counting:
    def __init__(self, left: int):
        self.left = left

    def feed(self, channel: Channel, text: str) -> str | Block:
        self.left -= len(text)
        return text if self.left >= 0 else Block("too long", text[: max(0, self.left + len(text))])

    def flush(self, channel: Channel) -> str | Block:
        return ""

    def findings(self) -> Mapping[str, int]:
        return {}


def begun(source: Source, place: str, *, stream: bool, **options: Any) -> tuple[Play, str]:
    """A stream up to a place, and the text that the provider has sent."""
    resumable = options.pop("resumable", None)
    made = planned(source, stream, keepalive=None, commit_after=None, **options)
    if made.stages is not None:
        made = msgspec.structs.replace(
            made, editor=editor_of("openai-chat", Asked(made.request, made.stream, made.client))
        )
    made = msgspec.structs.replace(made, resumable=resumable)
    data, text = source.said(place)
    kind = ((b"content-type", source.kind.encode()),)
    play = Play(made).start().passing_over().at(0.5).give(UpstreamOpened(0), UpstreamHead(0, 200, kind)).passing_over()
    if data:
        play.at(1.0).give(UpstreamBytes(0, data)).passing_over()
    return play.at(2.0).passing_over(), text


@STREAM
@EACH
@pytest.mark.parametrize("place", PLACES[:3])
def test_H1_a_blocked_answer(source: Source, place: str, stream: bool) -> None:
    stages = StagesPlan(stages=(Upto(len(source.said(place)[1])),))
    play, text = begun(source, place, stream=stream, stages=stages)
    play.give(UpstreamBytes(0, source.words[number := min(len(text), 1)])).passing_over()
    silent(play)
    row = row_of(play, Billing())
    assert sum(isinstance(command, Record) for command in play.passing_over().transcript.commands) == 1
    assert row.outcome is Outcome.BLOCKED
    # The word that was too much came, and was shown to nobody.
    assert row.counted.output == len(text + word(number))
    seen = got(play, stream=stream)
    assert seen == (text if stream else "")
    # What went into the stages is delivered or held: text that a client did not see is in the figure.
    assert len(seen) <= (row.delivered.output or 0) <= (row.counted.output if seen else 0)
    assert row.cost == (PROMPT if row.reported.input is None else row.reported.input) + 10 * max(
        len(text + word(number)), row.reported.output or 0
    )


THEN: dict[str, tuple[tuple[Input, ...], Outcome]] = {
    "cut": ((UpstreamEnded(0, clean=False, reason="reset"),), Outcome.UPSTREAM_CUT),
    "stopped": ((Stop(),), Outcome.STOPPED),
    "shutdown": ((Shutdown(),), Outcome.SHUTDOWN),
    "stall": ((), Outcome.STALLED),
    "total": ((), Outcome.MAX_DURATION),
}
PATIENCE: dict[str, dict[str, Any]] = {
    "stall": {"between_tokens": 9.0},
    "total": {"total": 9.0, "between_tokens": None, "first_token": None},
}


@STREAM
@EACH
@pytest.mark.parametrize("policy", ["drain", "detach"])
@pytest.mark.parametrize("place", PLACES[:3])
@pytest.mark.parametrize("cause", THEN)
def test_H1_a_client_that_leaves_what_goes_on(
    source: Source, cause: str, place: str, policy: str, stream: bool
) -> None:
    happens, outcome = THEN[cause]
    detach = policy == "detach"
    options: dict[str, Any] = {"resumable": Resumable()} if detach else {"on_disconnect": "drain"}
    play, text = begun(source, place, stream=stream, **options, **PATIENCE.get(cause, {}))
    play.give(ClientLeft()).passing_over()
    assert not play.transcript.over
    first = min(len(text), 1)
    play.at(3.0).give(UpstreamBytes(0, source.words[first] + source.words[2] * MORE)).passing_over()
    if happens:
        play.give(*happens).passing_over()
    silent(play)
    row = row_of(play, Billing())
    assert sum(isinstance(command, Record) for command in play.passing_over().transcript.commands) == 1
    whole = text + word(first) + word(2) * MORE
    assert row.counted.output == len(whole)
    # A client that left for good is the first cause, whatever comes then; one that may come back is none at all.
    assert row.outcome is (outcome if detach else Outcome.CLIENT_CLOSED)
    kept = whole if detach else text
    if not stream:
        kept = kept if row.outcome is Outcome.STOPPED else ""
    assert (row.delivered.output or 0) == len(kept)
    if stream and not detach:
        assert read(play.body) == text
    assert row_of(play, Billing(partial=False)).cost == (row.cost if row.outcome is Outcome.STOPPED else 0)


def read(body: bytes) -> str:
    """The text of a streamed answer."""
    framer, decoder = SSEFramer(), ChatDecoder()
    events = [event for frame in framer.feed(body) for event in decoder.decode(frame)[1]]
    return "".join(event.text for event in events if event.token)  # type: ignore[attr-defined]
