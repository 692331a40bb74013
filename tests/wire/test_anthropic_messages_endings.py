"""How answers of anthropic-messages end, what they cost, and what goes wrong in them (wire-formats.md §4.6–4.8)."""

from __future__ import annotations

import json

import pytest

from penstock.events import (
    EndMarker,
    ErrorReport,
    Malformed,
    Opaque,
    UsageReport,
)
from penstock.framing.sse import SSEFramer
from penstock.testing.messages import STOP, answer, closed, finish, frame, opened, read, start, text
from penstock.usage import Usage
from penstock.wire.anthropic_messages import MessagesDecoder


def decoded(data: bytes, decoder: MessagesDecoder | None = None):
    decoder = decoder or MessagesDecoder()
    framer = SSEFramer()
    pairs = [decoder.decode(piece) for piece in framer.feed(data)]
    pairs.append(decoder.close(framer.close()))
    return decoder, b"".join(handed or b"" for handed, _ in pairs), [event for _, events in pairs for event in events]


def of(kind, events):
    return [event for event in events if isinstance(event, kind)]


def last_usage(events) -> Usage:
    total = Usage()
    for report in of(UsageReport, events):
        total = total.overwritten_by(report.usage)
    return total


# -- endings ----------------------------------------------------------------------------------------------------------


def test_a_finish_and_a_clean_end_are_enough_and_the_client_gets_its_end():
    decoder, out, _ = decoded(answer("a")[: -len(STOP)])
    assert decoder.incomplete(clean=True) is None
    assert decoder.incomplete(clean=False) == "the connection broke before message_stop"
    assert decoder.oddities() == ["no_end_marker"]
    read(out + decoder.ending())


@pytest.mark.parametrize("data", [b"", start(), start() + opened() + text("a"), start() + opened() + text("a") + STOP])
def test_without_a_stop_reason_nothing_is_complete(data):
    decoder, _, _ = decoded(data)
    assert decoder.incomplete(clean=True) == "the stream ended before the answer was finished"
    assert not decoder.finished


@pytest.mark.parametrize("blank", [b"", b"\n", b"\r\n"])
def test_the_last_block_may_lack_its_blank_line(blank):
    whole = answer("a")
    decoder, out, events = decoded(whole.removesuffix(b"\n\n") + blank)
    assert decoder.marked and out == whole and isinstance(events[-1], EndMarker)


@pytest.mark.parametrize("size", [3, 20, 60])
def test_half_a_frame_is_not_handed_on(size):
    decoder, out, events = decoded(start() + opened() + text("a" * 60)[:size])
    assert out == start() + opened()
    assert isinstance(events[-1], Malformed)
    assert decoder.incomplete(clean=True)


def test_an_empty_answer_may_be_right():
    for reason in ("refusal", "max_tokens", "pause_turn"):
        assert decoded(start() + finish(reason, output_tokens=0) + STOP)[0].empty_is_right
    assert decoded(start() + finish(output_tokens=3) + STOP)[0].empty_is_right
    assert not decoded(start() + finish(output_tokens=0) + STOP)[0].empty_is_right


def test_a_stop_closes_what_is_open():
    decoder, out, _ = decoded(start() + opened() + text("a"))
    said = read(out + decoder.stop())
    assert said.delta == {"stop_reason": "end_turn", "stop_sequence": None} and said.usage == {"output_tokens": 1}
    decoder, out, _ = decoded(start() + opened() + text("a") + closed() + finish("max_tokens"))
    assert read(out + decoder.stop()).delta["stop_reason"] == "max_tokens"
    assert decoded(answer("a"))[0].stop() == b""
    assert MessagesDecoder().stop() == b""


# -- usage ------------------------------------------------------------------------------------------------------------


def test_the_placeholder_of_the_start_is_no_report_of_output():
    _, _, events = decoded(start(cache_read_input_tokens=4, cache_creation_input_tokens=2) + opened() + text("a"))
    assert last_usage(events) == Usage(input=9, cache_read=4, cache_write=2)


