"""The gemini decoder: what a frame means, which frames are mended, and when an answer is complete."""

from __future__ import annotations

import json

import pytest

from penstock.events import (
    Annotation,
    ErrorReport,
    Finish,
    Internal,
    Media,
    Opaque,
    Reasoning,
    ReasoningSeal,
    Start,
    Text,
    ToolArguments,
    UsageReport,
)
from penstock.testing.gemini import array, call, chunk, error, fed, said, session, sse, text, thought
from penstock.usage import Usage
from penstock.wire.gemini import GeminiDecoder

START = Start("r1", "gemini-x")


def decoder(query: str | None = "alt=sse", **options: bool) -> GeminiDecoder:
    return GeminiDecoder(None if query is None else session(query, **options))


def events(*bodies: object, query: str | None = "alt=sse") -> list[object]:
    """The events of some chunks, without the Start."""
    one = decoder(query)
    return [event for body in bodies for event in one.decode(sse(body))[1] if event != START]


# -- what a frame means -----------------------------------------------------------------------------------------------

MEANINGS = {
    "text": (chunk(text("Hi")), [Text("Hi")]),
    "text of another candidate": (chunk(text("Hi"), index=2), [Text("Hi", 2)]),
    "an empty text": (chunk(text("")), []),
    "no parts": (chunk(c_content={"role": "model"}), []),
    "no content": (chunk(index=0), []),
    "a null content": (chunk(c_content=None), []),
    "a thought": (chunk(thought("hm")), [Reasoning("hm")]),
    "a thought and a text": (chunk(thought("hm"), text("Hi")), [Reasoning("hm"), Text("Hi")]),
    "a signature on a text": (chunk(text("Hi", thoughtSignature="S")), [Text("Hi"), ReasoningSeal("S")]),
    "a signature on an empty text": (chunk(text("", thoughtSignature="S")), [ReasoningSeal("S")]),
    "a signature alone": (chunk({"thoughtSignature": "S"}), [ReasoningSeal("S")]),
    "a call": (chunk(call("f", {"a": [1, 2.50, "x"]}, id="c")), [ToolArguments(0, "c", "f", '{"a":[1,2.5,"x"]}')]),
    "a call without an id": (chunk(call("f", {})), [ToolArguments(0, "call_r1_0", "f", "{}")]),
    "a call without arguments": (chunk(call("f")), [ToolArguments(0, "call_r1_0", "f", "{}")]),
    "a call with a signature": (
        chunk(call("f", {}, "S", id="c")),
        [ToolArguments(0, "c", "f", "{}", 0, "S")],
    ),
    "two calls": (
        chunk(call("f", {}), call("f", {"a": 1})),
        [ToolArguments(0, "call_r1_0", "f", "{}"), ToolArguments(1, "call_r1_1", "f", '{"a":1}')],
    ),
    "a call of another candidate": (
        chunk(call("f", {}), index=1),
        [ToolArguments(0, "call_r1_1_0", "f", "{}", 1)],
    ),
    "an image": (chunk({"inlineData": {"mimeType": "image/png", "data": "iVBO"}}), [Media()]),
    "code": (chunk({"executableCode": {"language": "PYTHON", "code": "1+1"}}), [Internal("1+1")]),
    "the result of code": (chunk({"codeExecutionResult": {"outcome": "OUTCOME_OK", "output": "2"}}), []),
    "a tool of Google's": (
        chunk({"toolCall": {"toolType": "X", "args": {}}, "thoughtSignature": "S"}),
        [Internal('{"toolType":"X","args":{}}'), ReasoningSeal("S")],
    ),
    "its answer": (chunk({"toolResponse": {"toolType": "X"}}), []),
    "a part of a kind that nobody knows": (chunk({"hologram": {"data": 1}}), []),
    "fields that nobody knows": (chunk(text("Hi", x=1), c_y=[1], z={}), [Text("Hi")]),
    "an empty grounding": (chunk(text("Hi"), c_groundingMetadata={}), [Text("Hi")]),
    "usage of no numbers": (chunk(text("Hi"), usageMetadata={"trafficType": "ON_DEMAND"}), [Text("Hi")]),
    "a prompt that was not blocked": (chunk(text("Hi"), promptFeedback={"safetyRatings": []}), [Text("Hi")]),
    "something else": ({"x": 1}, [Opaque()]),
    "of other types than they should": (chunk(text("Hi"), c_finishReason=["x"]), [Opaque()]),
}


@pytest.mark.parametrize(("body", "meant"), MEANINGS.values(), ids=MEANINGS)
def test_what_a_chunk_means(body, meant):
    one = decoder()
    frame = sse(body)
    handed_on, got = one.decode(frame)
    assert handed_on == frame
    assert [event for event in got if event != START] == meant


