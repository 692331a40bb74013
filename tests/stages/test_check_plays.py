"""Plays: what waits for a moderation service, and for how long, in virtual time, on the openai-chat wire."""

from typing import Any

import pytest
from words import Word

from penstock.stages.guards import MaxCharacters
from penstock.stages.moderate.policy import CheckPolicy
from penstock.stages.pipeline import StagesPlan
from penstock.stages.segments import Segmenting
from penstock.testing.playbook import (
    ANY,
    DONE,
    Ask,
    CheckAnswered,
    ClientBlocked,
    ClientDrained,
    ClientLeft,
    Close,
    Done,
    End,
    Head,
    Open,
    Outcome,
    Pause,
    Play,
    Record,
    Resume,
    Send,
    Stop,
    UpstreamBytes,
    UpstreamEnded,
    UpstreamHead,
    UpstreamOpened,
    chunk,
    containing,
    finish,
    plan,
    role,
    waiting,
)

SSE = ((b"content-type", b"text/event-stream"),)


def stages(*asked: str, whole: bool = False, local: tuple = (), **policy: Any) -> StagesPlan:
    policy = {"mode": "block", "delay": 0.25, "timeout": 2.0, "characters": 10, "overlap": 3, **policy}
    return StagesPlan(stages=local, check=CheckPolicy(**policy), asked=asked, whole=whole)


def ended(outcome: Outcome) -> tuple:
    return Record(ANY), Done(outcome)


def body(*frames: bytes) -> UpstreamBytes:
    return UpstreamBytes(0, b"".join(frames))


# -- block ------------------------------------------------------------------------------------------------------------


def test_block_holds_each_window_until_its_check_has_answered():
    play = waiting(plan(stages=stages()))
    play.at(1.0).give(body(role(), chunk("Hello"))).expect()
    play.wait_until(1.25).expect(Ask(1, ("Hello",)))
    play.at(1.3).give(body(chunk(" wor"))).expect()
    play.at(1.5).give(CheckAnswered(1)).expect(Head(200, ANY), Send(role() + chunk("Hello")))
    play.wait_until(1.55).expect(Ask(2, ("llo wor",)))
    play.at(1.6).give(body(chunk("ld"), finish(), DONE)).expect()
    play.at(1.8).give(CheckAnswered(2)).expect(Ask(3, ("world",)), Send(chunk(" wor")))
    play.give(UpstreamEnded(0, True)).expect(Close(0, True))
    play.at(2.0).give(CheckAnswered(3)).expect(Send(chunk("ld") + finish() + DONE), End(), *ended(Outcome.COMPLETED))
    play.expect_account(checks={"passed": 3}, first_token=1.5)


def test_a_window_that_is_full_is_asked_about_at_once_and_the_next_takes_all_that_came_meanwhile():
    play = waiting(plan(stages=stages()))
    play.at(1.0).give(body(chunk("0123456789"))).expect(Ask(1, ("0123456789",)))
    play.give(body(chunk("abcdefghij"), chunk("klmnopqrst"))).expect()
    play.at(1.3).give(CheckAnswered(1)).expect(
        Ask(2, ("789abcdefghijklmnopqrst",)), Head(200, ANY), Send(chunk("0123456789"))
    )


@pytest.mark.parametrize("stream", [True, False])
def test_a_violation_before_the_commit_is_an_error_of_its_own_status(stream):
    play = waiting(plan(stages=stages(), stream=stream))
    play.at(1.0).give(body(role(), chunk("0123456789"), finish(), DONE)).expect(Ask(1, ("0123456789",)))
    play.at(1.3).give(CheckAnswered(1, ("violence", "hate"))).expect(
        Close(0), Head(400, ANY), Send(containing(b'"code":"blocked"', b"moderate: violence, hate")), End(),
        *ended(Outcome.BLOCKED),
    )  # fmt: skip
    play.expect_account(redactions={"violence": 1, "hate": 1}, checks={"flagged": 1})


