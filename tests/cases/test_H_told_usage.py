"""H. An answer that Penstock ends tells its client what was used until then, on every client wire: as reported, or as
counted here. That usage has the wire's own fields and no others, and the row books nothing of it as reported."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from matrix_run import LANES, Lane, plan
from matrix_talk import TALKS
from wire_clients import payloads

from penstock.metering.row import opened
from penstock.outcome import Outcome
from penstock.stages.contract import Block, Channel
from penstock.stages.guards import MaxCharacters, StopSequences
from penstock.stages.pipeline import StagesPlan
from penstock.stream.plan import Plan
from penstock.stream.settlement import Terms, settle
from penstock.stream.summary import Summary
from penstock.testing.playbook import BYTE_METER, Play, Stop, UpstreamBytes, UpstreamHead, UpstreamOpened
from penstock.wire.edit import Asked
from penstock.wire.editors import editor_of
from penstock.wire.registry import UPSTREAM_WIRES

PROMPT = 77
"""Tokens of the request, by its length."""
COUNTED = len("w0 w1 w2 ")
"""A token a byte."""
STREAMED = pytest.mark.parametrize("streamed", [True, False], ids=["streamed", "whole"])
EVERY = pytest.mark.parametrize("lane", LANES, ids=str)
OWN = pytest.mark.parametrize("lane", LANES[:7], ids=str)
FINISHES = {
    "openai-chat": ("stop", "stop", "length"),
    "openai-responses": ("completed", "completed", "incomplete"),
    "anthropic-messages": ("end_turn", "stop_sequence", "max_tokens"),
    "gemini": ("STOP", "STOP", "MAX_TOKENS"),
    "cohere-chat": ("COMPLETE", "STOP_SEQUENCE", "MAX_TOKENS"),
    "ollama-chat": ("stop", "stop", "length"),
}
"""Of an answer that was stopped, that met a stop sequence of its client's, and that may not be longer."""
FILTERED = {
    "openai-chat": "content_filter",
    "openai-responses": "incomplete",
    "anthropic-messages": "refusal",
    "gemini": "SAFETY",
}
"""Of an answer that was blocked, where the wire has a finish for that."""


class Spent:
    """A budget that is spent with the third word."""

    def lasts(self, account: Summary) -> bool:
        """See `plan.Allowance`."""
        return account.token_events < 3


class Refused:
    """A stage that blocks at the third word."""

    name = "refused"

    def open(self) -> Refused:
        return self

    def feed(self, channel: Channel, text: str) -> str | Block:
        return Block("the third word") if "w2" in text else text

    def flush(self, channel: Channel) -> str | Block:
        return ""

    def findings(self) -> dict[str, int]:
        return {}


def metered(lane: Lane, streamed: bool, **changed: Any) -> Plan:
    asks = {"stream_options": {"include_usage": True}} if lane.client == "openai-chat" and streamed else None
    made = plan(lane, streamed=streamed, targets=1, question=asks)
    (way,) = made.ways
    ways = (msgspec.structs.replace(way, meter=BYTE_METER),)
    return msgspec.structs.replace(made, ways=ways, prompt=lambda: PROMPT, **changed)


def guarded(lane: Lane, streamed: bool, stage: Any) -> Plan:
    made = metered(lane, streamed)
    return msgspec.structs.replace(
        made,
        stages=StagesPlan(stages=(stage,)),
        editor=editor_of(made.client_wire, Asked(made.request, made.stream, made.client)),
        read_as=UPSTREAM_WIRES[made.client_wire],
    )


def said(made: Plan, lane: Lane, words: int = 3) -> Play:
    """The provider has sent so many words, and no usage of them."""
    talk = TALKS[lane.first]
    kind = ((b"content-type", talk.kind),)
    pieces = talk.said([talk.start, *talk.words("w", words)])
    play = Play(made).start().passing_over()
    play.give(UpstreamOpened(0), UpstreamHead(0, 200, kind), *(UpstreamBytes(0, piece) for piece in pieces))
    return play.passing_over()


def last_words(lane: Lane, streamed: bool, body: bytes) -> tuple[str, int, int, dict[str, Any]]:
    """The finish, the prompt's and the answer's tokens, and all of the usage, as the client reads them."""
    wire = lane.client.split(" ")[0]
    if not streamed:
        documents = [json.loads(body)]
    elif wire == "ollama-chat":
        documents = [json.loads(line) for line in body.splitlines()]
    else:
        documents = json.loads(body) if body.startswith(b"[") else [event for _, event in payloads(body) if event]
    return _READERS[wire](documents, streamed)


def _chat(documents: list[dict[str, Any]], streamed: bool) -> Any:
    finishes = [choice["finish_reason"] for each in documents for choice in each["choices"] if choice["finish_reason"]]
    usage = documents[-1]["usage"]
    return *finishes, usage["prompt_tokens"], usage["completion_tokens"], usage


def _responses(documents: list[dict[str, Any]], streamed: bool) -> Any:
    response = documents[-1]["response"] if streamed else documents[-1]
    usage = response["usage"]
    return response["status"], usage["input_tokens"], usage["output_tokens"], usage


def _messages(documents: list[dict[str, Any]], streamed: bool) -> Any:
    if not streamed:
        (message,) = documents
        usage = message["usage"]
        return message["stop_reason"], usage["input_tokens"], usage["output_tokens"], usage
    start, delta = documents[0]["message"]["usage"], documents[-2]
    usage = start | delta["usage"]
    return delta["delta"]["stop_reason"], usage["input_tokens"], usage["output_tokens"], delta["usage"]


