"""Quantiles and medians."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.bench.spread import Spread, Times, quantile, spread, times

NUMBERS = st.lists(st.floats(-1e9, 1e9), min_size=1)


def test_a_spread_keeps_its_rounds() -> None:
    assert spread([3.0, 1.0, 2.0]) == Spread((3.0, 1.0, 2.0), median=2.0, lowest=1.0, highest=3.0)
    assert spread([1.0, 2.0]).median == 1.5


def test_no_rounds_have_no_spread() -> None:
    with pytest.raises(ValueError, match="no rounds"):
        spread([])
    with pytest.raises(ValueError, match="no values"):
        quantile([], 0.5)


@pytest.mark.parametrize(
    ("values", "share", "expected"),
    [([7.0], 0.99, 7.0), ([1.0, 2.0], 0.5, 1.5), ([0.0, 1.0, 2.0, 3.0], 1.0, 3.0), ([0.0, 10.0, 20.0], 0.25, 5.0)],
)
def test_quantiles_lie_between_neighbours(values: list[float], share: float, expected: float) -> None:
    assert quantile(values, share) == expected


def test_times_of_a_hundred() -> None:
    assert times(float(number) for number in reversed(range(101))) == Times(101, p50=50.0, p99=99.0, worst=100.0)
    assert times([]) == Times()


@given(NUMBERS, st.floats(0, 1))
def test_a_quantile_is_within_its_values(values: list[float], share: float) -> None:
    ordered = sorted(values)
    slack = 1e-6 * max(abs(ordered[0]), abs(ordered[-1]), 1)
    assert ordered[0] - slack <= quantile(ordered, share) <= ordered[-1] + slack


@given(NUMBERS)
def test_a_median_is_the_middle_quantile(values: list[float]) -> None:
    assert spread(values).median == pytest.approx(times(values).p50)
