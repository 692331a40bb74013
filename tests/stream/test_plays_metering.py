"""What is counted of a stream, and what its row says: plays in virtual time, a token for each byte."""

from __future__ import annotations

from typing import Any

import pytest

from penstock.metering.charge import Billing
from penstock.metering.prices import Price, PriceList, Rates
from penstock.metering.prompt import Counted
from penstock.metering.row import Row, Tokens, fields, opened
from penstock.metering.tally import Meter
from penstock.stream.settlement import Settled, Terms, settle, so_far, unsettled
from penstock.stream.used import row_used, used
from penstock.testing.playbook import (
    BYTE_METER,
    DONE,
    JSON,
    SSE,
    ClientLeft,
    Outcome,
    Play,
    Shutdown,
    Stop,
    UpstreamBytes,
    UpstreamEnded,
    UpstreamFailed,
    UpstreamHead,
    UpstreamOpened,
    chunk,
    error,
    finish,
    plan,
    reasoning,
    streaming,
    tool,
    usage,
    waiting,
)

PRICE = Price(model="m", rates=Rates(input=10**6, output=10 * 10**6), source="here", date="2026-01-01")
OPENED = opened(stream="st_play", started_at=100.0, key="team", route="gpt", client_wire="openai-chat", tags={"a": "b"})


def terms(**changed: Any) -> Terms:
    """A nano-dollar a token in, ten a token out, and a prompt of 100 tokens."""
    return Terms(**{"prices": PriceList([PRICE]), "prompt": lambda meter: Counted(100, True)} | changed)


def settled(play: Play, **changed: Any) -> Settled:
    assert play.transcript.over
    return settle(play.account, OPENED, 101.0, terms(**changed))


def row_of(play: Play, **changed: Any) -> Row:
    return settled(play, **changed).row


def metered(**options: Any) -> Any:
    return plan(meter=BYTE_METER, **options)


def complete(play: Play, *ending: bytes) -> Play:
    play.give(UpstreamBytes(0, b"".join(ending)), UpstreamEnded(0, clean=True)).passing_over()
    return play


def test_a_complete_stream_is_charged_as_reported():
    play = complete(streaming(metered(), "Hello"), chunk(" you"), finish(), usage(11, 8), DONE)
    row = row_of(play)
    assert row.counted == Tokens(output=9, reasoning=0)
    assert row.delivered == Tokens(output=9, reasoning=0)
    assert (row.reported.input, row.reported.output) == (11, 8)
    assert (row.charged, row.basis, row.cost) == ("reported", "exact", 91)
    assert (row.outcome, row.provider, row.model, row.committed) == (Outcome.COMPLETED, "p0", "m", True)
    assert (row.started_at, row.ended_at, row.key, row.tags) == (100.0, 101.0, "team", {"a": "b"})
    assert row.ttft_ms == 1000.0


def test_a_clock_that_is_set_back_ends_no_stream_before_its_beginning():
    play = complete(streaming(metered(), "Hello"), finish(), DONE)
    row = settle(play.account, OPENED, 40.0, terms()).row
    assert play.account.duration > 0
    assert row.ended_at == 100.0 + play.account.duration
    assert row.duration_ms == play.account.duration * 1000


def test_without_a_report_it_is_charged_as_counted():
    row = row_of(complete(streaming(metered(), "Hello"), finish(), DONE))
    assert row.counted == Tokens(input=100, output=5, reasoning=0)
    assert row.reported == Tokens()
    assert (row.charged, row.basis, row.cost) == ("counted", "exact", 150)


def test_reasoning_and_tool_calls_are_counted_each_as_what_they_are():
    play = streaming(metered(), "Hi")
    play.give(UpstreamBytes(0, reasoning("hmmm") + tool(0, id="t", name="look", arguments="{}"))).passing_over()
    row = row_of(complete(play, finish("tool_calls"), DONE))
    assert row.counted == Tokens(input=100, output=2 + 4 + 2, reasoning=4)
    assert row.basis == "estimated"
    assert "answer: tool calls are counted as their JSON" in row.warnings