def test_a_violation_later_is_the_wires_own_finish_once_though_the_provider_has_said_another():
    play = waiting(plan(stages=stages()))
    play.at(1.0).give(body(role(), chunk("0123456789"))).expect(Ask(1, ANY))
    play.at(1.1).give(CheckAnswered(1)).expect(Head(200, ANY), Send(role() + chunk("0123456789")))
    play.at(1.2).give(body(chunk("bad"), finish(), DONE), UpstreamEnded(0, True)).expect(
        Ask(2, ("789bad",)), Close(0, True)
    )
    play.at(1.5).give(CheckAnswered(2, ("hate",)))
    play.expect(Send(finish("content_filter") + DONE), End(), *ended(Outcome.BLOCKED))
    assert play.body.endswith(finish("content_filter") + DONE)
    assert b"bad" not in play.body
    assert play.body.count(b'finish_reason":"') == 1


@pytest.mark.parametrize("found", [("hate",), ()], ids=["flagged", "never answered"])
def test_audit_says_nothing_behind_an_answer_that_was_sent_whole(found):
    """What a stage held to the end comes with the end marker, in one piece."""
    play = waiting(plan(stages=stages(mode="audit", local=(Word(),))))
    play.at(1.0).give(body(role(), chunk("0123456789"))).expect(Ask(1, ANY), Head(200, ANY), Send(ANY))
    play.at(1.1).give(CheckAnswered(1)).expect()
    play.at(1.2).give(body(chunk("SE"), finish(), DONE), UpstreamEnded(0, True))
    play.expect(Ask(2, ANY), Send(containing(b"SE", DONE)), Close(0, True))
    if found:
        play.at(1.5).give(CheckAnswered(2, found)).expect(End(), *ended(Outcome.BLOCKED))
    else:
        play.wait_until(3.2).expect(End(), *ended(Outcome.BLOCKED))
    assert play.body.count(b"[DONE]") == 1


def test_text_that_waits_for_its_sentence_behind_a_verdict_makes_no_deadline():
    texts = StagesPlan(stages=(MaxCharacters(4),), segments=Segmenting("sentence", delay=0.3, characters=40)).open()
    texts.feed(("text", 1, 0), "some")
    assert texts.deadline == 0.3
    texts.feed(("text", 0, 0), "Hello")
    assert texts.verdict is not None and texts.deadline is None


@pytest.mark.parametrize("on_failure", ["block", "pass"])
def test_a_check_of_the_whole_answer_takes_no_longer_than_the_stream_may(on_failure):
    play = waiting(plan(stages=stages(timeout=60.0, on_failure=on_failure), total=3.0))
    play.at(2.0).give(body(role(), chunk("Hello"), finish(), DONE), UpstreamEnded(0, True)).expect(
        Ask(1, ANY), Close(0, True)
    )
    if on_failure == "block":
        play.wait_until(3.0).expect(Head(503, ANY), Send(containing(b"total time")), End(), *ended(Outcome.BLOCKED))
    else:
        whole = role() + chunk("Hello") + finish() + DONE
        play.wait_until(3.0).expect(Head(200, ANY), Send(whole), End(), *ended(Outcome.COMPLETED))


@pytest.mark.parametrize("failure", ["never", "500"])
def test_fail_closed_withholds_and_says_that_it_was_not_checked(failure):
    play = waiting(plan(stages=stages(on_failure="block")))
    play.at(1.0).give(body(chunk("0123456789"))).expect(Ask(1, ANY))
    if failure == "never":
        play.wait_until(3.0)
    else:
        play.at(1.1).give(CheckAnswered(1, failed="the service answered with status 500"))
    why = b"no answer within 2 s" if failure == "never" else b"status 500"
    play.expect(
        Close(0), Head(503, ANY), Send(containing(why, b"on_failure", b'"code":"blocked"')), End(),
        *ended(Outcome.BLOCKED),
    )  # fmt: skip
    play.expect_account(checks={"failed": 1})


