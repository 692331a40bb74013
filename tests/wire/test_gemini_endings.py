"""gemini: what the decoder mends, and when an answer is over."""

from __future__ import annotations

import itertools
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.events import (
    Heartbeat,
    Malformed,
    Start,
    Text,
)
from penstock.testing.gemini import array, chunk, fed, session, sse, text
from penstock.wire.gemini import GeminiDecoder

START = Start("r1", "gemini-x")


def decoder(query: str | None = "alt=sse", **options: bool) -> GeminiDecoder:
    return GeminiDecoder(None if query is None else session(query, **options))


def events(*bodies: object, query: str | None = "alt=sse") -> list[object]:
    """The events of some chunks, without the Start."""
    one = decoder(query)
    return [event for body in bodies for event in one.decode(sse(body))[1] if event != START]


# -- mendings ---------------------------------------------------------------------------------------------------------

BODY = json.dumps(chunk(text("Hi"))).encode()
PLAIN = b"data: " + BODY + b"\r\n\r\n"
FORMS = {
    "CRLF": (PLAIN, PLAIN),
    "LF": (b"data: " + BODY + b"\n\n", b"data: " + BODY + b"\n\n"),
    "CR": (b"data: " + BODY + b"\r\r", PLAIN),
    "no space": (b"data:" + BODY + b"\n\n", PLAIN),
    "with an event": (b"event: message\ndata: " + BODY + b"\n\n", PLAIN),
    "with an id": (b"id: 1\ndata: " + BODY + b"\n\n", PLAIN),
    "with a retry": (b"retry: 9\r\ndata: " + BODY + b"\r\n\r\n", PLAIN),
    "with a comment": (b": hi\ndata: " + BODY + b"\n\n", PLAIN),
    "on several lines": (b"data: " + BODY.replace(b"{", b"{\ndata: ", 1) + b"\n\n", PLAIN),
    "a comment": (b": ping\n\n", None),
    "an event alone": (b"event: ping\n\n", None),
    "an id alone": (b"id: 1\n\n", None),
    "empty data": (b"data:\n\n", None),
    "[DONE]": (b"data: [DONE]\n\n", None),
    "a blank line": (b"\r\n", b"\r\n"),
}


@pytest.mark.parametrize(("frame", "wanted"), FORMS.values(), ids=FORMS)
def test_only_what_google_genai_can_read_goes_on(frame, wanted):
    got = decoder().decode(frame)[0]
    if got is None or wanted is None or wanted.isspace():
        assert got == wanted
    else:
        assert got[:6] == b"data: " and got.endswith(b"\n\r\n" if got.endswith(b"\r\n\r\n") else b"\n\n")
        assert json.loads(got[6:]) == json.loads(wanted[6:])
        assert got.count(b"\n") == 2
    if frame == wanted:
        assert got == frame


def test_comments_and_blank_lines_are_heartbeats():
    assert decoder().decode(b": ping\n\n")[1] == (Heartbeat(),)
    assert decoder().decode(b"\r\n")[1] == (Heartbeat(),)


@pytest.mark.parametrize("payload", [b"{bad", b"7", b"null", b'"x"', b"[1]"])
def test_what_is_no_chunk_is_malformed(payload):
    one = decoder()
    one.decode(PLAIN)
    handed_on, got = one.decode(b"data: " + payload + b"\n\n")
    assert handed_on is None
    assert [type(event) for event in got] == [Malformed]


def test_lone_surrogates_and_broken_text_pass():
    for data in (b'{"candidates":[{"content":{"parts":[{"text":"\\ud83d"}]}}]}', BODY.replace(b"Hi", b"H\xff")):
        frame = b"data: " + data + b"\n\n"
        handed_on, got = decoder().decode(frame)
        assert handed_on == frame
        assert any(type(event) is Text for event in got)


@pytest.mark.parametrize("end", ["\x85", "\u2028", "\u2029"])
def test_what_python_takes_for_a_line_end_is_escaped(end):
    frame = f'data: {{"candidates":[{{"content":{{"parts":[{{"text":"a{end}b"}}]}}}}]}}\r\n\r\n'.encode()
    handed_on, got = decoder().decode(frame)
    assert got == (Text(f"a{end}b"),)
    assert len(handed_on.decode().splitlines()) == 2
    assert json.loads(handed_on[6:]) == json.loads(frame[6:])
    element = b"[" + frame[6:-4]
    assert decoder("").decode(element)[0] == element


@pytest.mark.parametrize(
    "data", [b'{"x":%b}', b'{"candidates":[{"content":{"parts":[{"functionCall":{"name":"f","args":%b}}]}}]}']
)
def test_json_that_is_nested_without_end_harms_nobody(data):
    deep = data % (b'{"a":' * 100_000 + b"1" + b"}" * 100_000)
    for frame in (b"data: " + deep + b"\r\n\r\n", b"[" + deep):
        assert len(decoder("" if frame[:1] == b"[" else "alt=sse").decode(frame)[1]) == 1


BODIES = [chunk(text("Hü\n")), chunk(text("a"), c_x={"y": [1]}), chunk(text(""), reason="STOP")]


