"""Frames that are like the one before: what is read without the decoder is what the decoder would have read."""

from __future__ import annotations

import json

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from penstock.events import Reasoning, Text
from penstock.framing.sse import SSEFramer
from penstock.usage import Usage
from penstock.wire.alike import Alike
from penstock.wire.anthropic_messages import MessagesDecoder
from penstock.wire.cohere_chat import CohereDecoder
from penstock.wire.gemini import GeminiDecoder
from penstock.wire.openai_chat import ChatDecoder
from penstock.wire.openai_responses import ResponsesDecoder

_HEAD = b'data: {"id":"c1","model":"m","choices":[{"index":0,"delta":{"%b":'
_TAIL = b',"role":null},"finish_reason":null}],"usage":null}\n\n'


def frame(text: str, *, field: str = "content", padding: str | None = None, ascii_only: bool = False) -> bytes:
    written = json.dumps(text, ensure_ascii=ascii_only).encode("utf-8", "surrogatepass")
    tail = _TAIL if padding is None else _TAIL[:-3] + b',"obfuscation":"%b"}\n\n' % padding.encode()
    return _HEAD % field.encode() + written + tail


def begun() -> ChatDecoder:
    decoder = ChatDecoder()
    decoder.decode(frame("so it began"))
    return decoder


def taught(by: bytes) -> Alike:
    alike, decoder = Alike(), begun()
    alike.learn(3, by, decoder.decode(by)[1], decoder)
    return alike


def gemini(text: str, usage: str = '{"promptTokenCount":3,"candidatesTokenCount":7}') -> bytes:
    content = {"parts": [{"text": text}], "role": "model"}
    parts = json.dumps(content, ensure_ascii=False, separators=(",", ":"))
    return f'data: {{"candidates":[{{"content":{parts}}}],"usageMetadata":{usage},"responseId":"r1"}}\r\n\r\n'.encode()


class Reads:
    """A client of Gemini's own form."""

    array = False
    begun = True


def taught_by_gemini() -> Alike:
    alike, decoder = Alike(), GeminiDecoder(Reads())
    decoder.decode(gemini("so it began"))
    alike.learn(3, gemini(" river"), decoder.decode(gemini(" river"))[1], decoder)
    return alike


def asked(alike: Alike, data: bytes) -> str:
    """What the path of a chunk asks."""
    told = alike.attempt == 3 and data.startswith(alike.head) and data.endswith(alike.tail)
    return alike.read(data) if told else ""


@pytest.mark.parametrize("field", ["content", "reasoning_content"])
@pytest.mark.parametrize("padding", [None, "aB3"])
def test_the_next_delta_is_read_without_the_decoder(field, padding):
    alike = taught(frame(" river", field=field, padding=padding))
    assert alike.kind is (Text if field == "content" else Reasoning)
    assert asked(alike, frame(" does", field=field, padding=padding and "z" * 40)) == " does"


