"""The failover decision is the table in its docstring, row by row."""

from __future__ import annotations

import itertools

import pytest

from penstock.outcome import ATTEMPT_FAILURES, Outcome
from penstock.policy.failover import RETRYABLE_STATUS, Step, decide

CELLS = {
    "next, else retry, answer": (Step.NEXT, Step.RETRY, Step.ANSWER),
    "answer": (Step.ANSWER,) * 3,
    "error frame": (Step.FRAME,) * 3,
}


def table() -> list[list[str]]:
    """The rows of the docstring's table: failure, nothing released, token released, continuable."""
    lines = [line.strip() for line in (decide.__doc__ or "").splitlines()]
    rules = [number for number, line in enumerate(lines) if line.startswith("===")]
    rows = [[cell.strip() for cell in line.split("  ") if cell.strip()] for line in lines[rules[1] + 1 : rules[2]]]
    assert all(len(row) == 4 for row in rows)
    return rows


def meant(failure: str) -> list[tuple[Outcome, int | None]]:
    """The outcomes and statuses that a row is about."""
    if failure.startswith("upstream_error: 5xx"):
        retryable = sorted(RETRYABLE_STATUS)
        assert all(str(status) in failure for status in retryable)
        assert "in a 200" in failure
        return [(Outcome.UPSTREAM_ERROR, status) for status in [500, 502, 503, 504, 529, 599, *retryable, None]]
    if failure.startswith("upstream_error: any other 4xx"):
        others = [status for status in range(400, 500) if status not in RETRYABLE_STATUS]
        return [(Outcome.UPSTREAM_ERROR, status) for status in others]
    if failure.startswith("max_duration and all other"):
        return [(outcome, None) for outcome in Outcome if outcome not in {*ATTEMPT_FAILURES, Outcome.STALLED}]
    return [(Outcome(word), None) for word in failure.split(", ")]


ROWS = table()


def test_the_table_speaks_of_every_outcome():
    assert {outcome for row in ROWS for outcome, _ in meant(row[0])} == set(Outcome)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0])
def test_a_row_of_the_table_holds(row):
    failure, nothing_released, token_released, continuable = row
    for (outcome, status), left, retries in itertools.product(meant(failure), [0, 1, 5], [0, 2]):
        how_many = {"targets_left": left, "retries_left": retries}
        wanted = CELLS[nothing_released][0 if left else 1 if retries else 2]
        assert decide(outcome=outcome, status=status, released=False, **how_many) is wanted
        if token_released != "–":
            wanted = CELLS[token_released][0]
            assert decide(outcome=outcome, status=status, released=True, **how_many) is wanted
        goes_on = {"continuable": True, **how_many}
        wanted = CELLS[nothing_released][0 if left else 1 if retries else 2]
        wanted = Step.CONTINUE if continuable == "continue" and wanted is Step.ANSWER else wanted
        assert decide(outcome=outcome, status=status, released=False, **goes_on) is wanted
        if token_released != "–":
            wanted = Step.CONTINUE if continuable == "continue" else Step.FRAME
            assert decide(outcome=outcome, status=status, released=True, **goes_on) is wanted
