"""cohere-chat (v2), upstream side: every row of the format, every mending, every ending (wire-formats.md §5.1)."""

from __future__ import annotations

import json

import pytest

from penstock.errors import Fault
from penstock.events import (
    Annotation,
    EndMarker,
    ErrorReport,
    Finish,
    Heartbeat,
    Malformed,
    Opaque,
    Reasoning,
    Start,
    Text,
    ToolArguments,
    UsageReport,
)
from penstock.framing.sse import SSEFramer, parse
from penstock.outcome import Outcome
from penstock.stream.commands import End
from penstock.testing.corpus import examples
from penstock.testing.laws import check_laws
from penstock.testing.messages import plan
from penstock.testing.run import Ends, Opens, Responds, Sends, run, script
from penstock.testing.wire_cases import assert_meant, chat_chunks, chat_says, read
from penstock.usage import Usage
from penstock.wire.cohere_chat import CohereDecoder, event_frame, read_usage
from penstock.wire.cohere_chat_wire import CohereUpstream
from penstock.wire.cohere_errors import error_body, error_frame

EXAMPLES = examples("cohere-chat")
by_name = pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.file)
COMPLETED = [example for example in EXAMPLES if example.outcome == "completed"]
completed = pytest.mark.parametrize("example", COMPLETED, ids=lambda example: example.file)
WIRES = {"client": "cohere-chat", "upstream": "cohere-chat"}
CALL = {"id": "c", "type": "function", "function": {"name": "f", "arguments": ""}}


def said(kind, index=None, **message):
    body = {"type": kind, **({} if index is None else {"index": index}), "delta": {"message": message}}
    return event_frame(body)


def ended(reason, **delta):
    return event_frame({"type": "message-end", "delta": {"finish_reason": reason, **delta}})


def payloads(body):
    return [payload for frame in SSEFramer().feed(body) if (payload := parse(frame).data) is not None]


@pytest.mark.parametrize(
    ("frame", "events"),
    [
        (
            event_frame({"type": "message-start", "id": "m-1", "delta": {"message": {"content": []}}}),
            (Start("m-1", ""),),
        ),
        (said("content-start", 0, content={"type": "text", "text": ""}), (Opaque(),)),
        (said("content-start", 0, content={"type": "text", "text": "Hi"}), (Text("Hi"),)),
        (said("content-delta", 0, content={"text": "Hi"}), (Text("Hi"),)),
        (said("content-delta", 0, content={"text": ""}), (Opaque(),)),
        (said("content-delta", 0, content={"thinking": "hm"}), (Reasoning("hm"),)),
        (said("content-delta", 0, content={"thinking": "hm", "text": "Hi"}), (Reasoning("hm"), Text("Hi"))),
        (event_frame({"type": "content-end", "index": 0}), (Opaque(),)),
        (said("tool-plan-delta", tool_plan="I will"), (Reasoning("I will"),)),
        (said("tool-call-start", 0, tool_calls=CALL), (ToolArguments(0, "c", "f", ""),)),
        (
            said("tool-call-delta", 3, tool_calls={"function": {"arguments": '{"a'}}),
            (ToolArguments(0, arguments='{"a'),),
        ),
        (said("tool-call-delta", 3, tool_calls={"function": {"arguments": ""}}), (Opaque(),)),
        (
            said("citation-start", 0, citations={"start": 1, "end": 2, "text": "x", "sources": []}),
            (Annotation(cited="x", start=1, end=2, native={"start": 1, "end": 2, "text": "x", "sources": []}),),
        ),
        (event_frame({"type": "citation-end", "index": 0}), (Opaque(),)),
        (event_frame({"type": "debug", "prompt": "p"}), (Opaque(),)),
        (event_frame({"type": "novelty", "delta": {"message": {"content": {"text": "x"}}}}), (Opaque(),)),
        (b"data: [DONE]\n\n", (EndMarker(),)),
        (b": ping\n\n", (Heartbeat(),)),
        (b'event: content-delta\ndata: "text"\n\n', (Malformed("its data is JSON but no object"),)),
        (b"event: content-delta\ndata: {bad\n\n", (Malformed("its data is not JSON"),)),
        (b'event: content-delta\ndata: {"delta":{"message":{"content":{"text":"no type"}}}}\n\n', (Text("no type"),)),
        (
            b'data: {"type":"content-delta","delta":{"message":{"content":{"text":"no event"}}}}\n\n',
            (Text("no event"),),
        ),
    ],
)
def test_a_frame_means(frame, events):
    assert CohereDecoder().decode(frame)[1] == events


