"""The short way through an editor says what the long way says."""

import json
from typing import Any

import pytest
from answers import WIRES
from hypothesis import given
from hypothesis import strategies as st
from test_editors import meaning
from words import Word

from penstock.framing import sse
from penstock.stages.pipeline import StagesPlan
from penstock.wire.edit import SSEEditor
from penstock.wire.edit_splice import Spot, template_of

PLAN = StagesPlan(stages=(Word(),))
SPOT = Spot("content", ("text", 0, 0))


def frame(text: Any, *, top: str = "", choice: str = "", delta: str = "", space: str = "") -> bytes:
    said = json.dumps(text, ensure_ascii=False).encode("utf-8", "surrogatepass").decode("utf-8", "surrogatepass")
    body = f'{{"id":"c","choices":[{{"index":0,"delta":{{{delta}"content":{space}{said}}}{choice}}}]{top}}}'
    return f"data: {body}\n\n".encode("utf-8", "surrogatepass")


PADS = st.sampled_from(["", ',"obfuscation":"Ab1"', ',"obfuscation":"xyzXYZ09"', ',"obfuscation":""'])
TOPS = st.one_of(PADS, st.sampled_from([',"usage":null', ',"usage":{"total_tokens":3}', ',"x":1']))
CHOICES = st.sampled_from(
    [
        "",
        ',"finish_reason":null',
        ',"logprobs":{"content":[{"token":"S"}]}',
        ',"finish_reason":"stop"',
        ',"content":"q"',
    ]
)
DELTAS = st.sampled_from(["", '"role":"assistant",', '"refusal":null,', '"reasoning":"SECR",'])
TEXTS = st.one_of(
    st.sampled_from(["SEC", "RET", "SECRET", "", 'a"SE', "\\CRET", "\u2028", "é🐎", '","content":"', "\ud800", "b"]),
    st.text(max_size=4),
)
FRAMES = st.builds(frame, TEXTS, top=TOPS, choice=CHOICES, delta=DELTAS, space=st.sampled_from(["", " "]))
FRAME = frame("SE")
ALIKE = st.lists(st.builds(frame, TEXTS, top=PADS), max_size=8)


def edited(frames: list[bytes], *, shortly: bool) -> list[Any]:
    editor, _ = WIRES["openai-chat"].editor(PLAN)
    assert isinstance(editor, SSEEditor)
    out = []
    for one in frames:
        if not shortly:
            editor._template = None
        out.append(editor.edit(one))
    out.append(editor.flush())
    return [[said(each) for each in sse.SSEFramer().feed(one)] for one in out]


def said(one: bytes) -> Any:
    body = json.loads(sse.parse(one).data or b"null")
    return body


@given(frames=st.one_of(ALIKE, st.lists(FRAMES, max_size=8), st.lists(st.one_of(st.just(FRAME), FRAMES), max_size=12)))
def test_the_short_way_is_the_long_way(frames):
    assert edited(frames, shortly=True) == edited(frames, shortly=False)


@pytest.mark.parametrize("name", ["openai-chat", "anthropic-messages"])
@pytest.mark.parametrize("kind", ["texts", "thoughts", "calls"])
@given(pieces=st.lists(st.sampled_from(["SE", "CRET", "SECRET", "x", '"', "\\n", " "]), max_size=9))
def test_whole_answers_are_the_same(name, kind, pieces):
    make = getattr(WIRES[name], kind)
    if make is None:
        return
    deltas = ['{"a":"', *(piece.replace('"', "'") for piece in pieces), '"}'] if kind == "calls" else pieces
    outs = []
    for shortly in (True, False):
        editor, _ = WIRES[name].editor(PLAN)
        out = []
        for one in make(deltas):
            if not shortly:
                editor._template = None  # type: ignore[attr-defined]
            out.append(editor.edit(one))
        outs.append(meaning(WIRES[name].whole(b"".join(out) + editor.flush())))
    assert outs[0] == outs[1]


def test_a_frame_with_the_same_form_is_told_by_its_bytes():
    template = template_of(frame("Hello"), SPOT)
    assert template is not None
    assert template.text(frame('a "b" \u2028')) == 'a "b" \u2028'
    assert template.frame("x") == frame("x")
    for other in (frame("x", top=',"a":1'), frame("x") + frame("y"), b"", frame("x")[:-1], frame(3)):
        assert not other.startswith(template.before) or template.text(other) is None


def test_padding_may_be_another_each_time_and_goes_with_the_text():
    template = template_of(frame("Hello", top=',"obfuscation":"abc"'), SPOT)
    assert template is not None
    assert template.text(frame("x", top=',"obfuscation":"Z9"')) == "x"
    assert template.text(frame("x")) is None
    assert template.frame("x") == frame("x")


@pytest.mark.parametrize("two", [frame("a", choice=',"content":"b"'), frame("a").replace(b"\n", b"\r\n"), frame(1)])
def test_no_form_is_made_of_what_is_not_certain(two):
    assert template_of(two, SPOT) is None
