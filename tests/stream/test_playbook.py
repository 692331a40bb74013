"""The test tools themselves: a play that goes wrong says what happened, and time runs as the driver's does."""

from __future__ import annotations

import pytest

from penstock.testing import corpus
from penstock.testing.clock import VirtualClock
from penstock.testing.playbook import (
    ANY,
    SSE,
    Close,
    End,
    Head,
    Open,
    Outcome,
    Play,
    Send,
    UpstreamBytes,
    UpstreamHead,
    UpstreamOpened,
    chunk,
    containing,
    plan,
    streaming,
    waiting,
)
from penstock.testing.run import Ends, Opens, Responds, Sends, Stalls, run


def failure_of(act) -> str:
    with pytest.raises(AssertionError) as caught:
        act()
    return str(caught.value)


def test_other_commands_than_expected_are_shown_beside_each_other_and_with_the_play():
    play = waiting(plan()).at(1.0).give(UpstreamBytes(0, chunk("Hi")))
    words = failure_of(lambda: play.expect(Head(200, ANY), Send(b"Ho")))
    assert "  Head(status=200, headers=ANY)" in words
    assert "- Send(data=b'Ho')" in words
    assert "+ Send(data=b'data: " in words
    assert "0.200  > UpstreamOpened(attempt=0)" in words


def test_nothing_may_be_left_unsaid():
    play = waiting(plan()).at(1.0).give(UpstreamBytes(0, chunk("Hi")))
    assert "commands that nobody expected" in failure_of(lambda: play.give(UpstreamBytes(0, chunk("!"))))
    play.passing_over().give(UpstreamBytes(0, chunk("!"))).expect(Send(ANY))


def test_deadlines_on_the_way_are_acted_on_at_their_own_instants():
    play = streaming(plan()).at(100).passing_over()
    assert [turn.at for turn in play.transcript.turns[4:]] == [16, 31]
    assert play.transcript.outcome is Outcome.STALLED


def test_waiting_is_for_a_deadline_and_not_past_it():
    play = streaming(plan())
    assert "the next deadline is at 16.0, not at 20" in failure_of(lambda: play.wait_until(20))


def test_a_play_that_is_over_is_held_to_the_laws():
    play = Play(plan(targets=1)).start().expect(Open(0, 0)).wait_until(5)
    play.account.bytes_out = 7
    commands = (Close(0), Head(502, ANY), Send(ANY), End(), ANY, ANY)
    assert failure_of(lambda: play.expect(*commands)).startswith("law 7 ")


def test_an_account_is_looked_at():
    play = streaming(plan())
    assert "account.committed is True, not False" in failure_of(lambda: play.expect_account(committed=False))


def test_anything_and_containing():
    assert Send(b"ab") == Send(ANY) == Send(containing(b"a", b"b"))
    assert Send(b"ab") != Send(containing(b"c"))
    assert repr(containing(b"a")) == "containing(b'a',)"


def test_time_goes_on_only_when_told_and_never_back():
    clock: VirtualClock[str] = VirtualClock(5.0)
    clock.put(7.0, "later")
    clock.put(6.0, "first")
    clock.put(6.0, "second")
    clock.put(1.0, "at once")
    assert [(clock.due, clock.take(), clock()) for _ in range(4)] == [
        (5.0, "at once", 5.0),
        (6.0, "first", 6.0),
        (6.0, "second", 6.0),
        (7.0, "later", 7.0),
    ]
    with pytest.raises(AssertionError):
        clock.to(6.9)


def test_a_run_obeys_the_pause_and_goes_on_after_it():
    from penstock.testing.playbook import ClientBlocked, ClientDrained

    steps = [(0.1, Opens()), (0.1, Responds()), (0.1, Sends(chunk("a"))), (1.0, Sends(chunk("b"))), (0.0, Stalls())]
    transcript = run(plan(slow_client=None), [steps], [(0.5, ClientBlocked()), (20.0, ClientDrained())])
    arrived = [turn.at for turn in transcript.turns if isinstance(turn.cause, UpstreamBytes)]
    assert arrived == pytest.approx([0.3, 20.0])


def test_a_run_without_deadlines_ends_when_nothing_is_left_to_happen():
    silent = plan(total=None, first_token=None, commit_after=None, connect=5)
    transcript = run(silent, [[(0.1, Opens())]])
    assert not transcript.over
    assert run(silent, [[(0.1, Opens()), (0.1, Responds()), (0.1, Ends())]]).over


def test_recordings_that_are_not_there_are_none_and_the_reason_says_what_to_do(monkeypatch, tmp_path):
    monkeypatch.setenv("PENSTOCK_CORPUS", str(tmp_path))
    corpus.corpus.cache_clear()
    try:
        assert corpus.corpus() is None
        assert corpus.recordings() == []
        assert "set PENSTOCK_CORPUS" in corpus.MISSING
        (tmp_path / "index.jsonl").write_text('{"file":"a.sse","kind":"stream","wire":"openai-chat","framing":"sse"}\n')
        (tmp_path / "a.sse").write_bytes(b"data: [DONE]\n\n")
        corpus.corpus.cache_clear()
        (recording,) = corpus.recordings(corpus.is_openai_chat)
        assert recording.read() == b"data: [DONE]\n\n"
    finally:
        corpus.corpus.cache_clear()


def test_a_stream_begins_where_it_is_told_to():
    play = Play(plan(targets=1), now=1000.0).start().expect(Open(0, 0))
    play.at(1000.2).give(UpstreamOpened(0), UpstreamHead(0, 200, SSE)).expect().expect_deadline(1010)
