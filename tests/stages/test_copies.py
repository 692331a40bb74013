"""Copies of answers: in virtual time, and on every client wire."""

import json
from pathlib import Path
from typing import Any

import pytest
from answers import WIRES
from test_metadata import ask
from words import Word

from penstock.config.values import CaptureFiles, CaptureSinks
from penstock.policy.capture import Capture
from penstock.policy.metadata import Metadata
from penstock.stages.pipeline import StagesPlan
from penstock.stages.redact.policy import RedactPolicy
from penstock.stream.tape import Tape
from penstock.testing.playbook import (
    ANY,
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
from penstock.testing.rig import until

WORD = StagesPlan(stages=(Word(),))
SSE = ((b"content-type", b"text/event-stream"),)
KINDS = [
    pytest.param(wire, kind, id=f"{name}, {kind}")
    for name, wire in WIRES.items()
    for kind in ("texts", "thoughts", "calls")
    if getattr(wire, kind) is not None
]


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
    play = waiting(plan(tape=tape, stream=False))
    play.at(1.0).give(UpstreamBytes(0, chunk("Hi") + finish() + DONE)).passing_over()
    assert tape.frames == [(1.0, chunk("Hi")), (1.0, finish()), (1.0, DONE)]
    assert play.account.committed is ANY or play.account.committed


@pytest.mark.parametrize("stream", [True, False], ids=["streamed", "folded"])
@pytest.mark.parametrize(("wire", "kind"), KINDS)
async def test_copies_on_every_wire(rig, tmp_path: Path, wire, kind, stream):
    if wire.name == "gemini" and not wire.query and not stream:
        pytest.skip("the array is a form of streams")
    pieces = ['{"a":"jane@exam', 'ple.com"}'] if kind == "calls" else ["mail jane@exam", "ple.com now"]
    frames = getattr(wire, kind)(pieces)
    options: dict[str, Any] = {
        "stages": (RedactPolicy(detectors=("email",)),),
        "route_fields": {"capture": Capture()},
        "capture": CaptureSinks(files=CaptureFiles(directory=str(tmp_path))),
    }
    answer, _ = await ask(rig, wire, frames, {}, stream=stream, **options)
    await until(lambda: list(tmp_path.glob("*.jsonl")), what="a copy is there")
    await until(lambda: next(tmp_path.glob("*.jsonl")).read_bytes().endswith(b"\n"), what="it is whole")
    copy = json.loads(next(tmp_path.glob("*.jsonl")).read_bytes())
    assert copy["text"] == ("mail [email] now" if kind == "texts" else "")
    assert b"jane" not in next(tmp_path.glob("*.jsonl")).read_bytes()
    assert "[email]" in json.dumps(copy["answer"])
    if stream:
        assert "".join(text for _, text in copy["events"]).encode() == answer.body
    else:
        assert copy["answer"] == json.loads(answer.body)
