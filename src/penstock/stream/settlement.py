"""From a stream's account to its ledger row. Pure. `settle` counts what is left to count, so it is not for an event
loop when the answer or the prompt is long; `so_far` is."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from penstock.metering import charge, factors
from penstock.metering.charge import Billing, Known
from penstock.metering.encodings import hides_reasoning
from penstock.metering.prices import Price, PriceList
from penstock.metering.prompt import Counted
from penstock.metering.row import NO_TOKENS, AttemptLine, Basis, Figure, Row, Tokens
from penstock.metering.tally import Meter
from penstock.outcome import Outcome
from penstock.stream.summary import AttemptSummary, Summary

NOTHING_BILLED = frozenset({Outcome.CONNECT_FAILED, Outcome.UPSTREAM_ERROR, Outcome.EMPTY, Outcome.UPSTREAM_CUT})
"""Failures for which providers bill nothing, where no token came and no usage was reported."""


class Terms(msgspec.Struct, frozen=True, kw_only=True):
    """What a settlement goes by. ``prompt`` counts the stream's prompt for one model. ``tier`` is the service tier
    that was asked for. ``drift``: how far counts may be from reports (0.1: a tenth) without a warning."""

    prices: PriceList = PriceList()
    billing: Billing = Billing()
    prompt: Callable[[Meter], Counted | None] = lambda meter: None
    tier: str = ""
    drift: float = 0.1


class Settled(msgspec.Struct, frozen=True):
    """The row, and what it teaches: counted and reported output of the attempt that served, where they compare."""

    row: Row
    target: str = ""
    """The target that served, as it is configured."""
    pair: tuple[int, int] | None = None
    raw: int = 0
    """The same count before any factor."""
    meter: Meter | None = None


def settle(summary: Summary, opened: Row, ended_at: float, terms: Terms) -> Settled:
    """The row of a stream that is over. ``opened`` is its row from the acceptance."""
    for attempt in summary.attempts:
        for tally in attempt.tallies:
            tally.finish()
    return _settled(summary, opened, ended_at, terms)


def so_far(summary: Summary, opened: Row, at: float, terms: Terms) -> Row:
    """The row of a stream that goes on, as it stands: what a crash would leave."""
    return _settled(_now(summary, opened, at), opened, at, terms).row


def completing(summary: Summary, opened: Row, at: float, terms: Terms) -> int | None:
    """The cost of a stream that is complete but for its last frame; None: it is known only behind that."""
    whole = msgspec.structs.replace(_now(summary, opened, at), outcome=Outcome.COMPLETED)
    if terms.billing.charge == "delivered":
        # All that is complete is delivered, but a price that the provider names is for what was generated.
        if len(summary.attempts) > 1 or (summary.usage is not None and summary.usage.cost is not None):
            return None
        terms = msgspec.structs.replace(terms, billing=Billing())
    return _settled(whole, opened, at, terms).row.cost


def _now(summary: Summary, opened: Row, at: float) -> Summary:
    """The account as it would be at this instant's end."""
    attempts = []
    for attempt in summary.attempts:
        for tally in attempt.tallies:
            tally.fold()
        # What it reports is noted with the attempt only when that is over.
        current = summary.usage is not None and attempt.usage is None and attempt is summary.served
        attempts.append(msgspec.structs.replace(attempt, usage=summary.usage) if current else attempt)
    return msgspec.structs.replace(summary, attempts=attempts, duration=max(0.0, at - opened.started_at))


def unsettled(summary: Summary, opened: Row, ended_at: float) -> Row:
    """The row of a stream whose settlement has failed: its end, without numbers."""
    return msgspec.structs.replace(
        opened,
        ended_at=ended_at,
        outcome=summary.outcome,
        committed=summary.committed,
        redactions=sum(summary.redactions.values()),
        basis="estimated",
        warnings=("not settled: see the gateway's log",),
    )


