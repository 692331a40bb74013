"""The seam between two attempts at one answer: no word twice, none lost, the blanks right."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.wire.seam import Seam

JOINED = {
    "nothing in common": ("The answer is", " 42.", "The answer is 42."),
    "inside a word": ("It is impor", "tant.", "It is important."),
    "a word that was broken off is begun anew": ("It is impor", "important to know", "It is important to know"),
    "a short one is not: it may be meant": ("ha", "ha ha", "haha ha"),
    "the end once more": ("The answer is 42", "The answer is 42 and no other", "The answer is 42 and no other"),
    "the last words once more": (
        "So the answer is 42",
        " the answer is 42, of course",
        "So the answer is 42, of course",
    ),
    "behind a blank line": ("So the answer is", "\n\nSo the answer is 42", "So the answer is 42"),
    "two long words": ("I like strawberry icecream", " strawberry icecream a lot", "I like strawberry icecream a lot"),
    "a repetition that may be meant": ("He said that", " that is so", "He said that that is so"),
    "New York, New York": ("New York,", " New York", "New York, New York"),
    "a list of the same": ("no no no", " no no no!", "no no no no no no!"),
    "the beginning in the middle of a word": ("a theory of the", " ory of the mind", "a theory of the ory of the mind"),
    "without spaces": ("东京是日本的首都和最大", "日本的首都和最大的城市", "东京是日本的首都和最大的城市"),
    "without spaces, short": ("哈哈", "哈哈哈", "哈哈哈哈哈"),
    "a blank that the client has": ("The answer is ", " 42", "The answer is 42"),
    "a blank that nobody repeats": ("The answer is ", "42", "The answer is 42"),
    "a line break that the client has": ("A list:\n", "\n- one", "A list:\n- one"),
    "half of a paragraph's": ("One.\n\n", "\nTwo.", "One.\n\nTwo."),
    "an indentation": ("if x:\n", "\n    pass", "if x:\n    pass"),
    "more than the client has": ("One.\n", "\n\nTwo.", "One.\n\nTwo."),
    "a repetition before a blank": ("So the answer is ", "So the answer is 42", "So the answer is 42"),
    "nothing but blanks": ("All.", "\n", "All.\n"),
    "nothing at all": ("All.", "", "All."),
    "nothing new": ("So the answer is 42", "So the answer is 42", "So the answer is 42"),
}


@pytest.mark.parametrize("name", JOINED)
@pytest.mark.parametrize("size", [1, 3, 1000])
def test_a_continuation_is_joined(name, size):
    before, after, wanted = JOINED[name]
    seam = Seam(before)
    pieces = [seam.feed(after[place : place + size]) for place in range(0, len(after), size)]
    assert before + "".join(pieces) + seam.close() == wanted


def test_text_waits_only_while_it_may_be_a_repetition():
    seam = Seam("One day the old man went to the sea")
    assert seam.feed(" and") == " and"
    seam = Seam("One day the old man went to the sea")
    assert seam.feed(" One") == ""
    assert seam.feed(" day the") == ""
    assert seam.feed(" sun") == " One day the sun"
    assert seam.feed(" shone") == " shone"


@given(st.text("ab \n,东", max_size=30), st.lists(st.text("ab \n,东", max_size=6), max_size=8))
def test_nothing_is_invented_and_the_pieces_do_not_matter(before, pieces):
    """What comes out is an end of what came in, and what is left out was a repetition or a blank."""
    whole, cut = Seam(before), Seam(before)
    text = "".join(pieces)
    told = whole.feed(text) + whole.close()
    assert "".join(map(cut.feed, pieces)) + cut.close() == told
    assert text.endswith(told)
    left_out = text[: len(text) - len(told)]
    assert left_out.strip() in before


@given(st.text("abc \n", max_size=30), st.text("xyz \n", min_size=1, max_size=30))
def test_what_is_new_is_never_cut(before, after):
    seam = Seam(before)
    told = seam.feed(after) + seam.close()
    assert told.split() == after.split()