def _gemini(documents: list[dict[str, Any]], streamed: bool) -> Any:
    usage = documents[-1]["usageMetadata"]
    finish = documents[-1]["candidates"][0]["finishReason"]
    return finish, usage["promptTokenCount"], usage["candidatesTokenCount"], usage


def _cohere(documents: list[dict[str, Any]], streamed: bool) -> Any:
    end = documents[-1]["delta"] if streamed else documents[-1]
    tokens = end["usage"]["tokens"]
    return end["finish_reason"], tokens["input_tokens"], tokens["output_tokens"], end["usage"]


def _ollama(documents: list[dict[str, Any]], streamed: bool) -> Any:
    end = documents[-1]
    return end["done_reason"], end["prompt_eval_count"], end["eval_count"], {}


_READERS = {
    "openai-chat": _chat,
    "openai-responses": _responses,
    "anthropic-messages": _messages,
    "gemini": _gemini,
    "cohere-chat": _cohere,
    "ollama-chat": _ollama,
}
_FIELDS = {
    "openai-chat": {
        "prompt_tokens",
        "completion_tokens",
        "total_tokens",
        "prompt_tokens_details",
        "completion_tokens_details",
    },
    "openai-responses": {
        "input_tokens",
        "output_tokens",
        "total_tokens",
        "input_tokens_details",
        "output_tokens_details",
    },
    "anthropic-messages": {
        "input_tokens",
        "output_tokens",
        "cache_creation_input_tokens",
        "cache_read_input_tokens",
        "output_tokens_details",
        "service_tier",
    },
    "gemini": {"promptTokenCount", "candidatesTokenCount", "totalTokenCount"},
    "cohere-chat": {"billed_units", "tokens"},
    "ollama-chat": set(),
}


def check(play: Play, lane: Lane, streamed: bool, how: int, outcome: Outcome, output: int = COUNTED) -> None:
    """The client was told what was counted, and the row keeps apart what was reported."""
    wire = lane.client.split(" ")[0]
    finish, asked, made, usage = last_words(lane, streamed, play.body)
    reported = play.account.usage
    prompt = PROMPT if reported is None or reported.input is None else reported.input
    assert (finish, asked, made) == (FINISHES[wire][how], prompt, output)
    assert usage.keys() <= _FIELDS[wire], "a strict client rejects other fields (H14)"
    accepted = opened(stream="s", started_at=0.0, key=None, route="r", client_wire=wire, tags={})
    row = settle(play.account, accepted, 1.0, Terms()).row
    assert row.outcome is outcome
    assert row.counted.output == output
    assert (row.reported.output or 0) <= 1 and row.reported.input == (None if reported is None else reported.input)


@EVERY
@STREAMED
def test_H14_a_stopped_answer_tells_what_was_counted(lane: Lane, streamed: bool) -> None:
    play = said(metered(lane, streamed), lane).give(Stop()).passing_over()
    check(play, lane, streamed, 0, Outcome.STOPPED)


@EVERY
@STREAMED
def test_H14_so_does_one_that_had_not_begun(lane: Lane, streamed: bool) -> None:
    play = Play(metered(lane, streamed)).start().passing_over().give(Stop()).passing_over()
    check(play, lane, streamed, 0, Outcome.STOPPED, 0)


@EVERY
@STREAMED
def test_H14_so_does_one_whose_budget_is_spent(lane: Lane, streamed: bool) -> None:
    play = said(metered(lane, streamed, allowance=Spent()), lane, 5)
    check(play, lane, streamed, 2, Outcome.BUDGET_EXCEEDED)


@OWN
@STREAMED
def test_H14_so_does_one_that_grew_too_long(lane: Lane, streamed: bool) -> None:
    play = said(guarded(lane, streamed, MaxCharacters(7)), lane, 5)
    check(play, lane, streamed, 2, Outcome.STOPPED)


@pytest.mark.parametrize("lane", [each for each in LANES[:7] if each.client.split(" ")[0] in FILTERED], ids=str)
def test_H14_so_does_one_that_was_blocked(lane: Lane) -> None:
    play = said(guarded(lane, True, Refused()), lane, 5)
    finish, asked, made, _ = last_words(lane, True, play.body)
    assert (finish, made) == (FILTERED[lane.client.split(" ")[0]], COUNTED)
    assert asked in (PROMPT, play.account.usage and play.account.usage.input)
    assert play.account.outcome is Outcome.BLOCKED


@OWN
@STREAMED
def test_a_stop_sequence_of_the_clients_own_is_told_as_one(lane: Lane, streamed: bool) -> None:
    play = said(guarded(lane, streamed, StopSequences(("never", "w2"))), lane, 5)
    check(play, lane, streamed, 1, Outcome.STOPPED)
    named = b'"stop_sequence":"w2"'
    assert (named in play.body) is (lane.client == "anthropic-messages")
    assert b"w2" not in play.body.replace(named, b"")


def test_H14_without_metering_nothing_is_told_that_was_not_reported() -> None:
    (lane,) = [each for each in LANES if str(each).startswith("openai-chat, openai-chat")]
    made = plan(lane, streamed=True, targets=1, question={"stream_options": {"include_usage": True}})
    assert b'"usage"' not in said(made, lane).give(Stop()).passing_over().body
