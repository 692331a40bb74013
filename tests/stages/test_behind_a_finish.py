"""What a provider says behind a finish is one text with what it said before: a finish may come in the middle (F12)."""

import msgspec
import pytest
from answers import WIRES
from words import Word

from penstock.outcome import Outcome
from penstock.stages.moderate.policy import CheckPolicy
from penstock.stages.pipeline import StagesPlan
from penstock.stream.inputs import CheckAnswered
from penstock.testing.frames import DONE, chunk, delta, finish, frame, role, usage
from penstock.testing.playbook import ANY, Head, Send, UpstreamBytes, plan, waiting
from penstock.testing.run import run, script
from penstock.testing.transcript import Transcript
from penstock.wire import json

WORD = StagesPlan(stages=(Word(),))


def through(*frames: bytes, stages: StagesPlan = WORD, **policies: object) -> Transcript:
    return run(plan(stages=stages, targets=1, include_usage=True, **policies), [script(*frames)])


def test_a_finish_waits_with_what_says_nothing_until_the_answer_is_over():
    play = waiting(plan(stages=WORD, include_usage=True))
    play.give(UpstreamBytes(0, chunk("a SEC"))).expect(Head(200, ANY), Send(chunk("a ")))
    play.give(UpstreamBytes(0, finish())).expect()
    play.give(UpstreamBytes(0, delta({}) + usage())).expect()
    play.give(UpstreamBytes(0, DONE)).expect(Send(chunk("SEC") + finish() + delta({}) + usage() + DONE), ANY)


@pytest.mark.parametrize("between", [finish(), finish("error"), finish() + delta({}), finish() + usage()])
def test_a_word_that_a_finish_cuts_in_two_is_found(between):
    transcript = through(chunk("a SEC"), between, chunk("RET b"), DONE)
    assert transcript.body == chunk("a ") + between + chunk("[x] b") + DONE


def test_a_word_of_which_the_finish_has_the_first_half_too():
    transcript = through(chunk("a"), delta({"content": " SEC"}, finish="stop"), chunk("RET b"), DONE)
    assert transcript.body == chunk("a") + delta({"content": " "}, finish="stop") + chunk("[x] b") + DONE


def test_an_empty_finish_in_every_chunk_is_none():
    said = [
        frame({"id": "a", "choices": [{"index": 0, "delta": {"content": text}, "finish_reason": ""}]})
        for text in "SECRET"
    ]
    assert b"SECRET" not in through(*said, finish(), DONE).body.replace(b'"', b"")
    shown = [json.loads(line[6:])["choices"] for line in through(*said, finish(), DONE).body.split(b"\n\n")[:-2]]
    assert [choices[0]["delta"].get("content") for choices in shown] == ["[x]", None]


def test_what_waits_behind_a_finish_is_bounded():
    said = [delta({})] * (70_000 // len(delta({})))
    play = waiting(plan(stages=WORD)).give(UpstreamBytes(0, chunk("a") + finish() + b"".join(said)))
    play.expect(Head(200, ANY), Send(ANY))
    assert finish() in play.body


def test_a_finish_with_every_chunk_of_gemini():
    said = [
        frame({"candidates": [{"content": {"parts": [{"text": text}]}, "finishReason": "STOP"}]})
        for text in ("a SEC", "RET", " b")
    ]
    out = WIRES["gemini"].edited(WORD, said)
    texts = [json.loads(line[6:])["candidates"][0]["content"]["parts"] for line in out.split(b"\n\n") if line]
    assert "".join(part["text"] for parts in texts for part in parts) == "a [x] b"


@pytest.mark.parametrize("blanks", [b" ", b"\t", b" \t "])
def test_blanks_before_the_data_hide_nothing(blanks):
    hidden = b"data: " + blanks + chunk("a SECRET b").removeprefix(b"data: ")
    assert through(role(), hidden, finish(), DONE).body == role() + chunk("a [x] b") + finish() + DONE


def test_a_whole_answer_that_is_too_long_by_its_end_marker_is_whole():
    frames = chunk("One") + finish() + DONE
    stages = StagesPlan(whole=True, max_held=len(frames) - 1)
    transcript = through(b": waits\n\n", frames, stages=stages, commit_after=0.1)
    assert (transcript.outcome, transcript.body.count(b"[DONE]")) == (Outcome.COMPLETED, 1)
    shorter = msgspec.structs.replace(stages, max_held=100)
    transcript = through(b": waits\n\n", frames, stages=shorter, commit_after=0.1)
    assert (transcript.outcome, transcript.body.count(b"[DONE]")) == (Outcome.BLOCKED, 1)


def test_a_finish_that_a_client_has_is_not_said_again_where_the_rest_is_blocked():
    """Choice 0 is over, and the client has that when choice 1 is found to be bad."""
    check = CheckPolicy(mode="window", characters=3, overlap=0)
    answers = {3: ("x",)}

    def service(asked):
        return 0.01, CheckAnswered(asked.check, answers.get(asked.check, ()), "")

    frames = [chunk("One"), finish(), chunk("two", choice=1), chunk("six", choice=1), finish(choice=1) + DONE]
    asked = plan(stages=StagesPlan(check=check), targets=1)
    transcript = run(asked, [script(*frames)], service=service)
    assert transcript.outcome is Outcome.BLOCKED
    said = [json.loads(line[6:]) for line in transcript.body.split(b"\n\n") if line.startswith(b"data: {")]
    finishes = [(one["choices"][0]["index"], reason) for one in said if (reason := one["choices"][0]["finish_reason"])]
    assert finishes == [(0, "stop"), (1, "content_filter")]
