"""The model's name as the client is to see it: in the place where its wire has it, and nowhere else."""

from __future__ import annotations

import json

import pytest

from penstock.testing import frames, messages, responses
from penstock.wire.naming import PLACES, renamed

CHUNK = b'data: {"id":"c1","model":"gpt-4o","x":1.50,"choices":[{"delta":{"content":"\\"model\\":\\"a\\""}}]}' + b"\n\n"
MINE = CHUNK.replace(b"gpt-4o", b"mine")
CASES = {
    "openai-chat": (CHUNK, MINE),
    "openai-chat, CRLF": (CHUNK.replace(b"\n", b"\r\n"), MINE.replace(b"\n", b"\r\n")),
    "openai-chat, two": (CHUNK + frames.DONE + CHUNK, MINE + frames.DONE + MINE),
    "openai-responses": (
        b'event: response.created\ndata: {"type":"response.created","response":{"id":"r","model":"gpt","n":1.0}}\n\n',
        b'event: response.created\ndata: {"type":"response.created","response":{"id":"r","model":"mine","n":1.0}}\n\n',
    ),
    "anthropic-messages": (
        b'event: message_start\ndata: {"type":"message_start","message":{"id":"a","model":"claude"}}\n\n',
        b'event: message_start\ndata: {"type":"message_start","message":{"id":"a","model":"mine"}}\n\n',
    ),
    "gemini": (
        b'data: {"candidates": [], "modelVersion" : "gemini-2.5"}\r\n\r\n',
        b'data: {"candidates": [], "modelVersion" : "mine"}\r\n\r\n',
    ),
    "gemini, of an array": (b'[{\n  "modelVersion": "gemini-2.5"\n}\n', b'[{\n  "modelVersion": "mine"\n}\n'),
    "ollama-chat": (
        b'{"model":"llama","message":{"tool_calls":[{"function":{"arguments":{"model":"T"}}}]}}\n',
        b'{"model":"mine","message":{"tool_calls":[{"function":{"arguments":{"model":"T"}}}]}}\n',
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_the_name_is_replaced_and_nothing_else(case):
    data, wanted = CASES[case]
    wire = case.partition(",")[0]
    assert renamed(data, wire, "mine") == wanted


@pytest.mark.parametrize("wire", [*PLACES, "cohere-chat"])
@pytest.mark.parametrize(
    "data",
    [
        b"",
        b": a comment about a model\n\n",
        frames.DONE,
        b'data: {"model":\n\n',
        b'data: {"model":null}\n\n',
        b"data: 7\n\n",
    ],
)
def test_what_names_no_model_is_as_it_was(wire, data):
    assert renamed(data, wire, "mine") == data


def test_a_name_may_hold_anything():
    name = 'a"\\b\u2028'
    (line,) = renamed(b'data: {"model":"x"}\n\n', "openai-chat", name).splitlines()[:1]
    assert json.loads(line.removeprefix(b"data: ")) == {"model": name}
    assert json.loads(renamed(b'data: {"modelVersion":"x"}\n\n', "gemini", name)[6:]) == {"modelVersion": name}


def test_the_tests_own_frames_name_it_where_the_table_says():
    assert renamed(messages.start(), "anthropic-messages", "mine") != messages.start()
    assert renamed(responses.created(), "openai-responses", "mine") != responses.created()
    assert renamed(frames.chunk("a"), "openai-chat", "mine") != frames.chunk("a")
