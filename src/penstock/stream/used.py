"""What a stream has used, for limits and budgets: known at every chunk, and exact where the count is."""

from __future__ import annotations

from collections.abc import Mapping

from penstock.metering.prices import Rates
from penstock.metering.row import Row, Tokens
from penstock.stream.settlement import NOTHING_BILLED
from penstock.stream.summary import AttemptSummary, Summary


def used(account: Summary, prompt: int, rates: Mapping[str, Rates]) -> tuple[int, int]:
    """Tokens and nano-dollars of all attempts until now. ``prompt``: tokens of it, where they are not reported."""
    total = cost = 0
    for attempt in account.attempts:
        tokens = _tokens(account, attempt, prompt)
        total += tokens.total
        if (rate := rates.get(attempt.target)) is not None:
            cost += rate.cost(tokens)
    return total, cost


def _tokens(account: Summary, attempt: AttemptSummary, prompt: int) -> Tokens:
    tally, current = attempt.tally, attempt is account.served
    said = Tokens.of(attempt.usage or (account.usage if current else None))
    made = Tokens()
    if tally is not None and tally.meter.vocabulary() is not None:
        tally.fold()
        made = tally.tokens()
    elif current:
        made = Tokens(output=account.token_events)
    if said.generated >= made.generated and said.input is not None:
        return said
    if not made.generated and attempt.outcome in NOTHING_BILLED:
        return Tokens()
    asked = said.input if said.input is not None else prompt
    return Tokens(asked, made.output, made.reasoning, said.cache_read, said.cache_write)


def row_used(row: Row) -> tuple[int, int | None]:
    """The same of a settled row; None: there is no price."""
    total = 0
    for line in row.attempts:
        told = line.reported.input is not None and line.reported.generated >= line.counted.generated
        total += line.reported.total if told else line.counted.total
    return total, row.cost
