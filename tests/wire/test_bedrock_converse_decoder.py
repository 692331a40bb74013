"""ConverseStream: every event of the wire, every ending, every error."""

from __future__ import annotations

import base64
import struct
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.events import (
    Annotation,
    EndMarker,
    ErrorReport,
    Finish,
    Internal,
    Malformed,
    Media,
    Opaque,
    Reasoning,
    ReasoningSeal,
    Start,
    Text,
    ToolArguments,
    UsageReport,
)
from penstock.framing import eventstream
from penstock.testing.bedrock import (
    START,
    answer,
    arguments,
    closed,
    delta,
    error,
    exception,
    frame,
    metadata,
    read,
    stop,
    text,
    thought,
    tool,
)
from penstock.usage import Usage
from penstock.wire.bedrock_blocks import redacted_of, seal_of
from penstock.wire.bedrock_converse import ConverseDecoder


def events(*frames: bytes) -> list[object]:
    """The events of frames, but for those that mean nothing."""
    return [event for event in read(b"".join(frames)).events if not isinstance(event, Opaque)]


def test_an_answer() -> None:
    seen = read(answer("Hel", "lo"))
    assert [event for event in seen.events if not isinstance(event, Opaque)] == [
        Start("", ""),
        Text("Hel"),
        Text("lo"),
        Finish("end_turn"),
        UsageReport(Usage(input=9, output=2)),
        EndMarker(),
    ]
    assert seen.missing is None and seen.decoder.marked and seen.decoder.finished and not seen.decoder.oddities()
    assert seen.bytes == answer("Hel", "lo")


def test_the_usual_delta_is_read_quickly() -> None:
    decoder = ConverseDecoder()
    for body, event in (
        (text("a"), Text("a")),
        (thought(text="b"), Reasoning("b")),
        (arguments("{"), ToolArguments(0, "", "", "{")),
    ):
        payload = eventstream.open_frame(body)[1]
        assert decoder._plain_delta(payload) == event
        assert decoder.decode(body) == (body, (event,))


@pytest.mark.parametrize(
    "empty", [text(""), thought(text=""), arguments(""), delta(), delta(unknown=1), delta(text=None)]
)
def test_empty_deltas_are_no_tokens(empty: bytes) -> None:
    assert ConverseDecoder().decode(empty) == (empty, (Opaque(),))


def test_calls() -> None:
    stream = (
        START + tool("look", 0, "a") + arguments('{"q":') + arguments("1}") + closed(0) + tool("go", 1, "b") + closed(1)
    )
    assert events(stream, stop("tool_use"), metadata()) == [
        Start("", ""),
        ToolArguments(0, "a", "look"),
        ToolArguments(0, "", "", '{"q":'),
        ToolArguments(0, "", "", "1}"),
        ToolArguments(1, "b", "go"),
        ToolArguments(1, "", "", "{}"),
        Finish("tool_use", kind="tool_calls"),
        UsageReport(Usage(input=9, output=2)),
        EndMarker(),
    ]


def test_calls_that_interleave_are_told_apart_by_their_index() -> None:
    assert events(tool("a", 3, "x"), tool("b", 5, "y"), arguments("1", 5), arguments("2", 3)) == [
        ToolArguments(0, "x", "a"),
        ToolArguments(1, "y", "b"),
        ToolArguments(1, "", "", "1"),
        ToolArguments(0, "", "", "2"),
    ]


def test_a_tool_of_the_provider_asks_nothing_of_the_client() -> None:
    stream = tool("nova_grounding", type="server_tool_use") + arguments('{"query":"x"}') + closed()
    result = frame("contentBlockStart", {"contentBlockIndex": 1, "start": {"toolResult": {"toolUseId": "t"}}})
    result += delta(1, toolResult=[{"text": "[HIDDEN]"}]) + closed(1)
    assert events(stream, result) == [Internal('{"query":"x"}')]
    assert events(stream, tool("mine", 2, type="tool_use")) == [
        Internal('{"query":"x"}'),
        ToolArguments(0, "tooluse_1", "mine"),
    ]


def test_reasoning_and_its_seal() -> None:
    stream = thought(text="Let") + thought(text=" me") + thought(signature="Eq") + thought(signature="QB") + closed()
    assert events(stream) == [Reasoning("Let"), Reasoning(" me"), ReasoningSeal("EqQB")]
    assert events(thought(text="a", signature="s"), closed()) == [Reasoning("a"), ReasoningSeal("s")]


def test_redacted_reasoning_is_anthropics_own_data() -> None:
    data = base64.b64encode(b"EtkECkgIBxAB").decode()
    assert events(thought(redactedContent=data), closed()) == [ReasoningSeal("EtkECkgIBxAB", redacted=True)]
    halves = base64.b64encode(b"EtkE").decode(), base64.b64encode(b"Ckg=").decode()
    assert events(*(thought(redactedContent=half) for half in halves), closed()) == [
        ReasoningSeal("EtkECkg=", redacted=True)
    ]
    assert redacted_of("EtkECkgIBxAB") == data


