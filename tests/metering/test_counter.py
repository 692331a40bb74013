"""Counting text as it grows gives what tiktoken gives for the whole."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mixed import VOCABULARIES, cuts, mixed

from penstock import vocabularies
from penstock.metering.counter import LONGEST, Estimate
from penstock.metering.encodings import CL100K, O200K, Encoding, encoding_of, seed_of
from penstock.vocabularies import Vocabularies

MILLION = mixed(1_000_000, seed=1)


@pytest.mark.parametrize("mean", [1, 4, 12, 200])
def test_a_million_mixed_characters_count_as_the_whole_text(vocabulary, by_tiktoken, mean):
    counter = vocabulary.counter()
    for piece in cuts(MILLION, mean, seed=mean):
        counter.add(piece)
    assert counter.tokens() == len(by_tiktoken.encode_ordinary(MILLION))
    assert counter.exact


def test_every_prefix_counts_as_a_whole_text(vocabulary, by_tiktoken):
    text, counter, sofar = mixed(4_000, seed=2), vocabulary.counter(), ""
    for piece in cuts(text, 3, seed=3):
        counter.add(piece)
        sofar += piece
        assert counter.tokens() == len(by_tiktoken.encode_ordinary(sofar)), sofar[-40:]


ODD = st.text(st.sampled_from("Aa日ʰ1's l\n!/\t\r\u00a0é\u0301😀\ud83d"), max_size=40)


@settings(max_examples=300, deadline=None)
@given(st.lists(ODD, max_size=12))
def test_cuts_change_nothing(pieces):
    for name in ("o200k_base", "cl100k_base"):
        vocabulary = VOCABULARIES.load(name)
        whole, cut = vocabulary.counter(), vocabulary.counter()
        whole.add("".join(pieces))
        for piece in pieces:
            cut.add(piece)
        assert cut.tokens() == whole.tokens()


def test_the_pattern_is_tiktokens(encoding, by_tiktoken):
    assert encoding.pattern == by_tiktoken._pat_str


@pytest.mark.parametrize(
    ("text", "cl100k", "o200k"),
    [("antidisestablishmentarianism", 6, 6), ("2 + 2 = 4", 7, 7), ("お誕生日おめでとう", 9, 8)],
)
def test_known_counts(text, cl100k, o200k):
    """OpenAI's cookbook, "How to count tokens with tiktoken"."""
    for name, tokens in (("cl100k_base", cl100k), ("o200k_base", o200k)):
        counter = VOCABULARIES.load(name).counter()
        counter.add(text)
        assert counter.tokens() == tokens


def test_a_piece_without_end_is_bounded_and_no_longer_called_exact(vocabulary):
    counter = vocabulary.counter()
    for _ in range(20_000):
        counter.add("aaaa")
    assert not counter.exact
    assert sum(map(len, counter._parts)) <= LONGEST * 5 // 4 + 4
    assert 80_000 / 10 < counter.tokens() < 80_000 / 7


def test_a_vocabulary_that_is_not_the_published_one_is_refused(monkeypatch, caplog):
    broken = Encoding(O200K.name, O200K.pattern, CL100K.sha256)
    monkeypatch.setattr(vocabularies, "ENCODINGS", {O200K.name: broken})
    store = Vocabularies()
    assert store.get("o200k_base") is None
    assert isinstance(store.load("o200k_base"), Estimate)
    assert "its SHA-256 is 446a9538" in caplog.text


def test_an_estimate_says_so():
    counter = Estimate().counter()
    counter.add("four")
    counter.add("日本")
    assert (counter.tokens(), counter.exact) == (3, False)


@pytest.mark.parametrize(
    ("model", "encoding"),
    [
        ("gpt-4o-2024-08-06", O200K),
        ("openai/gpt-4.1-mini", O200K),
        ("ft:gpt-4o-mini:acme::x", O200K),
        ("o3-mini", O200K),
        ("gpt-5.1", O200K),
        ("gpt-4-turbo", CL100K),
        ("gpt-35-turbo", CL100K),
        ("claude-sonnet-4-5", None),
        ("olmo-2", None),
    ],
)
def test_models_have_their_encoding(model, encoding):
    assert encoding_of(model) is encoding


def test_factors_have_a_seed():
    assert [seed_of(m) for m in ("claude-sonnet-4-5", "us.anthropic.claude-opus-4-7-v1", "qwen3")] == [1.2, 1.5, 1.0]
