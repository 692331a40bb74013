"""Whatever a provider sends, neither the decoder nor the fold breaks over it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.events import Finish, Start, Text
from penstock.testing.frames import chunk, frame
from penstock.wire import json
from penstock.wire.openai_chat import ChatDecoder
from penstock.wire.openai_chat_fold import ChatFold, frames_of_answer


def events(*several: bytes, **options: bool) -> list[object]:
    """The events of some frames, without the Start."""
    decoder = ChatDecoder(**options)
    return [event for one in several for event in decoder.decode(one)[1] if not isinstance(event, Start)]


INDICES: dict[str, object] = {"a list": [1], "an object": {}, "true": True, "a text": "0", "null": None}


@pytest.mark.parametrize("strange", INDICES)
def test_a_strange_index_is_the_first_choice(strange):
    body = {"id": "c1", "model": "m", "choices": [{"index": INDICES[strange], "delta": {"content": "a"}}]}
    ending = {"choices": [{"index": INDICES[strange], "delta": {}, "finish_reason": "stop"}]}
    later = {"choices": [{"index": INDICES[strange], "delta": {"content": "c"}, "finish_reason": "length"}]}
    found = events(chunk("b"), frame(body), frame(ending), frame(ending), frame(later))
    again = [Finish("stop", again=True), Text("c"), Finish("length", again=True)]
    assert found == [Text("b"), Text("a"), Finish("stop"), *again]


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-1, 600) | st.text(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.dictionaries(
            st.sampled_from(
                ["index", "delta", "content", "tool_calls", "function", "id", "error", "finish_reason", "text"]
            )
            | st.sampled_from(
                ["type", "thinking", "audio", "arguments", "message", "code", "status", "usage", "choices"]
            ),
            inner,
            max_size=3,
        )
    ),
    max_leaves=6,
)
ANYTHING = st.dictionaries(
    st.sampled_from(["id", "model", "choices", "usage", "error", "x_groq", "code", "object"]), VALUES, max_size=4
)


@given(st.lists(ANYTHING, max_size=4), st.booleans(), st.booleans())
def test_no_object_whatsoever_breaks_the_decoder(bodies, expose_usage, pin_identity):
    decoder = ChatDecoder(expose_usage=expose_usage, pin_identity=pin_identity)
    for body in bodies:
        handed, found = decoder.decode(frame(body))
        assert found or handed is not None
    decoder.incomplete(clean=True)


@given(st.binary(max_size=60))
def test_no_bytes_whatsoever_break_the_decoder(data):
    decoder = ChatDecoder()
    for one in (data, b"data: " + data + b"\n\n", b"error: " + data + b"\n\n"):
        decoder.decode(one)
        decoder.close(one)


@given(st.lists(ANYTHING, max_size=4))
def test_no_object_whatsoever_breaks_the_fold(bodies):
    decoder, fold = ChatDecoder(), ChatFold()
    for body in bodies:
        handed, _ = decoder.decode(frame(body))
        if handed is not None:
            fold.feed(handed)
    assert json.loads(fold.answer())["object"] == "chat.completion"


@given(st.binary(max_size=60))
def test_no_bytes_whatsoever_break_the_fold(data):
    fold = ChatFold()
    for one in (data, b"data: " + data + b"\n\n", b"data: {" + data + b"}\n\n"):
        fold.feed(one)
    fold.answer()


@given(ANYTHING)
def test_no_document_whatsoever_breaks_its_way_into_frames(body):
    frames_of_answer({**body, "choices": body.get("choices") or []})
