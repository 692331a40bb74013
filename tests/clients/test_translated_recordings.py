"""Round trips: what a provider said, told in another wire, is what that wire's official SDK reads.

Every complete recording (and every composed example) of each provider's wire goes through the machine for the clients
of each wire that is translated for, whole and cut at random places; the bytes go to the SDK, offline, which validates
strictly. Text, reasoning with its seals, tool calls, finish and usage are those of the provider's own events.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from typing import Any
from zlib import crc32

import msgspec
import pytest

from penstock.events import Event, Finish, FinishKind, Reasoning, ReasoningSeal, Refusal, Text, ToolArguments
from penstock.outcome import Outcome
from penstock.policy.deadlines import Deadlines
from penstock.policy.delivery import Delivery
from penstock.stream.plan import Plan, Way
from penstock.testing.corpus import Example, Recording, corpus, examples, is_openai_chat, recordings
from penstock.testing.run import run, script
from penstock.testing.wire_cases import cut, read, usage_of
from penstock.wire import json
from penstock.wire.base import Decoder, View, clients_of
from penstock.wire.ollama_chat_writer import INVALID
from penstock.wire.registry import CLIENT_WIRES, UPSTREAM_WIRES
from penstock.wire.translated import Translated

for package in ("openai", "anthropic", "ollama"):
    pytest.importorskip(package)

from translated_readers import READERS, Call, Said, parsed  # noqa: E402

RECORDED: dict[str, Callable[[Recording], bool]] = {
    "openai-chat": is_openai_chat,
    "openai-responses": lambda one: one.api == "responses",
    "anthropic-messages": lambda one: one.wire == "anthropic-messages",
    "gemini": lambda one: one.wire in ("gemini-sse", "gemini-json-array"),
    "ollama-chat": lambda one: one.api == "ollama",
    "cohere-chat": lambda one: one.wire == "cohere-v2",
    "cohere-v1": lambda one: one.wire == "cohere-v1",
    "tgi": lambda one: one.wire == "huggingface-tgi" and one.api in ("tgi", "unknown"),
    "bedrock-converse": lambda one: one.wire == "bedrock-converse-stream",
    "bedrock-invoke": lambda one: one.wire == "bedrock-invoke-stream",
}
"""Which recordings speak which provider's wire."""
ONE_CHOICE = frozenset({"openai-responses", "anthropic-messages", "ollama-chat"})
"""Client wires that have no second choice: to ask for one is not possible in them."""
SEVERAL_CHOICES = (
    "gemini/two-candidates.sse",
    "mistral/003-",
    "mistral/005-",
    "mistral/006-",
    "mistral/007-",
    "openai-chat/041-",
    "openai-chat/042-",
    "openai-chat/043-",
    "openai-chat/044-",
    "openai-chat/openai-n2.sse",
    "other/039-",
    "other/076-",
)
"""Left out for the clients of `ONE_CHOICE`: they could not have asked for these answers."""
NOT_ANTHROPIC = tuple(
    f"bedrock-invoke-stream/{number:03}-"
    for number in (1, 2, 4, 7, 8, 10, 11, 12, 28, 29, 31, 32, 33, 34, 36, 37, 42, 53, 56, 57, 58, 59, 60)
)
UNKNOWN_FINISH = ("gemini/unknown-finish.sse", "gemini-sse/016-", "gemini-sse/042-")
ERRORS: dict[tuple[str, ...], str] = {
    NOT_ANTHROPIC: "bedrock-invoke carries a model's own events, and those of Anthropic's Messages alone are read: "
    "these are of Titan, Nova, Llama, Cohere, Mistral and of Anthropic's older text completions, which Converse serves",
    UNKNOWN_FINISH: "they end with a finish reason that does not exist: an error, and no answer that is complete",
}
"""Left out for all clients, and why: the stream is told as an error (`test_what_is_left_out_is_told_as_an_error`)."""
LARGE = 100_000
"""Larger streams go to one client each, in turn."""
FINISHES: dict[str, dict[FinishKind, str]] = {
    "openai-chat": {
        "stop": "stop",
        "stop_sequence": "stop",
        "length": "length",
        "tool_calls": "tool_calls",
        "content_filter": "content_filter",
        "pause": "stop",
        "error": "stop",
    },
    "openai-responses": {
        "stop": "completed",
        "stop_sequence": "completed",
        "length": "incomplete/max_output_tokens",
        "tool_calls": "completed",
        "content_filter": "incomplete/content_filter",
        "pause": "completed",
        "error": "failed",
    },
    "anthropic-messages": {
        "stop": "end_turn",
        "stop_sequence": "stop_sequence",
        "length": "max_tokens",
        "tool_calls": "tool_use",
        "content_filter": "refusal",
        "pause": "pause_turn",
        "error": "refusal",
    },
    "ollama-chat": {
        "stop": "stop",
        "stop_sequence": "stop",
        "length": "length",
        "tool_calls": "stop",
        "content_filter": "content_filter",
        "pause": "stop",
        "error": "error",
    },
}
"""How each wire says that an answer is finished (wire-formats.md §9.5)."""


