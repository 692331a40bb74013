"""E. Bytes on their way: split, odd, huge and without an end."""

import json
import os
import re

import pytest
from lockstep import Lockstep, words_in_frames

from penstock.testing import frames
from penstock.testing.client import Answer
from penstock.testing.rig import LiveGateway, Rig
from penstock.testing.steps import cut, done, eof, fin, forever, hdr, pause, raw, split, st, tok, words
from penstock.testing.upstream import Step

USAGE = {"include_usage": True}
TEXT = ("Grüße, ", "世界", " 👩‍👩‍👧‍👦", "🏳️‍🌈 ", "e\u0301", "ﷺ", "\u2028", "end")
ANSWER = (
    frames.role()
    + b": a comment\n\n"
    + b"".join(frames.chunk(text) for text in TEXT)
    + frames.tool(id="call_1", name="weather", arguments='{"city":')
    + frames.tool(arguments='"Zürich"}')
    + frames.finish("tool_calls")
    + frames.usage(9, 12)
    + frames.DONE
)
SPLITS = [None, 1, 7, 65536]


def endings(data: bytes, newline: bytes) -> bytes:
    """The stream with other line ends."""
    return data.replace(b"\n", newline)


def mixed(data: bytes) -> bytes:
    """The stream with all three line ends in turn; never CR before LF by accident."""
    newlines = [b"\n", b"\r\n", b"\r", b"\r\n\r\n"]
    parts = data.split(b"\n\n")
    joined = b""
    for number, part in enumerate(parts[:-1]):
        newline = newlines[number % 3]
        joined += part + newline + (newline if newline != b"\n" or number % 2 else b"\r\n")
    return joined + parts[-1]


async def whole(rig: Rig, *steps: Step, **options: object) -> tuple[Answer, dict[str, object], LiveGateway]:
    """A streamed answer and its record."""
    upstream = await rig.upstream(steps)
    gateway = await rig.gateway(upstream, **options)
    answer = await gateway.ask(stream_options=USAGE)
    return answer, await gateway.record(), gateway


def check(answer: Answer, record: dict[str, object]) -> None:
    """The answer above arrived, whatever way."""
    assert (answer.status, answer.ended, record["outcome"]) == (200, "clean", "completed")
    assert answer.text == "".join(TEXT)
    arguments = "".join(
        call["function"].get("arguments", "") for delta in answer.deltas for call in delta.get("tool_calls", ())
    )
    assert json.loads(arguments) == {"city": "Zürich"}
    assert (answer.finishes, answer.marks) == (["tool_calls"], 1)
    assert record["usage"]["input"] == 9 and record["usage"]["output"] == 12  # type: ignore[index]
    assert b"\xef\xbf\xbd" not in answer.body


@pytest.mark.parametrize("size", SPLITS)
async def test_E1_events_split_across_reads(rig: Rig, size: int | None) -> None:
    answer, record, _ = await whole(rig, split(size), raw(ANSWER))
    check(answer, record)
    assert answer.body == ANSWER


async def test_E1_split_inside_a_line_end(rig: Rig) -> None:
    data = endings(ANSWER, b"\r\n")
    pieces = re.split(rb"(?<=\r)", data)
    assert b"".join(pieces) == data
    answer, record, _ = await whole(rig, *(raw(piece) for piece in pieces))
    check(answer, record)
    assert answer.body == data


@pytest.mark.parametrize("size", SPLITS)
async def test_E2_characters_split_across_reads(rig: Rig, size: int | None) -> None:
    """Whole characters, and halves of a surrogate pair in two deltas, which only the join makes whole."""
    halves = [b'{"choices":[{"index":0,"delta":{"content":"%s"}}]}' % half for half in (b"\\ud83d", b"\\ude00")]
    data = frames.role() + frames.chunk("".join(TEXT)) + b"".join(b"data: %s\n\n" % half for half in halves)
    data += frames.finish() + frames.DONE
    upstream = await rig.upstream([split(size), raw(data)])
    gateway = await rig.gateway(upstream)
    streamed = await gateway.ask()
    assert streamed.body == data
    folded = await gateway.ask(stream=False)
    assert folded.text == "".join(TEXT) + "😀"
    assert b"\xef\xbf\xbd" not in streamed.body + folded.body