def test_a_client_that_leaves_pays_for_what_came_until_then():
    play = streaming(metered(), "Hello")
    play.at(2.0).give(ClientLeft()).passing_over()
    row = row_of(play)
    assert row.outcome is Outcome.CLIENT_CLOSED
    assert (row.counted.output, row.delivered.output) == (5, 5)
    assert (row.charged, row.basis, row.cost) == ("counted", "exact", 150)


def test_a_provider_that_runs_on_bills_more_than_was_read():
    play = streaming(metered(runs_on=True), "Hello")
    play.at(2.0).give(ClientLeft()).passing_over()
    row = row_of(play)
    assert row.basis == "estimated"
    assert "p0/m goes on after it was left, and bills what nobody read" in row.warnings


def test_a_placeholder_in_an_early_report_is_not_the_charge():
    """Anthropic's first event says ``output_tokens: 1``."""
    play = streaming(metered(), "Hello")
    play.give(UpstreamBytes(0, usage(11, 1))).passing_over()
    play.at(2.0).give(ClientLeft()).passing_over()
    row = row_of(play)
    assert (row.charged, row.cost) == ("counted", 11 + 50)
    assert row.reported.output == 1


def test_the_words_of_an_error_are_not_output():
    play = streaming(metered(), "Hello")
    play.at(2.0).give(UpstreamBytes(0, error("a very long story about what went wrong"))).passing_over()
    row = row_of(play)
    assert row.outcome is Outcome.UPSTREAM_ERROR
    assert (row.counted.output, row.delivered.output) == (5, 5)


def test_an_error_status_costs_nothing():
    play = Play(metered(targets=1)).start().passing_over()
    play.give(UpstreamOpened(0), UpstreamHead(0, 500, JSON), UpstreamBytes(0, b'{"error":{"message":"no"}}'))
    play.give(UpstreamEnded(0, clean=True)) if not play.passing_over().transcript.over else None
    row = row_of(play.passing_over())
    assert (row.charged, row.cost, row.counted, row.basis) == ("none", 0, Tokens(output=0, reasoning=0), "exact")


def test_a_refused_connection_and_its_successor_are_lines_of_one_row():
    play = Play(metered()).start().passing_over()
    play.give(UpstreamFailed(0, "refused", stale=False)).passing_over()
    play.give(UpstreamOpened(1), UpstreamHead(1, 200, SSE), UpstreamBytes(1, chunk("Hi"))).passing_over()
    play.give(UpstreamBytes(1, finish() + usage(3, 2) + DONE), UpstreamEnded(1, clean=True)).passing_over()
    row = row_of(play)
    assert [(line.target, line.outcome, line.cost) for line in row.attempts] == [
        ("p0/m", Outcome.CONNECT_FAILED, 0),
        ("p1/m", None, 3 + 20),
    ]
    assert (row.provider, row.cost) == ("p1", 23)


def test_who_lost_a_race_costs_its_prompt():
    play = waiting(metered(hedge_after=0.8)).wait_until(0.8).passing_over()
    play.give(UpstreamOpened(1), UpstreamHead(1, 200, SSE), UpstreamBytes(1, chunk("Hi"))).passing_over()
    play.give(UpstreamBytes(1, finish() + usage(3, 2) + DONE), UpstreamEnded(1, clean=True)).passing_over()
    row = row_of(play)
    assert [(line.lost, line.basis, line.cost) for line in row.attempts] == [
        (True, "estimated", 100),
        (False, "exact", 23),
    ]
    assert (row.cost, row.basis, row.charged) == (123, "estimated", "reported")
    assert row_of(play, billing=Billing(charge="delivered")).cost == 23


