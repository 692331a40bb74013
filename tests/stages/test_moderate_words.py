"""Lists of words: for every way of splitting, what the rules make of the whole text."""

import hypothesis.strategies as st
import pytest
from hypothesis import given

from penstock.stages.contract import Block
from penstock.stages.moderate.words import Words, WordScan, folded, inside_word

LISTS = [
    ["cat", "cats", "the cat", "hot dog stand", "dog"],
    ["a b a c", "b a", "a b a b a"],
    ["#tag", "c++", "::"],
    ["坏话", "话", "straße", "ΟΔΟΣ", "İ"],
    ["aa aa", "aa", "a"],
]


def plainly(words: list[str], text: str) -> str:
    """The rules, word for word."""
    known, low, out, at = {folded(word) for word in words}, folded(text), "", 0
    while at < len(text):
        ends = [
            at + len(word)
            for word in known
            if low.startswith(word, at)
            and not (at and inside_word(text[at - 1], text[at]))
            and not (at + len(word) < len(text) and inside_word(text[at + len(word) - 1], text[at + len(word)]))
        ]
        if ends:
            out, at = out + f"<{text[at : max(ends)]}>", max(ends)
        else:
            out, at = out + text[at], at + 1
    return out


def streamed(words: Words, pieces: list[str]) -> tuple[str, list[str]]:
    scan = WordScan(words, lambda kind, text: f"<{text}>")
    out = [scan.feed(piece) for piece in pieces] + [scan.flush()]
    assert all(isinstance(one, str) for one in out)
    return "".join(map(str, out)), list(map(str, out))


def texts(words: list[str]) -> st.SearchStrategy[list[str]]:
    letters = sorted({letter for word in words for letter in word + word.upper()} | {" ", "x", "-", "\n"})
    pieces = st.sampled_from([*words, *(word.upper() for word in words), *(word[:-1] for word in words), *letters])
    return st.lists(pieces, max_size=12)


@pytest.mark.parametrize("words", LISTS, ids=[words[0] for words in LISTS])
@given(data=st.data())
def test_a_stream_is_searched_as_the_whole_text_is(words, data):
    text = "".join(data.draw(texts(words)))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=8)))
    pieces = [text[a:b] for a, b in zip([0, *cuts], [*cuts, len(text)], strict=True)]
    compiled = Words([("deny", words)])
    assert streamed(compiled, pieces)[0] == plainly(words, text)
    assert streamed(compiled, list(text))[0] == plainly(words, text)


@given(pieces=texts(LISTS[0]))
def test_no_letter_of_a_word_goes_out_before_the_block(pieces):
    scan, out = WordScan(Words([("deny", LISTS[0])]), lambda kind, text: None), ""
    text = "".join(pieces)
    for letter in text:
        said = scan.feed(letter)
        if isinstance(said, Block):
            out += said.released
            break
        out += said
    else:
        said = scan.flush()
        out += said.released if isinstance(said, Block) else said
    assert out == plainly(LISTS[0], text).partition("<")[0]


def test_what_cannot_become_a_word_is_not_held():
    scan = WordScan(Words([("deny", ["forbidden fruit"])]), lambda kind, text: "")
    assert scan.feed("An apple, for ") == "An apple, for "
    assert scan.feed("forbid") == ""
    assert scan.held == 6
    assert scan.feed("s it") == "forbids it"


def test_case_and_spaces_do_not_matter_and_boundaries_do():
    scan = WordScan(Words([("deny", ["bad word"])]), lambda kind, text: "#")
    given_text = "BAD\nWord, bad words, a-bad word"
    assert f"{scan.feed(given_text)}{scan.flush()}" == "#, bad words, a-#"


def test_a_list_of_thousands_is_one_automaton():
    words = Words([("many", [f"word{number}" for number in range(5000)])])
    assert streamed(words, ["so wor", "d4", "321 a", "nd word5000"])[0] == "so <word4321> and word5000"


def test_of_two_lists_the_first_names_a_word():
    kinds = []
    scan = WordScan(Words([("one", ["b"]), ("two", ["b", "c"])]), lambda kind, text: kinds.append(kind) or "")
    scan.feed("b c ")
    assert kinds == ["one", "two"]
