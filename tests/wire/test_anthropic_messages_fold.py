"""The folded answer of anthropic-messages, and the way back from a whole answer to a stream."""

from __future__ import annotations

import json

import pytest

from penstock.events import ErrorReport
from penstock.testing.messages import STOP, closed, delta, finish, frame, opened, read, start, text
from penstock.wire.anthropic_messages_fold import MessagesFold, frames_of_answer
from penstock.wire.anthropic_messages_wire import AnthropicMessagesUpstream
from penstock.wire.base import Body

CITATION = {"type": "char_location", "cited_text": "x", "document_index": 0}
WHOLE = {
    "id": "msg_1",
    "type": "message",
    "role": "assistant",
    "model": "claude",
    "content": [
        {"type": "thinking", "thinking": "Hm", "signature": "s"},
        {"type": "redacted_thinking", "data": "d"},
        {"type": "text", "text": "Hi", "citations": [CITATION, CITATION]},
        {"type": "text", "text": "", "citations": None},
        {"type": "server_tool_use", "id": "s1", "name": "web_search", "input": {"query": "weir"}},
        {"type": "web_search_tool_result", "tool_use_id": "s1", "content": []},
        {"type": "tool_use", "id": "t1", "name": "level", "input": {"gate": 1}, "caller": {"type": "direct"}},
        {"type": "tool_use", "id": "t2", "name": "flow", "input": {}},
    ],
    "stop_reason": "tool_use",
    "stop_sequence": None,
    "container": {"id": "c"},
    "usage": {"input_tokens": 9, "cache_read_input_tokens": 3, "output_tokens": 7, "service_tier": "standard"},
    "x_unknown": {"y": 1},
}


def folded(data: bytes) -> dict:
    fold = MessagesFold()
    fold.feed(data)
    return json.loads(fold.answer())


def test_a_whole_answer_comes_back_as_it_was():
    frames = frames_of_answer(WHOLE)
    read(b"".join(frames))
    assert folded(b"".join(frames)) == WHOLE


def test_unknown_fields_survive():
    data = (
        start(x=1)
        + frame("content_block_start", index=0, content_block={"type": "text", "text": "", "x": 2})
        + text("a")
        + frame("content_block_delta", index=0, delta={"type": "future_delta", "y": 3})
        + closed()
        + frame(
            "message_delta",
            delta={"stop_reason": "end_turn", "stop_sequence": None, "stop_details": {"type": "z"}},
            usage={"output_tokens": 2, "iterations": []},
            context_management={"applied_edits": []},
        )
        + frame("message_stop", **{"amazon-bedrock-invocationMetrics": {"outputTokenCount": 2}})
    )
    answer = folded(data)
    assert answer["content"] == [{"type": "text", "text": "a", "x": 2, "y": 3}]
    assert answer["usage"] == {"input_tokens": 9, "output_tokens": 2, "x": 1, "iterations": []}
    assert answer["stop_details"] == {"type": "z"}
    assert answer["context_management"] == {"applied_edits": []}
    assert answer["amazon-bedrock-invocationMetrics"] == {"outputTokenCount": 2}


def test_later_usage_stands_in_place_of_earlier_and_null_says_nothing():
    data = start(input_tokens=43, cache_read_input_tokens=3, service_tier=None)
    data += finish(input_tokens=61, cache_read_input_tokens=None, service_tier=None, output_tokens=5) + STOP
    usage = {"input_tokens": 61, "output_tokens": 5, "cache_read_input_tokens": 3, "service_tier": None}
    assert folded(data)["usage"] == usage


def test_text_that_a_block_starts_with_is_kept():
    assert folded(start() + opened(text="Hel") + text("lo"))["content"] == [{"type": "text", "text": "Hello"}]


def test_a_tool_input_that_is_no_json_is_not_lost():
    data = (
        start() + opened(0, "tool_use", id="t", name="f", input={}) + delta("input_json_delta", partial_json='{"a": "b')
    )
    assert folded(data + closed() + finish("max_tokens") + STOP)["content"][0]["input"] == {"INVALID_JSON": '{"a": "b'}


def test_a_tool_without_deltas_keeps_the_input_of_its_start():
    data = start() + opened(0, "tool_use", id="t", name="f", input={"a": 1}) + closed() + finish("tool_use") + STOP
    assert folded(data)["content"][0]["input"] == {"a": 1}


def test_a_compaction():
    data = (
        start()
        + opened(0, "compaction", content=None)
        + delta("compaction_delta", content="So far", encrypted_content="e")
    )
    assert folded(data)["content"] == [{"type": "compaction", "content": "So far", "encrypted_content": "e"}]


@pytest.mark.parametrize("wrap", [json.dumps, lambda value: json.dumps([value])])
def test_a_document_in_place_of_a_stream(wrap):
    wire = AnthropicMessagesUpstream()
    body = wrap(WHOLE).encode()
    assert wire.sniff(body, b"application/json") is Body.WHOLE
    assert wire.whole(body) == frames_of_answer(WHOLE)
    failed = wire.whole(
        wrap({"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}).encode()
    )
    assert isinstance(failed, ErrorReport) and failed.status == 529


@pytest.mark.parametrize("body", [b"{", b"<html>", b"[]", b'{"x": 1}', b'"text"'])
def test_what_is_no_answer(body):
    assert AnthropicMessagesUpstream().whole(body) is None


def test_an_answer_without_usage_or_reason_still_makes_a_legal_stream():
    said = read(b"".join(frames_of_answer({"id": "m", "model": "c", "content": [{"type": "text", "text": "a"}]})))
    assert said.delta["stop_reason"] == "end_turn" and said.usage == {"output_tokens": 0}