class Source(msgspec.Struct, frozen=True):
    """A provider's stream in its wire."""

    wire: str
    stream: Recording | Example

    @property
    def name(self) -> str:
        return self.stream.file if isinstance(self.stream, Recording) else f"{self.wire}/{self.stream.file}"


def sources(wire: str) -> list[Source]:
    """The streams of a wire that say of themselves that they are complete."""
    found: list[Source] = [Source(wire, each) for each in examples(wire) if each.outcome == "completed"]
    whole = recordings(lambda one: one.kind == "stream" and RECORDED[wire](one) and not one.has_error)
    return found + [Source(wire, one) for one in whole if one.ends_with in ("done", "stop")]


def pairs() -> list[Any]:
    found = []
    for wire, provider in UPSTREAM_WIRES.items():
        clients = [each.name for each in CLIENT_WIRES if each.translates and each.name not in clients_of(provider)]
        for source in sources(wire):
            if source.name.startswith(tuple(name for names in ERRORS for name in names)):
                continue
            several = source.name.startswith(SEVERAL_CHOICES)
            able = [name for name in clients if not (several and name in ONE_CHOICE)]
            if able and len(source.stream.read()) > LARGE:
                able = [able[crc32(source.name.encode()) % len(able)]]
            found += [pytest.param(source, name, id=f"{source.name}-{name}") for name in able]
    return found


def left_out() -> list[Any]:
    everything = [source for wire in UPSTREAM_WIRES for source in sources(wire)]
    names = tuple(name for names in ERRORS for name in names)
    return [pytest.param(source, id=source.name) for source in everything if source.name.startswith(names)]


def plan(client: str, wire: str) -> Plan:
    """A stream of a client of one wire at a provider of another; usage is asked for."""
    speaks, provider = next(each for each in CLIENT_WIRES if each.name == client), UPSTREAM_WIRES[wire]
    body: dict[str, Any] = {"model": "m", "messages": [], "input": "Hello", "max_tokens": 9, "stream": True}
    asked = speaks.read("", "", json.dumps(body | {"stream_options": {"include_usage": True}}))
    session = speaks.session(asked, "st_play")

    def decoder() -> Decoder:
        return Translated(provider.decoder(View(), None), session.writer())

    way = Way(name="p/m", label="p/m", wire=provider, same_wire=False, decoder=decoder)
    return Plan(
        stream="st_play",
        route="m",
        request=asked,
        ways=(way,),
        client=session,
        client_wire=client,
        deadlines=Deadlines(),
        delivery=Delivery(),
    )


def told(source: Source, client: str) -> bytes:
    """What the client gets: the same at every cut."""
    body = source.stream.read()
    transcripts = [
        run(plan(client, source.wire), [script(*pieces, gap=0.0)]) for pieces in ([body], cut(body, 5, source.name))
    ]
    assert [each.outcome for each in transcripts] == [Outcome.COMPLETED] * 2
    assert transcripts[0].body == transcripts[1].body
    return transcripts[0].body


def said(events: list[Event], choice: int) -> tuple[Said, FinishKind]:
    """What the provider's own events say of a choice; the finish apart."""
    texts: dict[type, str] = defaultdict(str)
    calls: dict[int, Call] = {}
    seals, finish, usage = [], None, usage_of(events)
    for event in events:
        if getattr(event, "choice", choice) != choice:
            continue
        if isinstance(event, Text | Reasoning | Refusal):
            texts[type(event)] += event.text
        elif isinstance(event, ReasoningSeal):
            seals.append(event.signature)
        elif isinstance(event, ToolArguments):
            known = calls.get(event.call, Call("", "", ""))
            calls[event.call] = Call(known.id or event.id, known.name or event.name, known.arguments + event.arguments)
        elif isinstance(event, Finish) and (finish is None or not event.again):
            finish = event.kind
    tokens_in = (usage.input or 0) + (usage.cache_read or 0) + (usage.cache_write or 0)
    kinds = {
        "in": tokens_in,
        "out": (usage.output or 0) + (usage.reasoning or 0),
        "cache_read": usage.cache_read or 0,
        "cache_write": usage.cache_write or 0,
        "reasoning": usage.reasoning or 0,
    }
    answer = Said(
        text=texts[Text],
        reasoning=texts[Reasoning],
        refusal=texts[Refusal],
        calls=tuple(calls.values()),
        seals=tuple(seals),
        usage=kinds,
    )
    # ``[DONE]`` without a finish is tolerated as the end of a complete answer.
    return answer, finish or "stop"