@pytest.mark.parametrize(
    ("reason", "kind"),
    [
        ("COMPLETE", "stop"),
        ("STOP_SEQUENCE", "stop_sequence"),
        ("MAX_TOKENS", "length"),
        ("TOOL_CALL", "tool_calls"),
        ("NOVELTY", "stop"),
    ],
)
def test_every_finish(reason, kind):
    assert CohereDecoder().decode(ended(reason))[1] == (Finish(reason, kind=kind),)


@pytest.mark.parametrize(
    ("frame", "report"),
    [
        (ended("ERROR", error="boom"), ErrorReport("boom")),
        (ended("ERROR"), ErrorReport("the provider ended its answer with ERROR")),
        (ended("TIMEOUT", error="slow"), ErrorReport("slow", code="TIMEOUT", status=504)),
        (
            ended("ERROR_LIMIT"),
            ErrorReport("the provider ended its answer with ERROR_LIMIT", code="ERROR_LIMIT", status=400),
        ),
        (ended("COMPLETE", error="odd"), ErrorReport("odd", code="COMPLETE")),
        (
            ended("ERROR", error="boom", error_type="INVALID_TOOL_GENERATION"),
            ErrorReport("boom", "INVALID_TOOL_GENERATION", "INVALID_TOOL_GENERATION", 422),
        ),
        (b'data: {"message":"boom","id":"x"}\n\n', ErrorReport("boom", fields={"id": "x"})),
        (b'event: error\ndata: {"type":"error","message":"boom"}\n\n', ErrorReport("boom")),
        (b'event: error\ndata: {"error":{"message":"boom"}}\n\n', ErrorReport("boom")),
    ],
)
def test_every_error(frame, report):
    decoder = CohereDecoder()
    assert decoder.decode(frame)[1] == (report,)
    assert decoder.failed and decoder.incomplete(clean=True) == "the provider reported an error"


@pytest.mark.parametrize(
    ("raw", "usage"),
    [
        ({"tokens": {"input_tokens": 60, "output_tokens": 9}, "billed_units": {"input_tokens": 5}}, Usage(60, 9)),
        (
            {"tokens": {"input_tokens": 60, "output_tokens": 9, "reasoning_tokens": 5}, "cached_tokens": 48},
            Usage(12, 4, 5, 48),
        ),
        ({"billed_units": {"input_tokens": 5.0, "output_tokens": 3.0}}, Usage(5, 3)),
        ({"tokens": {}, "billed_units": {"search_units": 1}}, None),
        ({}, None),
        (None, None),
        ("no", None),
    ],
)
def test_usage(raw, usage):
    assert read_usage(raw) == usage


def test_a_call_without_arguments_has_some_by_its_end():
    decoder, start = CohereDecoder(), said("tool-call-start", 0, tool_calls=CALL)
    assert decoder.decode(start)[1] == (ToolArguments(0, "c", "f"),)
    end = event_frame({"type": "tool-call-end", "index": 0})
    assert decoder.decode(end) == (end, (ToolArguments(0, arguments="{}"),))
    assert decoder.decode(end)[1] == (Opaque(),)


def test_a_call_whose_end_never_came_has_some_by_the_answer_s_end():
    for reason, arguments in (("TOOL_CALL", ["{}"]), ("MAX_TOKENS", [])):
        decoder = CohereDecoder()
        decoder.decode(said("tool-call-start", 0, tool_calls=CALL))
        events = decoder.decode(ended(reason))[1]
        assert [event.arguments for event in events if isinstance(event, ToolArguments)] == arguments