@given(text=st.text(), ascii_only=st.booleans())
@example(text="a\u2028b", ascii_only=False)
@example(text='"', ascii_only=False)
@example(text="", ascii_only=False)
def test_what_it_reads_is_what_the_decoder_reads(text, ascii_only):
    data = frame(text, ascii_only=ascii_only)
    read = asked(taught(frame(" river")), data)
    if read:
        assert begun().decode(data) == (data, (Text(read),))
    else:
        assert not text or any(mark in text for mark in "\x85\u2028\u2029") or "\ud800" <= max(text) <= "\udfff"


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(frame("x")[:-1], id="half a blank line"),
        pytest.param(frame("x") + frame("y"), id="two frames"),
        pytest.param(frame("x").replace(b'"x"', b'""'), id="an empty text"),
        pytest.param(frame("x").replace(b'"x"', b"null"), id="no text"),
        pytest.param(frame("x").replace(b'"x"', b'["x"]'), id="a list"),
        pytest.param(frame("x").replace(b'"x"', b'"x"x"'), id="a quotation mark"),
        pytest.param(frame("x").replace(b'"x"', b'"x","content":"y"'), id="the field twice"),
        pytest.param(frame("x").replace(b'"x"', b'"\xff"'), id="no UTF-8"),
        pytest.param(frame("x").replace(b'"x"', b'"a\nb"'), id="a raw line end"),
        pytest.param(frame("x").replace(b'"finish_reason":null', b'"finish_reason":"stop"'), id="a finish"),
        pytest.param(frame("x").replace(b'"usage":null', b'"usage":{"prompt_tokens":1}'), id="usage"),
        pytest.param(frame("x").replace(b'"index":0', b'"index":1'), id="another choice"),
        pytest.param(frame("x").replace(b'"x"', b""), id="nothing at all"),
        pytest.param(_HEAD[:40], id="a beginning"),
    ],
)
def test_anything_else_is_left_to_the_decoder(data):
    assert asked(taught(frame(" river")), data) == ""


@pytest.mark.parametrize("padding", ["", 'a"b', "a\\", "a,b", "é"])
def test_padding_of_other_than_letters_is_left_to_the_decoder(padding):
    assert asked(taught(frame(" river", padding="abc")), frame("x", padding=padding)) == ""


def test_nothing_is_learnt_where_the_text_stands_elsewhere_first():
    by = frame("m")
    assert by.count(b'"m"') == 2
    assert taught(by).attempt == -1


def test_a_finish_between_the_text_and_its_padding_is_left_to_the_decoder():
    data = frame("x", padding="abc").replace(b'"finish_reason":null', b'"finish_reason":"x"')
    assert asked(taught(frame(" river", padding="abc")), data) == ""


def test_line_ends_on_which_clients_break_are_left_to_a_decoder_that_mends_them():
    def delta(text: str) -> bytes:
        said = {"type": "content-delta", "index": 0, "delta": {"message": {"content": {"text": text}}}}
        return b"event: content-delta\ndata: " + json.dumps(said, ensure_ascii=False).encode() + b"\n\n"

    alike, decoder = Alike(), CohereDecoder()
    alike.learn(3, delta("a"), decoder.decode(delta("a"))[1], decoder)
    assert asked(alike, delta("é")) == "é"
    assert asked(alike, delta("b\u2028c")) == ""


def test_nothing_is_learnt_where_the_text_is_written_otherwise_and_its_likeness_stands_elsewhere():
    by = frame("x").replace(b'"x"', b'"\\u0078"').replace(b'"m"', b'"x"')
    decoder = begun()
    assert decoder.decode(by)[1] == (Text("x"),)
    assert taught(by).attempt == -1


def test_nothing_is_learnt_from_half_a_character():
    assert taught(frame("\ud83d", ascii_only=True)).attempt == -1


def test_a_provider_whose_frames_are_never_alike_is_not_learnt_from_for_ever():
    alike, decoder = Alike(), begun()
    for number in range(40):
        by = frame(f"t{number}")
        alike.forget(useful=False)
        alike.learn(3, by, decoder.decode(by)[1], decoder)
    assert alike.attempt == -1
    alike.forget(useful=True)
    alike.learn(3, frame("x"), (Text("x"),), decoder)
    assert alike.attempt == 3


def test_counts_that_come_with_every_delta_are_read_with_it():
    alike = taught_by_gemini()
    assert asked(alike, gemini(" does", '{"promptTokenCount":30,"candidatesTokenCount":8}')) == " does"
    assert alike.usage() == Usage(input=30, output=8)
    assert alike.usage() is None


def responses(text: str, number: int, **other: object) -> bytes:
    said = {"type": "response.output_text.delta", "sequence_number": number, "item_id": "msg_1", "output_index": 0}
    data = json.dumps({**said, "content_index": 0, "delta": text, **other}, separators=(",", ":"))
    return f"event: response.output_text.delta\ndata: {data}\n\n".encode()