@pytest.mark.parametrize(
    ("first", "later", "wanted"),
    [
        ({"input_tokens": 43}, [{"input_tokens": 61, "output_tokens": 2}], Usage(61, 2)),
        ({}, [{"output_tokens": 3}, {"output_tokens": 8}], Usage(9, 8)),
        ({"cache_read_input_tokens": 5}, [{"cache_read_input_tokens": None, "output_tokens": 1}], Usage(9, 1, None, 5)),
        ({}, [{"output_tokens": 9, "output_tokens_details": {"thinking_tokens": 4}}], Usage(9, 5, 4)),
        (
            {},
            [{"output_tokens": 9, "output_tokens_details": {"thinking_tokens": 4}}, {"output_tokens": 12}],
            Usage(9, 8, 4),
        ),
        ({}, [{"input_tokens": 0, "output_tokens": 1, "cost": 0.5}], Usage(0, 1, cost=0.5)),
    ],
)
def test_usage_is_cumulative(first, later, wanted):
    data = start(**first) + b"".join(finish(**usage) for usage in later)
    assert last_usage(decoded(data)[2]) == wanted


# -- errors -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "status"),
    [
        ("invalid_request_error", 400),
        ("authentication_error", 401),
        ("billing_error", 402),
        ("permission_error", 403),
        ("not_found_error", 404),
        ("request_too_large", 413),
        ("rate_limit_error", 429),
        ("api_error", 500),
        ("timeout_error", 504),
        ("overloaded_error", 529),
    ],
)
def test_an_error_in_the_stream(kind, status):
    error = {"type": kind, "message": "Overloaded", "x": 1}
    decoder, _, events = decoded(start() + opened() + text("a") + frame("error", error=error, request_id="req_1"))
    assert of(ErrorReport, events) == [
        ErrorReport("Overloaded", kind, status=status, fields={**error, "request_id": "req_1"})
    ]
    assert decoder.incomplete(clean=True) == "the provider reported an error"


@pytest.mark.parametrize(
    ("data", "message", "status"),
    [
        (b'data: {"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}\n\n', "Overloaded", 529),
        (b'event: error\ndata: {"error":{"type":"rate_limit_error","message":"Slow"}}\n\n', "Slow", 429),
        (b'data: {"error":{"message":"boom","type":"server_error","code":null}}\n\n', "boom", 502),
        (b'data: {"error":{"code":429,"message":"out","status":"RESOURCE_EXHAUSTED"}}\n\n', "out", 429),
        (b"event: error\ndata: upstream lost\n\n", "upstream lost", 500),
        (b'event: error\ndata: {"type":"error","message":"bare"}\n\n', "bare", 500),
        (b'event: error\ndata: {"message":"no type"}\n\n', "no type", 500),
        (b'event: error\ndata: {"type":"error","error":"words"}\n\n', "words", 500),
        (b'error: {"error":{"message":"in a field"}}\n\n', "in a field", 500),
        (b'{"type":"error","error":{"type":"api_error","message":"bare JSON"}}', "bare JSON", 500),
        (b'{\n "type":"error","error":{"type":"api_error","message":"lines"}}\n\n', "lines", 500),
    ],
)
def test_errors_in_every_shape(data, message, status):
    decoder, _, events = decoded(start() + opened() + text("a") + data)
    (report,) = of(ErrorReport, events)
    assert (report.message, report.status) == (message, status)
    assert decoder.failed


def test_an_unknown_event_with_an_error_in_it_is_not_the_end():
    piece = frame("session.note", error={"message": "of a tool"})
    assert MessagesDecoder().decode(piece) == (piece, (Opaque(),))


def test_frames_are_valid_json_after_mending():
    _, out, _ = decoded(start() + finish("end_turn") + finish(None) + STOP)
    for piece in SSEFramer().feed(out):
        json.loads(piece.split(b"data: ")[1])
