"""What a client got is counted behind the stages, what the provider made in front of them."""

from __future__ import annotations

from typing import Any

import pytest
from words import Word

from penstock.metering.charge import Billing
from penstock.metering.prices import Price, PriceList, Rates
from penstock.metering.prompt import Counted
from penstock.metering.row import Row, Tokens, opened
from penstock.stages.guards import MaxCharacters
from penstock.stages.pipeline import StagesPlan
from penstock.stream.settlement import Terms, settle
from penstock.testing.playbook import (
    BYTE_METER,
    DONE,
    ClientLeft,
    Outcome,
    Play,
    UpstreamBytes,
    UpstreamEnded,
    chunk,
    finish,
    plan,
    tool,
    usage,
    waiting,
)

RATES = Rates(input=10**6, output=10**7)
TERMS = Terms(
    prices=PriceList([Price(model="m", rates=RATES, source="", date="", configured=True)]),
    prompt=lambda meter: Counted(100, True),
    billing=Billing(charge="delivered"),
)
WORD, BLOCK = StagesPlan(stages=(Word(),)), StagesPlan(stages=(Word(block=True),))


def after(stages: StagesPlan, *said: bytes, **options: Any) -> Play:
    """A stream of which the provider has said so much; a token is a byte of text."""
    made = plan(stages=stages, meter=BYTE_METER, **options)
    return waiting(made).give(*(UpstreamBytes(0, data) for data in said)).passing_over()


def row(play: Play) -> Row:
    assert play.transcript.over
    opening = opened(stream="st", started_at=0.0, key=None, route="r", client_wire="openai-chat", tags={})
    return settle(play.account, opening, 1.0, TERMS).row


def whole(*said: bytes, stages: StagesPlan = WORD, **options: Any) -> Row:
    play = after(stages, *said, finish() + DONE, **options)
    return row(play.give(UpstreamEnded(0, True)).passing_over() if not play.transcript.over else play)


@pytest.mark.parametrize("stream", [True, False], ids=["streamed", "whole"])
def test_a_word_that_was_replaced_is_delivered_as_what_stands_for_it(stream):
    found = whole(chunk("a SEC"), chunk("RET b"), stream=stream)
    assert (found.counted.output, found.delivered.output) == (len("a SECRET b"), len("a [x] b"))
    assert (found.charged, found.cost) == ("delivered", 100 + 10 * len("a [x] b"))


def test_what_the_stages_leave_alone_is_charged_as_it_was_reported():
    found = whole(chunk("hello"), usage(9, 4))
    assert found.delivered == Tokens(output=5, reasoning=0)
    assert found.cost == 9 + 40


def test_names_and_arguments_of_tools_are_delivered_too():
    found = whole(tool(0, id="t", name="look", arguments='{"at":"it"}'))
    assert found.delivered.output == found.counted.output == len('look{"at":"it"}')


def test_an_answer_that_is_held_and_then_blocked_was_not_delivered():
    held = StagesPlan(stages=(Word(block=True),), whole=True)
    found = whole(chunk("hello SECRET"), stages=held)
    assert found.outcome is Outcome.BLOCKED
    assert (found.counted.output, found.delivered) == (12, Tokens())
    assert found.cost == 0


def test_of_a_stream_that_is_blocked_the_client_has_what_came_before():
    found = whole(chunk("hello "), chunk("SECRET"), stages=BLOCK)
    assert (found.outcome, found.counted.output, found.delivered.output) == (Outcome.BLOCKED, 12, 6)
    assert found.cost == 100 + 60


def test_what_a_guard_cuts_off_was_not_delivered():
    found = whole(chunk("hello "), chunk("world"), stages=StagesPlan(stages=(MaxCharacters(8),)))
    assert (found.counted.output, found.delivered.output) == (11, 8)


def test_who_leaves_does_not_get_what_was_held():
    play = after(WORD, chunk("a SEC")).give(ClientLeft()).passing_over()
    assert (row(play).counted.output, row(play).delivered.output) == (5, 2)


def test_an_answer_of_many_frames_is_read_a_slice_at_a_time():
    held = StagesPlan(stages=(Word(),), whole=True)
    found = whole(b"".join(chunk("word ") for _ in range(2_000)), stages=held)
    assert found.delivered.output == found.counted.output == 10_000