def test_the_answer_has_its_name_once():
    one = decoder()
    assert one.decode(sse(chunk(text("a"))))[1] == (START, Text("a"))
    assert one.decode(sse(chunk(text("b"))))[1] == (Text("b"),)


def test_arguments_in_pieces_become_pieces_of_json():
    got = events(
        chunk(call("f", willContinue=True, signature="S", id="c")),
        chunk(call(partialArgs=[{"jsonPath": "$.a.b", "stringValue": "x", "willContinue": True}], willContinue=True)),
        chunk(call(partialArgs=[{"jsonPath": "$.a.b", "stringValue": "y"}], willContinue=True)),
        chunk(call(partialArgs=[{"jsonPath": "$.n", "numberValue": 5}], willContinue=True)),
        chunk(call()),
        chunk(call("g", willContinue=True)),
        chunk(call("h", partialArgs=[{"jsonPath": "$.b", "boolValue": True}])),
        chunk(call("i", willContinue=True)),
        chunk(text(""), reason="STOP"),
    )
    assert got[0] == ToolArguments(0, "c", "f", "", 0, "S")
    assert [event.arguments for event in got if type(event) is ToolArguments and event.call == 0] == [
        "",
        '{"a":{"b":"x',
        "y",
        '"},"n":5',
        "}",
    ]
    assert said(got)[2][1:] == [("call_r1_1", "g", "{}"), ("call_r1_2", "h", '{"b":true}'), ("call_r1_3", "i", "{}")]
    assert got[-1] == Finish("STOP", kind="tool_calls")


def test_arguments_out_of_order_fail_only_where_they_must_be_told_anew():
    pieces = [{"jsonPath": "$.a", "numberValue": 1}, {"jsonPath": "$.a", "numberValue": 2}]
    frame = sse(chunk(call("f", partialArgs=pieces)))
    one = decoder(None)
    assert [type(event) for event in one.decode(frame)[1]] == [ErrorReport]
    assert one.incomplete(clean=True) == "the provider reported an error"
    assert decoder().decode(frame)[0] == frame


# -- citations --------------------------------------------------------------------------------------------------------

GROUNDING = {
    "groundingChunks": [{"web": {"uri": "https://a", "title": "A"}}, {"maps": {"uri": "https://b"}}],
    "groundingSupports": [{"segment": {"endIndex": 2, "text": "Hi"}, "groundingChunkIndices": [0, 1]}],
}


def test_grounding_is_citations_once():
    support = GROUNDING["groundingSupports"][0]
    got = events(chunk(text("Hi"), c_groundingMetadata=GROUNDING), chunk(c_groundingMetadata=GROUNDING))
    assert got[1:3] == [
        Annotation("https://a", "A", "Hi", 0, 2, native=support),
        Annotation("https://b", "", "Hi", 0, 2, native=support),
    ]
    assert got[3:] == [Opaque()]


def test_offsets_in_bytes_are_no_offsets_in_characters():
    got = events(chunk(text("Hü")), chunk(c_groundingMetadata=GROUNDING))
    assert [(event.start, event.end) for event in got if type(event) is Annotation] == [(None, None)] * 2


@pytest.mark.parametrize("name", ["citations", "citationSources"])
def test_recitations_are_citations(name):
    source = {"startIndex": 1, "endIndex": 2, "uri": "https://a", "license": ""}
    got = events(chunk(text("Hi"), c_citationMetadata={name: [source]}))
    assert got[1:] == [Annotation("https://a", "", "", 1, 2, native=source)]


def test_sources_without_supports():
    got = events(chunk(text("Hi"), c_groundingMetadata={"groundingChunks": GROUNDING["groundingChunks"]}))
    assert [event.url for event in got if type(event) is Annotation] == ["https://a", "https://b"]


# -- finishes ---------------------------------------------------------------------------------------------------------

FINISHES = {
    "STOP": "stop",
    "MAX_TOKENS": "length",
    "SAFETY": "content_filter",
    "RECITATION": "content_filter",
    "LANGUAGE": "content_filter",
    "BLOCKLIST": "content_filter",
    "PROHIBITED_CONTENT": "content_filter",
    "SPII": "content_filter",
    "IMAGE_SAFETY": "content_filter",
    "IMAGE_PROHIBITED_CONTENT": "content_filter",
    "IMAGE_RECITATION": "content_filter",
    "IMAGE_OTHER": "content_filter",
    "OTHER": "error",
    "MALFORMED_FUNCTION_CALL": "error",
    "UNEXPECTED_TOOL_CALL": "error",
    "TOO_MANY_TOOL_CALLS": "error",
    "NO_IMAGE": "error",
    "SOMETHING_NEW": "error",
}


