"""Frames that wait, merged: what a client reads stays the same to the byte, and all else in its place."""

from __future__ import annotations

import json
from itertools import groupby
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.events import Event, Opaque, Reasoning, Refusal, Text, ToolArguments, UsageReport
from penstock.framing.jsonarray import JSONArrayFramer
from penstock.framing.sse import SSEFramer, parse
from penstock.stream.numbering import named
from penstock.testing import frames
from penstock.testing.wire_cases import read
from penstock.wire.merge import MOST, Merger

WIRES = ("openai-chat", "openai-responses", "anthropic-messages", "cohere-chat", "gemini", "ollama-chat")


def merged(wire: str, pieces: list[bytes]) -> tuple[bytes, Merger]:
    """All of it, after it has waited, by the piece."""
    merger = Merger(wire, events=wire != "ollama-chat" and pieces[0][:1] != b"[")
    for piece in pieces:
        merger.put(piece)
        assert merger.size >= 0
    held, out = merger.size, b""
    while merger.size:
        out += merger.take(100)
    assert held == len(out), "what waits has another size than was said"
    return out, merger


def whole(events: list[Event]) -> list[Any]:
    """The events, with texts of one place that follow on each other as one; without what an empty delta means. Usage
    on the way is what it is at last."""

    def place(event: Event) -> Any:
        if isinstance(event, Text | Reasoning | Refusal):
            return type(event), event.choice
        return (ToolArguments, event.choice, event.call) if isinstance(event, ToolArguments) else id(event)

    kept = [event for event in events if not isinstance(event, UsageReport | Opaque)]
    said = []
    for _, group in groupby(kept, place):
        same = list(group)
        if isinstance(same[0], ToolArguments):
            said.append((same[0].call, "".join(one.name for one in same), "".join(one.arguments for one in same)))
        elif isinstance(same[0], Text | Reasoning | Refusal):
            said.append((place(same[0]), "".join(one.text for one in same)))
        else:
            said.append(same[0])
    return said


def _responses(text: str, number: int, index: int = 0) -> bytes:
    return (
        b'event: response.output_text.delta\ndata: {"type":"response.output_text.delta","content_index":0,'
        b'"delta":%b,"item_id":"m1","logprobs":[],"obfuscation":"%b","output_index":%d,"sequence_number":%d}\n\n'
        % (json.dumps(text).encode(), b"x" * number, index, number)
    )


def _messages(text: str, number: int, index: int = 0) -> bytes:
    return (
        b'event: content_block_delta\ndata: {"type":"content_block_delta","index":%d,"delta":{"type":"text_delta",'
        b'"text":%b}%b}\n\n' % (index, json.dumps(text).encode(), b" " * number)
    )


def _cohere(text: str, number: int, index: int = 0) -> bytes:
    return b'data: {"type":"content-delta","index":%d,"delta":{"message":{"content":{"text":%b}}}}\n\n' % (
        index,
        json.dumps(text).encode(),
    )


def _gemini(text: str, number: int, index: int = 0) -> bytes:
    return (
        b'data: {"candidates": [{"content": {"parts": [{"text": %b}],"role": "model"},"index": %d}],"usageMetadata": '
        b'{"promptTokenCount": 4,"totalTokenCount": %d},"modelVersion": "g","responseId": "r"}\r\n\r\n'
        % (json.dumps(text).encode(), index, number)
    )


def _ollama(text: str, number: int, index: int = 0) -> bytes:
    return (
        b'{"model":"m%d","created_at":"2026-01-01T00:00:%02d.1Z","message":{"role":"assistant","content":%b},'
        b'"done":false}\n' % (index, number, json.dumps(text).encode())
    )


def _chat(text: str, number: int, index: int = 0) -> bytes:
    return frames.chunk(text, choice=index, obfuscation="a" * number)


def _call(text: str, number: int, index: int = 0) -> bytes:
    return frames.tool(index, arguments=text)


DELTAS = {
    "openai-chat": _chat,
    "openai-responses": _responses,
    "anthropic-messages": _messages,
    "cohere-chat": _cohere,
    "gemini": _gemini,
    "ollama-chat": _ollama,
}


@pytest.mark.parametrize("wire", WIRES)
def test_deltas_of_one_text_become_one_frame_which_is_as_the_last(wire: str) -> None:
    make = DELTAS[wire]
    texts = ["Hel", 'lo "you', '"\\n', "é\u2028", "🙂", "."]
    sent = [make(text, number) for number, text in enumerate(texts, 1)]
    out, merger = merged(wire, sent)
    assert merger.merged == 5
    assert out == make("".join(texts), 6)


