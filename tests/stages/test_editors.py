"""Every client wire's editor: whatever the deltas, the client has the text that the stages make of the whole."""

import json
import re
from typing import Any

import msgspec
import pytest
from answers import WIRES, Deltas, Wire, events
from hypothesis import given
from hypothesis import strategies as st
from words import Word

from penstock.stages.pipeline import StagesPlan
from penstock.stream.plan import Plan
from penstock.testing import gemini, messages
from penstock.testing.corpus import examples
from penstock.testing.run import run, script
from penstock.usage import Usage
from penstock.wire.edit import Asked
from penstock.wire.editors import editor_of

EACH = pytest.mark.parametrize("wire", WIRES.values(), ids=WIRES)
KINDS = [
    pytest.param(wire, kind, id=f"{name}, {kind}")
    for name, wire in WIRES.items()
    for kind in ("texts", "thoughts", "calls")
    if getattr(wire, kind) is not None
]
PLAN = StagesPlan(stages=(Word(),))
NOTHING = StagesPlan()
TEXT = "a SECRET, SECSECRET and SECRE"
CLEAN = "a [x], SEC[x] and SECRE"
CALL = '{"a": "SECRET", "b": ["\\u0053ECRET \\ud83d\\ude00", {"SECRET": 12, "é": "SEC"}], "n": -1.5e3, "t": true}'


def given_text(wire: Wire, kind: str, deltas: Deltas) -> list[bytes]:
    return getattr(wire, kind)(deltas)


@pytest.mark.parametrize(("wire", "kind"), KINDS)
def test_every_split_in_two_gives_the_same_answer_and_no_byte_early(wire, kind):
    text, clean = (CALL, None) if kind == "calls" else (TEXT, CLEAN)
    at_once = wire.whole(wire.edited(PLAN, given_text(wire, kind, [text])))
    if clean is not None:
        assert at_once == wire.whole(b"".join(given_text(wire, kind, [clean])))
    else:
        assert "SECRET" not in json.dumps(at_once)
    for cut in range(1, len(text)):
        frames = given_text(wire, kind, [text[:cut], text[cut:]])
        body = wire.edited(PLAN, frames)
        assert b"SECRET" not in body
        assert meaning(wire.whole(body)) == meaning(at_once), cut


@pytest.mark.parametrize(("wire", "kind"), KINDS)
def test_character_by_character(wire, kind):
    text = CALL if kind == "calls" else TEXT
    at_once = wire.whole(wire.edited(PLAN, given_text(wire, kind, [text])))
    body = wire.edited(PLAN, given_text(wire, kind, list(text)))
    assert meaning(wire.whole(body)) == meaning(at_once)


@EACH
def test_no_byte_of_what_may_be_a_match_goes_out_early(wire):
    editor, _ = wire.editor(PLAN)
    frames = wire.texts(["ok", *"SECRE"])
    first = next(place for place, frame in enumerate(frames) if b'"ok"' in frame)
    seen = b"".join([editor.edit(frame) for frame in frames[: first + 6]])
    assert b'"ok"' in seen
    assert not re.search(rb'"(text|content|delta)": ?"[SECR]', seen)


def meaning(value: Any) -> Any:
    """JSON texts (arguments) by what they say."""
    if isinstance(value, dict):
        return {name: meaning(each) for name, each in value.items()}
    if isinstance(value, list):
        return [meaning(each) for each in value]
    if isinstance(value, str) and value.startswith("{"):
        return json.loads(value)
    return value


@pytest.mark.parametrize(("wire", "kind"), KINDS)
@given(data=st.data())
def test_any_text_in_any_deltas(wire, kind, data):
    piece = st.sampled_from(["SECRET", "SEC", "RET", "S", "é", "😀", " ", '"', "\\", "\n", "x", "\u2028"])
    text = "".join(data.draw(st.lists(piece, max_size=12)))
    if kind == "calls":
        ascii_ = data.draw(st.booleans())
        text = json.dumps({"k": text, "l": [text]}, ensure_ascii=ascii_)
    cuts = sorted(data.draw(st.sets(st.integers(0, len(text)), max_size=8)))
    deltas = [text[a:b] for a, b in zip([0, *cuts], [*cuts, len(text)], strict=True)]
    expected = text.replace("SECRET", "[x]")
    body = wire.edited(PLAN, given_text(wire, kind, deltas))
    clean = wire.edited(NOTHING, given_text(wire, kind, [expected]))
    assert meaning(normal(wire.whole(body))) == meaning(normal(wire.whole(clean)))


def normal(whole: Any) -> Any:
    """Without what only says that there was no text: a part that never came, or came empty."""
    if isinstance(whole, dict):
        return {k: normal(v) for k, v in whole.items() if v not in ("", None, [], {})}
    if isinstance(whole, list):
        return [normal(each) for each in whole if each not in ({"text": ""},)]
    return whole


def plans(wire: Wire, array: bool) -> tuple[Plan, Plan]:
    made = []
    for _ in range(2):
        if wire.name == "gemini":
            made.append(gemini.plan(gemini.request("" if array else "alt=sse")))
        else:
            made.append(messages.plan(client=wire.name, upstream=wire.name))
    editor = editor_of(wire.name, Asked(made[1].request, "st_play", made[1].client))
    return made[0], msgspec.structs.replace(made[1], stages=NOTHING, editor=editor)


@EACH
def test_composed_streams_keep_their_bytes_where_nothing_is_found(wire):
    """Through the whole machine: with stages that do nothing, and without any."""
    for example in examples(wire.name):
        without, staged = plans(wire, example.file.endswith("json"))
        story = [script(example.read())]
        assert run(staged, story).body == run(without, story).body, example.file


@EACH
def test_responses_numbers_have_no_gaps(wire):
    if wire.name != "openai-responses":
        return
    body = wire.edited(PLAN, wire.texts(list(TEXT)))
    assert [event["sequence_number"] for event in events(body)] == list(range(len(events(body))))


@EACH
@pytest.mark.parametrize("kind", ["stop", "length", "content_filter"])
def test_a_finish_in_the_middle_is_a_whole_answer_of_the_wire(wire, kind):
    if wire.name == "openai-responses":
        pytest.skip("its session has to know the answer: see the plays")
    editor, _ = wire.editor(PLAN)
    frames = wire.texts(["some ", "text"])
    last = next(place for place, frame in enumerate(frames) if b"some " in frame) + 1
    body = b"".join([editor.edit(frame) for frame in frames[: last + 1]])
    end = editor.finish(kind, Usage(input=9, output=2))
    if end is None:
        assert kind == "content_filter"
        assert wire.name in ("cohere-chat", "ollama-chat")
        return
    assert "some text" in json.dumps(wire.whole(body + end))
