"""What a client is told of the usage of an answer that Penstock ends itself, before the provider has said all of it.

As in its row: reported where that is more than a placeholder or older than the text, else counted from the text. What
is not counted yet, and a prompt that is not reported, is estimated. The books do not stand on it.
"""

from __future__ import annotations

from penstock.metering.row import Tokens
from penstock.stream.plan import Plan
from penstock.stream.settlement import NOTHING_BILLED
from penstock.stream.summary import AttemptSummary, Summary
from penstock.usage import Usage, total


def tell(plan: Plan, account: Summary) -> Usage | None:
    """What is told, written down in the account where it is not what was reported; None: nothing is known."""
    served = account.served
    if served is None or served.tally is None:
        return account.usage
    usage = _usage(plan, served)
    if served.continues:
        before = account.attempts[: account.attempts.index(served)]
        broken = next((one for one in reversed(before) if one.first_token is not None), None)
        usage = usage if broken is None else total(_usage(plan, broken), usage)
    if usage != account.usage:
        account.told = usage
    return usage


def _usage(plan: Plan, attempt: AttemptSummary) -> Usage | None:
    said, reported = attempt.usage, Tokens.of(attempt.usage)
    made = Tokens() if attempt.tally is None else attempt.tally.about()
    if reported.output is None or reported.generated < made.generated:
        said = Usage(None, made.output or 0, made.reasoning or None, reported.cache_read, reported.cache_write)
    if reported.input is not None:
        asked: int | None = reported.input
    elif not made.generated and attempt.outcome in NOTHING_BILLED:
        asked = 0
    else:
        asked = None if plan.prompt is None else plan.prompt()
    return Usage(input=asked) if said is None else said.overwritten_by(Usage(input=asked))