def _settled(summary: Summary, opened: Row, ended_at: float, terms: Terms) -> Settled:
    served = summary.served
    lines: list[AttemptLine] = []
    warnings: list[str] = list(summary.warnings)
    if summary.malformed:
        warnings.append(f"malformed_frames={summary.malformed}")
    whole, sent = _NOTHING, NO_TOKENS
    total: int | None = 0
    sent_cost: int | None = 0
    exact = True
    sent_amount = charge.Amount()
    for attempt in summary.attempts:
        provider, _, model = attempt.target.partition("/")
        price = terms.prices.find(provider, model)
        known, said = _known(attempt, provider, model, price, terms, over=summary.outcome is not None)
        amount = charge.generated(known)
        cost, more = charge.cost(known, amount, price, terms.tier, whole=True)
        lines.append(_line(attempt, known, amount, cost))
        exact = exact and amount.basis == "exact"
        total = None if total is None or cost is None else total + cost
        warnings += more
        if amount.figure == "counted":
            warnings += said
        if known.runs_on and amount.figure != "none":
            warnings.append(f"{attempt.target} goes on after it was left, and bills what nobody read")
        if (got := _delivered(attempt, summary)) is not None:
            sent = _sum(sent, got)
            sent_amount = charge.delivered(known, got)
            part, _ = charge.cost(known, sent_amount, price, terms.tier, whole=False)
            sent_cost = None if sent_cost is None or part is None else sent_cost + part
        if attempt is served:
            whole = known, amount
    known, amount = whole
    figure: Figure = amount.figure
    basis: Basis = "exact" if exact else "estimated"
    if terms.billing.charge == "delivered":
        figure, basis, total = sent_amount.figure, sent_amount.basis, sent_cost
    if not terms.billing.partial and summary.outcome not in (Outcome.COMPLETED, Outcome.STOPPED):
        figure, basis, total = "none", "exact", 0
    pair, raw, meter = _lesson(served, known)
    if pair is not None and (drifted := factors.warning(pair, terms.drift)):
        warnings.append(drifted)
    row = msgspec.structs.replace(
        opened,
        # A wall clock that was set back while the stream ran is no clock for its end.
        ended_at=ended_at if ended_at >= opened.started_at else opened.started_at + summary.duration,
        provider=known.provider or None,
        model=known.model or None,
        outcome=summary.outcome,
        committed=summary.committed,
        attempts=tuple(lines),
        counted=known.counted,
        reported=Tokens.of(known.reported),
        delivered=sent,
        basis=basis,
        charged=figure,
        cost=total,
        ttft_ms=_ms(summary.first_token),
        duration_ms=_ms(summary.duration),
        redactions=sum(summary.redactions.values()),
        tags=summary.tags or opened.tags,
        warnings=tuple(dict.fromkeys(warnings)),
    )
    return Settled(row, served.label if served is not None else "", pair, raw, meter)


_NOTHING = Known(provider="", model="", counted=NO_TOKENS, exact=True, asked=False), charge.Amount()


def _delivered(attempt: AttemptSummary, summary: Summary) -> Tokens | None:
    """What the client was sent of an attempt; while the stream goes on, all that came of the one that serves it."""
    tally = attempt.sent or attempt.tally
    if summary.outcome is not None and not summary.streamed and not summary.committed:
        # An answer in one piece that went on with another attempt, and then came to nothing.
        return None
    if tally is None or summary.outcome is not None or attempt.lost or attempt.outcome is not None:
        return None if tally is None else tally.delivered
    return tally.tokens() if summary.committed and summary.streamed else None


def _known(
    attempt: AttemptSummary, provider: str, model: str, price: Price | None, terms: Terms, *, over: bool
) -> tuple[Known, tuple[str, ...]]:
    """What is known of an attempt, and what is to be said of its count."""
    tally, complete = attempt.tally, over and attempt.outcome is None and not attempt.lost
    counted, exact = NO_TOKENS, False
    said: tuple[str, ...] = ()
    began = attempt.first_token is not None
    if tally is not None:
        counted, exact = tally.tokens(), tally.exact
        began = began or counted.generated > 0
        if tally.tools:
            said += ("answer: tool calls are counted as their JSON",)
        if tally.media:
            said += ("answer: audio and images are not counted",)
        if hides_reasoning(tally.meter.model):
            said += ("answer: reasoning that is not shown is not counted",)
    accepted = attempt.status is None or 200 <= attempt.status < 300
    asked = accepted and (began or attempt.outcome not in NOTHING_BILLED)
    by_image = price is not None and price.rates.image is not None
    images = 0
    # A prompt whose length the provider reports is not counted: it may be long.
    if tally is not None and asked and (by_image or attempt.usage is None or attempt.usage.input is None):
        prompt = terms.prompt(tally.meter)
        if prompt is not None:
            counted = msgspec.structs.replace(counted, input=prompt.tokens)
            exact = exact and prompt.exact
            said += prompt.warnings
            images = prompt.images if by_image else 0
    known = Known(
        provider=provider,
        model=model,
        counted=counted,
        exact=exact,
        reported=attempt.usage,
        complete=complete,
        asked=asked,
        runs_on=attempt.runs_on and not complete and began,
        images=images,
    )
    return known, said


def _line(attempt: AttemptSummary, known: Known, amount: charge.Amount, cost: int | None) -> AttemptLine:
    return AttemptLine(
        target=attempt.target,
        outcome=attempt.outcome,
        reason=attempt.reason,
        lost=attempt.lost,
        hedge=attempt.hedge,
        status=attempt.status,
        started_ms=_ms(attempt.started) or 0.0,
        first_token_ms=_ms(attempt.first_token),
        ended_ms=_ms(attempt.ended),
        counted=known.counted,
        reported=Tokens.of(known.reported),
        basis=amount.basis,
        cost=cost,
    )


def _sum(one: Tokens, other: Tokens) -> Tokens:
    return Tokens(
        output=(one.output or 0) + (other.output or 0), reasoning=(one.reasoning or 0) + (other.reasoning or 0)
    )


def _lesson(served: AttemptSummary | None, known: Known) -> tuple[tuple[int, int] | None, int, Meter | None]:
    """Only whole answers of nothing but text teach."""
    tally = served.tally if served is not None else None
    if tally is None or not known.complete or tally.tools or tally.media:
        return None, 0, None
    pair = factors.comparable(known.counted, Tokens.of(known.reported))
    return pair, tally.raw("output"), tally.meter


def _ms(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds * 1000, 1)