@pytest.mark.parametrize("cut", [1, 7, 10_000])
def test_a_stream_of_the_other_form_takes_the_one_that_was_asked_for(cut):
    as_sse, as_array = b": hi\n\n" + b"".join(map(sse, BODIES)), json.dumps(BODIES, indent=1).encode()
    for given_form, query in ((as_sse, ""), (as_array, "alt=sse")):
        one = decoder(query)
        out, _ = fed(one, [given_form[i : i + cut] for i in range(0, len(given_form), cut)])
        out += one.ending()
        assert one.incomplete(clean=True) is None
        if query:
            assert out.endswith(b"}\r\n\r\n")
            assert [json.loads(frame[6:]) for frame in out.split(b"\r\n\r\n")[:-1]] == BODIES
        else:
            assert json.loads(out) == BODIES


def test_an_array_without_elements():
    one = decoder("")
    assert fed(one, [b"[]"]) == (b"[]", [])
    assert one.incomplete(clean=True) == "the stream ended before the answer was finished"
    one = decoder("")
    fed(one, [])
    assert one.ending() == b"[]"


def test_the_error_of_an_unfinished_answer_closes_its_list():
    one = decoder("")
    out, _ = fed(one, [array(chunk(text("a")))])
    assert out.endswith(b"}")
    assert one.incomplete(clean=True) == "the stream ended before the answer was finished"


# -- endings ----------------------------------------------------------------------------------------------------------

DONE = sse(chunk(text("a"), reason="STOP"))
TWO = sse(chunk(text("a"), index=0, reason="STOP")) + sse(chunk(text("b"), index=1))
MISSING = "the stream ended before the answer was finished"
ENDINGS = {
    "a finish": (DONE, None, "the connection broke before the end of the body"),
    "no finish": (sse(chunk(text("a"))), MISSING, MISSING),
    "nothing": (b"", MISSING, MISSING),
    "one of two candidates": (TWO, MISSING, MISSING),
    "both candidates": (
        TWO + sse(chunk(index=1, reason="STOP")),
        None,
        "the connection broke before the end of the body",
    ),
    "[DONE] proves nothing": (sse(chunk(text("a"))) + b"data: [DONE]\n\n", MISSING, MISSING),
    "inside a frame behind the finish": (DONE + b'data: {"cand', *["the stream ended inside a frame"] * 2),
    "without its blank line": (DONE[:-4], None, "the connection broke before the end of the body"),
    "an array": (array(chunk(text("a"), reason="STOP")), None, None),
    "an array without its bracket": (
        array(chunk(text("a"), reason="STOP"), closed=False),
        *["the stream ended before its array was closed"] * 2,
    ),
    "an array in an element": (
        array(chunk(text("a"), reason="STOP"), closed=False) + b',{"c',
        *["the stream ended inside a frame"] * 2,
    ),
    "an array without a finish": (array(chunk(text("a"))), MISSING, MISSING),
}


@pytest.mark.parametrize(("data", "clean", "broken"), ENDINGS.values(), ids=ENDINGS)
@pytest.mark.parametrize("size", [1, 1 << 20])
def test_when_an_answer_is_complete(data, clean, broken, size):
    one = decoder("" if data[:1] == b"[" else "alt=sse")
    out, _ = fed(one, [data[i : i + size] for i in range(0, len(data), size)])
    assert one.incomplete(clean=True) == clean
    assert one.incomplete(clean=False) == broken
    assert one.marked is False
    if clean is None and b"[DONE]" not in data:
        assert out == data if data.endswith((b"]", b"\n")) else out == data + b"\r\n\r\n"


def test_an_array_that_stays_open_is_closed_for_the_client():
    """The provider stalls behind its finish: the machine completes the answer, and the array needs its bracket."""
    one = decoder("")
    one.decode(b"[" + json.dumps(chunk(text("a"), reason="STOP")).encode())
    assert one.finished
    assert one.ending() == b"\r\n]"
    assert one.oddities() == ["array_not_closed"]


EMPTY = {
    "STOP without output": (chunk(text(""), reason="STOP"), False),
    "STOP without output but with tokens of it": (
        chunk(text(""), reason="STOP", usageMetadata={"candidatesTokenCount": 3}),
        True,
    ),
    "thoughts alone": (chunk(text(""), reason="STOP", usageMetadata={"thoughtsTokenCount": 3}), False),
    "no room": (chunk(reason="MAX_TOKENS"), True),
    "no permission": (chunk(reason="SAFETY"), True),
    "a blocked prompt": ({"promptFeedback": {"blockReason": "SAFETY"}}, True),
}


@pytest.mark.parametrize(("body", "right"), EMPTY.values(), ids=EMPTY)
def test_an_empty_answer_is_right_only_when_the_provider_means_it(body, right):
    one = decoder()
    one.decode(sse(body))
    assert one.empty_is_right is right


@given(st.lists(st.sampled_from(BODIES), max_size=5), st.booleans(), st.lists(st.integers(0), max_size=9))
def test_what_comes_out_does_not_depend_on_how_it_was_cut(bodies, as_array, edges):
    # The bracket of a list whose answer is not finished is for the error behind it.
    data = array(*bodies, BODIES[-1]) if as_array else b"".join(map(sse, bodies))
    cuts = [0, *sorted(edge % (len(data) + 1) for edge in edges), len(data)]
    query = "" if as_array else "alt=sse"
    pieces = [data[a:b] for a, b in itertools.pairwise(cuts)]
    assert fed(decoder(query), pieces) == fed(decoder(query), [data])
    assert fed(decoder(query), pieces)[0] == data


def test_the_session_learns_that_elements_were_given():
    told = session("")
    one = GeminiDecoder(told)
    one.decode(b'[{"candidates":[{"content":{"role":"model"}}]}')
    assert not told.begun
    one.decode(b"," + BODY)
    assert told.begun
