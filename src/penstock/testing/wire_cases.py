"""A provider's body through framer and decoder, and strict readers of what a client gets: for tests of any wire."""

from __future__ import annotations

import itertools
import json
import random
from collections.abc import Iterable, Iterator
from typing import Any

from penstock.events import Event, Malformed, Reasoning, Refusal, Text, ToolArguments, UsageReport
from penstock.framing.sse import SSEFramer, parse
from penstock.testing.corpus import Example
from penstock.usage import Usage
from penstock.wire.base import Decoder, UpstreamWire, View
from penstock.wire.registry import UPSTREAM_WIRES

BYTE_BY_BYTE = 60_000
"""Longer recordings are cut at a thousand places instead."""


def read(wire: str, pieces: Iterable[bytes]) -> tuple[bytes, list[Event], Decoder]:
    """A provider's body through framer and decoder: what is handed on, what it means, and the decoder at its end."""
    upstream: UpstreamWire = UPSTREAM_WIRES[wire]
    framer, decoder = upstream.framer(1 << 25), upstream.decoder(View(), None)
    out: list[bytes] = []
    events: list[Event] = []
    for piece in pieces:
        for frame in framer.feed(piece):
            handed_on, meant = decoder.decode(frame)
            out.append(handed_on or b"")
            events += meant
    handed_on, meant = decoder.close(framer.close())
    return b"".join(out) + (handed_on or b""), [*events, *meant], decoder


def text_of(events: Iterable[Event]) -> str:
    """The generated text."""
    return "".join(event.text for event in events if isinstance(event, Text | Refusal))


def thought_of(events: Iterable[Event]) -> str:
    """The reasoning."""
    return "".join(event.text for event in events if isinstance(event, Reasoning))


def calls_of(events: Iterable[Event]) -> list[tuple[str, str]]:
    """Name and arguments of every tool call."""
    calls: dict[int, tuple[str, str]] = {}
    for event in events:
        if isinstance(event, ToolArguments):
            name, arguments = calls.get(event.call, ("", ""))
            calls[event.call] = name + event.name, arguments + event.arguments
    return list(calls.values())


def usage_of(events: Iterable[Event]) -> Usage:
    """The usage that was reported."""
    usage = Usage()
    for event in events:
        if isinstance(event, UsageReport):
            usage = usage.overwritten_by(event.usage)
    return usage


def assert_meant(example: Example, events: list[Event]) -> None:
    """The events say what the example's index says."""
    assert text_of(events) == example.text
    assert thought_of(events) == example.reasoning
    assert calls_of(events) == example.tools
    assert usage_of(events) == Usage(**(example.usage or {}))
    assert sum(isinstance(event, Malformed) for event in events) == example.malformed


def ways(name: str, data: bytes) -> Iterator[list[bytes]]:
    """Whole, cut at 30 random places, and byte by byte."""
    yield [data]
    yield cut(data, 30, name)
    yield [data[i : i + 1] for i in range(len(data))] if len(data) < BYTE_BY_BYTE else cut(data, 1000, name)


def cut(data: bytes, places: int, seed: str) -> list[bytes]:
    """``data`` in pieces, cut at random places."""
    edges = [0, *sorted(random.Random(seed).sample(range(1, len(data)), min(places, len(data) - 1))), len(data)]
    return [data[a:b] for a, b in itertools.pairwise(edges)]


def lines(data: bytes) -> list[dict[str, Any]]:
    """Lines of JSON, read strictly: each an object, ended by one LF, none blank, none that Python would break."""
    assert data.endswith(b"\n")
    assert b"\r" not in data
    found = data[:-1].split(b"\n")
    assert len(data.decode().splitlines()) == len(found)
    values = [json.loads(line) for line in found]
    assert all(isinstance(value, dict) for value in values)
    return values


def chat_chunks(data: bytes) -> list[dict[str, Any]]:
    """An openai-chat stream, read strictly: one role, one finish and nothing behind it, ``[DONE]`` last."""
    payloads = [payload for frame in SSEFramer().feed(data) if (payload := parse(frame).data) is not None]
    assert payloads.index(b"[DONE]") == len(payloads) - 1
    chunks = [json.loads(payload) for payload in payloads[:-1]]
    assert {chunk["object"] for chunk in chunks} == {"chat.completion.chunk"}
    assert len({(chunk["id"], chunk["model"]) for chunk in chunks}) == 1
    choices = [choice for chunk in chunks for choice in chunk["choices"]]
    assert ["role" in choice["delta"] for choice in choices] == [True] + [False] * (len(choices) - 1)
    assert [bool(choice["finish_reason"]) for choice in choices] == [False] * (len(choices) - 1) + [True]
    return chunks


def chat_says(chunks: list[dict[str, Any]]) -> tuple[str, str, list[tuple[str, str]]]:
    """Text, reasoning and calls of an openai-chat stream; every call has an id of its own."""
    deltas = [choice["delta"] for chunk in chunks for choice in chunk["choices"]]
    calls: dict[int, tuple[str, str]] = {}
    ids: list[str] = []
    for call in (call for delta in deltas for call in delta.get("tool_calls", ())):
        name, arguments = calls.get(call["index"], ("", ""))
        function = call["function"]
        calls[call["index"]] = name + function.get("name", ""), arguments + function["arguments"]
        ids += [call["id"]] if "id" in call else []
    assert all(ids)
    assert len(set(ids)) == len(ids) == len(calls)
    text = "".join(delta.get("content") or "" for delta in deltas)
    return text, "".join(delta.get("reasoning_content", "") for delta in deltas), list(calls.values())
