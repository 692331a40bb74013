"""Usage as providers of openai-responses report it, in canonical kinds."""

from __future__ import annotations

import pytest

from penstock.usage import Usage
from penstock.wire.openai_responses_events import read_usage

USAGES = {
    "plain": ({"input_tokens": 9, "output_tokens": 4}, Usage(9, 4)),
    "cached and thought": (
        {
            "input_tokens": 9,
            "input_tokens_details": {"cached_tokens": 4, "cache_write_tokens": 2},
            "output_tokens": 4,
            "output_tokens_details": {"reasoning_tokens": 3},
        },
        Usage(3, 1, 3, 4, 2),
    ),
    "reasoning apart": (
        {"input_tokens": 9, "output_tokens": 4, "output_tokens_details": {"reasoning_tokens": 3}, "total_tokens": 16},
        Usage(9, 4, 3),
    ),
    "a price": ({"input_tokens": 9, "cost": 0.5}, Usage(9, cost=0.5)),
    "a price in ticks": ({"cost_in_usd_ticks": 5_000_000_000}, Usage(cost=0.5)),
    "floats": ({"input_tokens": 9.0, "output_tokens": 4.0}, Usage(9, 4)),
    "nonsense": ({"input_tokens": "9", "output_tokens": True, "input_tokens_details": 7, "cost": "much"}, Usage()),
    "no numbers": ({"input_tokens": float("nan"), "output_tokens": float("inf")}, Usage()),
}


@pytest.mark.parametrize("case", USAGES)
def test_usage(case):
    raw, expected = USAGES[case]
    assert read_usage(raw) == expected
