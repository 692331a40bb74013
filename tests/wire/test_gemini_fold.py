"""The folded answer: what the provider's own whole answer would be, made of its chunks."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.testing.gemini import call, chunk, sse, text, thought
from penstock.wire.gemini_fold import GeminiFold


def folded(*bodies: Any) -> dict[str, Any]:
    fold = GeminiFold()
    for body in bodies:
        fold.feed(body if isinstance(body, bytes) else sse(body))
    return json.loads(fold.answer())


def parts(*bodies: Any) -> list[dict[str, Any]]:
    return folded(*bodies)["candidates"][0]["content"]["parts"]


PARTS = {
    "texts are one": ([text("He"), text("llo")], [text("Hello")]),
    "an empty text at the end": ([text("Hello"), text("")], [text("Hello")]),
    "only an empty text": ([text("")], [text("")]),
    "thought and text": (
        [thought("h"), thought("m"), text("He"), text("llo")],
        [thought("hm"), text("Hello")],
    ),
    "a signature at the end": (
        [text("He"), text("llo"), text("", thoughtSignature="S")],
        [text("Hello", thoughtSignature="S")],
    ),
    "text behind a signature": (
        [text("He", thoughtSignature="S"), text("llo")],
        [text("He", thoughtSignature="S"), text("llo")],
    ),
    "a call between": ([text("a"), call("f", {}), text("b")], [text("a"), call("f", {}), text("b")]),
    "an empty text behind a call": ([call("f", {}, "S"), text("")], [call("f", {}, "S")]),
    "code": (
        [{"executableCode": {"code": "1"}}, {"codeExecutionResult": {"output": "1"}}, text("a")],
        [{"executableCode": {"code": "1"}}, {"codeExecutionResult": {"output": "1"}}, text("a")],
    ),
    "an image": ([{"inlineData": {"mimeType": "x", "data": "y"}}], [{"inlineData": {"mimeType": "x", "data": "y"}}]),
    "texts with something of their own": ([text("a", x=1), text("b", x=2)], [text("a", x=1), text("b", x=2)]),
    "arguments in pieces": (
        [
            call("f", willContinue=True, signature="S", id="c"),
            call(partialArgs=[{"jsonPath": "$.a[0]", "stringValue": "x", "willContinue": True}], willContinue=True),
            call(partialArgs=[{"jsonPath": "$.a[0]", "stringValue": "y"}], willContinue=True),
            call(),
            call("g", willContinue=True),
        ],
        [call("f", {"a": ["xy"]}, "S", id="c"), call("g", {})],
    ),
}


@pytest.mark.parametrize(("several", "whole"), PARTS.values(), ids=PARTS)
def test_parts_grow_together(several, whole):
    assert parts(*(chunk(part) for part in several)) == whole
    assert parts(chunk(*several)) == whole


def test_the_answer_is_google_s():
    answer = folded(
        chunk(text("Hi"), index=0, usageMetadata={"promptTokenCount": 9, "trafficType": "X"}),
        b"\r\n",
        chunk(text("!"), index=0, reason="STOP", usageMetadata={"promptTokenCount": 9, "candidatesTokenCount": 2}),
    )
    assert answer == {
        "candidates": [{"content": {"parts": [text("Hi!")], "role": "model"}, "index": 0, "finishReason": "STOP"}],
        "usageMetadata": {"promptTokenCount": 9, "trafficType": "X", "candidatesTokenCount": 2},
        "modelVersion": "gemini-x",
        "responseId": "r1",
    }


def test_candidates_are_apart_and_in_order():
    answer = folded(chunk(text("b"), index=1), chunk(text("a"), index=0), chunk(text("B"), index=1, reason="STOP"))
    assert [c["content"]["parts"][0]["text"] for c in answer["candidates"]] == ["a", "bB"]
    assert [c.get("finishReason") for c in answer["candidates"]] == [None, "STOP"]


def test_a_blocked_prompt_has_no_candidates():
    feedback = {"promptFeedback": {"blockReason": "SAFETY"}, "usageMetadata": {"promptTokenCount": 1}}
    assert folded(feedback) == feedback


def test_fields_that_nobody_knows_survive():
    answer = folded(
        chunk(text("a"), c_x={"y": [1]}, top=1), chunk(text("b"), top=2, other=None), chunk(c_content={"z": 3})
    )
    assert answer["top"] == 2 and answer["other"] is None
    assert answer["candidates"][0]["x"] == {"y": [1]}
    assert answer["candidates"][0]["content"] == {"parts": [text("ab")], "role": "model", "z": 3}


def test_metadata_of_a_candidate():
    full = {"groundingChunks": [{"web": {"uri": "u"}}]}
    cited = [{"uri": "a"}, {"uri": "b"}, {"uri": "c"}]
    answer = folded(
        chunk(text("a"), c_groundingMetadata={}, c_citationMetadata={"citations": cited[:1]}),
        chunk(text("b"), c_groundingMetadata=full, c_citationMetadata={"citations": cited[:2]}),
        chunk(text("c"), c_groundingMetadata={}, c_citationMetadata={"citations": cited[2:]}),
    )["candidates"][0]
    assert answer["groundingMetadata"] == full
    assert answer["citationMetadata"] == {"citations": cited}


@given(st.text(), st.integers(1, 5), st.booleans())
def test_the_text_is_all_of_the_text(words, size, thinks):
    pieces = [words[i : i + size] for i in range(0, len(words), size)] or [""]
    make = thought if thinks else text
    assert parts(*(chunk(make(piece)) for piece in pieces)) == [make(words)]