@pytest.mark.parametrize(("reason", "kind"), FINISHES.items(), ids=FINISHES)
def test_every_finish_reason_has_its_kind(reason, kind):
    assert events(chunk(text("a"), reason=reason))[1:] == [Finish(reason, kind=kind)]


@pytest.mark.parametrize("reason", [reason for reason, kind in FINISHES.items() if kind == "error"])
@pytest.mark.parametrize("form", ["sse", "array"])
def test_a_finish_that_is_an_error_is_never_a_clean_stop(reason, form):
    """G2. The frame goes on as it is; the error comes with the end."""
    bodies = [chunk(text("a")), chunk(text(""), reason=reason, c_finishMessage="Bad call.")]
    data = b"".join(map(sse, bodies)) if form == "sse" else array(*bodies)
    one = decoder("alt=sse" if form == "sse" else "")
    out, got = fed(one, [data])
    if reason == "SOMETHING_NEW":
        assert out == data and one.incomplete(clean=True) is None and one.oddities() == ["unknown_finish"]
        one = decoder(None)
        got = fed(one, [data])[1]
    else:
        assert data.startswith(out) and reason.encode() in out and not out.endswith(b"]")
    assert got[-1] == ErrorReport(
        f"the model stopped with {reason}: Bad call.; the answer is of no use, try again", code=reason
    )
    assert not one.finished
    assert one.incomplete(clean=True)


def test_a_stop_behind_a_call_is_for_the_call():
    assert events(chunk(call("f", {}), reason="STOP"))[-1] == Finish("STOP", kind="tool_calls")
    assert events(chunk(call("f", {})), chunk(reason="STOP"))[-1] == Finish("STOP", kind="tool_calls")
    assert events(chunk(call("f", {}), reason="MAX_TOKENS"))[-1] == Finish("MAX_TOKENS", kind="length")


def test_finish_reasons_of_old_are_numbers():
    kinds = {1: "STOP", 2: "MAX_TOKENS", 3: "SAFETY", 4: "RECITATION", 10: "MALFORMED_FUNCTION_CALL", 77: "77"}
    for number, reason in kinds.items():
        assert events(chunk(text("a"), reason=number))[1:] == [Finish(reason, kind=FINISHES.get(reason, "error"))]
    assert events(chunk(text("a"), reason=0)) == [Text("a")]
    assert events(chunk(text("a"), reason="FINISH_REASON_UNSPECIFIED")) == [Text("a")]


def test_output_behind_a_finish_takes_the_finish_back():
    """Recordings 005 and 053: two STOPs, and what is between them is part of the answer."""
    one = decoder()
    for body, finished in [
        (chunk({"executableCode": {"code": "1"}}, reason="STOP"), True),
        (chunk({"codeExecutionResult": {"output": "1"}}), False),
        (chunk(text("One."), reason="STOP"), True),
        (chunk(text("")), True),
        (chunk(c_groundingMetadata={}), True),
        ({"usageMetadata": {"promptTokenCount": 1}}, True),
    ]:
        one.decode(sse(body))
        assert one.finished is finished
    assert one.incomplete(clean=True) is None


def test_finishes_that_follow_each_other():
    got = events(*(chunk(text("a"), reason=reason) for reason in ("STOP", "STOP", "RECITATION")), chunk(reason="STOP"))
    assert [(event.reason, event.again) for event in got if type(event) is Finish] == [
        ("STOP", False),
        ("STOP", False),
        ("RECITATION", False),
        ("STOP", False),
    ]
    assert events(chunk(text("a"), reason="STOP"), chunk(reason="STOP"))[-1] == Finish("STOP", again=True)


BLOCKED = {"promptFeedback": {"blockReason": "SAFETY", "safetyRatings": []}, "modelVersion": "gemini-x"}


def test_a_blocked_prompt_is_a_complete_answer():
    one = decoder()
    assert Finish("SAFETY", kind="content_filter") in one.decode(sse(BLOCKED))[1]
    assert one.incomplete(clean=True) is None
    assert one.empty_is_right


@pytest.mark.parametrize("reason", ["OTHER", "BLOCKLIST", "PROHIBITED_CONTENT", "IMAGE_SAFETY", "MODEL_ARMOR", 4])
def test_every_block_reason_is_a_filter(reason):
    (event,) = events({"promptFeedback": {"blockReason": reason}})
    assert event.kind == "content_filter" and event.reason == ("PROHIBITED_CONTENT" if reason == 4 else reason)


# -- usage ------------------------------------------------------------------------------------------------------------