def test_a_folded_client_that_got_no_answer_was_delivered_nothing():
    play = streaming(metered(stream=False, targets=1), "Hello")
    play.at(2.0).give(UpstreamEnded(0, clean=False, reason="reset")).passing_over()
    row = row_of(play)
    assert (row.counted.output, row.delivered) == (5, Tokens())
    assert row.cost == 150
    assert row_of(play, billing=Billing(charge="delivered")).cost == 0


def test_a_folded_answer_is_delivered_whole():
    row = row_of(complete(streaming(metered(stream=False), "Hello"), finish(), usage(1, 5), DONE))
    assert row.delivered == Tokens(output=5, reasoning=0)


@pytest.mark.parametrize(
    ("happened", "outcome", "cost"),
    [(ClientLeft(), Outcome.CLIENT_CLOSED, 0), (Shutdown(), Outcome.SHUTDOWN, 0), (Stop(), Outcome.STOPPED, 150)],
)
def test_an_atomic_key_pays_only_for_what_was_finished(happened, outcome, cost):
    play = streaming(metered(), "Hello")
    play.at(2.0).give(happened).passing_over()
    row = row_of(play, billing=Billing(partial=False))
    assert (row.outcome, row.cost, row.charged) == (outcome, cost, "counted" if cost else "none")
    assert row.attempts[0].cost == 150


def test_a_model_without_a_price_is_a_warning_and_not_free():
    row = row_of(complete(streaming(metered(), "Hello"), finish(), usage(1, 5), DONE), prices=PriceList())
    assert row.cost is None
    assert "no price for p0/m" in row.warnings
    assert fields(row)["cost_usd"] is None


def test_a_count_far_from_the_report_is_a_warning():
    long = "x" * 30
    near = complete(streaming(metered(), long), finish(), usage(1, 29), DONE)
    far = complete(streaming(metered(), long), finish(), usage(1, 40), DONE)
    assert row_of(near).warnings == ()
    assert row_of(far).warnings == ("drift: counted 30 output tokens, reported 40",)
    assert settled(far).pair == (30, 40)


def test_a_learnt_factor_makes_an_estimate():
    meter = Meter("m", BYTE_METER.vocabulary, 1.5)
    row = row_of(complete(streaming(plan(meter=meter), "Hello!"), finish(), DONE))
    assert (row.counted.output, row.basis) == (9, "estimated")


def test_a_vocabulary_that_comes_late_misses_nothing():
    there: list[Any] = []
    meter = Meter("m", lambda: there[0] if there else None)
    play = streaming(plan(meter=meter), "Hello")
    play.give(UpstreamBytes(0, b"".join(chunk(f" {number}") for number in range(300)))).passing_over()
    complete(play, finish(), DONE)
    there.append(BYTE_METER.vocabulary())
    wanted = len("Hello" + "".join(f" {number}" for number in range(300)))
    assert row_of(play).counted.output == row_of(play).delivered.output == wanted


def test_without_a_meter_nothing_is_counted():
    play = complete(streaming(plan(), "Hello"), finish(), usage(1, 5), DONE)
    assert play.account.attempts[0].tally is None
    assert (row_of(play).counted, row_of(play).cost) == (Tokens(), 51)


def test_what_comes_after_the_end_is_counted_and_not_delivered():
    play = streaming(metered(), "Hello")
    play.give(UpstreamBytes(0, finish() + DONE)).passing_over()
    play.give(UpstreamBytes(0, chunk("late"))).passing_over()
    play.give(UpstreamEnded(0, clean=True)).passing_over()
    row = row_of(play)
    assert (row.counted.output, row.delivered.output) == (9, 5)


