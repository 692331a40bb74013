"""The openai-responses decoder: what a frame means, which frames are mended, and when an answer is complete."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.events import (
    Annotation,
    EndMarker,
    ErrorReport,
    Finish,
    Heartbeat,
    Internal,
    Malformed,
    Media,
    Opaque,
    Reasoning,
    ReasoningSeal,
    Refusal,
    Start,
    Text,
    ToolArguments,
    UsageReport,
)
from penstock.testing.responses import added, created, ended, frame, item_done, message, response, text
from penstock.usage import Usage
from penstock.wire.openai_responses import ResponsesDecoder

PLACE = {"item_id": "i0", "output_index": 0, "content_index": 0}
CALL = {"call_id": "c", "name": "f", "arguments": ""}
USAGE = UsageReport(Usage(5, 2, 1, 4))


def events(*several: bytes) -> list[object]:
    decoder = ResponsesDecoder()
    return [event for one in several for event in decoder.decode(one)[1]]


def handed_on(*several: bytes) -> list[bytes | None]:
    decoder = ResponsesDecoder()
    return [decoder.decode(one)[0] for one in several]


MEANINGS = {
    "created": (created(), [Start("resp_1", "m", 7)]),
    "queued": (frame("response.queued", response=response()), [Start("resp_1", "m", 7)]),
    "created without a word": (frame("response.created"), [Opaque()]),
    "a message begins": (added(), [Opaque()]),
    "a part begins": (
        frame("response.content_part.added", **PLACE, part={"type": "output_text", "text": ""}),
        [Opaque()],
    ),
    "text": (text("Hi"), [Text("Hi")]),
    "text with padding": (text("Hi", obfuscation="xxxx", logprobs=[{"token": "Hi"}]), [Text("Hi")]),
    "no text": (text(""), [Opaque()]),
    "a refusal": (frame("response.refusal.delta", **PLACE, delta="no"), [Refusal("no")]),
    "reasoning": (frame("response.reasoning_text.delta", **PLACE, delta="hm"), [Reasoning("hm")]),
    "a summary": (
        frame("response.reasoning_summary_text.delta", item_id="i0", output_index=0, summary_index=0, delta="hm"),
        [Reasoning("hm")],
    ),
    "a call": (added(type="function_call", **CALL), [ToolArguments(0, "c", "f")]),
    "a custom call": (added(type="custom_tool_call", call_id="c", name="f", input=""), [ToolArguments(0, "c", "f")]),
    "a call of one id": (added(type="function_call", name="f"), [ToolArguments(0, "i0", "f")]),
    "arguments": (
        frame("response.function_call_arguments.delta", item_id="i0", output_index=0, delta="{"),
        [ToolArguments(0, arguments="{")],
    ),
    "input": (
        frame("response.custom_tool_call_input.delta", item_id="i0", output_index=0, delta="x"),
        [ToolArguments(0, arguments="x")],
    ),
    "a tool of the provider's": (
        frame("response.code_interpreter_call_code.delta", item_id="i0", output_index=0, delta="print"),
        [Internal("print")],
    ),
    "its progress": (frame("response.web_search_call.searching", item_id="i0", output_index=0), [Opaque()]),
    "what a tool put out": (
        frame("response.shell_call_output_content.delta", output_index=0, delta={"stdout": "x"}),
        [Opaque()],
    ),
    "a part of an image": (
        frame("response.image_generation_call.partial_image", output_index=0, partial_image_b64="AAAA"),
        [Media()],
    ),
    "audio": (frame("response.audio.delta", delta="AAAA"), [Media()]),
    "a transcript": (frame("response.audio.transcript.delta", delta="Hel"), [Media("Hel")]),
    "a citation": (
        frame(
            "response.output_text.annotation.added",
            **PLACE,
            annotation={"type": "url_citation", "url": "u", "title": "t", "start_index": 1, "end_index": 2},
        ),
        [
            Annotation(
                "u", "t", "", 1, 2, {"type": "url_citation", "url": "u", "title": "t", "start_index": 1, "end_index": 2}
            )
        ],
    ),
    "sealed reasoning": (
        item_done(type="reasoning", summary=[], encrypted_content="s"),
        [ReasoningSeal("s", redacted=True)],
    ),
    "sealed reasoning that is told": (
        item_done(type="reasoning", summary=[{"type": "summary_text", "text": "hm"}], encrypted_content="s"),
        [Reasoning("hm"), ReasoningSeal("s")],
    ),
    "unsealed reasoning": (item_done(type="reasoning", summary=[]), [Opaque()]),
    "the end of an answer that was never begun": (
        ended(output=[message("Hi")]),
        [Start("resp_1", "m", 7), Text("Hi"), USAGE, Finish("completed"), EndMarker()],
    ),
    "an end without usage": (
        frame("response.completed", response=response("completed", usage=None)),
        [Start("resp_1", "m", 7), Finish("completed"), EndMarker()],
    ),
    "an end without a response": (frame("response.completed"), [Finish("completed"), EndMarker()]),
    "a keepalive": (frame("keepalive", sequence_number=5), [Heartbeat()]),
    "something new": (frame("response.weather", rain=True), [Opaque()]),
    "something of another house": (frame("gateway.note", error=None), [Opaque()]),
    "a comment": (b": x\n\n", [Heartbeat()]),
    "a blank line": (b"\n", []),
    "only [DONE]": (b"data: [DONE]\n\n", [EndMarker()]),
    "no type but an event line": (
        b'event: response.output_text.delta\ndata: {"output_index":0,"content_index":0,"delta":"Hi"}\n\n',
        [Text("Hi")],
    ),
    "no event line": (b'data: {"type":"response.output_text.delta","output_index":0,"delta":"Hi"}\n\n', [Text("Hi")]),
    "no JSON": (b"data: {oops\n\n", [Malformed("its data is not JSON")]),
    "JSON that is no object": (b"data: 7\n\n", [Malformed("its data is JSON but no object")]),
    "a lone surrogate": (
        b'data: {"type":"response.output_text.delta","output_index":0,"content_index":0,"delta":"\\ud83d"}\n\n',
        [Text("\ud83d")],
    ),
    "a lone surrogate in an item": (
        b'data: {"type":"response.output_item.done","output_index":0,"item":{"type":"message","content":'
        b'[{"type":"output_text","text":"\\ud83d"}]}}\n\n',
        [Text("\ud83d")],
    ),
    "an unknown field": (b"tick: 1\n\n", [Opaque()]),
}


@pytest.mark.parametrize("case", MEANINGS)
def test_what_a_frame_means(case):
    one, expected = MEANINGS[case]
    assert events(one) == expected


FINISHES = {
    "completed": (ended(), Finish("completed")),
    "length": (
        ended("incomplete", incomplete_details={"reason": "max_output_tokens"}),
        Finish("max_output_tokens", kind="length"),
    ),
    "a filter": (
        ended("incomplete", incomplete_details={"reason": "content_filter"}),
        Finish("content_filter", kind="content_filter"),
    ),
    "a reason that is new": (
        ended("incomplete", incomplete_details={"reason": "tired"}),
        Finish("tired", kind="length"),
    ),
    "no reason": (ended("incomplete"), Finish("incomplete", kind="length")),
}


@pytest.mark.parametrize("case", FINISHES)
def test_how_an_answer_finishes(case):
    one, expected = FINISHES[case]
    assert events(created(), text("Hi"), one)[2:] == [USAGE, expected, EndMarker()]


def test_calls_finish_as_calls():
    found = events(added(type="function_call", **CALL), item_done(type="function_call", **CALL), ended())
    assert Finish("completed", kind="tool_calls") in found
    assert ToolArguments(0, arguments="{}") in found


# -- the same text, up to five times ----------------------------------------------------------------------------------

COPIES = [
    frame("response.output_text.done", **PLACE, text="Hi!"),
    frame("response.content_part.done", **PLACE, part={"type": "output_text", "text": "Hi!"}),
    item_done(**{key: value for key, value in message("Hi!").items() if key not in ("id", "type")}),
    ended(output=[message("Hi!")]),
]


@given(st.sets(st.integers(0, 3), min_size=1), st.booleans())
def test_text_counts_once_whichever_copies_come(which, streamed):
    deltas = [text("Hi"), text("!")] if streamed else []
    found = events(created(), added(), *deltas, *(COPIES[place] for place in sorted(which)))
    assert "".join(event.text for event in found if isinstance(event, Text)) == "Hi!"


def test_arguments_count_once():
    place = {"item_id": "i0", "output_index": 0}
    whole = {"call_id": "c", "name": "f", "arguments": "{}"}
    copies = [
        frame("response.function_call_arguments.done", **place, arguments="{}"),
        item_done(type="function_call", **whole),
        ended(output=[{"type": "function_call", **whole}]),
    ]
    delta = frame("response.function_call_arguments.delta", **place, delta="{}")
    for several in ([delta, *copies], copies, copies[1:], copies[2:]):
        found = [e for e in events(added(type="function_call", **CALL), *several) if isinstance(e, ToolArguments)]
        assert [(e.call, e.name, e.arguments) for e in found] == [(0, "f", ""), (0, "", "{}")]


def test_a_call_that_was_broken_off_gets_no_arguments():
    found = events(added(type="function_call", **CALL), item_done(type="function_call", **CALL, status="incomplete"))
    assert ToolArguments(0, arguments="{}") not in found


# -- errors -----------------------------------------------------------------------------------------------------------

FLAT = {"code": "rate_limit_exceeded", "message": "slow down", "param": "p"}
ERRORS = {
    "flat": (frame("error", **FLAT), ErrorReport("slow down", "server_error", "rate_limit_exceeded", 429, "p", FLAT)),
    "nested": (
        frame("error", error={"type": "tokens", **FLAT}),
        ErrorReport("slow down", "tokens", "rate_limit_exceeded", 429, "p", {"type": "tokens", **FLAT}),
    ),
    "both": (
        frame("error", **FLAT, error={"type": "tokens", **FLAT}),
        ErrorReport("slow down", "tokens", "rate_limit_exceeded", 429, "p", {"type": "tokens", **FLAT}),
    ),
    "a text": (frame("error", error="slow down"), ErrorReport("slow down")),
    "nothing": (frame("error"), ErrorReport("the provider reported an error without a message")),
    "failed": (
        frame("response.failed", response=response("failed", error={"code": "server_error", "message": "oh"})),
        ErrorReport("oh", code="server_error", fields={"code": "server_error", "message": "oh"}),
    ),
    "failed, with OpenRouter's type": (
        frame("response.failed", response=response("failed", error={"message": "oh"}), error_type="overloaded"),
        ErrorReport("oh", "overloaded", None, 503, fields={"message": "oh", "type": "overloaded"}),
    ),
    "failed without a word": (
        frame("response.failed", response=response("failed")),
        ErrorReport("the provider says that the response failed"),
    ),
    "failed, though the event says completed": (
        frame("response.completed", response=response("failed", error={"message": "oh"})),
        ErrorReport("oh", fields={"message": "oh"}),
    ),
    "cancelled": (
        frame("response.cancelled", response=response("cancelled")),
        ErrorReport("the provider says that the response was cancelled"),
    ),
    "in the shape of chat": (
        b'data: {"error":{"message":"oh","code":502}}\n\n',
        ErrorReport("oh", code="502", status=502, fields={"message": "oh", "code": 502}),
    ),
    "in a field of that name": (
        b'error: {"error":{"message":"oh"}}\n\n',
        ErrorReport("oh", fields={"message": "oh"}),
    ),
}


@pytest.mark.parametrize("case", ERRORS)
def test_errors_in_every_shape(case):
    one, expected = ERRORS[case]
    decoder = ResponsesDecoder()
    assert decoder.decode(one) == (one, (expected,))
    assert decoder.failed and decoder.incomplete(clean=True) == "the provider reported an error"
    # What follows it, a failed response most often, is the same error.
    assert decoder.decode(frame("response.failed", response=response("failed"))) == (None, (Opaque(),))
    assert decoder.decode(ended()) == (None, (Opaque(),)) and not decoder.finished


def test_an_error_of_a_tool_is_none_of_the_stream():
    one = frame("response.mcp_call.failed", item_id="i0", output_index=0, error={"message": "oh"})
    assert events(one) == [Opaque()]


def test_an_error_at_the_end_without_a_frame():
    decoder = ResponsesDecoder()
    rest = b'{"error":{"message":"oh"}}'
    assert decoder.close(rest) == (rest, (ErrorReport("oh", fields={"message": "oh"}),))


# -- what is handed on ------------------------------------------------------------------------------------------------


def test_frames_go_on_as_they_are():
    several = [
        b": x\n\n",
        created(),
        added(),
        text("Hi"),
        text(""),
        frame("keepalive"),
        frame("response.new", x=1),
        ended(),
    ]
    assert handed_on(*several) == several


MENDED = {
    "[DONE] behind the end": [ended(), b"data: [DONE]\n\n"],
    "a second end": [ended(), ended("incomplete")],
    "text behind the end": [ended(), text("Hi")],
    "an event without data": [b"event: ping\n\n"],
    "a bare retry": [b"retry: 9\n\n"],
    "a bare id": [b"id: 9\n\n"],
    "empty data": [b"data:\n\n"],
    "a comment in a stream with ids": [b"id: 1\n" + text("Hi"), b": x\n\n"],
}


@pytest.mark.parametrize("case", MENDED)
def test_frames_that_are_left_out(case):
    *before, last = handed_on(*MENDED[case])
    assert last is None and None not in before


# -- completeness -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("clean", [True, False])
@pytest.mark.parametrize("status", ["completed", "incomplete"])
def test_a_terminal_event_alone_completes(status, clean):
    decoder = ResponsesDecoder()
    decoder.decode(text("Hi"))
    missing = "the stream ended before the answer was finished"
    assert decoder.incomplete(clean=clean) == missing and not decoder.marked
    decoder.decode(ended(status))
    assert decoder.incomplete(clean=clean) is None and decoder.marked and decoder.finished


def test_done_alone_proves_nothing():
    decoder = ResponsesDecoder()
    for one in (text("Hi"), b"data: [DONE]\n\n"):
        decoder.decode(one)
    assert decoder.marked and not decoder.finished and decoder.incomplete(clean=True) is not None


EMPTY = {
    "no output at all": (response("completed", usage={"input_tokens": 9, "output_tokens": 0}), False),
    "nor usage": (response("completed"), False),
    "tokens were reported": (response("completed", usage={"input_tokens": 9, "output_tokens": 4}), True),
    "an item": (response("completed", output=[{"type": "compaction"}]), True),
    "no room": (response("incomplete", incomplete_details={"reason": "max_output_tokens"}), True),
    "no permission": (response("incomplete", incomplete_details={"reason": "content_filter"}), True),
}


@pytest.mark.parametrize("case", EMPTY)
def test_when_an_empty_answer_is_right(case):
    whole, right = EMPTY[case]
    decoder = ResponsesDecoder()
    decoder.decode(frame(f"response.{whole['status']}", response=whole))
    assert decoder.empty_is_right is right


@pytest.mark.parametrize("missing", [1, 2])
def test_a_last_frame_without_its_blank_line_counts(missing):
    decoder = ResponsesDecoder()
    decoder.decode(text("Hi"))
    last = ended()
    handed, found = decoder.close(last[:-missing])
    assert handed == last and found[-1] == EndMarker() and decoder.incomplete(clean=True) is None


@given(st.integers(1, len(text("Hi")) - 3))
def test_half_a_frame_is_not_handed_on(length):
    decoder = ResponsesDecoder()
    assert decoder.close(text("Hi")[:length]) == (None, (Malformed("the stream ends inside a frame"),))