def test_arguments_of_a_call_are_merged_too() -> None:
    out, _ = merged("openai-chat", [_call('{"a"', 1), _call(": 1", 2), _call("}", 3)])
    assert out == _call('{"a": 1}', 1)


@pytest.mark.parametrize("wire", WIRES)
def test_nothing_is_merged_over_what_is_not_of_the_same_place(wire: str) -> None:
    make = DELTAS[wire]
    for between in (make("x", 3, index=1), frames.COMMENT if wire != "ollama-chat" else b"\n", _other(wire)):
        sent = [make("a", 1), make("b", 2), between, make("c", 4), make("d", 5)]
        out, _ = merged(wire, sent)
        assert out == make("ab", 2) + between + make("cd", 5)


def _other(wire: str) -> bytes:
    """A frame that no delta is."""
    return b'{"error":"overloaded"}\n' if wire == "ollama-chat" else b'data: {"error":{"message":"overloaded"}}\n\n'


def test_elements_of_an_array_keep_their_brackets() -> None:
    bodies = [_gemini(text, place).removeprefix(b"data: ").rstrip() for place, text in enumerate("abc")]
    sent = [b"[" + bodies[0], b",\r\n" + bodies[1], b",\r\n" + bodies[2], b"\r\n]"]
    out, _ = merged("gemini", sent)
    texts = [part["candidates"][0]["content"]["parts"][0]["text"] for part in json.loads(out)]
    assert texts == ["a", "bc"]
    assert len(JSONArrayFramer().feed(out)) == 3


def test_the_last_cursor_stays() -> None:
    sent = [named(frames.chunk(text), "st_1", number) for number, text in enumerate("abc", 4)]
    out, _ = merged("openai-chat", sent)
    assert out == named(frames.chunk("abc"), "st_1", 6)


def test_half_of_a_character_is_not_put_together() -> None:
    first, second = (frames.chunk("?").replace(b'"?"', half) for half in (rb'"\ud83d"', rb'"\ude42"'))
    assert merged("openai-chat", [first, second])[0] == first + second
    broken = frames.chunk("?").replace(b"?", b"\xf0\x9f")
    assert merged("openai-chat", [broken, broken])[0] == broken + broken


@pytest.mark.parametrize(
    "fields",
    [
        {"content": "a", "reasoning_content": "b"},
        {"content": "a", "annotations": [{"type": "url"}]},
        {"content": ["a"]},
        {"tool_calls": [{"index": 0, "id": "c1", "function": {"name": "f", "arguments": "{}"}}]},
        {"tool_calls": [{"index": 0, "function": {"arguments": "a"}}, {"index": 1, "function": {"arguments": "b"}}]},
        {},
    ],
)
def test_a_frame_that_says_more_than_one_text_is_left_alone(fields: dict[str, Any]) -> None:
    sent = [frames.delta(fields)] * 2
    out, merger = merged("openai-chat", sent)
    assert out == b"".join(sent)
    assert merger.merged == 0
    closing = [frames.delta({"content": "a"}, finish="stop")] * 2
    assert merged("openai-chat", closing)[0] == b"".join(closing)


def test_no_frame_grows_without_an_end() -> None:
    out, _ = merged("openai-chat", [frames.chunk("x" * 1000)] * 40)
    found = SSEFramer().feed(out)
    assert len(found) == 3
    assert max(map(len, found)) < MOST + 300


def test_a_frame_without_its_end_is_left_alone() -> None:
    half = frames.chunk("a").removesuffix(b"\n")
    assert merged("openai-chat", [half, b"\n", frames.chunk("b")])[0] == half + b"\n" + frames.chunk("b")


PIECES = st.lists(
    st.one_of(
        st.builds(frames.chunk, st.text(max_size=3), choice=st.integers(0, 1)),
        st.builds(frames.reasoning, st.text(min_size=1, max_size=2)),
        st.builds(frames.tool, st.integers(0, 1), arguments=st.text(min_size=1, max_size=2)),
        st.sampled_from([frames.COMMENT, frames.usage(), frames.finish()]),
    ),
    max_size=12,
)


@given(PIECES, st.integers(1, 400))
def test_whatever_waits_says_the_same(pieces: list[bytes], most: int) -> None:
    merger = Merger("openai-chat", events=True)
    out = b""
    for place, piece in enumerate(pieces):
        merger.put(piece)
        if place % 5 == 4:
            out += merger.take(most)
    out += merger.take(1 << 30)
    assert merger.size == 0
    assert whole(read("openai-chat", [out])[1]) == whole(read("openai-chat", [b"".join(pieces)])[1])
    datas = [parse(frame).data for frame in SSEFramer().feed(out)]
    assert all(data is None or json.loads(data) for data in datas)
