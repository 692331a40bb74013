"""Every composed example of openai-responses through the decoder, the machine, the fold and a chat client."""

from __future__ import annotations

import json

import pytest

from penstock.events import Malformed, Reasoning, Refusal, Text, ToolArguments, UsageReport
from penstock.framing.sse import SSEFramer
from penstock.outcome import Outcome
from penstock.testing.corpus import Example, examples
from penstock.testing.responses import plan, read
from penstock.testing.run import run, script
from penstock.usage import Usage
from penstock.wire.openai_responses import ResponsesDecoder

EXAMPLES = examples("openai-responses")
by_name = pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.file)
COMPLETED = [example for example in EXAMPLES if example.outcome == "completed"]
completed = pytest.mark.parametrize("example", COMPLETED, ids=lambda example: example.file)


def decoded(example: Example):
    framer, decoder = SSEFramer(), ResponsesDecoder()
    pairs = [decoder.decode(frame) for frame in framer.feed(example.read())]
    return [*pairs, decoder.close(framer.close())]


@by_name
def test_its_text_reasoning_tools_and_usage_are_read(example):
    events = [event for _, events in decoded(example) for event in events]
    assert "".join(e.text for e in events if isinstance(e, Text)) == example.text
    assert "".join(e.text for e in events if isinstance(e, Reasoning)) == example.reasoning
    assert "".join(e.text for e in events if isinstance(e, Refusal)) == example.refusal
    calls: dict[int, tuple[str, str]] = {}
    for event in (e for e in events if isinstance(e, ToolArguments)):
        name, arguments = calls.get(event.call, ("", ""))
        calls[event.call] = name + event.name, arguments + event.arguments
    assert list(calls.values()) == example.tools
    reports = [e.usage for e in events if isinstance(e, UsageReport)]
    assert reports == ([Usage(**example.usage)] if example.usage else [])
    assert sum(isinstance(e, Malformed) for e in events) == example.malformed


@by_name
@pytest.mark.parametrize("size", [1, 7, 1 << 20])
def test_it_ends_as_it_should_and_arrives_as_it_was(example, size):
    data = example.read()
    pieces = [data[i : i + size] for i in range(0, len(data), size)]
    transcript = run(plan(), [script(*pieces, gap=0.0)])
    assert transcript.outcome == example.outcome
    if example.identical:
        assert transcript.body == data
    if example.outcome == "completed":
        assert transcript.account.warnings == example.oddities
    elif transcript.head.status == 200:
        assert read_end(transcript.body)["status"] == "failed"
    else:
        assert json.loads(transcript.body)["error"]["message"]


def read_end(body: bytes) -> dict:
    """The response that failed: the error before it is flat and nested, and the numbers go on."""
    *_, last, error, failed = [json.loads(line[6:]) for line in body.split(b"\n") if line.startswith(b'data: {"')]
    assert (error["type"], failed["type"]) == ("error", "response.failed")
    assert error["error"]["message"] == error["message"] == failed["response"]["error"]["message"]
    assert error["error"]["code"] == error["code"] == failed["response"]["error"]["code"]
    if "sequence_number" in last:
        assert error["sequence_number"] == last["sequence_number"] + 1
    assert failed["sequence_number"] == error["sequence_number"] + 1
    return failed["response"]


ERRORS = [example for example in EXAMPLES if example.outcome == "upstream_error"]


@pytest.mark.parametrize("example", ERRORS, ids=lambda example: example.file)
def test_the_providers_own_words_reach_the_client(example):
    body = run(plan(), [script(example.read())]).body
    if example.file == "error-first.sse":
        error = json.loads(body)["error"]
        assert (error["type"], error["status"]) == ("tokens", 429)
    else:
        error = read_end(body)["error"]
    assert (error["code"], error["message"]) == ("rate_limit_exceeded", "too much water")


@completed
def test_the_folded_answer_is_the_terminal_events(example):
    transcript = run(plan(stream=False), [script(example.read())])
    assert transcript.outcome is Outcome.COMPLETED
    answer = json.loads(transcript.body)
    parts = [part for item in answer["output"] for part in item.get("content") or () if item["type"] == "message"]
    if example.file != "multi-line.sse":
        assert "".join(part.get("text", "") for part in parts) == example.text
        assert "".join(part.get("refusal", "") for part in parts) == example.refusal
    assert answer["usage"]["input_tokens"] and answer["id"] == "resp_weir"
    assert answer["status"] in ("completed", "incomplete")


@completed
def test_a_chat_client_reads_the_same(example):
    transcript = run(plan(client="openai-chat"), [script(example.read())])
    assert transcript.outcome is Outcome.COMPLETED
    *chunks, done = [line[6:] for line in transcript.body.split(b"\n") if line.startswith(b"data: ")]
    assert done == b"[DONE]"
    choices = [choice for chunk in chunks for choice in json.loads(chunk)["choices"]]
    assert choices[0]["delta"]["role"] == "assistant"
    for field, told in (
        ("content", example.text),
        ("reasoning_content", example.reasoning),
        ("refusal", example.refusal),
    ):
        assert "".join(choice["delta"].get(field) or "" for choice in choices) == told
    assert [choice["finish_reason"] for choice in choices if choice["finish_reason"]] == [choices[-1]["finish_reason"]]
    if example.file.startswith("length"):
        assert choices[-1]["finish_reason"] == "length"
    elif example.tools:
        assert choices[-1]["finish_reason"] == "tool_calls"


@completed
def test_a_writer_of_the_same_wire_says_it_again(example):
    """Through the events alone: what a Responses client would get, if it were served by translation."""
    client = plan().client
    writer = client.writer()
    body = b"".join(writer.write(events) for _, events in decoded(example)) + writer.end()
    again = read(body)
    assert (again.text, again.reasoning, again.refusal) == (example.text, example.reasoning, example.refusal)
    assert again.calls == [tuple(call) for call in example.tools]
    if example.usage:
        assert again.response["usage"]["output_tokens"] == example.usage["output"] + (example.usage["reasoning"] or 0)
