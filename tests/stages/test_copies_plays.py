"""Copies of answers, in virtual time."""

import pytest
from words import Word

from penstock.policy.metadata import Metadata
from penstock.stages.pipeline import StagesPlan
from penstock.stream.tape import Tape
from penstock.testing.playbook import (
    DONE,
    Close,
    Open,
    UpstreamBytes,
    UpstreamEnded,
    UpstreamHead,
    UpstreamOpened,
    chunk,
    finish,
    plan,
    role,
    waiting,
)

WORD = StagesPlan(stages=(Word(),))
SSE = ((b"content-type", b"text/event-stream"),)


def test_frames_have_the_instants_at_which_they_came():
    tape = Tape(limit=1000)
    play = waiting(plan(tape=tape)).give(UpstreamBytes(0, role())).passing_over()
    play.at(1.0).give(UpstreamBytes(0, chunk("Hi"))).passing_over()
    play.at(1.5).give(UpstreamBytes(0, chunk(" you") + finish())).passing_over()
    play.at(2.0).give(UpstreamBytes(0, DONE)).passing_over()
    assert tape.frames == [(1.0, role()), (1.0, chunk("Hi")), (1.5, chunk(" you")), (1.5, finish()), (2.0, DONE)]


def test_behind_the_stages_is_what_the_client_got_and_before_them_what_the_provider_sent():
    frames = [chunk("a SEC"), chunk("RET"), finish(), DONE]
    behind, before = Tape(limit=1000), Tape(limit=1000, original=True)
    for tape in (behind, before):
        play = waiting(plan(tape=tape, stages=WORD, metadata=Metadata(mode="live", every=1)))
        for frame in frames:
            play.give(UpstreamBytes(0, frame)).passing_over()
    assert b"".join(frame for _, frame in behind.frames) == chunk("a ") + chunk("[x]") + finish() + DONE
    assert [frame for _, frame in before.frames] == frames


@pytest.mark.parametrize("original", [True, False])
def test_of_an_attempt_that_failed_before_the_commit_nothing_is_kept(original):
    tape = Tape(limit=1000, original=original)
    play = waiting(plan(tape=tape, stages=StagesPlan(whole=True))).give(UpstreamBytes(0, chunk("lost"))).expect()
    play.give(UpstreamEnded(0, False)).expect(Close(0), Open(1, 1))
    play.give(UpstreamOpened(1), UpstreamHead(1, 200, SSE), UpstreamBytes(1, chunk("Hi") + finish() + DONE))
    play.passing_over()
    assert b"".join(frame for _, frame in tape.frames) == chunk("Hi") + finish() + DONE


def test_a_tape_is_bounded_and_knows_what_it_lacks():
    tape = Tape(limit=10)
    for frame in (b"12345", b"67890", b"x", b""):
        tape.add(frame)
    assert [frame for _, frame in tape.frames] == [b"12345", b"67890"]
    assert (tape.size, tape.kept, tape.whole) == (11, 10, False)


def test_a_folded_answer_is_taped_too():
    tape = Tape(limit=1000)
    waiting(plan(tape=tape, stream=False)).at(1.0).give(UpstreamBytes(0, chunk("Hi") + finish() + DONE)).passing_over()
    assert tape.frames == [(1.0, chunk("Hi")), (1.0, finish()), (1.0, DONE)]
