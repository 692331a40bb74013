"""Every composed example of anthropic-messages through the decoder, the machine, the fold and a chat client."""

from __future__ import annotations

import inspect
import json

import pytest

from penstock.events import Malformed, Reasoning, Text, ToolArguments, UsageReport
from penstock.framing.sse import SSEFramer, parse
from penstock.outcome import Outcome
from penstock.testing.corpus import Example, examples
from penstock.testing.messages import plan, read
from penstock.testing.run import run, script
from penstock.usage import Usage
from penstock.wire.anthropic_messages import MessagesDecoder

EXAMPLES = examples("anthropic-messages")
by_name = pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.file)
COMPLETED = [example for example in EXAMPLES if example.outcome == "completed"]
completed = pytest.mark.parametrize("example", COMPLETED, ids=lambda example: example.file)


def decoded(example: Example):
    framer, decoder = SSEFramer(), MessagesDecoder()
    pairs = [decoder.decode(frame) for frame in framer.feed(example.read())]
    return [*pairs, decoder.close(framer.close())]


@by_name
def test_its_text_reasoning_tools_and_usage_are_read(example):
    events = [event for _, events in decoded(example) for event in events]
    assert "".join(e.text for e in events if isinstance(e, Text)) == example.text
    assert "".join(e.text for e in events if isinstance(e, Reasoning)) == example.reasoning
    calls: dict[int, tuple[str, str]] = {}
    for event in (e for e in events if isinstance(e, ToolArguments)):
        name, arguments = calls.get(event.call, ("", ""))
        calls[event.call] = name + event.name, arguments + event.arguments
    assert list(calls.values()) == example.tools
    total = Usage()
    for report in (e for e in events if isinstance(e, UsageReport)):
        total = total.overwritten_by(report.usage)
    assert total == Usage(**(example.usage or {}))
    assert sum(isinstance(e, Malformed) for e in events) == example.malformed


@by_name
@pytest.mark.parametrize("size", [1, 7, 1 << 20])
def test_it_ends_as_it_should_and_arrives_as_it_was(example, size):
    data = example.read()
    transcript = run(plan(), [script(*(data[i : i + size] for i in range(0, len(data), size)), gap=0.0)])
    assert transcript.outcome == example.outcome
    if example.identical:
        assert transcript.body == data
    if example.outcome == "completed":
        assert transcript.account.warnings == example.oddities
        if example.file not in ("crlf.sse", "unknown-events.sse"):
            read(transcript.body)
    elif transcript.head.status == 200:
        said = read(transcript.body, whole=False)
        assert said.error["error"]["stream"] == "st_play" and not said.ended
    else:
        body = json.loads(transcript.body)
        assert body["type"] == "error" and body["error"]["stream"] == "st_play"


@completed
def test_the_folded_answer_says_the_same(example):
    transcript = run(plan(stream=False), [script(example.read())])
    assert transcript.outcome is Outcome.COMPLETED
    answer = json.loads(transcript.body)
    assert "".join(block["text"] for block in answer["content"] if block["type"] == "text") == example.text
    assert "".join(block["thinking"] for block in answer["content"] if block["type"] == "thinking") == example.reasoning
    calls = [(block["name"], block["input"]) for block in answer["content"] if block["type"] == "tool_use"]
    assert calls == [(name, json.loads(arguments)) for name, arguments in example.tools]
    assert answer["stop_reason"] and answer["type"] == "message" and answer["role"] == "assistant"


@completed
def test_a_chat_client_reads_the_same(example):
    transcript = run(plan(client="openai-chat", upstream="anthropic-messages"), [script(example.read())])
    assert transcript.outcome is Outcome.COMPLETED
    payloads = [parse(frame).data for frame in SSEFramer().feed(transcript.body)]
    # A malformed frame of the provider leaves a comment.
    data = [payload for payload in payloads if payload is not None]
    assert data[-1] == b"[DONE]"
    deltas = [choice["delta"] for body in data[:-1] for choice in json.loads(body)["choices"]]
    assert "".join(delta.get("content") or "" for delta in deltas) == example.text
    assert "".join(delta.get("reasoning_content", "") for delta in deltas) == example.reasoning
    calls: dict[int, list[str]] = {}
    for delta in deltas:
        for call in delta.get("tool_calls", ()):
            known = calls.setdefault(call["index"], ["", ""])
            known[0] += call["function"].get("name", "")
            known[1] += call["function"]["arguments"]
    assert [tuple(call) for call in calls.values()] == example.tools
    finishes = [c["finish_reason"] for body in data[:-1] for c in json.loads(body)["choices"] if c["finish_reason"]]
    assert len(finishes) == 1


@completed
def test_the_fold_is_what_the_official_library_makes_of_the_stream(example):
    streaming = pytest.importorskip("anthropic.lib.streaming._messages")
    types = pytest.importorskip("anthropic.types")
    models = pytest.importorskip("anthropic._models")
    if "json_bufs" not in inspect.signature(streaming.accumulate_event).parameters:
        pytest.skip("an older library")
    if example.file in BEYOND_THE_LIBRARY:
        pytest.skip(BEYOND_THE_LIBRARY[example.file])
    folded = json.loads(run(plan(stream=False), [script(example.read())]).body)
    snapshot, buffers = None, {}
    for frame, _ in decoded(example):
        block = parse(frame or b"")
        if block.data is None or block.event in (b"ping", b"session.status"):
            continue
        event = models.construct_type(type_=types.RawMessageStreamEvent, value=json.loads(block.data))
        snapshot = streaming.accumulate_event(event=event, current_snapshot=snapshot, json_bufs=buffers)
        if block.event == b"message_stop":
            break
    theirs = snapshot.to_dict(mode="json")
    for name in ("id", "model", "stop_reason", "stop_sequence", "content"):
        assert folded[name] == theirs[name]
    assert folded["usage"].items() >= {k: v for k, v in theirs["usage"].items() if v is not None}.items()


BEYOND_THE_LIBRARY = {
    "compaction.sse": "compaction is in its beta only",
    "malformed.sse": "it never sees the frame that was left out",
    "unknown-events.sse": "it does not know the delta",
    "mcp.sse": "MCP is in its beta only",
}