@pytest.mark.parametrize("size", [None, 1])
@pytest.mark.parametrize("character", ["\u2028", "\u2029", "\x85", "\x0b", "\x0c", "\x1c", "\x1d", "\x1e"])
async def test_E3_characters_that_only_python_takes_for_line_ends(rig: Rig, character: str, size: int | None) -> None:
    """Raw in the JSON, as some providers write them."""
    inside = f'{{"id":"c","choices":[{{"index":0,"delta":{{"content":"a{character}b"}},"finish_reason":null}}]}}'
    data = b"data: " + inside.encode() + b"\n\n" + frames.finish() + frames.usage() + frames.DONE
    answer, record, _ = await whole(rig, split(size), raw(data))
    assert answer.body == data
    assert (record["outcome"], record["warnings"]) == ("completed", [])
    assert record["usage"]["output"] == 2 and record["token_events"] == 1  # type: ignore[index]


@pytest.mark.parametrize("size", [None, 1, 7])
@pytest.mark.parametrize("newline", [b"\n", b"\r\n", b"\r", b""], ids=["LF", "CRLF", "CR", "mixed"])
async def test_E4_line_ends(rig: Rig, newline: bytes, size: int | None) -> None:
    data = endings(ANSWER, newline) if newline else mixed(ANSWER)
    answer, record, _ = await whole(rig, split(size), raw(data))
    check(answer, record)
    assert answer.body == data


@pytest.mark.parametrize("newline", [b"\n", b"\r\n", b"\r"], ids=["LF", "CRLF", "CR"])
async def test_E4_events_are_dispatched_at_their_line_end(rig: Rig, newline: bytes) -> None:
    """Each event is at the client before the provider writes on, also where a CR could still become a CRLF."""
    lockstep = Lockstep(*(endings(frame, newline) for frame in words_in_frames(5)))
    upstream = await rig.upstream([hdr(), lockstep.step(), raw(endings(frames.finish() + frames.DONE, newline))])
    gateway = await rig.gateway(upstream, between_tokens=5.0, total=10.0)
    client = await gateway.open()
    await lockstep.follow(client)
    answer = await client.answer()
    assert (answer.text, answer.ended) == (words(5), "clean")


GRAMMAR = {
    "no space": b'data:{"choices":[{"index":0,"delta":{"content":"hi"}}]}\n\n',
    "two spaces": b'data:  {"choices":[{"index":0,"delta":{"content":"hi"}}]}\n\n',
    "several lines": b'data: {"choices":\ndata: [{"index":0,\ndata: "delta":{"content":"hi"}}]}\n\n',
    "event without a space": b'event:message\ndata:{"choices":[{"index":0,"delta":{"content":"hi"}}]}\n\n',
    "a comment inside": b'data: {"choices":\n: in the way\ndata: [{"index":0,"delta":{"content":"hi"}}]}\n\n',
    "unknown fields": b'x: y\ndata: {"choices":[{"index":0,"delta":{"content":"hi"}}]}\nnothing\n\n',
    "more blank lines": b'\n\n\ndata: {"choices":[{"index":0,"delta":{"content":"hi"}}]}\n\n\n\n',
    "a field that looks like data": b'datax: no\ndata: {"choices":[{"index":0,"delta":{"content":"hi"}}]}\n\n',
}


@pytest.mark.parametrize("size", [None, 1])
@pytest.mark.parametrize("form", GRAMMAR)
async def test_E5_the_whole_grammar(rig: Rig, form: str, size: int | None) -> None:
    data = GRAMMAR[form] + b"data:" + frames.finish()[6:] + b"data:[DONE]\n\n"
    answer, record, _ = await whole(rig, split(size), raw(data))
    assert (answer.text, answer.ended, record["outcome"]) == ("hi", "clean", "completed")
    assert record["token_events"] == 1
    assert answer.body == data


@pytest.mark.parametrize("size", [None, 1])
async def test_E5_a_byte_order_mark_is_not_part_of_the_first_event(rig: Rig, size: int | None) -> None:
    answer, record, _ = await whole(rig, split(size), raw(b"\xef\xbb\xbf" + ANSWER))
    check(answer, record)
    assert answer.body == ANSWER


async def test_E5_ids_and_retry_of_the_provider(rig: Rig) -> None:
    """What they number is the provider's connection; what openai-python makes of a bare one is an error."""
    data = b"retry: 3000\n\nid: 7\n\n" + b"".join(
        b"id: %d\n" % number + frame
        for number, frame in enumerate([frames.role(), frames.chunk("hi"), frames.finish(), frames.DONE])
    )
    answer, record, _ = await whole(rig, raw(data))
    assert (answer.text, answer.ended, record["outcome"]) == ("hi", "clean", "completed")
    assert answer.body == frames.answer("hi")


