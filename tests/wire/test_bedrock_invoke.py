"""Claude on InvokeModelWithResponseStream: Anthropic's events in AWS's frames."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.events import EndMarker, ErrorReport, Finish, Malformed, Opaque, Text
from penstock.framing import eventstream
from penstock.framing.sse import SSEFramer, parse
from penstock.testing import bedrock, messages
from penstock.testing.bedrock import exception, read
from penstock.wire.anthropic_messages import MessagesDecoder
from penstock.wire.bedrock_converse_whole import chunk_frame
from penstock.wire.bedrock_invoke import InvokeDecoder

SSE = messages.answer("Hel", "lo")


def wrapped(stream: bytes) -> bytes:
    """Anthropic's stream as Bedrock sends it."""
    return b"".join(chunk_frame(data) for each in SSEFramer().feed(stream) if (data := parse(each).data))


BODY = wrapped(SSE)


def test_an_anthropic_client_gets_anthropics_stream() -> None:
    seen = read(BODY, InvokeDecoder())
    assert seen.bytes == SSE and seen.missing is None and seen.decoder.marked
    assert [event for event in seen.events if isinstance(event, Text)] == [Text("Hel"), Text("lo")]
    assert isinstance(seen.events[-1], EndMarker)


def test_the_metrics_go_on() -> None:
    last = b'{"type":"message_stop","amazon-bedrock-invocationMetrics":{"outputTokenCount":2}}'
    seen = read(BODY[: -len(chunk_frame(b'{"type":"message_stop"}'))] + chunk_frame(last), InvokeDecoder())
    assert seen.bytes.endswith(b"event: message_stop\ndata: " + last + b"\n\n") and seen.missing is None


@given(st.lists(st.integers(0, len(BODY)), max_size=8).map(sorted))
def test_the_split_changes_nothing(cuts: list[int]) -> None:
    assert read(BODY, InvokeDecoder(), cuts).bytes == SSE


def test_every_early_end() -> None:
    for length in range(1, len(BODY)):
        for clean in (True, False):
            seen = read(BODY[:length], InvokeDecoder(), clean=clean)
            finished = any(isinstance(event, Finish) for event in seen.events)
            torn = seen.events[-1] == Malformed("the stream ends inside a frame")
            assert (seen.missing is None) == (finished and clean and not torn)
            assert SSE.startswith(seen.bytes)


@pytest.mark.parametrize("name", ["throttlingException", "modelTimeoutException", "validationException"])
def test_exceptions(name: str) -> None:
    for before in (b"", BODY[: len(BODY) // 2]):
        whole = b"".join(eventstream.EventStreamFramer().feed(before))
        seen = read(whole + exception(name), InvokeDecoder())
        report = seen.events[-1]
        assert isinstance(report, ErrorReport) and report.code == name
        assert SSE.startswith(seen.bytes) and seen.missing == "the provider reported an error"


def test_an_error_of_anthropics_own() -> None:
    event = {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}
    seen = read(bedrock.chunks(event), InvokeDecoder())
    assert isinstance(seen.events[-1], ErrorReport) and seen.events[-1].status == 529


@pytest.mark.parametrize(
    "event",
    [
        {"outputText": "Hello", "index": 0},
        {"messageStart": {"role": "assistant"}},
        {"generation": "x"},
        {"completion": " The", "stop_reason": None, "stop": None},
        {"type": "completion", "completion": " The", "stop_reason": None},
    ],
)
def test_another_models_format_is_told_so(event: dict[str, object]) -> None:
    seen = read(bedrock.chunks(event), InvokeDecoder())
    report = seen.events[-1]
    assert isinstance(report, ErrorReport) and "bedrock-converse" in report.message and seen.missing


def test_frames_that_hold_no_event() -> None:
    first = chunk_frame(parse(SSE.split(b"\n\n")[0]).data or b"")
    odd = bedrock.frame("brandNew", {}) + bedrock.frame("chunk", {"x": 1}) + chunk_frame(b"{bad") + chunk_frame(b"{}")
    seen = read(first + odd + BODY[len(first) :], InvokeDecoder())
    assert sum(isinstance(event, Malformed) for event in seen.events) == 3
    assert sum(isinstance(event, Opaque) for event in seen.events) >= 1
    assert seen.bytes == SSE and seen.missing is None


def test_the_mendings_are_the_anthropic_decoders() -> None:
    start = json.loads(parse(messages.start()).data or b"")
    twice = bedrock.chunks(start, start)
    plain, other = MessagesDecoder(), InvokeDecoder()
    expected = [plain.decode(messages.start()), plain.decode(messages.start())]
    got = [other.decode(frame) for frame in eventstream.EventStreamFramer().feed(twice)]
    assert got[1] == expected[1] == (None, (Opaque(),))
    assert got[0][1] == expected[0][1]


def test_a_missing_end_is_added_for_the_client() -> None:
    decoder = InvokeDecoder()
    seen = read(BODY[: -len(chunk_frame(b'{"type":"message_stop"}'))], decoder)
    assert seen.missing is None and seen.bytes + decoder.ending() == SSE
