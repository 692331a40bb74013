"""Plays with ``between_tokens: auto``: how long a silence may last is learnt from the target's own."""

from __future__ import annotations

import pytest
from play_endings import the_end

from penstock.policy.silence import Phase, Silence, SilenceRules
from penstock.testing.playbook import (
    ClientBlocked,
    ClientDrained,
    Close,
    End,
    Outcome,
    Pause,
    Play,
    Resume,
    Send,
    UpstreamBytes,
    chunk,
    containing,
    plan,
    reasoning,
    streaming,
    tool,
)

RULES = SilenceRules(floor=0.5, ceiling=20.0, least=10.0)
GAPS = {Phase.TEXT: 0.5, Phase.THINKING: 2.0, Phase.TOOL: 1.0}
"""Four times as much is the limit."""


def taught(gaps: dict[Phase, float] = GAPS, count: int = 20) -> Silence:
    silence = Silence("p0/m", RULES)
    for phase, gap in gaps.items():
        for _ in range(count):
            silence.observe(phase, gap, 0.0)
    return silence


def listening(silence: Silence, **policies: object) -> Play:
    policies = {"keepalive": None, "commit_after": None, "between_tokens": RULES.ceiling, **policies}
    return streaming(plan(silences=(silence, Silence("p1/m", RULES)), silence=RULES, **policies))


def learnt(play: Play) -> Silence:
    """What the play's own stream has taught: it has a copy."""
    silences = play.transcript._stream._plan.silences
    assert silences is not None
    return silences[0]


@pytest.mark.parametrize(
    ("said", "limit"), [(chunk("a"), 2.0), (reasoning("hm"), 8.0), (tool(0, id="t", name="f", arguments="{"), 4.0)]
)
def test_the_limit_is_that_of_what_the_target_was_saying(said, limit):
    play = listening(taught())
    play.give(UpstreamBytes(0, said)).expect(Send(said))
    due = play.transcript.deadline()
    assert due == pytest.approx(1.0 + limit, rel=0.06)


def test_the_log_says_why_a_stream_was_called_stalled():
    play = listening(taught({}))
    play.wait_until(21.0).expect(Close(0), Send(containing(b"stalled")), End(), *the_end(Outcome.STALLED))
    assert play.account.reason == (
        "the provider sent no token for 20 s (deadlines.between_tokens: auto, in its text: the ceiling, for only 0 "
        "gaps of 10 are known); the answer is not complete"
    )
    assert play.account.attempts[0].reason == play.account.reason


def test_gaps_are_learnt_by_what_came_before_them():
    play = listening(taught({})).after(0.25).give(UpstreamBytes(0, reasoning("hm"))).expect(Send(reasoning("hm")))
    play.after(3).give(UpstreamBytes(0, chunk("a"))).expect(Send(chunk("a")))
    silence, now = learnt(play), 4.25
    assert silence.limit(Phase.TEXT, now).gaps == pytest.approx(1, rel=0.01)
    assert silence.limit(Phase.THINKING, now).gaps == pytest.approx(1, rel=0.01)


def test_frames_of_one_read_have_no_gap():
    play = listening(taught({})).give(UpstreamBytes(0, chunk("a") + chunk("b"))).expect(Send(chunk("a") + chunk("b")))
    assert learnt(play).limit(Phase.TEXT, 1.0).gaps == 0


def test_a_silence_that_was_not_waited_for_to_its_end_is_learnt_too():
    play = listening(taught({})).wait_until(21.0).passing_over()
    assert learnt(play).limit(Phase.TEXT, 21.0).gaps == pytest.approx(1, rel=0.01)


def test_time_in_which_the_client_was_blocked_is_no_gap():
    play = listening(taught({})).give(ClientBlocked()).expect(Pause(0)).after(9).give(ClientDrained())
    play.expect(Resume(0)).give(UpstreamBytes(0, chunk("a"))).expect(Send(chunk("a")))
    assert learnt(play).limit(Phase.TEXT, 10.0).gaps == 0
