"""What one attempt has cost, by what is known of it."""

from __future__ import annotations

from typing import Literal

import msgspec

from penstock import money
from penstock.metering.prices import Price
from penstock.metering.row import Basis, Figure, Tokens
from penstock.usage import Usage


class Billing(msgspec.Struct, frozen=True):
    """What a client's key is charged with: all that was generated for it, attempts that failed included, or what it
    was sent; and whether a stream that is not complete costs anything."""

    charge: Literal["generated", "delivered"] = "generated"
    partial: bool = True


class Known(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of one attempt. ``counted`` has the prompt as its input."""

    provider: str
    model: str
    counted: Tokens
    exact: bool
    """The count is the provider's own, to the token."""
    reported: Usage | None = None
    complete: bool = False
    """The answer came to its end: what was reported is the whole."""
    asked: bool = True
    """The provider took the request."""
    runs_on: bool = False
    """It was left in its middle, and the provider goes on generating all the same, on the bill."""
    images: int = 0
    """Of the prompt, where the model's price is by the image."""


class Amount(msgspec.Struct, frozen=True):
    """Tokens, the numbers that they are, and how sure they are."""

    tokens: Tokens = Tokens()
    figure: Figure = "none"
    basis: Basis = "exact"


def generated(known: Known) -> Amount:
    """What the provider generated, and bills."""
    reported, counted = Tokens.of(known.reported), known.counted
    if known.reported is None and not known.asked:
        return Amount()
    if known.complete and reported.output is not None and reported.input is not None:
        return Amount(reported, "reported")
    # Of an answer that was left in its middle the report may be a placeholder, or older than the text.
    by_report = reported.output is not None and (known.complete or reported.generated >= counted.generated)
    prompt = reported if reported.input is not None else counted
    answer = reported if by_report else counted
    tokens = Tokens(prompt.input, answer.output, answer.reasoning, prompt.cache_read, prompt.cache_write)
    sure = known.exact and not known.runs_on and (known.complete or counted.generated > 0)
    return Amount(tokens, "reported" if by_report else "counted", "exact" if sure else "estimated")


def delivered(known: Known, tokens: Tokens) -> Amount:
    """What the client was sent of it, behind the prompt that it sent itself."""
    all_of_it = generated(known)
    if tokens.generated == known.counted.generated:
        return Amount(all_of_it.tokens, "delivered", all_of_it.basis)
    prompt = all_of_it.tokens
    part = Tokens(prompt.input, tokens.output, tokens.reasoning, prompt.cache_read, prompt.cache_write)
    return Amount(part, "delivered", "exact" if known.exact else "estimated")


def cost(known: Known, amount: Amount, price: Price | None, tier: str, *, whole: bool) -> tuple[int | None, list[str]]:
    """Nano-dollars, and what the row is to say of them. ``whole``: the amount is all that the provider bills, so that
    a cost which it reports itself stands, unless a price was configured."""
    said = known.reported.cost if known.reported is not None else None
    if said is not None and whole and known.complete and (price is None or not price.configured):
        return money.of_dollars(said), []
    if not amount.tokens.total and not known.images:
        return 0, []
    if price is None:
        return None, [f"no price for {known.provider}/{known.model}"]
    rates, warning = price.rates_for(tier)
    warnings = [warning] if warning else []
    if not (amount.tokens.cache_read or amount.tokens.cache_write):
        return rates.cost(amount.tokens, known.images), warnings
    warnings += [
        f"no price for {kind} of {price.model}: charged as input"
        for kind in ("cache_read", "cache_write")
        if getattr(amount.tokens, kind) and getattr(rates, kind) is None
    ]
    return rates.cost(amount.tokens, known.images), warnings
