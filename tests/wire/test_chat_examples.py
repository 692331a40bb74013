"""Every dialect's composed example through the decoder, the fold and the machine."""

from __future__ import annotations

import json

import pytest

from penstock.events import Malformed, Reasoning, Refusal, Text, ToolArguments, UsageReport
from penstock.framing.sse import SSEFramer, parse
from penstock.outcome import Outcome
from penstock.testing.corpus import Example, examples
from penstock.testing.laws import check_laws, error_frames
from penstock.testing.playbook import plan
from penstock.testing.run import run, script
from penstock.usage import Usage
from penstock.wire.openai_chat import ChatDecoder
from penstock.wire.openai_chat_fold import ChatFold

EXAMPLES = examples("openai-chat")
COMPLETED = [example for example in EXAMPLES if example.outcome == "completed"]
by_name = pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.file)
completed = pytest.mark.parametrize("example", COMPLETED, ids=lambda example: example.file)


def tools(message):
    """The tool calls of a message: id, name and arguments of each."""
    calls = [(call.get("id"), call["function"]) for call in message.get("tool_calls") or ()]
    return [(id, function["name"], function["arguments"]) for id, function in calls]


def decoded(example: Example, decoder: ChatDecoder):
    framer = SSEFramer()
    pairs = [decoder.decode(frame) for frame in framer.feed(example.read())]
    return [*pairs, decoder.close(framer.close())]


@by_name
def test_its_text_reasoning_and_tools_are_read(example):
    events = [event for _, events in decoded(example, ChatDecoder()) for event in events]
    assert "".join(e.text for e in events if isinstance(e, Text) and e.choice == 0) == example.text
    assert "".join(e.text for e in events if isinstance(e, Reasoning)) == example.reasoning
    assert "".join(e.text for e in events if isinstance(e, Refusal)) == example.refusal
    calls: dict[int, tuple[str, str]] = {}
    for event in (e for e in events if isinstance(e, ToolArguments)):
        name, arguments = calls.get(event.call, ("", ""))
        calls[event.call] = name + event.name, arguments + event.arguments
    assert list(calls.values()) == example.tools
    assert sum(isinstance(e, Malformed) for e in events) == example.malformed


@by_name
def test_its_usage_is_read_and_the_last_report_counts(example):
    reports = [e.usage for _, events in decoded(example, ChatDecoder()) for e in events if isinstance(e, UsageReport)]
    total = Usage()
    for usage in reports:
        total = total.overwritten_by(usage)
    assert total == Usage(**(example.usage or {}))


@by_name
@pytest.mark.parametrize("size", [1, 7, 1 << 20])
def test_it_ends_as_it_should_and_arrives_as_it_was(example, size):
    data = example.read()
    pieces = [data[i : i + size] for i in range(0, len(data), size)]
    transcript = run(plan(include_usage=True, targets=1), [script(*pieces, gap=0.0)])
    assert transcript.outcome == example.outcome
    if example.identical:
        assert transcript.body == data
    if example.outcome == "completed":
        assert transcript.account.warnings == example.oddities
    elif example.outcome != "empty":
        assert len(error_frames(transcript)) == 1
        assert b"[DONE]" not in transcript.body
    check_laws(transcript, replay=size > 1)


@completed
def test_the_folded_answer_says_the_same(example):
    transcript = run(plan(stream=False, targets=1), [script(example.read())])
    assert transcript.outcome is Outcome.COMPLETED
    answer = json.loads(transcript.body)
    message = answer["choices"][0]["message"]
    content = message["content"] or ""
    if isinstance(content, list):
        content = "".join(part.get("text", "") for part in content if part["type"] == "text")
    assert content == example.text
    assert (message.get("refusal") or "") == example.refusal
    assert [call[1:] for call in tools(message)] == example.tools
    if "reasoning_content" in message or "reasoning" in message:
        assert (message.get("reasoning_content") or message["reasoning"]) == example.reasoning
    check_laws(transcript)


@completed
def test_the_fold_is_what_the_official_library_makes_of_the_stream(example):
    streaming = pytest.importorskip("openai.lib.streaming.chat")
    chunks = pytest.importorskip("openai.types.chat").ChatCompletionChunk
    if example.file in BEYOND_THE_LIBRARY:
        pytest.skip(BEYOND_THE_LIBRARY[example.file])
    state, fold = streaming.ChatCompletionStreamState(), ChatFold()
    for frame, _ in decoded(example, ChatDecoder()):
        data = parse(frame).data if frame else None
        if frame and data and data.startswith(b"{"):
            fold.feed(frame)
            state.handle_chunk(chunks.construct(**json.loads(data)))
    ours, theirs = json.loads(fold.answer()), state.current_completion_snapshot.to_dict()
    for our, their in zip(ours["choices"], theirs["choices"], strict=True):
        for name in ("content", "refusal", "reasoning", "reasoning_content"):
            assert (our["message"].get(name) or None) == (their["message"].get(name) or None)
        assert tools(our["message"]) == tools(their["message"])
        assert our["finish_reason"] == their["finish_reason"]
        assert (our.get("logprobs") or None) == (their.get("logprobs") or None)
    assert ours.get("usage") == theirs.get("usage")


BEYOND_THE_LIBRARY = {
    "azure-async-filter.sse": "it needs a delta in every choice",
    "azure-blocked.sse": "it needs a delta in every choice",
    "mistral.sse": "it adds a list to a text",
    "xai-tool-without-index.sse": "it needs the index of a tool call",
}
