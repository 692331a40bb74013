"""Whatever a provider sends, the openai-responses decoder does not break over it."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from penstock.wire import json
from penstock.wire.openai_responses import ResponsesDecoder

NAMES = [
    "type", "id", "item", "response", "delta", "output_index", "content_index", "summary_index", "item_id", "text",
    "part", "error", "output", "content", "summary", "usage", "status", "arguments", "annotation", "sequence_number",
    "call_id", "name", "encrypted_content", "incomplete_details", "created_at", "message", "code", "refusal",
]  # fmt: skip
KINDS = [
    "response.created", "response.output_item.added", "response.output_item.done", "response.content_part.done",
    "response.output_text.delta", "response.output_text.done", "response.reasoning_summary_text.delta",
    "response.function_call_arguments.delta", "response.function_call_arguments.done", "response.completed",
    "response.output_text.annotation.added", "response.failed", "response.incomplete", "error", "keepalive",
    "response.reasoning_summary_part.done", "response.image_generation_call.partial_image", "function_call",
    "message", "reasoning", "output_text", "summary_text", "refusal",
]  # fmt: skip
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-1, 3) | st.floats() | st.text(max_size=3) | st.sampled_from(KINDS),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(NAMES), inner, max_size=4),
    max_leaves=8,
)
ANYTHING = st.builds(
    lambda kind, fields: {**fields, "type": kind},
    st.sampled_from(KINDS),
    st.dictionaries(st.sampled_from(NAMES), VALUES, max_size=6),
)


@given(st.lists(ANYTHING, max_size=6))
def test_no_object_whatsoever_breaks_the_decoder(bodies):
    led = []
    decoder = ResponsesDecoder(led.append)
    for body in bodies:
        handed, found = decoder.decode(b"data: " + json.dumps(body) + b"\n\n")
        assert found or handed is not None
    decoder.incomplete(clean=True)
    decoder.stop()
    assert len(led) <= 1


@given(st.binary(max_size=60))
def test_no_bytes_whatsoever_break_the_decoder(data):
    decoder = ResponsesDecoder()
    for one in (
        data,
        b"data: " + data + b"\n\n",
        b"event: error\ndata: " + data + b"\n\n",
        b"error: " + data + b"\n\n",
    ):
        decoder.decode(one)
        decoder.close(one)
