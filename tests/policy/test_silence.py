"""Learned silence: a limit per phase, bounded, and always able to say why."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.policy.silence import Phase, Silence, SilenceRules

RULES = SilenceRules(quantile=0.99, factor=4.0, floor=1.0, ceiling=30.0, least=50.0)


def knowing(phase: Phase, *gaps: float) -> Silence:
    """What is known after these gaps."""
    silence = Silence("openai/o3", RULES)
    for gap in gaps:
        silence.observe(phase, gap, 0.0)
    return silence


@given(st.lists(st.floats(0.0, 500.0), max_size=120), st.sampled_from(Phase))
def test_a_limit_is_always_between_floor_and_ceiling(gaps, phase):
    limit = knowing(phase, *gaps).limit(phase, 0.0)
    assert 1.0 <= limit.seconds <= 30.0
    assert (limit.learnt is None) is (len(gaps) < 50) is (limit.basis == "unknown")
    if limit.basis == "learnt":
        # All but one in a hundred of the gaps that were seen would have been let through, times four.
        assert sum(gap * 3.9 <= limit.seconds * 1.06 for gap in gaps) >= 0.98 * len(gaps)
    assert "openai/o3 sent no token for 31 s" in limit.explain(31.0)


def test_phases_learn_apart():
    silence = knowing(Phase.THINKING, *[5.0] * 100)
    for _ in range(100):
        silence.observe(Phase.TEXT, 0.5, 0.0)
    assert silence.limit(Phase.THINKING, 0.0).seconds == pytest.approx(20.0, rel=0.06)
    assert silence.limit(Phase.TEXT, 0.0).seconds == pytest.approx(2.0, rel=0.06)
    assert silence.limit(Phase.TOOL, 0.0).basis == "unknown"


@pytest.mark.parametrize(
    ("gaps", "basis", "words"),
    [
        ([1.0] * 12, "unknown", "the limit is 30 s: the ceiling, for only 12 gaps of 50 are known"),
        ([0.01] * 100, "floor", "the limit is 1 s: 99 % of 100 gaps were within"),
        ([0.01] * 100, "floor", "s, held to the floor"),
        ([20.0] * 100, "ceiling", "s, held to the ceiling"),
        ([2.0] * 100, "learnt", "times 4 is "),
    ],
)
def test_it_says_why(gaps, basis, words):
    limit = knowing(Phase.TEXT, *gaps).limit(Phase.TEXT, 0.0)
    assert limit.basis == basis
    said = limit.explain(31.0)
    assert said.startswith("openai/o3 sent no token for 31 s in its text, the limit is ")
    assert words in said


def test_a_limit_that_was_too_short_mends_itself():
    silence = knowing(Phase.TEXT, *[0.3] * 200)
    before = silence.limit(Phase.TEXT, 0.0).seconds
    for _ in range(10):
        silence.observe(Phase.TEXT, silence.limit(Phase.TEXT, 0.0).seconds, 0.0)
    assert silence.limit(Phase.TEXT, 0.0).seconds > 3 * before