def taught_by_responses() -> Alike:
    alike, decoder = Alike(), ResponsesDecoder()
    said = {"type": "response.created", "sequence_number": 0, "response": {"id": "r1", "output": []}}
    item = {"type": "message", "id": "msg_1", "content": []}
    part = {"type": "output_text", "text": "", "annotations": []}
    for event in (
        said,
        {"type": "response.output_item.added", "sequence_number": 1, "output_index": 0, "item": item},
        {"type": "response.content_part.added", "sequence_number": 2, "output_index": 0, "content_index": 0}
        | {"item_id": "msg_1", "part": part},
    ):
        decoder.decode(f"event: {event['type']}\ndata: {json.dumps(event)}\n\n".encode())
    by = responses(" river", 9)
    alike.learn(3, by, decoder.decode(by)[1], decoder)
    assert alike.attempt == 3
    return alike


def test_numbered_deltas_are_read_while_their_numbers_go_up_by_one():
    alike = taught_by_responses()
    assert [asked(alike, responses(" x", number)) for number in (10, 11, 12)] == [" x"] * 3


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(responses("x", 9), id="the same number"),
        pytest.param(responses("x", 11), id="one was left out"),
        pytest.param(responses("x", 100), id="a number that begins with the next"),
        pytest.param(responses("x", 10).replace(b":10,", b":010,"), id="no number"),
        pytest.param(responses("x", 10, content_index=1), id="another part"),
        pytest.param(responses("", 10), id="an empty text"),
        pytest.param(responses("x", 10, sequence_number=11), id="the number twice"),
    ],
)
def test_other_numbers_are_left_to_the_decoder(data):
    assert asked(taught_by_responses(), data) == ""


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(gemini("x", '{"promptTokenCount":,"candidatesTokenCount":8}'), id="no number"),
        pytest.param(gemini("x", '{"promptTokenCount":"3"}'), id="no count"),
        pytest.param(gemini("x", "{}"), id="nothing counted"),
        pytest.param(gemini("x", '{"promptTokenCount":3,"candidatesTokenCount":8,"x":[{"a":1}]}'), id="another form"),
        pytest.param(gemini("x", '{"promptTokenCount":3,"candidatesTokenCount":08}'), id="a zero in front"),
        pytest.param(gemini("x", '{"promptTokenCount":3,"candidatesTokenCount":8e9}'), id="an exponent"),
        pytest.param(gemini("x", "{},{}"), id="two objects"),
        pytest.param(gemini("é"), id="bytes that are not characters"),
    ],
)
def test_counts_that_are_none_are_left_to_the_decoder(data):
    assert asked(taught_by_gemini(), data) == ""


@pytest.mark.parametrize("blanks", [0, 1, 9])
def test_blanks_behind_the_text_may_be_any_number(blanks):
    def delta(text: str, blanks: int) -> bytes:
        said = {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": text}}
        fields = json.dumps(said, separators=(",", ":"))[:-1]
        return f"event: content_block_delta\ndata: {fields}{' ' * blanks}}}\n\n".encode()

    alike, decoder = Alike(), MessagesDecoder()
    alike.learn(3, delta("a", 4), decoder.decode(delta("a", 4))[1], decoder)
    assert asked(alike, delta("b", blanks)) == "b"


@pytest.mark.parametrize("end", [b"\r\n\r\n", b"\r\nx\n", b"\r\n\n", b"\n\n"])
def test_a_frame_ends_with_its_blank_line_whatever_the_line_ends_are(end):
    framer = SSEFramer()
    framer.feed(b"data: 1\r\n\r\n")
    data = b"data: 2" + end
    plain = SSEFramer()
    bytewise = [frame for at in range(len(data)) for frame in plain.feed(data[at : at + 1])]
    assert framer.feed(data) == bytewise