@pytest.mark.parametrize(
    ("frame", "handed_on"),
    [
        (b"data:\n\n", None),
        (b"event: ping\n\n", None),
        (b"id: 7\n\n", None),
        (b"retry: 300\n\n", None),
        (b"novel: field\n\n", b"novel: field\n\n"),
        (b"\n", b"\n"),
        (
            said("content-delta", 0, content={"text": "a"}).replace(b'"a"', '"a\u2028b\x85c\u2029"'.encode()),
            said("content-delta", 0, content={"text": "a"}).replace(b'"a"', b'"a\\u2028b\\u0085c\\u2029"'),
        ),
    ],
)
def test_mendings(frame, handed_on):
    assert CohereDecoder().decode(frame)[0] == handed_on


def test_a_stop_closes_what_is_open():
    decoder = CohereDecoder()
    decoder.decode(event_frame({"type": "message-start", "id": "m-1", "delta": {"message": {}}}))
    decoder.decode(said("content-start", 2, content={"type": "text", "text": ""}))
    decoder.decode(said("content-delta", 2, content={"text": "Hi"}))
    *events, done = payloads(decoder.stop())
    assert done == b"[DONE]"
    assert [json.loads(event)["type"] for event in events] == ["content-end", "message-end"]
    assert json.loads(events[0])["index"] == 2
    assert json.loads(events[1])["delta"]["finish_reason"] == "COMPLETE"
    decoder.decode(event_frame({"type": "content-end", "index": 2}))
    assert [json.loads(event)["type"] for event in payloads(decoder.stop())[:-1]] == ["message-end"]


@by_name
def test_an_example_means_what_its_index_says(example):
    _, events, _ = read("cohere-chat", [example.read()])
    assert_meant(example, events)


@by_name
@pytest.mark.parametrize("size", [1, 7, 1 << 20])
def test_an_example_ends_as_it_should_and_arrives_as_it_was(example, size):
    data = example.read()
    transcript = run(plan(**WIRES), [script(*(data[i : i + size] for i in range(0, len(data), size)), gap=0.0)])
    assert transcript.outcome == example.outcome
    if example.identical:
        assert transcript.body == data
    if example.outcome == "completed":
        assert transcript.account.warnings == example.oddities
        assert End() in transcript.commands
        check_laws(transcript, replay=False)
    elif transcript.head.status == 200:
        last = json.loads(payloads(transcript.body)[-1])
        assert (last["type"], last["delta"]["finish_reason"]) == ("message-end", "ERROR")
        assert last["delta"]["stream"] == "st_play" and last["delta"]["error"]
        assert last["delta"]["usage"]["tokens"] == {"input_tokens": 0, "output_tokens": 0}
        assert End(cut=True) in transcript.commands
    else:
        body = json.loads(transcript.body)
        assert body["message"] and body["stream"] == "st_play" and End() in transcript.commands


def test_the_end_behind_an_error_is_clean_where_it_is_wanted():
    transcript = run(plan(done_after_error=True, **WIRES), [script(said("content-delta", 0, content={"text": "Hi"}))])
    assert payloads(transcript.body)[-1] == b"[DONE]" and End() in transcript.commands


@completed
def test_a_chat_client_reads_the_same(example):
    transcript = run(plan(client="openai-chat", upstream="cohere-chat"), [script(example.read())])
    assert transcript.outcome is Outcome.COMPLETED
    chunks = chat_chunks(transcript.body)
    assert chat_says(chunks) == (example.text, example.reasoning, example.tools)
    if example.file == "citations.sse":
        notes = [
            note for chunk in chunks for choice in chunk["choices"] for note in choice["delta"].get("annotations", ())
        ]
        assert notes == [
            {
                "index": 0,
                "type": "url_citation",
                "url_citation": {
                    "url": "https://rivers.example/weir", "title": "Rivers", "start_index": 4, "end_index": 8,
                },
            }
        ]  # fmt: skip