@given(st.binary(min_size=1))
def test_any_redacted_content_finds_its_way_back(data: bytes) -> None:
    assert base64.b64decode(redacted_of(seal_of(data))) == data


def test_citations() -> None:
    web = {"location": {"web": {"url": "https://a.example/", "domain": "a.example"}}}
    document = {
        "title": "policy",
        "sourceContent": [{"text": "20 "}, {"text": "days"}],
        "location": {"documentChar": {"documentIndex": 0, "start": 0, "end": 7}},
    }
    assert events(delta(citation=web), delta(citation=document)) == [
        Annotation("https://a.example/", "a.example", native=web),
        Annotation("", "policy", "20 days", native=document),
    ]


def test_images() -> None:
    start = frame("contentBlockStart", {"contentBlockIndex": 0, "start": {"image": {"format": "png"}}})
    assert events(start, delta(image={"source": {"bytes": "aGk="}}), closed()) == [Media()]


@pytest.mark.parametrize(
    ("reason", "kind"),
    [
        ("end_turn", "stop"),
        ("tool_use", "tool_calls"),
        ("max_tokens", "length"),
        ("model_context_window_exceeded", "length"),
        ("stop_sequence", "stop_sequence"),
        ("guardrail_intervened", "content_filter"),
        ("content_filtered", "content_filter"),
        ("something_new", "stop"),
    ],
)
def test_stop_reasons(reason: str, kind: str) -> None:
    seen = read(START + text("a") + stop(reason) + metadata())
    assert Finish(reason, kind=kind) in seen.events and seen.missing is None  # type: ignore[arg-type]
    assert seen.decoder.oddities() == (["unknown_finish"] if reason == "something_new" else [])


def test_which_sequence_stopped_it() -> None:
    body = stop("stop_sequence", additionalModelResponseFields={"stop_sequence": "END"})
    assert events(body) == [Finish("stop_sequence", kind="stop_sequence", stop_sequence="END")]


@pytest.mark.parametrize("reason", ["malformed_model_output", "malformed_tool_use"])
def test_an_answer_that_the_provider_calls_malformed_is_an_error(reason: str) -> None:
    for ending in (stop(reason) + metadata(), metadata() + stop(reason), stop(reason)):
        seen = read(START + text("a") + ending)
        assert isinstance(seen.events[-1], ErrorReport) and seen.events[-1].code == reason
        assert seen.missing == "the provider reported an error" and not seen.decoder.finished
        assert not any(isinstance(event, Finish | EndMarker) for event in seen.events)
        if ending != stop(reason):
            assert UsageReport(Usage(input=9, output=2)) in seen.events


def test_usage_is_disjoint() -> None:
    body = metadata(11, 236, cacheReadInputTokens=5, cacheWriteInputTokens=1028)
    assert UsageReport(Usage(input=11, output=236, cache_read=5, cache_write=1028)) in events(stop(), body)


def test_usage_may_be_missing_or_nonsense() -> None:
    for body in ({"metrics": {}}, {"usage": None}, {"usage": {"inputTokens": "x", "outputTokens": True}}):
        seen = read(START + text("a") + stop() + frame("metadata", body))
        assert seen.missing is None


# -- endings ------------------------------------------------------------------------------------------------------


def test_metadata_is_waited_for() -> None:
    seen = read(START + text("a") + stop())
    assert seen.missing is None and not seen.decoder.marked and seen.decoder.oddities() == ["no_metadata"]
    assert not any(isinstance(event, EndMarker) for event in seen.events)
    broken = read(START + text("a") + stop(), clean=False)
    assert broken.missing == "the connection broke before the metadata"


def test_metadata_may_come_first() -> None:
    seen = read(START + text("a") + metadata() + stop())
    assert isinstance(seen.events[-1], EndMarker) and seen.missing is None
    assert read(START + text("a") + metadata()).missing == "the stream ended before the answer was finished"


@pytest.mark.parametrize("clean", [True, False])
def test_an_end_inside_a_frame(clean: bool) -> None:
    whole = answer("a", "b")
    for length in range(1, len(whole)):
        seen = read(whole[:length], clean=clean)
        boundary = seen.events[-1] != Malformed("the stream ends inside a frame")
        finished = any(isinstance(event, Finish) for event in seen.events)
        assert (seen.missing is None) == (clean and finished and boundary)
        assert seen.bytes == whole[:length] if boundary else whole.startswith(seen.bytes)


def test_what_is_behind_the_end_does_not_matter() -> None:
    assert read(answer("a") + b"\0\0").missing is None
    assert read(answer("a"), clean=False).missing is None


def test_a_second_finish_is_told_as_one() -> None:
    assert events(stop(), stop("max_tokens")) == [Finish("end_turn"), Finish("max_tokens", again=True)]


def test_blocks_that_were_not_closed() -> None:
    seen = read(START + tool("go") + stop("tool_use") + metadata())
    assert ToolArguments(0, "", "", "{}") in seen.events and seen.decoder.oddities() == ["unfinished_block"]


