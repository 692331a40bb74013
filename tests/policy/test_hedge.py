"""Hedging starts when it should and never costs more than its budget."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.policy.hedge import Hedge, HedgeAfter, HedgeBudget
from penstock.policy.quantile import Quantiles


def learnt(*values: float) -> Quantiles:
    """First-token times."""
    times = Quantiles()
    for value in values:
        times.add(value, 0.0)
    return times


@given(
    st.sampled_from([0.0, 0.01, 0.05, 1.0]), st.sampled_from([0.0, 1.0, 10.0]), st.lists(st.booleans(), max_size=300)
)
def test_the_budget_is_kept(ratio, burst, steps):
    budget, requests = HedgeBudget(ratio, burst), 0
    for hedge in steps:
        if hedge:
            budget.withdraw()
        else:
            budget.deposit()
            requests += 1
        assert 0.0 <= budget.balance <= burst
        assert budget.spent <= ratio * requests + burst + 1e-9


def test_a_calm_time_saves_no_more_than_the_burst():
    budget = HedgeBudget(0.05, 4.0)
    for _ in range(10_000):
        budget.deposit()
    assert sum(budget.withdraw() for _ in range(100)) == 4
    assert budget.refused == 96


@pytest.mark.parametrize("wrong", [(-0.1, 1.0), (1.1, 1.0), (0.1, -1.0)])
def test_a_budget_that_cannot_be_is_refused(wrong):
    with pytest.raises(ValueError):
        HedgeBudget(*wrong)


@given(st.lists(st.floats(0.001, 100.0), min_size=50, max_size=80))
def test_a_learnt_delay_is_the_quantile_between_floor_and_ceiling(values):
    after = HedgeAfter(quantile=0.95, floor=0.1, ceiling=5.0)
    times = learnt(*values)
    delay = after.delay(times, 0.0)
    assert delay is not None and 0.1 <= delay <= 5.0
    raw = times.quantile(0.95, 0.0)
    assert raw is not None and delay == pytest.approx(min(max(raw, 0.1), 5.0))


def test_a_fixed_delay_needs_no_samples():
    assert HedgeAfter(fixed=0.8).delay(None, 0.0) == 0.8
    assert HedgeAfter(fixed=0.8, quantile=0.5).delay(learnt(*[3.0] * 100), 0.0) == 0.8


def test_with_few_samples_there_is_no_hedge():
    after = HedgeAfter(quantile=0.95, least=50)
    assert after.delay(learnt(*[1.0] * 49), 0.0) is None
    assert after.delay(None, 0.0) is None
    assert HedgeAfter().delay(learnt(*[1.0] * 99), 0.0) is None


def test_who_may_not_be_hedged_fills_no_budget():
    hedge: Hedge[str] = Hedge(HedgeAfter(fixed=1.0), HedgeBudget(1.0, 2.0), never=lambda request: request == "tools")
    assert hedge.start() and hedge.start() and not hedge.start()
    assert hedge.delay("tools", None, 0.0, targets=2) is None
    assert hedge.delay("text", None, 0.0, targets=1) is None
    assert not hedge.start()
    assert hedge.delay("text", None, 0.0, targets=2) == 1.0
    assert hedge.start()
