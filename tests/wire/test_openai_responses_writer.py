"""The openai-responses writer: whatever events come, in whatever order, the stream is legal and says what they said."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.events import (
    Annotation,
    EndMarker,
    Event,
    Finish,
    Heartbeat,
    Internal,
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
from penstock.testing.responses import read
from penstock.usage import Usage
from penstock.wire.openai_responses import ResponsesDecoder
from penstock.wire.openai_responses_client import ResponsesClient, read_request

WORDS = st.text(min_size=1, max_size=5)
CALLS = st.integers(0, 2)
EVENTS = st.one_of(
    st.builds(Text, WORDS),
    st.builds(Reasoning, WORDS),
    st.builds(Refusal, WORDS),
    st.builds(ReasoningSeal, WORDS, st.booleans()),
    st.builds(ToolArguments, CALLS, st.sampled_from(["", "id"]), st.sampled_from(["", "f"]), st.text(max_size=4)),
    st.builds(Annotation, url=st.sampled_from(["", "u"]), start=st.none() | st.integers(0, 9)),
    st.builds(Text, WORDS, st.just(1)),
    st.builds(Start, st.sampled_from(["", "x"]), st.sampled_from(["", "m"]), st.none() | st.integers(1, 9)),
    st.builds(UsageReport, st.builds(Usage, st.none() | st.integers(0, 9), st.none() | st.integers(0, 9))),
    st.sampled_from([Internal("x"), Media("x"), Heartbeat(), Opaque(), EndMarker()]),
    st.sampled_from(
        [Finish("x", kind=kind) for kind in ("stop", "tool_calls", "length", "content_filter", "pause", "error")]
    ),
)
FRAMES = st.lists(st.lists(EVENTS, max_size=3).map(tuple), max_size=12)


def client(**fields) -> ResponsesClient:
    body = b'{"model":"gpt","input":"Hi","temperature":0.5,"metadata":{"a":"b"},"tools":null}'
    return ResponsesClient(read_request(body), "s1")


def written(frames, stop: bool = False):
    writer = client().writer()
    out = b"".join(writer.write(events) for events in frames)
    out += writer.stop() if stop else writer.end()
    assert writer.end() == writer.stop() == writer.write((Text("late"),)) == b""
    return read(out)


def before_the_finish(frames) -> list[Event]:
    told: list[Event] = []
    for event in (event for events in frames for event in events):
        if isinstance(event, Finish):
            break
        told.append(event)
    return told


def said(events, kind) -> str:
    return "".join(event.text for event in events if isinstance(event, kind) and event.choice == 0)


@given(FRAMES, st.booleans())
def test_any_order_of_events_is_a_legal_stream(frames, stop):
    told, got = before_the_finish(frames), written(frames, stop)
    assert (got.text, got.reasoning, got.refusal) == (said(told, Text), said(told, Reasoning), said(told, Refusal))
    asked: dict[int, str] = {}
    for event in told:
        if isinstance(event, ToolArguments):
            asked[event.call] = asked.get(event.call, "") + event.arguments
    finish = next((event.kind for events in frames for event in events if isinstance(event, Finish)), None)
    whole = finish not in ("length", "content_filter", "error") and not (stop and finish is None)
    assert [arguments for _, arguments in got.calls] == [piece or ("{}" if whole else "") for piece in asked.values()]
    status = {"length": "incomplete", "content_filter": "incomplete", "error": "failed"}.get(finish or "", "completed")
    assert got.response["status"] == status


@given(FRAMES)
def test_what_is_written_is_read_as_the_same_events(frames):
    """The way there and back: decoder after writer."""
    writer, decoder = client().writer(), ResponsesDecoder()
    body = b"".join(writer.write(events) for events in frames) + writer.end()
    found = [event for one in body.split(b"\n\n") if one for event in decoder.decode(one + b"\n\n")[1]]
    told = before_the_finish(frames)
    for kind in (Text, Reasoning, Refusal):
        assert said(found, kind) == said(told, kind)
    if decoder.failed:
        assert any(isinstance(event, Finish) and event.kind == "error" for events in frames for event in events)
    else:
        assert decoder.incomplete(clean=True) is None


FINISHES = {
    "stop": ("response.completed", None),
    "stop_sequence": ("response.completed", None),
    "tool_calls": ("response.completed", None),
    "pause": ("response.completed", None),
    "length": ("response.incomplete", "max_output_tokens"),
    "content_filter": ("response.incomplete", "content_filter"),
    "error": ("response.failed", None),
}


@pytest.mark.parametrize("kind", FINISHES)
def test_every_finish_has_its_terminal_event(kind):
    got = written([(Text("Hi"),), (Finish("x", kind=kind),)])
    name, reason = FINISHES[kind]
    assert got.events[-1]["type"] == name
    assert (got.response["incomplete_details"] or {}).get("reason") == reason
    assert (got.response["error"] is not None) == (kind == "error")


def test_usage_that_comes_late_is_in_the_terminal_event():
    got = written([(Text("Hi"),), (Finish("stop"),), (UsageReport(Usage(5, 2, 1, 4, 3)),)])
    assert got.response["usage"] == {
        "input_tokens": 12,
        "input_tokens_details": {"cached_tokens": 4, "cache_write_tokens": 3},
        "output_tokens": 3,
        "output_tokens_details": {"reasoning_tokens": 1},
        "total_tokens": 15,
    }


def test_usage_that_nobody_reported_is_nothing_but_whole():
    """OpenAI's SDK wants every field of it."""
    usage = written([(Text("Hi"),), (Finish("stop"),)]).response["usage"]
    assert usage["input_tokens_details"] == {"cached_tokens": 0, "cache_write_tokens": 0}


