"""Texts that are longer than a piece: what comes out is the same, and takes no longer than they are long."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.slices import SIZE
from penstock.stages import segments
from penstock.stages.contract import Block
from penstock.stages.guards import MaxCharacters, Repetition, StopSequences
from penstock.stages.moderate.moderator import Moderator
from penstock.stages.moderate.policy import ModeratePolicy
from penstock.stages.pipeline import Pipeline, StagesPlan
from penstock.stages.redact.policy import RedactPolicy
from penstock.stages.redact.redactor import Redactor
from penstock.stages.segments import Segmenting, Segments

PLACE = ("text", 0, 0)
DETECTORS = ("email", "iban", "phone")
IBAN = "DE89 3704 0044 0532 0130 00"
WORDS = st.lists(
    st.sampled_from(
        ["jane.doe@example.com", IBAN, "DE89 ", "word ", "bad. ", "END", " ", ". ", "\n", "a", "+49 30 1234"]
    ),
    min_size=1,
    max_size=40,
)
STAGES = st.sampled_from(
    [
        (Redactor(RedactPolicy(detectors=DETECTORS)),),
        (Redactor(RedactPolicy(detectors=DETECTORS, actions=(("phone", "block"),))),),
        (Redactor(RedactPolicy(detectors=DETECTORS)), StopSequences(("END.",))),
        (Redactor(RedactPolicy(detectors=DETECTORS)), Moderator(ModeratePolicy(deny=("bad",), on_match="replace"))),
        (Redactor(RedactPolicy(detectors=DETECTORS)), MaxCharacters(900)),
        (Moderator(ModeratePolicy(deny=("/a{3}/",))),),
        (Repetition(5),),
    ]
)


def said(pipeline: Pipeline, deltas: list[str]) -> tuple[str, str]:
    """All that goes out, and why it ends."""
    out = ""
    for delta in deltas:
        if pipeline.verdict is None:
            out += pipeline.feed(PLACE, delta)
    if pipeline.verdict is None:
        out += pipeline.flush(PLACE)
    verdict = pipeline.verdict
    return out + (pipeline.last[1] if pipeline.last else ""), "" if verdict is None else verdict.reason


@given(words=WORDS, times=st.integers(1, 12), stages=STAGES, sentences=st.booleans())
def test_a_text_at_once_says_what_it_says_in_deltas(words, times, stages, sentences):
    text = "".join(words) * times
    how = StagesPlan(stages=stages, segments=Segmenting("sentence") if sentences else None)
    tokens = [text[at : at + 5] for at in range(0, len(text), 5)]
    assert said(how.open(), [text]) == said(how.open(), tokens)


@pytest.mark.parametrize("block", [False, True])
def test_a_prompt_of_any_length_is_redacted_whole(block):
    text = ("x " * (SIZE // 2 - 10) + IBAN + ". ") * 50
    redactor = Redactor(RedactPolicy(detectors=DETECTORS, actions=(("phone", "block"),)))
    if not block:
        assert redactor.open().prompt([text]) == [text.replace(IBAN, "[iban]")]
    else:
        found = redactor.open().whole(text + "+49 30 12345678.")
        assert found == Block("phone", text.replace(IBAN, "[iban]"))


def test_who_has_read_the_request_serves_the_first_answer():
    redactor = Redactor(RedactPolicy(detectors=("email",), action="tokenise", prompt=True))
    texts, reader = ("I am jane.doe@example.com.",), redactor.open()
    reader.prompt(texts)
    how = StagesPlan(stages=(redactor,), prompts=(texts,), readers=[reader])
    for _ in range(2):
        answer = how.open()
        assert answer.feed(PLACE, "Hello <EMAIL_1>.") + answer.flush(PLACE) == "Hello jane.doe@example.com."
        assert answer.findings() == {"email": 1}
    assert not how.readers and reader.findings() == {"email": 1}


# -- sentences ------------------------------------------------------------------------------------------------------

PLAIN = re.compile(
    r"[.!?\u2026]+[\"')\]}]*\s+|[\u3002\uff01]+[\"'\u300d]*|[\n\u2028\u2029]+",
)
"""The same, without a thought of time."""


@given(
    st.lists(st.sampled_from([".", "..", "!", "?", "\u2026", '"', ")", " ", "\n", "a", "\u3002", "\u300d"])).map(
        "".join
    )
)
def test_sentences_end_where_they_end(text):
    assert [one.span() for one in segments._SENTENCE.finditer(text)] == [one.span() for one in PLAIN.finditer(text)]


@pytest.mark.parametrize("row", [".", "?!", ".'", "\u3002", " ", "\n ", "\u2026)"])
@pytest.mark.parametrize("unit", ["sentence", "paragraph"])
def test_a_row_of_marks_takes_time_by_its_length(row, unit):
    """By the square of it, this would take a minute."""
    text = row * 60_000
    held = Segments(Segmenting(unit))
    assert held.feed(PLACE, text, 0.0) + held.flush(PLACE, "") == text


def test_what_a_guard_knows_of_a_channel_ends_with_it():
    guard, channel = Repetition(3).open(), ("text", 0, 0)
    circle = "".join(f"{number} over and " for number in range(40))
    for _ in range(4):
        assert guard.feed(channel, circle) == circle
        guard.flush(channel)