def test_fail_open_passes_warns_and_asks_no_more_after_the_second_failure():
    play = waiting(plan(stages=stages(on_failure="pass")))
    play.at(1.0).give(body(chunk("0123456789"))).expect(Ask(1, ANY))
    play.wait_until(3.0).expect(Head(200, ANY), Send(chunk("0123456789")))
    play.give(body(chunk("0123456789"))).expect(Ask(2, ANY))
    play.at(3.1).give(CheckAnswered(2, failed="status 500")).expect(Send(chunk("0123456789")))
    play.give(body(chunk("and on"))).expect(Send(chunk("and on")))
    play.give(CheckAnswered(1, ("late",))).expect()
    play.give(body(finish(), DONE)).expect(Send(finish() + DONE), End())
    warnings = ["passed unchecked: no answer within 2 s", "passed unchecked: status 500, and asked no more"]
    play.give(UpstreamEnded(0, True)).expect(Close(0, True), *ended(Outcome.COMPLETED))
    play.expect_account(checks={"failed": 2}, warnings=warnings)


def test_what_is_only_flagged_passes_and_is_counted():
    play = waiting(plan(stages=stages(flag=True)))
    play.at(1.0).give(body(chunk("0123456789"))).expect(Ask(1, ANY))
    play.give(CheckAnswered(1, ("hate",))).expect(Head(200, ANY), Send(chunk("0123456789")))
    play.give(body(finish(), DONE), UpstreamEnded(0, True)).passing_over()
    play.expect_account(redactions={"hate": 1}, checks={"flagged": 1}, outcome=Outcome.COMPLETED)


@pytest.mark.parametrize("answer", [CheckAnswered(2, ("x",)), None], ids=["found", "unanswered"])
def test_a_verdict_on_what_an_answer_ends_with_is_told_and_ends_the_body(answer):
    play = waiting(plan(stages=stages()))
    play.at(1.0).give(body(role(), chunk("Hello"))).expect()
    play.wait_until(1.25).expect(Ask(1, ("Hello",)))
    play.at(1.3).give(CheckAnswered(1)).expect(Head(200, ANY), Send(role() + chunk("Hello")))
    play.at(1.4).give(body(chunk(" wor"), finish(), DONE)).expect(Ask(2, ("llo wor",)))
    play.at(1.5).give(UpstreamEnded(0, True)).expect(Close(0, True))
    play = play.at(1.8).give(answer) if answer is not None else play.wait_until(3.4)
    play.expect(Send(containing(b'"content_filter"')), End(), *ended(Outcome.BLOCKED))


# -- window and audit -------------------------------------------------------------------------------------------------


def test_a_window_moves_on_with_the_text_and_not_with_the_checks():
    play = waiting(plan(stages=stages(mode="window", characters=12)))
    play.at(1.0).give(body(role(), chunk("012345"))).expect()
    play.at(1.2).give(body(chunk("6789ab"))).expect(Ask(1, ("0123456789ab",)))
    play.at(1.3).give(CheckAnswered(1)).expect()
    play.at(1.4).give(body(chunk("cdefgh"))).expect(Head(200, ANY), Send(role() + chunk("012345")))
    play.at(1.6).give(body(chunk("ijklmn"))).expect(Ask(2, ("9abcdefghijklmn",)), Send(chunk("6789ab")))
    play.at(1.7).give(body(chunk("opqrst"))).expect(Send(chunk("cdefgh")))
    play.give(body(finish(), DONE)).expect()
    play.at(1.8).give(CheckAnswered(2)).expect(Ask(3, ("lmnopqrst",)), Send(chunk("ijklmn")))
    play.at(1.9).give(CheckAnswered(3)).expect(Send(chunk("opqrst") + finish() + DONE), End())


def test_a_full_window_shows_a_word_for_each_that_comes_however_long_they_are():
    play = waiting(plan(stages=stages(mode="window", characters=12)))
    play.at(1.0).give(body(role(), chunk("01"))).expect()
    play.at(1.1).give(body(chunk("2345678"))).expect()
    play.at(1.2).give(body(chunk("9abcde"))).expect(Ask(1, ANY), Head(200, ANY), Send(role() + chunk("01")))
    # Fourteen characters would be held without it; seven are, which is more than half of what may be.
    play.at(1.3).give(body(chunk("f"))).expect(Send(chunk("2345678")))
    play.at(1.4).give(body(chunk("g"))).expect()
    play.at(1.45).give(body(chunk("hijklm"))).expect(Send(chunk("9abcde")))