DEEP = b"[" * 50_000 + b"]" * 50_000


@pytest.mark.parametrize(
    "frame",
    [
        b'data: {"choices":[{"index":0,"delta":{"content":"a"}}],"x":%b}\n\n',
        b'data: {"choices":[{"index":0,"delta":{"content":"a"}}],"usage":%b}\n\n',
        b'data: {"choices":[{"index":0,"delta":{"content":%b}}]}\n\n',
        b'data: {"error":%b}\n\n',
        b'{"error":%b}\n\n',
    ],
)
async def test_E5_json_that_is_nested_without_end_harms_nobody(rig: Rig, frame: bytes) -> None:
    """A frame of no grammar, like any other: it is left out, and the gateway does not crash over it."""
    upstream = await rig.upstream([hdr(), tok(1), raw(frame % DEEP), tok(1), fin(), done()])
    gateway = await rig.gateway(upstream)
    for stream in (True, False):
        answer = await gateway.ask(stream)
        assert (answer.status, answer.text) == (200, words(2))
        assert (await gateway.record())["outcome"] == "completed"
    error = await rig.upstream([st(500, b'{"error": %b}' % DEEP)])
    answer = await (await rig.gateway(error)).ask()
    assert answer.status == 500 and len(answer.body) < 2000


async def test_E7_a_very_large_event(rig: Rig) -> None:
    big = "x" * (8 << 20)
    answer, record, _ = await whole(rig, raw(frames.chunk(big)), fin(), done(), first_token=5.0, total=20.0)
    assert record["outcome"] == "completed" and answer.text == big


@pytest.mark.parametrize("size", [None, 4096])
@pytest.mark.parametrize("stream", [True, False])
async def test_E7_an_event_over_the_cap_is_a_typed_error(rig: Rig, stream: bool, size: int | None) -> None:
    cap = 64 * 1024
    fits = frames.chunk("x" * (cap - len(frames.chunk(""))))
    assert len(fits) == cap
    upstream = await rig.upstream([hdr(), split(size), raw(fits), raw(frames.chunk("y" * cap)), forever()])
    gateway = await rig.gateway(upstream, max_frame=cap)
    answer = await gateway.ask(stream)
    record = await gateway.record()
    assert record["outcome"] == "upstream_error" and record["committed"] is stream
    assert answer.error is not None and answer.error["code"] == "upstream_error"
    assert str(cap) in answer.error["message"] and "max_frame" in answer.error["message"]
    assert answer.marks == 0
    if stream:
        assert answer.body.startswith(fits) and answer.text == "x" * (cap - len(frames.chunk("")))
    else:
        assert answer.status == 502
    await upstream.requests[0].closed()


def resident() -> int:
    """Bytes of memory in use."""
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.parametrize("start", [b"data: ", b": ", b"", b'{"choices": ['], ids=["data", "comment", "nothing", "JSON"])
async def test_E8_an_event_without_end(rig: Rig, start: bytes) -> None:
    """1 GiB is on offer; what is taken is the cap and what was under way."""
    piece = b"x" * 65536
    upstream = await rig.upstream([hdr(), raw(start), *[raw(piece)] * (1 << 14)])
    gateway = await rig.gateway(upstream, max_frame=1 << 20, first_token=20.0, total=30.0)
    before = resident()
    answer = await gateway.ask()
    record = await gateway.record()
    assert (answer.status, record["outcome"]) == (502, "upstream_error")
    assert answer.error is not None and "max_frame" in answer.error["message"]
    await upstream.requests[0].closed()
    assert upstream.requests[0].bytes_written < 64 << 20
    assert resident() - before < 64 << 20


@pytest.mark.parametrize("size", [None, 1, 7])
async def test_E9_event_lines_stay(rig: Rig, size: int | None) -> None:
    data = b"".join(b"event: completion.chunk\n" + frame for frame in (frames.role(), frames.chunk("hi")))
    data += frames.finish() + frames.DONE
    answer, record, _ = await whole(rig, split(size), raw(data))
    assert answer.body == data and record["outcome"] == "completed"