USAGES = {
    "thoughts apart": (
        {"promptTokenCount": 9, "candidatesTokenCount": 13, "thoughtsTokenCount": 302, "totalTokenCount": 324},
        Usage(input=9, output=13, reasoning=302),
    ),
    "cached inside the prompt": (
        {"promptTokenCount": 90, "candidatesTokenCount": 1, "cachedContentTokenCount": 80},
        Usage(input=10, output=1, cache_read=80),
    ),
    "tool prompts beside it": (
        {"promptTokenCount": 70, "candidatesTokenCount": 19, "toolUsePromptTokenCount": 164},
        Usage(input=234, output=19),
    ),
    "no output yet": ({"promptTokenCount": 9, "totalTokenCount": 9}, Usage(input=9)),
    "thoughts only": ({"promptTokenCount": 9, "thoughtsTokenCount": 5}, Usage(input=9, reasoning=5)),
    "thoughts, and a total that leaves room for no more": (
        {"promptTokenCount": 9, "thoughtsTokenCount": 5, "totalTokenCount": 14},
        Usage(input=9, output=0, reasoning=5),
    ),
    "thoughts, and a total with something untold": (
        {"promptTokenCount": 9, "thoughtsTokenCount": 5, "totalTokenCount": 20},
        Usage(input=9, reasoning=5),
    ),
    "a prompt of nothing": ({"candidatesTokenCount": 5}, Usage(output=5)),
}


@pytest.mark.parametrize(("metadata", "usage"), USAGES.values(), ids=USAGES)
def test_usage_in_disjoint_kinds(metadata, usage):
    assert events(chunk(text("a"), usageMetadata=metadata)) == [Text("a"), UsageReport(usage)]
    assert events({"usageMetadata": metadata}) == [UsageReport(usage, alone=True)]


def test_usage_is_overwritten_and_never_summed():
    bodies = [chunk(text("a"), usageMetadata={"promptTokenCount": 78 - n, "candidatesTokenCount": n}) for n in range(9)]
    assert said(events(*bodies))[3] == Usage(input=70, output=8)


# -- errors -----------------------------------------------------------------------------------------------------------

ERRORS = {
    "as Google has it": (error(), ErrorReport("no room", "UNAVAILABLE", "503", 503)),
    "alone in a list": ([error(429, "RESOURCE_EXHAUSTED")], ErrorReport("no room", "RESOURCE_EXHAUSTED", "429", 429)),
    "with another key before": ({"x": 1, **error()}, ErrorReport("no room", "UNAVAILABLE", "503", 503)),
    "beside candidates": ({**chunk(text("a")), **error()}, ErrorReport("no room", "UNAVAILABLE", "503", 503)),
    "in other words": ({"error": "broken"}, ErrorReport("broken", "server_error", None, 502)),
    "by its word only": ({"error": {"status": "DEADLINE_EXCEEDED"}}, ErrorReport("", "DEADLINE_EXCEEDED", None, 504)),
    "a gRPC code": ({"error": {"code": 14, "message": "x"}}, ErrorReport("x", "server_error", "14", 502)),
    "cancelled": (error(499, "CANCELLED"), ErrorReport("no room", "CANCELLED", "499", 499)),
}


@pytest.mark.parametrize(("body", "report"), ERRORS.values(), ids=ERRORS)
@pytest.mark.parametrize("form", ["data", "bare", "bare, at the end", "array", "behind the array"])
def test_an_error_in_every_shape(body, report, form):
    first = chunk(text("a"))
    whole = json.dumps(body, indent=2).encode()
    data = {
        "data": sse(first) + sse(body),
        "bare": sse(first) + whole + b"\r\n\r\n",
        "bare, at the end": sse(first) + whole,
        "array": array(first, body),
        "behind the array": array(first) + b"\n" + whole,
    }[form]
    one = decoder("" if "array" in form else "alt=sse")
    out, got = fed(one, [data])
    found = [event for event in got if type(event) is ErrorReport]
    assert [(e.type, e.code, e.status) for e in found] == [(report.type, report.code, report.status)]
    assert report.message in found[0].message
    assert b"error" not in out
    assert one.incomplete(clean=True) == "the provider reported an error"
    assert not one.marked


def test_the_wait_that_an_error_names():
    info = {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "34.4s"}
    (report,) = events(error(429, "RESOURCE_EXHAUSTED", details=[{"@type": "x"}, info]))
    assert report.retry_after == 34.4
    assert report.fields["details"][1] == info


@pytest.mark.parametrize("lost", [b"{no json}", b"[1]", b"{no json},\r\n{nor this}"])
def test_a_list_whose_first_element_is_left_out_is_still_a_list(lost):
    rest = [chunk(text("Hel")), chunk(text("lo"), reason="STOP")]
    body = b"[" + lost + b",\r\n" + array(*rest)[1:]
    for pieces in ([body], [body[i : i + 1] for i in range(len(body))]):
        out, events = fed(decoder(""), pieces)
        assert json.loads(out) == rest
        assert said(events)[0] == "Hello"
