"""The composed Gemini streams through the decoder, the fold, the machine, and in openai-chat's words."""

from __future__ import annotations

import json

import pytest

from penstock.events import Malformed, Text
from penstock.framing.sse import SSEFramer
from penstock.outcome import Outcome
from penstock.testing.corpus import Example, examples
from penstock.testing.gemini import fed, plan, request, said, session
from penstock.testing.run import run, script
from penstock.usage import Usage
from penstock.wire.gemini import GeminiDecoder
from penstock.wire.openai_chat_client import read_request as read_chat

EXAMPLES = examples("gemini")
COMPLETED = [example for example in EXAMPLES if example.outcome == "completed"]
by_name = pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.file)
completed = pytest.mark.parametrize("example", COMPLETED, ids=lambda example: example.file)
CHAT = read_chat(b'{"model":"m","stream":true,"messages":[],"stream_options":{"include_usage":true}}')


def query(example: Example) -> str:
    return "" if example.file.endswith(".json") else "alt=sse"


@by_name
@pytest.mark.parametrize("told", [False, True], ids=["handed on", "told"])
def test_what_it_says_is_read(example, told):
    decoder = GeminiDecoder(None if told else session(query(example)))
    _, events = fed(decoder, [example.read()])
    first = [event for event in events if getattr(event, "choice", 0) == 0]
    words, thoughts, calls, usage = said(first)
    assert (words, thoughts) == (example.text, example.reasoning)
    assert [call[1:] for call in calls] == [tuple(call) for call in example.tools]
    assert (usage or Usage()) == Usage(**(example.usage or {}))
    halves = example.file.startswith(("cut-in-a-frame", "array-cut-in"))
    assert sum(isinstance(event, Malformed) for event in events) == example.malformed + halves


@by_name
@pytest.mark.parametrize("size", [1, 7, 1 << 20])
def test_it_ends_as_it_should_and_arrives_as_it_was(example, size):
    data = example.read()
    pieces = [data[i : i + size] for i in range(0, len(data), size)]
    transcript = run(plan(request(query(example))), [script(*pieces, gap=0.0)])
    assert transcript.outcome == example.outcome
    if example.identical:
        assert transcript.body == data
    if example.outcome == "completed":
        assert transcript.account.warnings == example.oddities
        assert b'"error"' not in transcript.body
    else:
        body = transcript.body
        assert body.count(b'{"error":') == 1
        if query(example) == "":
            assert "error" in json.loads(body)[-1]
        elif transcript.head is not None and transcript.head.status == 200:
            assert "error" in json.loads(SSEFramer().feed(body)[-1][6:])


@completed
def test_folded_it_says_the_same(example):
    transcript = run(plan(request(query(example), stream=False)), [script(example.read())])
    assert transcript.outcome is Outcome.COMPLETED
    candidates = json.loads(transcript.body).get("candidates") or [{"content": {}}]
    parts = candidates[0]["content"].get("parts", [])
    assert "".join(part.get("text", "") for part in parts if not part.get("thought")) == example.text
    assert "".join(part.get("text", "") for part in parts if part.get("thought")) == example.reasoning
    calls = [part["functionCall"] for part in parts if "functionCall" in part]
    assert [(c["name"], c.get("args", {})) for c in calls] == [(name, json.loads(a)) for name, a in example.tools]


@by_name
def test_openai_clients_hear_the_same(example):
    transcript = run(plan(CHAT, client="openai-chat"), [script(example.read())])
    unknown = "unknown_finish" in example.oddities
    assert transcript.outcome == ("upstream_error" if unknown else example.outcome)
    if transcript.outcome is not Outcome.COMPLETED:
        assert b"[DONE]" not in transcript.body and b'"error"' in transcript.body
        return
    frames = [frame[6:-2] for frame in SSEFramer().feed(transcript.body)]
    choices = [choice for frame in frames if frame[:1] == b"{" for choice in json.loads(frame)["choices"]]
    first = [choice["delta"] for choice in choices if choice["index"] == 0]
    assert "".join(delta.get("content") or "" for delta in first) == example.text
    assert "".join(delta.get("reasoning_content", "") for delta in first) == example.reasoning
    assert frames[-1] == b"[DONE]"


def test_the_other_candidate_is_there_too():
    (example,) = [one for one in EXAMPLES if one.file == "two-candidates.sse"]
    events = fed(GeminiDecoder(None), [example.read()])[1]
    assert "".join(event.text for event in events if isinstance(event, Text) and event.choice == 1) == "Downstream"
