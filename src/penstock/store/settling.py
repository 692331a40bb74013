"""From the account of a stream to its row, by what the provider reported."""

from __future__ import annotations

import msgspec

from penstock import money
from penstock.metering.row import AttemptLine, Row, Tokens
from penstock.stream.summary import AttemptSummary, Summary


def settled(opened: Row, account: Summary, at: float) -> Row:
    """The row as it stands at ``at`` (Unix seconds): that of a checkpoint as long as the account has no outcome."""
    served = account.served
    provider, _, model = served.target.partition("/") if served else ("", "", "")
    usage = account.usage
    cost = money.of_dollars(usage.cost) if usage is not None and usage.cost is not None else None
    return msgspec.structs.replace(
        opened,
        ended_at=at,
        provider=provider or None,
        model=model or None,
        outcome=account.outcome,
        committed=account.committed,
        attempts=tuple(_line(attempt) for attempt in account.attempts),
        counted=Tokens(output=account.token_events),
        reported=Tokens.of(usage),
        basis="exact" if usage is not None else "estimated",
        charged="reported" if usage is not None else "counted",
        cost=cost,
        ttft_ms=_milliseconds(account.first_token),
        duration_ms=round(max(0.0, at - opened.started_at) * 1000, 3),
        warnings=(*account.warnings, *(() if cost is not None else ("no_price",))),
    )


def _line(attempt: AttemptSummary) -> AttemptLine:
    return AttemptLine(
        target=attempt.target,
        outcome=attempt.outcome,
        reason=attempt.reason,
        lost=attempt.lost,
        hedge=attempt.hedge,
        status=attempt.status,
        started_ms=round(attempt.started * 1000, 3),
        first_token_ms=_milliseconds(attempt.first_token),
        ended_ms=_milliseconds(attempt.ended),
        cost=None,
    )


def _milliseconds(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds * 1000, 3)
