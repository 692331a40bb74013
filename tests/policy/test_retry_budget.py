"""A retry budget grants a share of the recent successes and a minimum, and not one retry more."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.policy.retry_budget import RetryBudget, RetryLimits, must_pay

LIMITS = st.builds(
    RetryLimits, ratio=st.sampled_from([0.0, 0.1, 0.2, 1.0]), minimum=st.sampled_from([0.0, 0.1, 1.0]),
    seconds=st.sampled_from([1.0, 10.0]),
)  # fmt: skip
STEPS = st.lists(
    st.tuples(st.floats(0, 6), st.sampled_from(["deposit", "withdraw", "ask"]), st.integers(1, 30)), max_size=60
)


@given(LIMITS, STEPS)
def test_it_never_grants_more_than_its_laws(limits, steps):
    budget, now, deposits, granted = RetryBudget(limits), 0.0, [], []
    for pause, deed, times in steps:
        now += pause
        for _ in range(times):
            if deed == "deposit":
                budget.deposit(now)
                deposits.append(now)
            elif deed == "withdraw":
                could = budget.can_retry(now)
                assert budget.withdraw(now) is could
                granted += [now] * could
        assert budget.balance(now) >= 0.0
        # In the shortest look-back: all that was granted in it was paid for by what lies in the longest.
        recent = sum(at > now - limits.seconds * 0.9 + 1e-6 for at in granted)
        paid = sum(at > now - limits.seconds - 1e-6 for at in deposits)
        if granted and granted[-1] == now:
            assert recent <= limits.minimum * limits.seconds + limits.ratio * paid + 1e-6
        # Over any time: a deposit pays once, and the minimum once for each window that has begun.
        windows = math.floor(now / limits.seconds + 1e-9) + 1
        assert len(granted) <= limits.minimum * limits.seconds * windows + limits.ratio * len(deposits) + 1e-6


@given(st.integers(0, 200))
def test_every_success_buys_its_share(successes):
    budget = RetryBudget(RetryLimits(ratio=0.2, minimum=0.0))
    for _ in range(successes):
        budget.deposit(0.0)
    assert sum(budget.withdraw(0.0) for _ in range(200)) == successes // 5
    assert budget.refused == 200 - successes // 5


def test_a_burst_without_successes_gets_the_minimum_of_a_window_and_then_nothing():
    budget = RetryBudget(RetryLimits(ratio=0.2, minimum=1.0, seconds=10.0))
    assert sum(budget.withdraw(5.0) for _ in range(100)) == 10
    assert not budget.can_retry(9.0)
    assert budget.balance(15.0) == 10.0


def test_successes_expire():
    budget = RetryBudget(RetryLimits(ratio=1.0, minimum=0.0))
    budget.deposit(0.0)
    assert budget.can_retry(8.9)
    assert not budget.can_retry(10.0)


@pytest.mark.parametrize(
    ("tried", "struggling", "pays"),
    [(False, False, False), (True, False, True), (False, True, True), (True, True, True)],
)
def test_a_first_attempt_at_a_healthy_provider_is_free(tried, struggling, pays):
    assert must_pay(tried=tried, struggling=struggling) is pays
