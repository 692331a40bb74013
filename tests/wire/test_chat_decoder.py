"""The openai-chat decoder: what a frame means, which frames are mended, and when an answer is complete."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.events import (
    EndMarker,
    ErrorReport,
    Finish,
    Heartbeat,
    Malformed,
    Media,
    Opaque,
    Reasoning,
    Refusal,
    Start,
    Text,
    ToolArguments,
    UsageReport,
)
from penstock.framing.sse import parse
from penstock.testing import frames
from penstock.testing.frames import DONE, chunk, delta, finish, frame, role, tool, usage
from penstock.usage import Usage
from penstock.wire import json
from penstock.wire.openai_chat import ChatDecoder

START = Start("c1", "m")


def events(*several: bytes, **options: bool) -> list[object]:
    """The events of some frames, without the Start."""
    decoder = ChatDecoder(**options)
    return [event for one in several for event in decoder.decode(one)[1] if event != START]


def handed_on(*several: bytes, **options: bool) -> list[bytes | None]:
    decoder = ChatDecoder(**options)
    return [decoder.decode(one)[0] for one in several]


# -- what a frame means -----------------------------------------------------------------------------------------------

MEANINGS = {
    "text": (chunk("Hi"), [Text("Hi")]),
    "text of another choice": (chunk("Hi", choice=2), [Text("Hi", 2)]),
    "a role": (role(), []),
    "an empty delta": (delta({}), []),
    "reasoning_content": (frames.reasoning("hm"), [Reasoning("hm")]),
    "reasoning": (delta({"reasoning": "hm"}), [Reasoning("hm")]),
    "reasoning under two names counts once": (delta({"reasoning": "hm", "reasoning_content": "hm"}), [Reasoning("hm")]),
    "reasoning beside its details": (
        delta({"reasoning": "hm", "reasoning_details": [{"type": "reasoning.text", "text": "hm"}]}),
        [Reasoning("hm")],
    ),
    "text and reasoning in one": (delta({"content": "a", "reasoning_content": "b"}), [Text("a"), Reasoning("b")]),
    "a refusal": (delta({"refusal": "no"}), [Refusal("no")]),
    "Mistral's parts": (
        delta(
            {
                "content": [
                    {"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]},
                    {"type": "text", "text": "a"},
                ]
            }
        ),
        [Reasoning("hm"), Text("a")],
    ),
    "parts without text": (delta({"content": [{"type": "reference", "reference_ids": [1]}, 7]}), []),
    "a tool call": (tool(0, id="t", name="f"), [ToolArguments(0, "t", "f")]),
    "a piece of its arguments": (tool(0, arguments="{"), [ToolArguments(0, "", "", "{")]),
    "arguments that are no text": (
        delta({"tool_calls": [{"index": 0, "function": {"arguments": {"a": 1}}}]}),
        [ToolArguments(0, "", "", '{"a":1}')],
    ),
    "a function call of old": (
        delta({"function_call": {"name": "f", "arguments": "{"}}),
        [ToolArguments(0, "", "f", "{")],
    ),
    "audio": (delta({"audio": {"data": "AAAA"}}), [Media()]),
    "a transcript": (delta({"audio": {"transcript": "Hel"}}), [Media("Hel")]),
    "audio that has only an id": (delta({"audio": {"id": "a"}}), []),
    "text of the legacy wire": (frame({"choices": [{"index": 0, "text": "Hi"}]}), [Text("Hi")]),
    "a finish": (finish("length"), [Finish("length", kind="length")]),
    "text and finish in one": (delta({"content": "a"}, finish="stop"), [Text("a"), Finish("stop")]),
    "usage alone": (usage(9, 2), [UsageReport(Usage(9, 2), alone=True)]),
    "usage with the finish": (
        finish(usage={"prompt_tokens": 9, "completion_tokens": 2}),
        [Finish("stop"), UsageReport(Usage(9, 2))],
    ),
    "usage in x_groq": (
        finish(x_groq={"usage": {"prompt_tokens": 9, "completion_tokens": 2}}),
        [Finish("stop"), UsageReport(Usage(9, 2))],
    ),
    "usage that is null": (chunk("Hi", usage=None), [Text("Hi")]),
    "usage that is no object": (chunk("Hi", usage="much"), [Text("Hi")]),
    "x_groq without usage": (chunk("Hi", x_groq={"id": "r"}), [Text("Hi")]),
    "a choice without a delta": (frame({"choices": [{"index": 0, "content_filter_results": {}}]}), [Opaque()]),
    "a finish without a delta": (
        frame({"choices": [{"index": 0, "finish_reason": "content_filter"}]}),
        [Finish("content_filter", kind="content_filter")],
    ),
    "no choices": (frame({"prompt_filter_results": [], "choices": []}), [Opaque()]),
    "an unknown object": (frame({"moderation": {}}), [Opaque()]),
    "choices of an unknown form": (frame({"choices": "none"}), [Opaque()]),
    "an index that is null": (frame({"choices": [{"index": None, "delta": {"content": "Hi"}}]}), [Text("Hi")]),
    "a comment": (b": x\n\n", [Heartbeat()]),
    "a bare comment": (b":\n\n", [Heartbeat()]),
    "a blank line": (b"\n", []),
    "the end marker": (DONE, [EndMarker()]),
    "the end marker with more behind it": (b"data: [DONE] bye\n\n", [EndMarker()]),
    "no JSON": (b"data: {oops\n\n", [Malformed("its data is not JSON")]),
    "JSON that is no object": (b"data: 7\n\n", [Malformed("its data is JSON but no object")]),
    "a lone surrogate, as some providers cut an emoji": (
        b'data: {"choices":[{"index":0,"delta":{"content":"\\ud83d"}}]}\n\n',
        [Text("\ud83d")],
    ),
    "NaN, as some servers write": (
        b'data: {"logprob":NaN,"choices":[{"index":0,"delta":{"content":"a"}}]}\n\n',
        [Text("a")],
    ),
    "broken UTF-8": (b'data: {"choices":[{"index":0,"delta":{"content":"\xff"}}]}\n\n', [Text("\ufffd")]),
    "data without a space": (b'data:{"choices":[{"index":0,"delta":{"content":"a"}}]}\n\n', [Text("a")]),
    "data over two lines": (b'data: {"choices":[{"index":0,\ndata: "delta":{"content":"a"}}]}\n\n', [Text("a")]),
    "data with an event name": (b"event: message\n" + chunk("a"), [Text("a")]),
}


@pytest.mark.parametrize("meaning", MEANINGS)
def test_a_frame_means(meaning):
    one, wanted = MEANINGS[meaning]
    assert events(one) == wanted or (not wanted and events(one) == [Opaque()])


@pytest.mark.parametrize("meaning", MEANINGS)
def test_a_frame_is_handed_on_as_it_came(meaning):
    one, wanted = MEANINGS[meaning]
    lost = any(isinstance(event, Malformed) for event in wanted)
    assert handed_on(one) == [None if lost else one]


@given(st.sampled_from(sorted(MEANINGS)), st.lists(st.sampled_from(sorted(MEANINGS)), max_size=4))
def test_the_short_way_and_the_long_way_read_the_same(last, before):
    """A frame of the usual form takes a short way. Written otherwise it means the same."""
    quick, slow = ChatDecoder(), ChatDecoder()
    for meaning in [*before, last]:
        one = MEANINGS[meaning][0]
        other = one.replace(b"data: ", b"data:")
        assert quick.decode(one)[1] == slow.decode(other)[1]


def test_every_provider_says_who_it_is_once():
    decoder = ChatDecoder()
    assert decoder.decode(frame({"id": "", "model": "", "choices": []}))[1] == (Opaque(),)
    assert decoder.decode(chunk("a"))[1] == (START, Text("a"))
    assert decoder.decode(chunk("b"))[1] == (Text("b"),)


def test_only_events_of_output_are_tokens():
    tokens = {Text, Reasoning, Refusal, ToolArguments, Media}
    for _, wanted in MEANINGS.values():
        assert all(event.token is (type(event) in tokens) for event in wanted)


# -- tool calls -------------------------------------------------------------------------------------------------------


def calls(*fragments: dict[str, object]) -> list[int]:
    found = events(*(delta({"tool_calls": [fragment]}) for fragment in fragments))
    return [event.call for event in found if isinstance(event, ToolArguments)]


def test_tool_calls_are_told_apart_by_index():
    f = {"arguments": "x"}
    assert calls({"index": 0, "function": f}, {"index": 1, "function": f}, {"index": 0, "function": f}) == [0, 1, 0]


def test_tool_calls_without_an_index_are_told_apart_by_id():
    f = {"arguments": "x"}
    assert calls({"id": "a", "function": f}, {"id": "b", "function": f}, {"id": "a", "function": f}) == [0, 1, 0]


def test_a_fragment_with_neither_goes_to_the_call_that_is_open():
    f = {"arguments": "x"}
    assert calls({"id": "a", "function": f}, {"id": "b", "function": f}, {"function": f}) == [0, 1, 1]


def test_indices_with_holes_become_ordinals():
    f = {"arguments": "x"}
    assert calls({"index": 3, "function": f}, {"index": 5, "function": f}, {"index": 3, "function": f}) == [0, 1, 0]


def test_a_fragment_that_says_nothing_is_no_output():
    assert calls({"index": 0, "function": {"name": "", "arguments": ""}}) == []
    assert events(delta({"tool_calls": [7, {"index": 0, "function": "f"}]})) == []


# -- mendings ---------------------------------------------------------------------------------------------------------


def test_the_usage_frame_is_for_who_asked():
    assert handed_on(usage(), expose_usage=True) == [usage()]
    assert handed_on(usage(), expose_usage=False) == [None]
    assert events(usage(), expose_usage=False) == [UsageReport(Usage(9, 2), alone=True)]


def test_usage_beside_choices_is_for_everybody():
    with_finish = finish(usage={"prompt_tokens": 1, "completion_tokens": 1})
    assert handed_on(with_finish, expose_usage=False) == [with_finish]


def test_a_second_finish_that_says_nothing_new_is_left_out():
    assert handed_on(chunk("a"), finish(), finish())[-1] is None
    assert events(chunk("a"), finish(), finish())[-1] == Finish("stop", again=True)


def test_a_second_finish_that_contradicts_the_first_is_left_out():
    assert handed_on(chunk("a"), finish("tool_calls"), finish("stop"))[-1] is None


def test_what_comes_with_a_second_finish_stays():
    late = delta({"content": "b"}, finish="length", later=1)
    mended = handed_on(chunk("a"), finish("stop"), late)[-1]
    body = json.loads(parse(mended or b"").data or b"")
    assert body["later"] == 1
    assert body["choices"] == [{"index": 0, "delta": {"content": "b"}, "finish_reason": None}]


def test_a_finish_of_another_choice_is_no_second_one():
    assert handed_on(finish(), finish(choice=1)) == [finish(), finish(choice=1)]


@pytest.mark.parametrize(
    "block", [b"id: 1\n\n", b"retry: 5\n\n", b"event: ping\n\n", b"data:\n\n", b"data: \n\n", b"data\n\n"]
)
def test_blocks_on_which_clients_die_are_left_out(block):
    assert handed_on(block) == [None]


def test_ids_are_left_out_because_clients_die_of_comments_after_one():
    assert handed_on(b"id: 1\n" + chunk("a"), b": x\n\n") == [chunk("a"), b": x\n\n"]
    assert handed_on(chunk("a").replace(b"\n", b"\r\n").replace(b"\r\n", b"\r\nid: 1\r\n", 1)) == [
        chunk("a").replace(b"\n", b"\r\n")
    ]


def test_identity_is_pinned_where_asked():
    other = chunk("b").replace(b'"c1"', b'"c2"').replace(b'"created":1', b'"created":2').replace(b'"m"', b'"m2"')
    assert handed_on(chunk("a"), other, pin_identity=True) == [chunk("a"), chunk("b")]
    assert handed_on(chunk("a"), other) == [chunk("a"), other]


def test_fields_that_nobody_knows_survive():
    strange = chunk("a", obfuscation="zz", service_tier="x", new={"deep": [None]})
    assert handed_on(strange) == [strange]


# -- the end ----------------------------------------------------------------------------------------------------------


def after(*several: bytes) -> ChatDecoder:
    decoder = ChatDecoder()
    for one in several:
        decoder.decode(one)
    return decoder


CUT = "the stream ended before the answer was finished"
BROKEN = "the connection broke before the end marker"
ENDS = {
    "finish and marker": ((chunk("a"), finish(), DONE), None, None),
    "marker alone": ((chunk("a"), DONE), None, None),
    "finish alone": ((chunk("a"), finish()), None, BROKEN),
    "neither": ((chunk("a"),), CUT, CUT),
    "nothing": ((), CUT, CUT),
    "one of two choices": ((chunk("a"), chunk("b", choice=1), finish()), CUT, CUT),
    "both choices": ((chunk("a"), chunk("b", choice=1), finish(), finish(choice=1)), None, BROKEN),
}


@pytest.mark.parametrize("name", ENDS)
def test_the_end_of_a_connection_is_an_end_only_after_a_finish(name):
    several, clean, broken = ENDS[name]
    assert after(*several).incomplete(clean=True) == clean
    assert after(*several).incomplete(clean=False) == broken


def test_what_was_tolerated_has_a_name():
    assert after(chunk("a"), finish(), DONE).oddities() == []
    assert after(chunk("a"), DONE).oddities() == ["unfinished_choice"]
    assert after(chunk("a"), finish()).oddities() == ["no_end_marker"]


def test_an_empty_answer_is_right_where_the_provider_says_so():
    assert not after(role(), finish()).empty_is_right
    assert after(role(), finish("length")).empty_is_right
    assert after(role(), finish("content_filter")).empty_is_right
    assert after(role(), finish(), usage(9, 5)).empty_is_right
    assert not after(role(), finish(), usage(9, 0)).empty_is_right


def test_a_last_block_that_lacks_its_blank_line_counts():
    decoder = after(chunk("a"))
    assert decoder.close(finish()[:-1]) == (finish(), (Finish("stop"),))
    assert decoder.incomplete(clean=True) is None
    marker = after(chunk("a"))
    assert marker.close(DONE[:-2]) == (DONE[:-2], (EndMarker(),))


def test_half_a_frame_is_not_handed_on():
    assert after().close(chunk("a")[:-9]) == (None, ())
    assert after().close(b"data: [DO") == (None, ())
    assert after().close(b": comm") == (None, ())


def test_an_error_without_a_frame_is_seen_at_the_end():
    decoder = after(chunk("a"))
    (report,) = decoder.close(b'{"error":{"message":"bad","code":503}}')[1]
    assert isinstance(report, ErrorReport) and report.status == 503
    assert decoder.failed


def test_blank_bytes_at_the_end_are_handed_on():
    assert after().close(b"\n") == (b"\n", ())
    assert after().close(b"") == (None, ())
