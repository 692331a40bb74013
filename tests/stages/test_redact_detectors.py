"""Every built-in detector: what it finds, what it passes, and the same at every split."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from redact_examples import FOUND, PASSED
from redact_plainly import cut, every_cut, plainly, streamed

from penstock.stages.redact.policy import CATALOG, KINDS, RedactPolicy
from penstock.stages.redact.scan import Rules, Scan

ALL = RedactPolicy(detectors=KINDS).shapes()
RULES = Rules(ALL)
OF_KIND = {kind: RedactPolicy(detectors=(kind,)).shapes() for kind in KINDS}
RULES_OF = {kind: Rules(shapes) for kind, shapes in OF_KIND.items()}
AROUND = [
    "",
    " ",
    "日",
    "é",
    "😀",
    "e\u0301",
    "\u200b",
    "\ud83d",
    "\n",
    "(",
    '"',
    ": ",
    "= ",
    ". ",
    "x",
    "1",
    "-",
    "\xa0",
]


def pairs(examples: dict[str, list[str]]) -> list[tuple[str, str]]:
    return [(kind, text) for kind, texts in examples.items() for text in texts]


def wrapped(kind: str, text: str) -> str:
    return f"https://{text}@host/" if kind == "url_credentials" else f"It is {text}"


def test_every_kind_has_its_examples():
    assert list(FOUND) and set(FOUND) == set(PASSED) == set(KINDS)
    assert {detector.kind for detector in CATALOG} == set(KINDS)


@pytest.mark.parametrize(("kind", "text"), pairs(FOUND))
def test_it_is_found_alone_and_among_all(kind, text):
    around = wrapped(kind, "⟦%s⟧")
    assert plainly(OF_KIND[kind], wrapped(kind, text)) == around % kind
    mixed = plainly(ALL, wrapped(kind, text))
    assert "⟦" in mixed
    assert text not in mixed


@pytest.mark.parametrize(("kind", "text"), pairs(PASSED))
def test_what_only_looks_like_it_passes(kind, text):
    assert plainly(OF_KIND[kind], f"It is {text}") == f"It is {text}"


@pytest.mark.parametrize(("kind", "text"), pairs(FOUND) + pairs(PASSED))
def test_it_is_the_same_at_every_cut(kind, text):
    """In three pieces at every pair of cuts up to 40 characters, in two at every cut beyond; with text after it and at
    the stream's end."""
    for whole in (wrapped(kind, text)[-40:], f"{text}, 日本 x"):
        expected = plainly(OF_KIND[kind], whole), plainly(ALL, whole)
        for pieces in every_cut(whole):
            assert (streamed(RULES_OF[kind], pieces), streamed(RULES, pieces)) == expected


@st.composite
def texts(draw: st.DrawFn) -> str:
    """Texts of pieces of matches, near-matches and characters that stand around them."""
    parts = []
    for _ in range(draw(st.integers(1, 6))):
        kind = draw(st.sampled_from(KINDS))
        example = draw(st.sampled_from([*FOUND[kind], *PASSED[kind]]))
        match draw(st.sampled_from(["whole", "head", "tail", "changed", "around", "around"])):
            case "whole":
                parts.append(example)
            case "head":
                parts.append(example[: draw(st.integers(0, len(example)))])
            case "tail":
                parts.append(example[draw(st.integers(0, len(example))) :])
            case "changed":
                place = draw(st.integers(0, len(example) - 1))
                parts.append(example[:place] + draw(st.sampled_from(AROUND)) + example[place + 1 :])
            case "around":
                parts.append(draw(st.sampled_from(AROUND)))
    return "".join(parts)


@given(texts(), st.lists(st.integers(0, 2000), max_size=12))
def test_the_stream_is_redacted_as_the_whole_text(text, places):
    expected = plainly(ALL, text)
    assert streamed(RULES, [text]) == expected
    assert streamed(RULES, list(text)) == expected
    assert streamed(RULES, cut(text, *places)) == expected


@given(texts(), st.sampled_from(KINDS))
def test_each_detector_alone_at_every_character(text, kind):
    assert streamed(RULES_OF[kind], list(text)) == plainly(OF_KIND[kind], text)


@pytest.mark.parametrize(
    ("text", "redacted"),
    [
        ("2 4111 1111 1111 1111", "2 ⟦credit_card⟧"),
        ("4111 1111 1111 1111 12", "⟦credit_card⟧ 12"),
        ("4111111111111112 5500000000000004", "4111111111111112 ⟦credit_card⟧"),
        ("555 123 4567 8901 22", "⟦phone⟧ 8901 22"),
        ("999.1.1.1 1.1.1.1", "999.1.1.1 ⟦ip⟧"),
        ("DE89 3704 0044 0532 0130 00 for rent", "⟦iban⟧ for rent"),
        ("DE89 DE89 3704 0044 0532 0130 00", "DE89 ⟦iban⟧"),
    ],
)
def test_a_candidate_that_fails_hides_neither_what_is_in_it_nor_what_is_behind_it(text, redacted):
    for pieces in every_cut(text):
        assert streamed(RULES, pieces) == redacted


def test_prose_is_hardly_held_back():
    prose = (
        "The quick brown fox jumps over the lazy dog, while 12 engineers in 2024 discussed whether gateways (like this "
        "one) should hold text back: it is, after all, a question of trust. Most answers are plain prose with numbers "
        "such as 3.14 or 1,000; some have code like `for i in range(10): print(i)` and URLs, https://example.com/docs.\n"
    ) * 5
    scan, held = Scan(RULES, lambda kind, text: kind), []
    pieces = [prose[place : place + 4] for place in range(0, len(prose), 4)]
    for piece in pieces:
        scan.feed(piece)
        held.append(scan.held)
    assert sum(held) / len(held) <= 4
    assert max(held) < 24