def test_an_answer_without_output() -> None:
    assert not read(START + stop() + frame("metadata", {"usage": {"outputTokens": 0}})).decoder.empty_is_right
    assert read(START + stop("guardrail_intervened") + metadata(9, 0)).decoder.empty_is_right
    assert read(START + stop() + metadata(9, 5)).decoder.empty_is_right


# -- errors -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "status"),
    [
        ("internalServerException", 500),
        ("modelStreamErrorException", 424),
        ("validationException", 400),
        ("throttlingException", 429),
        ("serviceUnavailableException", 503),
        ("modelTimeoutException", 408),
        ("ThrottlingException", 429),
        ("somethingNewException", 502),
    ],
)
def test_exceptions(name: str, status: int) -> None:
    for before in (b"", START, START + text("a")):
        seen = read(before + exception(name) + answer("never"))
        report = next(event for event in seen.events if isinstance(event, ErrorReport))
        assert (report.type, report.code, report.status, report.message) == (name, name, status, "said the provider")
        assert seen.missing == "the provider reported an error" and not seen.decoder.finished


def test_an_exception_keeps_what_else_it_says() -> None:
    body = exception("modelStreamErrorException", originalStatusCode=500, originalMessage="cuda")
    (report,) = events(body)
    assert isinstance(report, ErrorReport)
    assert report.fields == {"originalStatusCode": 500, "originalMessage": "cuda"}


def test_an_exception_without_sense_is_one_all_the_same() -> None:
    headers = {":exception-type": "throttlingException", ":message-type": "exception"}
    for payload, message in ((b"", "without a message"), (b"slow down", "slow down"), (b"[]", "without a message")):
        (report,) = events(eventstream.encode(headers, payload))
        assert isinstance(report, ErrorReport) and message in report.message and report.status == 429
    (report,) = events(eventstream.encode({":message-type": "exception", ":event-type": "contentBlockDelta"}, b""))
    assert isinstance(report, ErrorReport)


def test_errors_of_the_framing() -> None:
    (report,) = events(error("InternalServerException", "An internal server error occurred"))
    assert report == ErrorReport(
        "An internal server error occurred", "InternalServerException", "InternalServerException", 500
    )


def test_headers_that_cannot_be_read_end_the_answer() -> None:
    twice = b"\x01a\x07\x00\x01x" * 2
    lengths = struct.pack(">II", 16 + len(twice), len(twice))
    body = lengths + struct.pack(">I", zlib.crc32(lengths)) + twice
    (report,) = events(body + struct.pack(">I", zlib.crc32(body)))
    assert isinstance(report, ErrorReport) and "corrupt: its header 'a' comes twice" in report.message


@pytest.mark.parametrize(
    "body",
    [
        eventstream.encode({":event-type": "contentBlockDelta", ":message-type": "event"}, b"{bad"),
        eventstream.encode({":event-type": "messageStop", ":message-type": "event"}, b"[]"),
        frame("contentBlockDelta", {"contentBlockIndex": 0}),
        frame("contentBlockDelta", {"delta": {}}),
        frame("contentBlockStart", {"contentBlockIndex": 0}),
        frame("messageStop", {}),
    ],
)
def test_malformed(body: bytes) -> None:
    seen = read(START + body + text("a") + stop() + metadata())
    assert sum(isinstance(event, Malformed) for event in seen.events) == 1
    assert Text("a") in seen.events and seen.missing is None


def test_unknown_events_and_fields_pass() -> None:
    body = frame("brandNew", {"x": 1}) + frame("initial-response", {}) + eventstream.encode({}, b"")
    body += frame("contentBlockDelta", {"contentBlockIndex": 0, "delta": {"text": "a", "x": {"y": 1}}, "z": []})
    seen = read(START + body + stop() + metadata())
    assert seen.bytes == START + body + stop() + metadata() and seen.missing is None
    assert [event for event in seen.events if isinstance(event, Text)] == [Text("a")]


FRAMES = [
    START,
    text("a"),
    text("", 1),
    thought(text="b"),
    thought(signature="s"),
    thought(redactedContent="RXRr"),
    tool("t"),
    tool("u", 1, "id2"),
    tool("s", 2, type="server_tool_use"),
    arguments("{", 0),
    arguments("}", 1),
    arguments("x", 9),
    closed(0),
    closed(1),
    stop(),
    stop("malformed_tool_use"),
    metadata(),
    exception("throttlingException"),
    delta(citation={"title": "t"}),
    frame("contentBlockDelta", {"contentBlockIndex": "x", "delta": 7}),
    frame("metadata", {}),
]


@given(st.lists(st.sampled_from(FRAMES), max_size=12), st.data())
def test_any_order_is_read(frames: list[bytes], data: st.DataObject) -> None:
    body = b"".join(frames)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(body)), max_size=6)))
    seen, whole = read(body, cuts=cuts), read(body)
    assert (seen.events, seen.missing, seen.bytes) == (whole.events, whole.missing, body)
    for event in seen.events:
        assert not event.token or any(getattr(event, name, "x") for name in ("text", "arguments", "name", "transcript"))
