"""The probe window (B5): fast enough, or not, and said at once or at the window's end."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.policy.rate import MinRate, Pace, Probe


def paced(gap: float, rate: MinRate) -> tuple[Pace, float]:
    """The verdict on a stream with a token every ``gap`` seconds, and when it fell."""
    probe, now = Probe(rate), 0.0
    while True:
        closes = probe.deadline()
        if closes is not None and closes <= now:
            return probe.pace(closes), closes
        if probe.token(now) is not Pace.PROBING:
            return probe.pace(now), now
        now += gap


def test_B5_a_drip_fed_stream_is_slow():
    assert paced(0.4, MinRate(tokens=5.0)) == (Pace.SLOW, 1.0)


def test_a_fast_stream_is_held_no_longer_than_its_quota_takes():
    verdict, at = paced(0.01, MinRate(tokens=5.0))
    assert verdict is Pace.FAST
    assert at == pytest.approx(0.04)


@given(st.floats(0.01, 2.0), st.floats(0.5, 50.0), st.floats(0.2, 3.0))
def test_the_verdict_is_the_count_in_the_window(gap, tokens, window):
    rate = MinRate(tokens=tokens, window=window)
    verdict, at = paced(gap, rate)
    times, now = 0, 0.0
    while now < window:
        times, now = times + 1, now + gap
    assert verdict is (Pace.FAST if times >= rate.quota else Pace.SLOW)
    assert at <= window


def test_a_short_answer_that_is_whole_is_not_slow():
    probe = Probe(MinRate(tokens=50.0))
    probe.token(0.0)
    assert probe.ended(0.2) is Pace.FAST
    assert probe.pace(9.0) is Pace.FAST
    assert probe.deadline() is None


def test_the_window_opens_with_the_first_token_and_its_verdict_is_final():
    probe = Probe(MinRate(tokens=3.0, window=2.0))
    assert probe.deadline() is None
    assert probe.pace(100.0) is Pace.PROBING
    assert probe.token(100.0) is Pace.PROBING
    assert probe.deadline() == 102.0
    assert probe.token(102.0, 100.0) is Pace.SLOW
    assert probe.ended(102.0) is Pace.SLOW
    assert probe.explain() == "1 tokens in 2 s, 6 are asked for (3 tokens/s)"


def test_a_frame_may_hold_several_tokens():
    assert Probe(MinRate(tokens=10.0)).token(0.0, 12.0) is Pace.FAST
