"""The cap on held text: what overflows does so wherever the text was split."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from redact_examples import FOUND
from redact_plainly import cut, every_cut, marked, plainly, streamed

from penstock.stages.contract import Block
from penstock.stages.redact.detectors import Detector
from penstock.stages.redact.policy import KINDS, RedactPolicy
from penstock.stages.redact.scan import Rules, Scan

RUN = [Detector("run", "-a{1,100}b", ascii_only=False), Detector("pair", "-aa", ascii_only=False)]


def fed(rules: Rules, pieces: list[str]) -> tuple[str, str | None]:
    """What went out, and why the stream was blocked."""
    scan, out = Scan(rules, marked), ""
    for step in (*(lambda piece=piece: scan.feed(piece) for piece in pieces), scan.flush):
        released = step()
        if isinstance(released, Block):
            return out + released.released, released.reason
        out += released
    return out, None


def test_a_candidate_that_outgrows_the_cap_blocks_the_stream_wherever_it_was_split():
    rules = Rules(RUN, hold=10)
    for text in ("x -" + "a" * 9, *("x -" + "a" * 20 + end for end in ("", "b", "c"))):
        for pieces in every_cut(text):
            assert fed(rules, pieces) == ("x ", "run: not decided within 10 characters")


def test_one_that_stays_below_it_does_not():
    rules = Rules(RUN, hold=10)
    for pieces in every_cut("x -" + "a" * 7 + "b y"):
        assert fed(rules, pieces) == ("x ⟦run⟧ y", None)
    for pieces in every_cut("x -" + "a" * 8):
        assert fed(rules, pieces) == ("x ⟦pair⟧" + "a" * 6, None)


def test_what_is_released_is_as_long_as_the_cap():
    rules = Rules(RUN, hold=10, overflow="release")
    for pieces in every_cut("x -aaaaaaaaa-ab -aaaa-aa-"):
        assert fed(rules, pieces) == ("x -aaaaaaaaa⟦run⟧ ⟦pair⟧aa⟦pair⟧-", None)


def test_the_rest_of_it_is_looked_at_as_anything_else():
    rules = Rules(RUN[:1], hold=10, overflow="release")
    for pieces in every_cut("x -" + "a" * 20 + "b -ab"):
        assert fed(rules, pieces) == ("x -" + "a" * 20 + "b ⟦run⟧", None)


@given(
    st.lists(st.sampled_from(["-", "a", "aaa", "aaaaaaa", "b", "日", "-aab"]), max_size=20).map("".join),
    st.lists(st.integers(0, 100), max_size=8),
    st.sampled_from(["block", "release"]),
)
def test_the_cap_does_not_depend_on_the_split(text, places, overflow):
    rules = Rules(RUN, hold=8, overflow=overflow)
    whole = fed(rules, [text])
    assert fed(rules, list(text)) == whole
    assert fed(rules, cut(text, *places)) == whole


@given(st.integers(200, 2000), st.integers(1, 300), st.sampled_from(["", " and more", "\n-----END PRIVATE KEY-----."]))
def test_a_long_candidate_that_is_looked_at_rarely_ends_the_same(size, piece, end):
    """Beyond 256 characters a candidate is looked at only when it has grown by a quarter."""
    shapes = RedactPolicy(detectors=KINDS).shapes()
    text = "Key: -----BEGIN PRIVATE KEY-----\n" + "MIIE" * (size // 4) + end
    pieces = [text[place : place + piece] for place in range(0, len(text), piece)]
    assert streamed(Rules(shapes), pieces) == plainly(shapes, text)


AHEAD = [
    Detector("run", "-[a-]{1,100}b", ascii_only=False),
    Detector("pair", "-aa", ascii_only=False),
    Detector("three", "a-{0,4}a-{0,4}a", lambda text: 3 if text == "aaa" else 0, ascii_only=False),
    Detector("alone", "(?<![a-])-(?!-)", ascii_only=False),
    Detector("first", "(?<!-)a(?=-)", ascii_only=False),
]


@given(
    st.lists(st.sampled_from(["-", "a", "-aa", "aaa", "aaaaaaa", "-a-a-", "b", " ", "日"]), max_size=24).map("".join),
    st.lists(st.integers(0, 200), max_size=8),
    st.sampled_from([8, 20, 60]),
    st.sampled_from(["block", "release"]),
)
def test_what_is_looked_at_ahead_of_a_candidate_makes_no_difference(text, places, hold, overflow):
    whole = fed(Rules(AHEAD, hold=hold, overflow=overflow), [text])
    ahead = Rules(AHEAD, hold=hold, overflow=overflow, long=2)
    assert fed(ahead, list(text)) == whole
    assert fed(ahead, cut(text, *places)) == whole
    assert fed(ahead, [text]) == whole


def test_what_was_looked_at_ahead_is_not_looked_at_again_when_its_candidate_is_nothing():
    asked = []

    def verify(text: str) -> int:
        asked.append(text)
        return len(text)

    rules = Rules([Detector("head", "eyJ[a-z-]{1,9000}[.]"), Detector("three", "-aaa", verify)], hold=8192)
    scan, out = Scan(rules, marked), []
    out += [scan.feed(piece) for piece in ["x eyJ", *["-aaa"] * 1800]]
    assert "".join(out) == "x "
    before, told = len(asked), scan.feed(" " * 600)
    assert told == "eyJ" + "⟦three⟧" * 1800 + " " * 600
    assert len(asked) - before < 300


def test_nobody_is_told_of_what_was_found_ahead_of_a_match():
    told = []
    rules = Rules([Detector("head", "eyJ[a-z-]{1,9000}[.]"), Detector("three", "-aaa")])
    scan = Scan(rules, lambda kind, text: told.append(kind) or "*")
    out = [scan.feed(piece) for piece in ["eyJ", *["-aaa"] * 1000, ".-aaa "]]
    out.append(scan.flush())
    assert ("".join(out), told) == ("** ", ["head", "three"])


def test_held_never_exceeds_the_cap():
    scan = Scan(Rules(RedactPolicy(detectors=KINDS).shapes(), hold=1000, overflow="release"), marked)
    for _ in range(800):
        scan.feed("-----BEGIN PRIVATE KEY-----" if scan.held == 0 else "AAAA")
        assert scan.held < 1000 + 4


def test_a_match_may_block_and_what_came_before_it_still_goes():
    rules = Rules(RedactPolicy(detectors=("email", "ip")).shapes())

    def replace(kind: str, text: str) -> str | None:
        return None if kind == "email" else "-"

    for pieces in every_cut("10.0.0.1 or a@b.co then"):
        scan, out = Scan(rules, replace), ""
        for piece in pieces:
            released = scan.feed(piece)
            if isinstance(released, Block):
                break
            out += released
        assert (out + released.released, released.reason) == ("- or ", "email")


@pytest.mark.parametrize("kind", KINDS)
def test_a_match_at_the_very_end_of_the_stream_is_found(kind):
    shapes = RedactPolicy(detectors=(kind,)).shapes()
    rules = Rules(shapes)
    for text in FOUND[kind]:
        for end in ("", ".", "-", ":", " 1"):
            whole = f"x /{text}@" if kind == "url_credentials" else f"x {text}{end}"
            assert f"⟦{kind}⟧" in plainly(shapes, whole)
            assert streamed(rules, list(whole)) == plainly(shapes, whole)
