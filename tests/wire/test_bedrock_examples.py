"""Every composed example of Bedrock's wires through the decoder, the machine, and the clients of other wires."""

from __future__ import annotations

import json

import pytest

from penstock.errors import CorruptFrame
from penstock.events import Malformed, Reasoning, Text, ToolArguments, UsageReport
from penstock.framing.eventstream import EventStreamFramer
from penstock.framing.sse import SSEFramer, parse
from penstock.outcome import Outcome
from penstock.testing import messages
from penstock.testing.corpus import Example, examples
from penstock.testing.messages import plan
from penstock.testing.run import run, script
from penstock.usage import Usage
from penstock.wire.base import View
from penstock.wire.registry import UPSTREAM_WIRES

EXAMPLES = [*examples("bedrock-converse"), *examples("bedrock-invoke")]


def named(example: Example) -> str:
    return f"{example.wire}/{example.file}"


by_name = pytest.mark.parametrize("example", EXAMPLES, ids=named)
completed = pytest.mark.parametrize("example", [each for each in EXAMPLES if each.outcome == "completed"], ids=named)


def decoded(example: Example):
    framer, decoder = EventStreamFramer(), UPSTREAM_WIRES[example.wire].decoder(View(), None)
    try:
        frames = framer.feed(example.read())
    except CorruptFrame as error:
        return [decoder.decode(frame) for frame in error.frames]
    return [*(decoder.decode(frame) for frame in frames), decoder.close(framer.close())]


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
@pytest.mark.parametrize("client", ["openai-chat", "anthropic-messages", "openai-responses", "ollama-chat"])
@pytest.mark.parametrize("size", [1, 7, 1 << 20])
def test_it_ends_as_it_should(example, client, size):
    data = example.read()
    pieces = (data[start : start + size] for start in range(0, len(data), size))
    transcript = run(plan(client=client, upstream=example.wire), [script(*pieces, gap=0.0)])
    assert transcript.outcome == example.outcome
    if example.outcome == "completed":
        assert transcript.account.warnings == example.oddities
    if client == "anthropic-messages" and transcript.head.status == 200:
        said = messages.read(transcript.body, whole=example.outcome == "completed")
        assert said.joined("text", "text") == example.text and said.joined("thinking", "thinking") == example.reasoning
        assert [(name, given) for _, name, given in said.calls] == example.tools
        assert bool(said.error) == (example.outcome != "completed")


@completed
def test_the_folded_answer_says_the_same(example):
    transcript = run(plan(client="openai-chat", upstream=example.wire, stream=False), [script(example.read())])
    assert transcript.outcome is Outcome.COMPLETED
    message = json.loads(transcript.body)["choices"][0]["message"]
    assert (message["content"] or "") == example.text and message.get("reasoning_content", "") == example.reasoning
    calls = [call["function"] for call in message.get("tool_calls", ())]
    assert [(call["name"], call["arguments"]) for call in calls] == example.tools


@completed
def test_a_chat_client_reads_the_same(example):
    transcript = run(plan(client="openai-chat", upstream=example.wire), [script(example.read())])
    payloads = [parse(frame).data for frame in SSEFramer().feed(transcript.body)]
    # A malformed frame of the provider leaves a comment.
    data = [payload for payload in payloads if payload is not None]
    assert data[-1] == b"[DONE]"
    deltas = [choice["delta"] for body in data[:-1] for choice in json.loads(body)["choices"]]
    assert "".join(delta.get("content") or "" for delta in deltas) == example.text
    assert "".join(delta.get("reasoning_content", "") for delta in deltas) == example.reasoning


@pytest.mark.parametrize("example", [each for each in EXAMPLES if each.wire == "bedrock-invoke"], ids=named)
def test_an_anthropic_client_gets_anthropics_bytes(example):
    transcript = run(plan(upstream="bedrock-invoke"), [script(example.read())])
    if transcript.head.status == 200:
        own = b"".join(handed_on or b"" for handed_on, _ in decoded(example))
        assert transcript.body.startswith(own)
