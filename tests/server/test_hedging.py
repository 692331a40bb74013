"""What a route's hedging learns, and from whom."""

import pytest

from penstock.config.values import Route, Target
from penstock.outcome import Outcome
from penstock.policy.hedge import HedgeAfter
from penstock.server.hedging import Hedging, first_token_time
from penstock.stream.summary import AttemptSummary, Summary
from penstock.testing.clock import VirtualClock
from penstock.testing.playbook import plan

TARGETS = (Target("p0", "m"), Target("p1", "m"))


class Recorder:
    def __init__(self) -> None:
        self.seen: list[Summary] = []

    def record(self, summary: Summary) -> None:
        self.seen.append(summary)


def hedging(after: HedgeAfter | None) -> tuple[Hedging, Recorder]:
    recorder, clock = Recorder(), VirtualClock[None]()
    return Hedging([Route(name="gpt", targets=TARGETS, hedge=after)], recorder, clock), recorder


def over(*attempts: AttemptSummary) -> Summary:
    return Summary(
        stream="st", route="gpt", model="m", client_wire="openai-chat", streamed=True, attempts=list(attempts)
    )


def test_a_route_without_hedging_has_none():
    asked = plan()
    assert hedging(None)[0].planned(asked) is asked


def test_a_fixed_delay_and_a_budget_of_the_route():
    made, _ = hedging(HedgeAfter(fixed=0.8))
    first, second = made.planned(plan()), made.planned(plan())
    assert first.hedge_after == second.hedge_after == 0.8
    assert first.hedge_budget is second.hedge_budget is not None


def test_a_request_that_one_target_can_carry_is_not_hedged():
    assert hedging(HedgeAfter(fixed=0.8))[0].planned(plan(targets=1)).hedge_after is None


def test_a_learnt_delay_is_that_of_the_target_that_is_asked_first():
    made, recorder = hedging(HedgeAfter(quantile=0.95))
    for number in range(100):
        taken = 0.5 if number < 90 else 2.0
        made.record(over(AttemptSummary(target="p0/m", label="p0/m", started=1.0, ended=9.0, first_token=1.0 + taken)))
        assert made.planned(plan()).hedge_after is None or number >= 49
    made.record(over(AttemptSummary(target="p1/m", label="p1/m", started=0.0, first_token=9.0)))
    made.record(over(AttemptSummary(target="px/m", label="px/m", started=0.0, first_token=9.0)))
    assert made.planned(plan()).hedge_after == pytest.approx(2.0, rel=0.05)
    assert len(recorder.seen) == 102


def test_waits_that_were_broken_off_count_and_other_failures_do_not():
    one = AttemptSummary(target="p0/m", started=1.0, ended=3.0, lost=True)
    assert first_token_time(one) == 2.0
    assert first_token_time(AttemptSummary(target="t", started=1.0, ended=16.0, outcome=Outcome.FIRST_TOKEN_TIMEOUT))
    for outcome in (Outcome.UPSTREAM_ERROR, Outcome.CLIENT_CLOSED, Outcome.CONNECT_FAILED, None):
        assert first_token_time(AttemptSummary(target="t", started=1.0, ended=1.1, outcome=outcome)) is None