def test_a_window_in_which_no_text_comes_shows_what_is_checked():
    play = waiting(plan(stages=stages(mode="window")))
    play.at(1.0).give(body(role(), chunk("012345"))).expect()
    play.wait_until(1.25).expect(Ask(1, ("012345",)))
    play.at(1.4).give(CheckAnswered(1)).expect(Head(200, ANY), Send(role() + chunk("012345")))
    play.at(2.0).give(body(chunk("6789abcdef"))).expect(Ask(2, ("3456789abcdef",)))
    play.at(2.1).give(CheckAnswered(2)).expect()
    play.wait_until(2.25).expect(Send(chunk("6789abcdef")))


def test_audit_streams_at_once_and_cuts_at_a_late_verdict_with_what_to_retract():
    play = waiting(plan(stages=stages(mode="audit")))
    play.at(1.0).give(body(role(), chunk("a bad word"))).expect(Ask(1, ANY), Head(200, ANY), Send(ANY))
    play.at(1.1).give(body(chunk(" and more"))).expect(Send(chunk(" and more")))
    play.at(1.3).give(CheckAnswered(1, ("hate",)))
    play.expect(Close(0), Send(containing(b'"start_offset":0,"end_offset":10', b'"hate":{"filtered":true}')), End(),
                *ended(Outcome.BLOCKED))  # fmt: skip
    assert play.body.endswith(finish("content_filter") + DONE)


def test_audit_does_not_say_the_end_before_the_last_check():
    play = waiting(plan(stages=stages(mode="audit")))
    play.at(1.0).give(body(chunk("good"), finish(), DONE))
    play.expect(Head(200, ANY), Ask(1, ("good",)), Send(chunk("good")))
    play.at(1.3).give(CheckAnswered(1)).expect(Send(finish() + DONE), End())
    play.give(UpstreamEnded(0, True)).expect(Close(0, True), *ended(Outcome.COMPLETED))


# -- one check is enough ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", [{"stream": False}, {"whole": True}], ids=["folded", "full"])
def test_I8_an_answer_that_is_shown_whole_is_checked_once(how):
    whole = how.pop("whole", False)
    play = waiting(plan(stages=stages(whole=whole), **how))
    for instant in (1.0, 2.0, 3.0):
        play.at(instant).give(body(chunk("0123456789"))).expect()
    play.give(body(finish(), DONE)).expect(Ask(1, ("0123456789" * 3,)))
    play.at(3.2).give(CheckAnswered(1)).expect(Head(200, ANY), Send(containing(b"0123456789")), End())


def test_I8_the_last_of_the_checks_waits_for_the_end():
    play = waiting(plan(stages=stages(max_checks=2, mode="audit")))
    play.at(1.0).give(body(chunk("0123456789"))).expect(Ask(1, ANY), Head(200, ANY), Send(ANY))
    play.give(CheckAnswered(1)).expect()
    for instant in (1.1, 1.2, 1.3):
        play.at(instant).give(body(chunk("0123456789"))).expect(Send(chunk("0123456789")))
    play.at(1.5).give(body(finish(), DONE)).expect(Ask(2, ("789" + "0123456789" * 3,)))


def test_I8_white_space_is_not_asked_about():
    play = waiting(plan(stages=stages()))
    play.at(1.0).give(body(chunk("\n\n"), finish(), DONE)).expect(
        Head(200, ANY), Send(chunk("\n\n") + finish() + DONE), End()
    )


# -- the prompt -------------------------------------------------------------------------------------------------------


def test_the_prompt_is_checked_while_the_provider_thinks():
    play = Play(plan(stages=stages("Hello"))).start().expect(Ask(1, ("Hello",)), Open(0, 0))
    play.at(0.2).give(UpstreamOpened(0), UpstreamHead(0, 200, SSE), body(role(), chunk("0123456789"))).expect()
    play.at(0.3).give(CheckAnswered(1)).expect(Ask(2, ("0123456789",)))
    play.at(0.4).give(CheckAnswered(2)).expect(Head(200, ANY), Send(role() + chunk("0123456789")))


@pytest.mark.parametrize("mode", ["block", "window", "audit"])
def test_a_prompt_that_may_not_be_answered_is_refused(mode):
    play = Play(plan(stages=stages("Hello", mode=mode))).start().expect(Ask(1, ("Hello",)), Open(0, 0))
    play.at(0.3).give(CheckAnswered(1, ("self-harm",))).expect(
        Close(0), Head(400, ANY), Send(containing(b"self-harm")), End(), *ended(Outcome.BLOCKED)
    )


