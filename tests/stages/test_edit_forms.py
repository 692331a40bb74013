"""The short way through an editor where frames differ in more than their text says what the long way says."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from answers import WIRES
from hypothesis import given
from hypothesis import strategies as st
from test_editors import meaning
from words import Word

from penstock.stages.pipeline import StagesPlan
from penstock.wire.edit_forms import form_of
from penstock.wire.edit_splice import Spot

PLAN = StagesPlan(stages=(Word(),))
SPOT = Spot("text", ("text", 0, 0), varies=True)
TEXTS = st.one_of(
    st.sampled_from(["SEC", "RET", "SECRET", "", 'a"SE', "\\CRET", "\u2028", "é🐎", '","text":"', "b"]),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=4),
)


def said(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def cohere(text: str, number: int, odd: int) -> bytes:
    more = ',"logprobs":{"token_ids":[1],"text":"SEC"}' if odd == 1 else ""
    field = "thinking" if odd == 2 else "text"
    event = "tool-plan-delta" if odd == 3 else "content-delta"
    inner = f'"tool_plan":{said(text)}' if odd == 3 else f'"content":{{"{field}":{said(text)}}}'
    body = f'{{"type":"{event}","index":{number % 2},"delta":{{"message":{{{inner}}}}}{more}}}'
    return f"event: {event}\ndata: {body}\n\n".encode()


def gemini(text: str, number: int, odd: int) -> bytes:
    thought = ',"thought": true' if odd == 1 else ',"thoughtSignature": "c2ln"' if odd == 2 else ""
    more = ',"groundingMetadata": {"webSearchQueries": ["SECRET"]}' if odd == 3 else ""
    usage = f'"usageMetadata": {{"promptTokenCount": 9,"candidatesTokenCount": {number},"x":[{{"tokenCount": 9}}]}}'
    top = usage if odd != 4 else '"modelVersion": "other"'
    candidate = f'{{"content": {{"parts": [{{"text": {said(text)}{thought}}}],"role": "model"}},"index": 0{more}}}'
    return f'data: {{"candidates": [{candidate}],{top},"responseId": "r"}}\r\n\r\n'.encode()


def ollama(text: str, number: int, odd: int) -> bytes:
    more = ',"logprobs":[{"token":"S"}]' if odd == 1 else ""
    held = f'"content":"","thinking":{said(text)}' if odd == 2 else f'"content":{said(text)}'
    held += ',"tool_calls":[{"function":{"name":"f","arguments":{"a":"SECRET"}}}]' if odd == 3 else ""
    start = b"data: " if odd == 4 else b""
    top = f'"model":"m","created_at":"2026-02-03T04:05:06.{number}Z"'
    return start + f'{{{top},"message":{{"role":"assistant",{held}}},"done":false{more}}}\n'.encode()


def responses(text: str, number: int, odd: int) -> bytes:
    kind = "refusal" if odd == 1 else "function_call_arguments" if odd == 2 else "output_text"
    more = ',"logprobs":[{"token":"S"}]' if odd == 3 else ',"logprobs":[],"obfuscation":"aB3"'[: 14 + 20 * (odd != 4)]
    place = f'"item_id":"i","output_index":0,"content_index":{number % 2}'
    number_of = f'"sequence_number":{number},'
    body = f'{{"type":"response.{kind}.delta",{number_of}{place},"delta":{said(text)}{more}}}'
    return f"event: response.{kind}.delta\ndata: {body}\n\n".encode()


MADE: dict[str, Callable[[str, int, int], bytes]] = {
    "cohere-chat": cohere,
    "gemini": gemini,
    "ollama-chat": ollama,
    "openai-responses": responses,
}
EACH = pytest.mark.parametrize("name", MADE)


def edited(name: str, frames: list[bytes], *, shortly: bool) -> list[Any]:
    editor: Any = WIRES[name].editor(PLAN)[0]
    out = []
    for one in frames:
        if not shortly:
            editor._form = None
        out.append(editor.edit(one))
    out.append(editor.flush())
    return [read(each) for each in out]


def read(frames: bytes) -> list[Any]:
    lines = [line.removeprefix(b"data: ") for line in frames.splitlines()]
    return [json.loads(line) for line in lines if line.startswith(b"{")]


@EACH
@given(data=st.data())
def test_the_short_way_is_the_long_way(name, data):
    odd = st.one_of(st.just(0), st.just(0), st.integers(0, 4))
    frames = data.draw(st.lists(st.tuples(TEXTS, odd), max_size=12))
    made = [MADE[name](text, number // 2 * 2, which) for number, (text, which) in enumerate(frames)]
    assert edited(name, made, shortly=True) == edited(name, made, shortly=False)


@EACH
@pytest.mark.parametrize("kind", ["texts", "thoughts", "calls"])
@given(pieces=st.lists(st.sampled_from(["SE", "CRET", "SECRET", "x", "'", "é", " "]), max_size=9))
def test_whole_answers_are_the_same(name, kind, pieces):
    make = getattr(WIRES[name], kind)
    if make is None:
        return
    frames = make(['{"a":"', *pieces, '"}'] if kind == "calls" else pieces)
    outs = []
    for shortly in (True, False):
        editor: Any = WIRES[name].editor(PLAN)[0]
        out = []
        for one in frames:
            if not shortly:
                editor._form = None
            out.append(editor.edit(one))
        outs.append(meaning(WIRES[name].whole(b"".join(out) + editor.flush())))
    assert outs[0] == outs[1]


@EACH
def test_frames_of_an_answer_are_alike_in_their_form(name):
    editor: Any = WIRES[name].editor(PLAN)[0]
    first, second = MADE[name]("one", 2, 0), MADE[name](' "two" \u2028', 44, 0)
    assert editor.edit(first) == first
    seen = editor._form.seen(second)
    assert seen.text == ' "two" \u2028'
    assert seen.written(seen.text) == second
    assert read(seen.written("x")) == read(MADE[name]("x", 44, 0).replace(b',"obfuscation":"aB3"', b""))
    assert editor.edit(second) == second


@EACH
def test_the_form_is_that_of_the_frame_before(name):
    editor: Any = WIRES[name].editor(PLAN)[0]
    editor.edit(MADE[name]("one", 2, 0))
    editor.edit(MADE[name]("two", 2, 3))
    assert editor._form is None or editor._form.seen(MADE[name]("x", 2, 0)) is None


def test_what_a_form_leaves_open_takes_nothing_else():
    frame = b'{"text":"x","sequence_number":7,"created_at":"2026-01-01T00:00:00Z"}\n'
    form = form_of(frame, SPOT)
    assert form is not None
    assert form.seen(frame.replace(b"7", b"812")) is not None
    for old, new in [(b"7", b"07"), (b"7", b'"7"'), (b"00Z", b'00","a":"Z'), (b"x", b'x","text":"y'), (b"x", b"\n")]:
        assert form.seen(frame.replace(old, new, 1)) is None
    assert form.seen(frame * 2) is None
    assert form.seen(frame.replace(b"x", b"\xff")) is None


@pytest.mark.parametrize(
    "frame",
    [
        b'{"text":"a","b":{"text":"c"}}',
        b'{"text":1}',
        b'{"text":"a","sequence_number":1,"b":{"sequence_number":2}}',
        b'{"text":"' + b"a" * 70_000 + b'"}',
    ],
)
def test_no_form_is_made_of_what_is_not_certain(frame):
    assert form_of(frame, SPOT) is None
