"""A pattern's open form: whatever the pattern, whatever the split, the stream's result is the whole text's."""

from __future__ import annotations

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from redact_plainly import cut, every_cut, plainly, streamed

from penstock.stages.redact.detectors import Detector
from penstock.stages.redact.pattern import PatternError, join, translate
from penstock.stages.redact.scan import Rules

ALPHABET = "ab1 -\n"
SINGLES = st.sampled_from(["a", "b", "1", "-", r"\d", r"\w", "[^a]", "[ab]", "[^-1]", ".", r"\s", " "])
COUNTS = st.tuples(st.integers(0, 3), st.integers(0, 3)).map(lambda pair: (min(pair), max(pair)))
SUFFIXES = st.sampled_from(["", "?", "+"])
EDGES = st.sampled_from([r"\b", r"\B", "(?=a)", "(?!b)", "(?<=1)", "(?<!a)", r"(?<![ab])", r"(?!\w)", r"\Z"])


def _repeat(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.builds(
        lambda text, counts, suffix: f"(?:{text}){{{counts[0]},{counts[1]}}}{suffix}", inner, COUNTS, SUFFIXES
    )


PATTERNS = st.recursive(
    st.one_of(SINGLES, EDGES, _repeat(SINGLES), _repeat(SINGLES)),
    lambda inner: st.one_of(
        st.lists(inner, min_size=2, max_size=4).map("".join),
        st.lists(inner, min_size=2, max_size=3).map(lambda branches: f"(?:{'|'.join(branches)})"),
        inner.map(lambda text: f"(?>{text})"),
        inner.map(lambda text: f"({text})"),
        _repeat(inner),
    ),
    max_leaves=6,
)


def detectors(patterns: list[str]) -> list[Detector]:
    found = [Detector(f"k{number}", pattern, ascii_only=False) for number, pattern in enumerate(patterns)]
    try:
        Rules(found)
    except PatternError:
        assume(False)
    return found


@given(st.lists(PATTERNS, min_size=1, max_size=3), st.text(ALPHABET, max_size=14), st.lists(st.integers(0, 13)))
def test_any_pattern_means_the_same_in_a_stream(patterns, text, places):
    looked_for = detectors(patterns)
    rules = Rules(looked_for)
    whole = plainly(looked_for, text)
    assert streamed(rules, [text]) == whole
    assert streamed(rules, list(text)) == whole
    assert streamed(rules, cut(text, *places)) == whole


@pytest.mark.parametrize(
    ("pattern", "texts"),
    [
        ("a{2,3}b", ["aab", "aaab", "aaaab", "aa", "aa1"]),
        ("(?:ab|a)1", ["ab1", "a1", "aba1"]),
        (r"\bab\b", ["ab", "ab1", "1ab", " ab ", "ab-ab"]),
        ("[ab]{1,3}(?<!b)1{0,1}", ["aab1", "ab", "aba1", "bbb-", "abab"]),
        ("a(?=1)", ["a1", "a", "aa1"]),
        ("[ab]{1,4}?1", ["abab1", "ababa1", "ab-1"]),
        ("(?:a-){1,3}b", ["a-a-b", "a-a-a-a-b", "a-a-1"]),
        ("(?i)AB(?-i:a)", ["aba", "ABa", "ABA"]),
        ("(?>a|ab)1", ["ab1", "a1", "a-"]),
        ("ab1|a", ["ab1", "ab", "aab-"]),
        ("(?s:a.b)", ["a\nb", "a1b", "a"]),
        ("é[日本]{1,2}", ["é日本", "é日", "e日本é本"]),
    ],
)
def test_a_pattern_at_every_cut(pattern, texts):
    looked_for = [Detector("k", pattern, ascii_only=False)]
    rules = Rules(looked_for)
    for text in texts:
        for pieces in every_cut(text):
            assert streamed(rules, pieces) == plainly(looked_for, text)


@pytest.mark.parametrize(
    ("pattern", "word"),
    [
        ("a+", "{1,64}"),
        ("a*b", "{0,64}"),
        ("(?:ab){2,}", "upper bound"),
        (r"(a)b\1", "refers back"),
        ("^a", "meaning"),
        ("a$", "meaning"),
        ("(?=ab)a", "one character"),
        ("(?<!ab)c", "one character"),
        ("a{0,3}", "empty"),
        ("(a", "not a regular expression"),
        ("a{3,1}", "not a regular expression"),
        ("[[a]b", "not clear: Possible nested set"),
        ("(?(1)a|b)", "not a regular expression"),
        ("(a)(?(1)a|b)", "refers back"),
    ],
)
def test_what_cannot_be_looked_for_in_a_stream_is_refused(pattern, word):
    with pytest.raises(PatternError, match=word.replace("{", r"\{")):
        translate(pattern)


def test_the_width_is_that_of_the_longest_match():
    assert translate("a{1,3}(?:bc|d)").width == 5


def test_nothing_to_look_for_finds_nothing():
    assert join([]).search("abc") is None
    assert streamed(Rules([]), ["ab", "c"]) == "abc"
