"""A learnt quantile is a sample of that rank, but for the width of a bucket, and the latest count most."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.policy.quantile import Quantiles

VALUES = st.lists(st.floats(0.001, 1000.0), min_size=1, max_size=200)
Q = st.sampled_from([0.0, 0.01, 0.5, 0.95, 0.99, 1.0])


def true_quantile(samples: list[tuple[float, float]], q: float, slack: float) -> float:
    """The smallest value whose rank, by weight, is at least ``q``, give or take ``slack`` of the weight."""
    total = sum(weight for _, weight in samples)
    seen = 0.0
    for value, weight in sorted(samples):
        seen += weight
        if seen >= (q + slack) * total:
            return value
    return max(samples)[0]


@given(VALUES, Q, st.sampled_from([0.01, 0.05, 0.2]))
def test_it_is_within_the_error_of_the_true_one(values, q, error):
    quantiles = Quantiles(error=error)
    for value in values:
        quantiles.add(value, 5.0)
    found = quantiles.quantile(q, 5.0)
    assert found == pytest.approx(true_quantile([(value, 1.0) for value in values], q, -1e-9), rel=error * 1.0001)
    assert quantiles.count(5.0) == len(values)


@given(st.lists(st.tuples(st.floats(0, 200), st.floats(0.001, 1000.0)), min_size=1, max_size=100), Q)
def test_with_age_it_is_that_of_the_weighed_samples(steps, q):
    quantiles, now, samples = Quantiles(half_life=10.0, error=0.05), 0.0, []
    for pause, value in steps:
        now += pause
        quantiles.quantile(q, now)
        quantiles.add(value, now)
        samples.append((now, value))
    weighed = [(value, 2.0 ** (-(now - at) / 10.0)) for at, value in samples]
    found = quantiles.quantile(q, now, least=0.0)
    low, high = (true_quantile(weighed, q, slack) for slack in (-1e-6, 1e-6))
    assert found is not None and low * 0.9499 <= found <= high * 1.0501
    assert quantiles.count(now) == pytest.approx(sum(weight for _, weight in weighed), rel=1e-6)
    assert quantiles.count(now + 10.0) == pytest.approx(quantiles.count(now) / 2)


@given(VALUES)
def test_a_higher_quantile_is_not_lower(values):
    quantiles = Quantiles()
    for value in values:
        quantiles.add(value, 0.0)
    found = [quantiles.quantile(q / 20, 0.0) or 0.0 for q in range(21)]
    assert found == sorted(found)


def test_it_follows_a_change():
    quantiles, draw = Quantiles(half_life=60.0), random.Random(3)
    for second in range(600):
        quantiles.add(draw.uniform(0.9, 1.1), float(second))
    for second in range(600, 900):
        quantiles.add(draw.uniform(9.0, 11.0), float(second))
    assert quantiles.quantile(0.5, 900.0) == pytest.approx(10.0, rel=0.15)


def test_few_or_old_samples_say_nothing():
    quantiles = Quantiles(half_life=10.0)
    assert quantiles.quantile(0.5, 0.0) is None
    for _ in range(20):
        quantiles.add(1.0, 0.0)
    assert quantiles.quantile(0.5, 0.0, least=21) is None
    assert quantiles.quantile(0.5, 0.0, least=20) == pytest.approx(1.0, rel=0.05)
    assert quantiles.quantile(0.5, 10.1, least=10) is None


def test_what_is_out_of_bounds_counts_as_the_bound():
    quantiles = Quantiles(lowest=0.01, highest=10.0)
    quantiles.add(0.0, 0.0)
    quantiles.add(1e9, 0.0)
    assert quantiles.quantile(0.0, 0.0) == pytest.approx(0.01, rel=0.06)
    assert quantiles.quantile(1.0, 0.0) == pytest.approx(10.0, rel=0.06)


@pytest.mark.parametrize("pause", [1.0, 50.0, 500.0, 86_400.0])
def test_years_do_not_wear_it_out(pause):
    quantiles = Quantiles(half_life=10.0)
    for number in range(1000):
        quantiles.add(1.0 + number % 2, number * pause)
    assert quantiles.quantile(0.99, 999 * pause) == pytest.approx(2.0, rel=0.05)
    assert quantiles.count(999 * pause) >= 1.0


@pytest.mark.parametrize(
    "wrong", [{"half_life": 0.0}, {"error": 0.0}, {"error": 1.0}, {"lowest": 0.0}, {"highest": 0.0001}]
)
def test_bounds_that_cannot_be_are_refused(wrong):
    with pytest.raises(ValueError):
        Quantiles(**wrong)


def test_a_quantile_is_a_share():
    with pytest.raises(ValueError):
        Quantiles().quantile(95, 0.0)