@pytest.mark.parametrize("left_out", [b"\n", b"\n\n"])
@pytest.mark.parametrize("last", ["done", "finish"])
async def test_E10_the_last_event_without_its_blank_line(rig: Rig, last: str, left_out: bytes) -> None:
    data = frames.role() + frames.chunk("hi") + frames.finish() + (frames.DONE if last == "done" else b"")
    answer, record, _ = await whole(rig, hdr(), raw(data.removesuffix(left_out)), eof())
    assert (answer.text, answer.finishes, answer.ended) == ("hi", ["stop"], "clean")
    assert record["outcome"] == "completed" and answer.error is None


async def test_E10_the_last_text_without_its_blank_line_is_delivered_and_not_complete(rig: Rig) -> None:
    data = frames.role() + frames.chunk("hi ") + frames.chunk("you").removesuffix(b"\n\n")
    answer, record, _ = await whole(rig, hdr(), raw(data), eof())
    assert (answer.text, record["outcome"]) == ("hi you", "upstream_cut")
    assert answer.error is not None and answer.error["code"] == "upstream_cut" and answer.marks == 0


@pytest.mark.parametrize("at", [5, 20, 60, -2, -1])
@pytest.mark.parametrize("end", ["eof", "cut"])
async def test_E11_a_frame_that_is_not_whole_is_neither_ended_nor_sent(rig: Rig, at: int, end: str) -> None:
    half = frames.chunk("never")[:at]
    steps = [hdr(), raw(frames.chunk("hi")), raw(half), pause(0.05), eof() if end == "eof" else cut()]
    answer, record, _ = await whole(rig, *steps)
    whole_json = at < 0
    assert record["outcome"] == "upstream_cut"
    assert answer.body.startswith(frames.chunk("hi"))
    assert answer.text == ("hinever" if whole_json and end == "eof" else answer.text)
    assert answer.text in ("hi", "hinever") and (whole_json or answer.text == "hi")
    assert answer.error is not None and answer.error["code"] == "upstream_cut"
    for event in answer.events:
        json.loads(event.data)


TYPES = ["text/event-stream", "text/event-stream; charset=utf-8", "application/json", "text/plain", None]


@pytest.mark.parametrize("size", [None, 1])
@pytest.mark.parametrize("kind", TYPES)
async def test_E12_a_stream_under_any_label(rig: Rig, kind: str | None, size: int | None) -> None:
    answer, record, _ = await whole(rig, hdr(content_type=kind), split(size), raw(ANSWER))
    check(answer, record)
    assert answer.body == ANSWER and answer.headers["content-type"] == "text/event-stream; charset=utf-8"


@pytest.mark.parametrize("size", [None, 1])
@pytest.mark.parametrize("kind", [*TYPES, "text/html"])
@pytest.mark.parametrize("body", [b"<!doctype html><html>please log in</html>", b"Hello there.", b'{"hello": "there"}'])
async def test_E12_no_stream_under_any_label(rig: Rig, kind: str | None, body: bytes, size: int | None) -> None:
    """A page or a document is never relayed as a stream, nor as an answer."""
    upstream = await rig.upstream([hdr(content_type=kind), split(size), raw(body)])
    gateway = await rig.gateway(upstream)
    for stream in (True, False):
        answer = await gateway.ask(stream)
        record = await gateway.record()
        labelled = kind is not None and "event-stream" in kind
        expected = {"upstream_error"} | ({"empty", "upstream_cut"} if labelled and body[:1] == b"H" else set())
        assert answer.status == 502 and record["outcome"] in expected
        assert answer.headers["content-type"] == "application/json"
        assert answer.error is not None and answer.error["code"] == record["outcome"]


@pytest.mark.parametrize("kind", [*TYPES, "text/html"])
async def test_E12_an_error_under_any_label(rig: Rig, kind: str | None) -> None:
    error = {"error": {"message": "no such thing", "type": "invalid_request_error", "code": "model_not_found"}}
    body = json.dumps(error).encode()
    upstream = await rig.upstream([st(404, body, kind=kind or "x/y")], [hdr(content_type=kind), raw(body)])
    gateway = await rig.gateway(upstream)
    answer = await gateway.ask()
    assert (answer.status, answer.json) == (404, error)
    answer = await gateway.ask()
    assert answer.status == 404 and answer.error is not None and answer.error["code"] == "model_not_found"
    assert answer.headers["content-type"] == "application/json"