def test_the_row_as_json():
    shown = fields(row_of(complete(streaming(metered(), "Hello"), finish(), usage(11, 8), DONE)))
    assert {
        "stream", "started_at", "ended_at", "key", "route", "client_wire", "provider", "model", "outcome", "committed",
        "attempts", "counted", "reported", "delivered", "basis", "cost_usd", "ttft_ms", "duration_ms", "redactions",
        "warnings", "tags",
    } <= set(shown)  # fmt: skip
    assert shown["cost_usd"] == 91e-9
    assert shown["outcome"] == "completed"
    assert shown["counted"] == {"input": None, "output": 5, "reasoning": 0, "cache_read": None, "cache_write": None}


def test_a_stream_that_goes_on_is_charged_for_what_came():
    play = streaming(metered(), "Hello")
    row = so_far(play.account, OPENED, 101.0, terms())
    assert (row.outcome, row.ended_at, row.duration_ms) == (None, 101.0, 1000.0)
    assert (row.counted, row.delivered) == (Tokens(input=100, output=5, reasoning=0), Tokens(output=5, reasoning=0))
    assert (row.charged, row.cost) == ("counted", 150)


def test_what_is_reported_on_the_way_is_not_the_whole_answer():
    play = streaming(metered(), "Hello")
    play.give(UpstreamBytes(0, usage(11, 1))).passing_over()
    row = so_far(play.account, OPENED, 101.0, terms())
    assert (row.reported.input, row.reported.output) == (11, 1)
    assert (row.charged, row.cost) == ("counted", 11 + 50)


def test_a_folded_client_has_nothing_yet():
    row = so_far(streaming(metered(stream=False), "Hello").account, OPENED, 101.0, terms())
    assert (row.counted.output, row.delivered) == (5, Tokens())


def test_looking_at_a_stream_changes_nothing():
    looked, left = streaming(metered(), "Hel"), streaming(metered(), "Hel")
    so_far(looked.account, OPENED, 100.5, terms())
    for play in (looked, left):
        play.give(UpstreamBytes(0, chunk("lo") + chunk(" you"))).passing_over()
        so_far(looked.account, OPENED, 100.6, terms())
        complete(play, finish(), DONE)
    assert row_of(looked) == row_of(left)


def test_a_row_that_could_not_be_settled_says_its_end():
    play = complete(streaming(metered(), "Hello"), finish(), DONE)
    row = unsettled(play.account, OPENED, 102.0)
    assert (row.outcome, row.ended_at, row.cost, row.basis) == (Outcome.COMPLETED, 102.0, None, "estimated")


RATES = {"p0/m": PRICE.rates, "p1/m": PRICE.rates}


def test_what_a_stream_has_used_is_known_at_every_chunk():
    play = streaming(metered(), "Hello")
    assert used(play.account, 100, RATES) == (105, 150)
    play.give(UpstreamBytes(0, chunk(" you"))).passing_over()
    assert used(play.account, 100, RATES) == (109, 190)
    complete(play, finish(), DONE)
    assert used(play.account, 100, RATES) == row_used(row_of(play)) == (109, 190)


def test_what_was_reported_is_what_was_used():
    play = complete(streaming(metered(), "Hello"), finish(), usage(11, 8), DONE)
    assert used(play.account, 100, RATES) == row_used(row_of(play)) == (19, 91)


def test_who_failed_for_nothing_has_used_nothing_and_who_was_too_slow_its_prompt():
    play = Play(metered()).start().passing_over()
    play.give(UpstreamFailed(0, "refused", stale=False)).passing_over()
    assert used(play.account, 100, RATES) == (100, 100), "the second attempt has been asked"
    race = waiting(metered(hedge_after=0.8)).wait_until(0.8).passing_over()
    race.give(UpstreamOpened(1), UpstreamHead(1, 200, SSE), UpstreamBytes(1, chunk("Hi"))).passing_over()
    assert used(race.account, 100, RATES) == (202, 220)


def test_without_a_vocabulary_a_token_is_a_chunk():
    late = Meter("m", lambda: None)
    play = streaming(plan(meter=late), "Hello")
    assert used(play.account, 100, RATES) == (101, 110)
