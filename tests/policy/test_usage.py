"""Usage of two attempts at one answer."""

from __future__ import annotations

from penstock.usage import Usage, total


def test_two_attempts_cost_both():
    assert Usage(9, 2, cost=0.5).plus(Usage(11, 3, reasoning=4, cost=0.25)) == Usage(20, 5, 4, cost=0.75)


def test_what_nobody_said_is_not_known():
    assert total(None, None) is None
    assert total(Usage(1), None) == total(None, Usage(1)) == Usage(1)
    assert Usage(1).plus(Usage(2)).output is None
