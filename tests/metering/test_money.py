"""Money is exact."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock import money


@given(st.integers(0, 10**18 - 1))
def test_text_is_read_back(nanos):
    assert money.parse(money.text(nanos)) == nanos


@pytest.mark.parametrize(
    ("text", "nanos"), [("2.50", 2_500_000_000), ("0", 0), ("0.000000001", 1), (".075", 75_000_000)]
)
def test_amounts(text, nanos):
    assert money.parse(text) == nanos


@pytest.mark.parametrize("text", ["", "a", "-1", "nan", "inf", "1e3", "1,5", ".", "1.", "1000000000", "0.0000000001"])
def test_what_is_no_amount(text):
    with pytest.raises(ValueError, match="not an amount"):
        money.parse(text)


def test_rounding_is_to_the_nearest():
    assert [money.per_million(1, tokens) for tokens in (0, 499_999, 500_000, 1_500_000)] == [0, 0, 1, 2]
    assert money.of_dollars(0.1 + 0.2) == 300_000_000
