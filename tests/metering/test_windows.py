"""Tokenizers that a user brings: counted as they count a whole text, wherever it was split."""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path
from random import Random

import pytest
from mixed import mixed
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

from penstock.metering.windows import Windows
from penstock.vocabularies import Vocabularies
from penstock.vocabularies.own import TokenizerError, read_own

SPECIAL = ["<|end|>"]


@cache
def trained(kind: str) -> Tokenizer:
    """A small tokenizer of each kind that models have: Llama 3 and Qwen, Llama 2 and Mistral, Gemma and T5, BERT."""
    said = [mixed(20_000, seed) for seed in range(3)]
    if kind == "bytes":
        tokenizer = Tokenizer(models.BPE())
        split = Regex(r"[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+")
        tokenizer.normalizer = normalizers.NFC()
        tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
            [pre_tokenizers.Split(split, "isolated"), pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]
        )
        tokenizer.decoder = decoders.ByteLevel()
        alphabet = pre_tokenizers.ByteLevel.alphabet()
        trainer = trainers.BpeTrainer(
            vocab_size=2000, special_tokens=SPECIAL, initial_alphabet=alphabet, show_progress=False
        )
    elif kind == "sentences":
        tokenizer = Tokenizer(models.BPE(unk_token="<unk>"))
        tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
        trainer = trainers.BpeTrainer(
            vocab_size=2000, special_tokens=["<unk>", *SPECIAL], show_progress=False, max_token_length=16
        )
        said = [line for text in said for line in text.split()]
    elif kind == "unigram":
        tokenizer = Tokenizer(models.Unigram())
        tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
        trainer = trainers.UnigramTrainer(
            vocab_size=2000, special_tokens=["<unk>", *SPECIAL], unk_token="<unk>", show_progress=False
        )
    else:
        tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
        tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
        trainer = trainers.WordPieceTrainer(vocab_size=2000, special_tokens=["[UNK]"], show_progress=False)
    tokenizer.train_from_iterator(said, trainer)
    return tokenizer


def written(kind: str, folder: Path) -> Path:
    file = folder / "tokenizer.json"
    tokenizer = trained(kind)
    tokenizer.enable_truncation(8)
    tokenizer.save(str(file))
    tokenizer.no_truncation()
    return file


@pytest.mark.parametrize("kind", ["bytes", "sentences", "unigram", "pieces"])
def test_H3_counts_of_an_own_tokenizer_are_those_of_the_whole_text_however_it_was_split(kind, tmp_path):
    vocabulary = read_own(str(written(kind, tmp_path)), None)
    text = mixed(40_000, 99)
    whole = len([1 for start, end in vocabulary.encode(text) if end > start])
    assert whole > 5_000
    for seed in range(3):
        random, counter, at = Random(seed), vocabulary.counter(), 0
        while at < len(text):
            size = random.choice([1, 3, 7, 50, 2_000])
            counter.add(text[at : at + size])
            at += size
        assert counter.exact
        assert counter.tokens() == whole


def test_what_looks_like_a_special_token_is_text(tmp_path):
    vocabulary = read_own(str(written("bytes", tmp_path)), None)
    assert len(vocabulary.encode("<|end|>")) > 1


def test_half_a_surrogate_pair_is_a_character_like_any_other(tmp_path):
    counter = read_own(str(written("bytes", tmp_path)), None).counter()
    counter.add("a\ud83d")
    assert counter.tokens() > 0


def test_tokens_that_begin_elsewhere_in_another_window_are_not_called_exact():
    counter = Windows("odd", lambda text: [(at, at + 7) for at in range(len(text) % 7, len(text), 7)]).counter()
    for _ in range(2_000):
        counter.add("x")
    assert counter.tokens() > 0 and not counter.exact


def test_one_token_without_end_is_counted_all_the_same():
    counter = Windows("long", lambda text: [(0, len(text))]).counter()
    counter.add("x" * 5_000)
    assert not counter.exact


def test_what_comes_too_fast_is_guessed():
    counter = Windows("any", lambda text: [(0, len(text))] if text else []).counter()
    counter.guess("12345678")
    assert (counter.tokens(), counter.exact) == (2, False)


def test_a_file_that_is_not_what_was_pinned(tmp_path):
    file = written("bytes", tmp_path)
    right = hashlib.sha256(file.read_bytes()).hexdigest()
    assert read_own(str(file), right).exact
    with pytest.raises(TokenizerError, match=f"its SHA-256 is {right}, not the one that is pinned"):
        read_own(str(file), "0" * 64)


def test_what_cannot_be_used_is_said_and_tokens_are_estimated(tmp_path, caplog):
    file = tmp_path / "tokenizer.json"
    with pytest.raises(TokenizerError, match="cannot be read: No such file"):
        read_own(str(file), None)
    file.write_text('{"model": "none"}')
    with pytest.raises(TokenizerError, match=r"no tokenizer\.json: "):
        read_own(str(file), None)
    vocabulary = Vocabularies().load_own(str(file), None)
    assert (vocabulary.name, vocabulary.exact) == ("estimate", False)
    assert "tokens are estimated: the tokenizer" in caplog.text


def test_without_the_extra(tmp_path, monkeypatch):
    file = written("bytes", tmp_path)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(TokenizerError, match=r"pip install 'penstock\[tokenizers\]'"):
        read_own(str(file), None)