def test_an_answer_that_failed_has_the_usage_that_was_reported():
    got = written([(Text("Hi"),), (UsageReport(Usage(5, 2)), Finish("error", kind="error"))])
    assert got.response["status"] == "failed" and got.response["usage"]["total_tokens"] == 7


def test_the_response_repeats_the_request():
    got = written([(Start("other", "served", 5), Text("Hi")), (Finish("stop"),)])
    response = got.response
    assert (response["id"], response["model"], response["created_at"]) == ("resp_s1", "served", 5)
    assert (response["temperature"], response["metadata"], response["tools"]) == (0.5, {"a": "b"}, [])
    assert response["tool_choice"] == "auto" and response["parallel_tool_calls"] is True
    assert got.events[0]["response"] == got.events[1]["response"]
    assert got.events[0]["response"]["status"] == "in_progress" and got.events[0]["response"]["output"] == []


def test_ids_are_the_same_every_time():
    frames = [(Reasoning("a"), Text("b"), ToolArguments(0, "", "f"), Finish("tool_calls"))]
    one, other = written(frames), written(frames)
    assert one.events == other.events
    assert [item["id"] for item in one.response["output"]] == ["rs_s1_0", "msg_s1_1", "fc_s1_2"]
    assert one.response["output"][2]["call_id"] == "call_s1_0"


def test_reasoning_carries_its_seal():
    got = written(
        [(Reasoning("a"), ReasoningSeal("sig"), ReasoningSeal("data", redacted=True), Text("b"), Finish("stop"))]
    )
    thought, withheld, _ = got.response["output"]
    assert thought["summary"] == [{"type": "summary_text", "text": "a"}] and thought["encrypted_content"] == "sig"
    assert withheld["summary"] == [] and withheld["encrypted_content"] == "redacted:data"


def test_a_seal_without_its_text_has_an_item_of_its_own():
    (sealed,) = written([(ReasoningSeal("sig"), Finish("stop"))]).response["output"]
    assert (sealed["summary"], sealed["encrypted_content"]) == ([], "sig")


def test_calls_side_by_side_and_their_signature():
    calls = (
        ToolArguments(0, "a", "f", '{"x":', signature="s"),
        ToolArguments(1, "b", "g"),
        ToolArguments(0, arguments="1}"),
        Text("and"),
        ToolArguments(2, "c", "h", "[]"),
        Finish("tool_calls", kind="tool_calls"),
    )
    got = written([calls])
    assert got.calls == [("f", '{"x":1}'), ("g", "{}"), ("h", "[]")]
    assert [item["type"] for item in got.response["output"]] == [
        "function_call",
        "function_call",
        "message",
        "function_call",
    ]
    assert got.response["output"][0]["extra_content"] == {"google": {"thought_signature": "s"}}
    assert {item["status"] for item in got.response["output"]} == {"completed"}


def test_a_call_without_room_is_incomplete():
    got = written([(ToolArguments(0, "a", "f", '{"x":'), Finish("length", kind="length"))])
    (item,) = got.response["output"]
    assert (item["status"], item["arguments"]) == ("incomplete", '{"x":')


def test_a_call_that_is_stopped_is_nobodys_to_carry_out():
    got = written([(Text("Hi"), ToolArguments(0, "a", "f", '{"x":'))], stop=True)
    assert [item["type"] for item in got.response["output"]] == ["message"]
    done = [event["item"]["type"] for event in got.events if event["type"] == "response.output_item.done"]
    assert done == ["message"] and got.response["status"] == "completed"


def test_a_citation_is_in_its_part():
    cited = Annotation("u", "t", start=1, end=2)
    got = written([(Text("Hi"), cited, Annotation("v")), (Text("!"), Finish("stop"))])
    (part,) = got.response["output"][0]["content"]
    places = [(one["url"], one["start_index"], one["end_index"]) for one in part["annotations"]]
    assert places == [("u", 1, 2), ("v", 0, 2)]
    assert written([(cited, Finish("stop"))]).response["output"] == []


def test_text_and_refusal_are_parts_of_one_message():
    (item,) = written([(Text("Hi"), Refusal("no"), Finish("stop"))]).response["output"]
    assert [part["type"] for part in item["content"]] == ["output_text", "refusal"]


def test_a_lone_surrogate_is_written():
    writer = client().writer()
    body = writer.write((Text("\ud83d"), Finish("stop"))) + writer.end()
    assert b"\\ud83d" in body