def as_told(meant: Said, finish: FinishKind, events: list[Event], client: str) -> Said:
    """What the provider said, as far as the client's wire has words for it."""
    words = FINISHES[client][finish]
    fields: dict[str, Any] = {}
    if client in ("anthropic-messages", "ollama-chat"):
        # A refusal is text here; Anthropic's stop reason says that it is one, or that there are calls.
        fields = {"text": "".join(event.text for event in events if isinstance(event, Text | Refusal)), "refusal": ""}
    if client == "anthropic-messages" and words == "end_turn":
        words = "tool_use" if meant.calls else "refusal" if meant.refusal else words
    if client == "ollama-chat":
        fields |= {"seals": (), "calls": ollama_calls(meant.calls, broken_off=words != "stop")}
    return msgspec.structs.replace(meant, finish=words, **fields)


def ollama_calls(calls: tuple[Call, ...], *, broken_off: bool) -> tuple[Call, ...]:
    """A call has an object here: the last of an answer that was broken off may be half, and is none then; what else
    is no object stands under a name that no tool has (`ollama_chat_writer.INVALID`)."""
    if broken_off and calls and not isinstance(parsed(calls[-1].arguments), dict):
        calls = calls[:-1]
    return tuple(
        call
        if isinstance(parsed(call.arguments), dict)
        else msgspec.structs.replace(call, arguments=json.dumps({INVALID: call.arguments}).decode())
        for call in calls
    )


def assert_calls(heard: tuple[Call, ...], meant: tuple[Call, ...], client: str) -> None:
    """Name and arguments of each; ids too, where the provider gave them and the SDK shows them."""
    assert [call.name for call in heard] == [call.name for call in meant]
    for call, other in zip(heard, meant, strict=True):
        if parsed(other.arguments) is None:
            assert call.arguments == other.arguments
        else:
            assert parsed(call.arguments) == parsed(other.arguments)
        if client != "ollama-chat":
            assert call.id == other.id or (call.id and not other.id)


@pytest.mark.parametrize(("source", "client"), pairs())
def test_the_sdk_reads_what_the_provider_said(source: Source, client: str) -> None:
    _, events, _ = read(source.wire, [source.stream.read()])
    answers = READERS[client](cut(told(source, client), 5, source.name))
    choices = sorted({getattr(event, "choice", 0) for event in events})
    assert sorted(answers) == choices
    for choice in choices:
        heard, meant = answers[choice], as_told(*said(events, choice), events, client)
        assert (heard.text, heard.refusal) == (meant.text, meant.refusal)
        assert heard.reasoning == meant.reasoning
        assert_calls(heard.calls, meant.calls, client)
        assert heard.seals == meant.seals
        assert heard.finish == meant.finish
        assert heard.usage == {kind: meant.usage[kind] for kind in heard.usage}


@pytest.mark.parametrize("source", left_out())
def test_what_is_left_out_is_told_as_an_error(source: Source) -> None:
    for client in (each.name for each in CLIENT_WIRES if each.translates):
        if client not in clients_of(UPSTREAM_WIRES[source.wire]):
            transcript = run(plan(client, source.wire), [script(source.stream.read(), gap=0.0)])
            assert transcript.outcome is Outcome.UPSTREAM_ERROR


@pytest.mark.skipif(corpus() is None, reason="there are no recordings")
def test_every_recorded_wire_has_complete_recordings() -> None:
    for wire in UPSTREAM_WIRES:
        assert any(isinstance(source.stream, Recording) for source in sources(wire)), wire


@pytest.mark.skipif(corpus() is None, reason="there are no recordings")
def test_the_tables_name_what_there_is() -> None:
    everything = [source for wire in UPSTREAM_WIRES for source in sources(wire)]
    for name in (*SEVERAL_CHOICES, *(name for names in ERRORS for name in names)):
        assert [source for source in everything if source.name.startswith(name)], name
    for source in everything:
        _, events, _ = read(source.wire, [source.stream.read()])
        several = any(getattr(event, "choice", 0) for event in events)
        assert several is source.name.startswith(SEVERAL_CHOICES), source.name