def test_the_answer_goes_on_until_done_came():
    """``message-end`` says that it is whole; its clients get the provider's ``[DONE]`` all the same."""
    decoder = CohereDecoder()
    decoder.decode(said("content-delta", 0, content={"text": "Hi"}))
    events = decoder.decode(ended("COMPLETE", usage={"tokens": {"input_tokens": 1, "output_tokens": 2}}))[1]
    assert [type(event) for event in events] == [UsageReport, Finish]
    assert decoder.finished and not decoder.marked
    assert decoder.incomplete(clean=False) is None and decoder.oddities() == []


def test_a_broken_connection_behind_message_end_takes_nothing_away():
    data = said("content-delta", 0, content={"text": "Hi"}) + ended("COMPLETE")
    assert run(plan(**WIRES), [script(data, clean=False)]).outcome is Outcome.COMPLETED
    silent = [(0.1, Opens()), (0.1, Responds()), (0.1, Sends(data))]
    assert run(plan(**WIRES), [silent]).outcome is Outcome.COMPLETED


# -- bodies -----------------------------------------------------------------------------------------------------------


def answered(data, status=200, **wires):
    head = Responds(status, ((b"content-type", b"application/json"),))
    steps = [(0.1, Opens()), (0.1, head), (0.1, Sends(data)), (0.0, Ends())]
    return run(plan(**(wires or WIRES)), [steps])


def test_a_whole_answer_becomes_a_stream_and_the_same_whole():
    answer = {
        "id": "m-1",
        "message": {
            "role": "assistant",
            "tool_plan": "I will.",
            "content": [{"type": "thinking", "thinking": "hm"}, {"type": "text", "text": "Hi"}],
            "tool_calls": [{"id": "c", "type": "function", "function": {"name": "f", "arguments": '{"a":1}'}}],
            "citations": [{"start": 0, "end": 2, "text": "Hi", "sources": []}],
        },
        "finish_reason": "TOOL_CALL",
        "usage": {"tokens": {"input_tokens": 3, "output_tokens": 2}},
    }
    transcript = answered(json.dumps(answer).encode())
    assert transcript.outcome is Outcome.COMPLETED
    kinds = [json.loads(payload)["type"] for payload in payloads(transcript.body)[:-1]]
    assert kinds == [
        "message-start", "tool-plan-delta", "content-start", "content-delta", "content-end", "content-start",
        "content-delta", "content-end", "tool-call-start", "tool-call-delta", "tool-call-end", "citation-start",
        "citation-end", "message-end",
    ]  # fmt: skip
    folded = answered(json.dumps(answer).encode(), stream=False, **WIRES)
    assert json.loads(folded.body) == answer


def test_an_error_document_in_place_of_a_stream():
    transcript = answered(b'{"message":"boom"}')
    assert (transcript.outcome, transcript.head.status) == (Outcome.UPSTREAM_ERROR, 502)
    assert json.loads(transcript.body)["message"] == "boom"


def test_an_http_error_goes_on_as_it_is():
    transcript = answered(b'{"id":"x","message":"invalid api token"}', 401)
    assert (transcript.head.status, transcript.body) == (401, b'{"id":"x","message":"invalid api token"}')


def test_an_error_that_penstock_wrote_is_read_back():
    fault = Fault("slow down", "rate_limited", "rate_limit_error", 429, outcome="upstream_error")
    report = CohereUpstream().error(error_body(fault, "st_1"))
    assert (report.message, report.code, report.type, report.status) == (
        "slow down",
        "rate_limited",
        "rate_limit_error",
        429,
    )
    (report,) = CohereDecoder().decode(error_frame(fault, "st_1"))[1]
    assert (report.message, report.code, report.type, report.status) == (
        "slow down",
        "rate_limited",
        "rate_limit_error",
        429,
    )


def test_what_it_sends():
    wire = CohereUpstream()
    assert wire.credentials("k") == [("authorization", "Bearer k")]
    assert dict(wire.headers(None))["accept"] == "text/event-stream"
    assert wire.path(None, "m") == "/v2/chat"