def test_a_second_attempt_is_checked_anew_and_the_prompt_is_not():
    play = Play(plan(stages=stages("Hello"))).start().expect(Ask(1, ("Hello",)), Open(0, 0))
    play.give(UpstreamOpened(0), UpstreamHead(0, 200, SSE), body(chunk("0123456789"))).expect()
    play.at(0.1).give(CheckAnswered(1)).expect(Ask(2, ANY))
    play.at(0.2).give(UpstreamEnded(0, False)).expect(Close(0), Open(1, 1))
    play.give(UpstreamOpened(1), UpstreamHead(1, 200, SSE), UpstreamBytes(1, chunk("abcdefghij")))
    play.expect(Ask(3, ("abcdefghij",)))
    play.at(0.3).give(CheckAnswered(2, ("old",))).expect()
    play.give(CheckAnswered(3)).expect(Head(200, ANY), Send(chunk("abcdefghij")))


# -- endings ----------------------------------------------------------------------------------------------------------


def test_a_client_that_leaves_before_its_end_was_said_has_left():
    play = waiting(plan(stages=stages()))
    play.at(1.0).give(body(chunk("good"), finish(), DONE)).expect(Ask(1, ("good",)))
    play.give(ClientLeft()).expect(Close(0), *ended(Outcome.CLIENT_CLOSED))


def test_a_stop_gets_its_finish_when_what_was_held_is_checked():
    play = waiting(plan(stages=stages()))
    play.at(1.0).give(body(role(), chunk("so far"))).expect()
    play.give(Stop()).expect(Close(0), Ask(1, ("so far",)), Head(200, ANY))
    play.at(1.2).give(CheckAnswered(1)).expect(
        Send(containing(b"so far", b'"finish_reason":"stop"')), End(), *ended(Outcome.STOPPED)
    )


def test_a_guard_ends_an_answer_when_what_it_let_out_is_checked():
    play = waiting(plan(stages=stages(local=(MaxCharacters(4),))))
    play.at(1.0).give(body(role(), chunk("so far"))).expect(Close(0), Ask(1, ("so f",)))
    play.at(1.2).give(CheckAnswered(1)).expect(
        Head(200, ANY), Send(containing(b"so f", b'"finish_reason":"length"')), End(), *ended(Outcome.STOPPED)
    )


def test_what_is_not_checked_is_not_shown_when_the_provider_fails():
    play = waiting(plan(stages=stages(), targets=1))
    play.at(1.0).give(body(chunk("0123456789"))).expect(Ask(1, ANY))
    play.give(CheckAnswered(1)).expect(Head(200, ANY), Send(ANY))
    play.give(body(chunk("unseen")), UpstreamEnded(0, False))
    play.expect(Close(0), Send(containing(b'"code":"upstream_cut"')), End(), *ended(Outcome.UPSTREAM_CUT))
    assert b"unseen" not in play.body


def test_a_blocked_client_gets_its_end_when_it_has_read_and_all_is_checked():
    play = waiting(plan(stages=stages(mode="audit")))
    play.at(1.0).give(body(chunk("0123456789"))).expect(Ask(1, ANY), Head(200, ANY), Send(ANY))
    play.give(CheckAnswered(1)).expect()
    play.give(ClientBlocked()).expect(Pause(0))
    play.give(body(chunk("end"), finish(), DONE)).expect(Ask(2, ANY), Send(chunk("end")))
    play.give(ClientDrained()).expect(Resume(0))
    play.at(1.5).give(CheckAnswered(2)).expect(Send(finish() + DONE), End())


def test_more_than_may_be_held_is_blocked():
    policy = StagesPlan(check=CheckPolicy(timeout=60.0), max_held=300)
    play = waiting(plan(stages=policy))
    play.at(1.0).give(body(*[chunk("0123456789")] * 5)).expect(
        Close(0), Head(400, ANY), Send(containing(b"delivery.max_held")), End(), *ended(Outcome.BLOCKED)
    )
