"""Whatever a provider writes in the place of one value of its stream, the gateway does not fail on it: not the decoder,
not the editor behind which stages see the text, not the fold of an answer in one piece."""

from __future__ import annotations

import copy
import json
import math
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

from penstock.outcome import Outcome
from penstock.stages.guards import MaxCharacters
from penstock.stages.pipeline import StagesPlan
from penstock.stream.plan import Plan
from penstock.testing import gemini
from penstock.testing.messages import plan
from penstock.testing.run import run, script
from penstock.wire.editors import Asked, editor_of

ODD: tuple[Any, ...] = (None, True, -1, 10**25, math.nan, "\ud83d", [], [[1]], {}, {"a": 1})
CALL = {"id": "x", "type": "function", "function": {"name": "f", "arguments": '{"a":1}'}}


def candidate(*parts: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"candidates": [{"content": {"parts": list(parts), "role": "model"}, "index": 0, **more}]}


def of_cohere(kind: str, index: int = 0, **message: Any) -> dict[str, Any]:
    return {"type": kind, "index": index, "delta": {"message": message}}


STREAMS: dict[str, list[dict[str, Any]]] = {
    "gemini": [
        {**candidate({"text": "so", "thought": True}), "modelVersion": "g", "responseId": "r"},
        candidate(
            {"text": "Hello"},
            citationMetadata={"citationSources": [{"startIndex": 1, "endIndex": 3, "uri": "u"}]},
            groundingMetadata={
                "groundingChunks": [{"web": {"uri": "u", "title": "t"}}],
                "groundingSupports": [{"segment": {"endIndex": 2, "text": "He"}, "groundingChunkIndices": [0]}],
            },
        ),
        candidate({"functionCall": {"name": "f", "args": {"a": 1}}, "thoughtSignature": "abcd"}),
        {**candidate(finishReason="STOP"), "usageMetadata": {"promptTokenCount": 5, "candidatesTokenCount": 3}},
    ],
    "cohere-chat": [
        {"type": "message-start", "id": "m", "delta": {"message": {"role": "assistant", "content": []}}},
        of_cohere("tool-plan-delta", tool_plan="I look"),
        of_cohere("content-start", content={"type": "text", "text": ""}),
        of_cohere("content-delta", content={"text": "Hello"}),
        of_cohere("citation-start", citations={"start": 0, "end": 3, "text": "Hel", "sources": [{"id": "1"}]}),
        {"type": "citation-end", "index": 0},
        {"type": "content-end", "index": 0},
        of_cohere("tool-call-start", tool_calls=CALL),
        of_cohere("tool-call-delta", tool_calls={"function": {"arguments": ""}}),
        {"type": "tool-call-end", "index": 0},
        {
            "type": "message-end",
            "delta": {"finish_reason": "TOOL_CALL", "usage": {"tokens": {"input_tokens": 4, "output_tokens": 3}}},
        },
    ],
    "anthropic-messages": [
        {
            "type": "message_start",
            "message": {"id": "m", "role": "assistant", "content": [], "usage": {"input_tokens": 9}},
        },
        {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "Hello"}},
        {
            "type": "content_block_delta",
            "index": 0,
            "delta": {"type": "citations_delta", "citation": {"type": "char_location", "cited_text": "x"}},
        },
        {"type": "content_block_stop", "index": 0},
        {"type": "content_block_start", "index": 1, "content_block": {"type": "tool_use", "id": "t", "name": "f"}},
        {"type": "content_block_delta", "index": 1, "delta": {"type": "input_json_delta", "partial_json": "{}"}},
        {"type": "content_block_stop", "index": 1},
        {"type": "message_delta", "delta": {"stop_reason": "tool_use"}, "usage": {"output_tokens": 5}},
        {"type": "message_stop"},
    ],
    "openai-chat": [
        {"id": "c", "model": "m", "choices": [{"index": 0, "delta": {"role": "assistant", "content": "Hello"}}]},
        {"choices": [{"index": 0, "delta": {"tool_calls": [{"index": 0, **CALL}]}, "logprobs": {"content": []}}]},
        {"choices": [{"index": 0, "delta": {}, "finish_reason": "tool_calls"}]},
        {"choices": [], "usage": {"prompt_tokens": 5, "completion_tokens": 3, "prompt_tokens_details": {}}},
    ],
    "ollama-chat": [
        {"model": "o", "message": {"role": "assistant", "content": "Hello", "thinking": "so"}, "done": False},
        {"message": {"content": "", "tool_calls": [{"function": {"name": "f", "arguments": {"a": 1}}}]}, "done": False},
        {"message": {"content": ""}, "done": True, "done_reason": "stop", "prompt_eval_count": 5, "eval_count": 3},
    ],
}


def places(value: Any, before: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The way to each value inside ``value``."""
    for key, inner in value.items() if isinstance(value, dict) else enumerate(value):
        yield (*before, key)
        if isinstance(inner, dict | list):
            yield from places(inner, (*before, key))


def told(wire: str, bodies: list[Any]) -> bytes:
    texts = [json.dumps(body).encode() for body in bodies]
    if wire == "ollama-chat":
        return b"".join(text + b"\n" for text in texts)
    return b"".join(b"data: %b\n\n" % text for text in texts)


def staged(made: Plan) -> Plan:
    """The same with a stage that lets everything pass."""
    editor = editor_of(made.client_wire, Asked(made.request, made.stream, made.client))
    return msgspec.structs.replace(made, stages=StagesPlan(stages=(MaxCharacters(10**6),)), editor=editor)


@pytest.mark.parametrize("stages", [False, True], ids=["as it is", "staged"])
@pytest.mark.parametrize("whole", [False, True], ids=["streamed", "whole"])
@pytest.mark.parametrize("client", ["same", "openai-chat"])
@pytest.mark.parametrize("wire", STREAMS)
def test_the_gateway_does_not_fail(wire: str, client: str, whole: bool, stages: bool) -> None:
    if client == "same" and wire == "gemini":
        made = gemini.plan(gemini.request(stream=not whole))
    else:
        made = plan(client=wire if client == "same" else client, upstream=wire, stream=not whole)
    made = staged(made) if stages else made
    good = STREAMS[wire]
    assert run(made, [script(told(wire, good))]).outcome is Outcome.COMPLETED
    for number, place in enumerate(places(good)):
        for odd in (*ODD[number % 5 :: 5], "gone"):
            bodies = copy.deepcopy(good)
            holder: Any = bodies
            for key in place[:-1]:
                holder = holder[key]
            if odd == "gone":
                del holder[place[-1]]
            else:
                holder[place[-1]] = odd
            outcome = run(made, [script(told(wire, bodies))]).outcome
            assert outcome is not Outcome.CRASHED, (place, odd)
