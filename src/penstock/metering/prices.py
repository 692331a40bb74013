"""What tokens cost. A rate is in nano-dollars for a million tokens, so that a token of the cheapest model is exact."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from penstock import money
from penstock.metering.row import Tokens

STANDARD = ("", "auto", "default", "standard_only")
"""Words of ``service_tier`` that ask for nothing special."""


class Rates(msgspec.Struct, frozen=True, kw_only=True):
    """Nano-dollars for a million tokens of a kind; ``image``: for one image. None: as the provider bills it without
    saying so, ``reasoning`` like output, the cache like input."""

    input: int
    output: int
    cache_read: int | None = None
    cache_write: int | None = None
    reasoning: int | None = None
    image: int | None = None

    def cost(self, tokens: Tokens, images: int = 0) -> int:
        """Nano-dollars."""
        millionths = self.input * (tokens.input or 0) + self.output * (tokens.output or 0)
        if tokens.reasoning:
            millionths += tokens.reasoning * (self.output if self.reasoning is None else self.reasoning)
        if tokens.cache_read:
            millionths += tokens.cache_read * (self.input if self.cache_read is None else self.cache_read)
        if tokens.cache_write:
            millionths += tokens.cache_write * (self.input if self.cache_write is None else self.cache_write)
        return money.per_million(1, millionths) + (self.image or 0) * images


class Price(msgspec.Struct, frozen=True, kw_only=True):
    """The price of a model. ``model`` is a name, or its beginning and ``*``; with ``provider/`` before it for one
    provider alone. ``tiers`` are other rates, by the ``service_tier`` that a request asks for."""

    model: str
    rates: Rates
    tiers: dict[str, Rates] = {}
    source: str
    date: str
    """When it was read there, YYYY-MM-DD."""
    configured: bool = False

    def fits(self, provider: str, model: str) -> bool:
        """It is the price of that model."""
        names = model, f"{provider}/{model}"
        if self.model.endswith("*"):
            return any(name.startswith(self.model[:-1]) for name in names)
        return self.model in names

    def rates_for(self, tier: str) -> tuple[Rates, str | None]:
        """The rates of a tier, and what a row is to say where that has none."""
        if tier in STANDARD:
            return self.rates, None
        if tier in self.tiers:
            return self.tiers[tier], None
        return self.rates, f"no price for the service tier {tier!r} of {self.model}: charged as standard"


class PriceList:
    """The configured prices before those that are shipped; among each the longest name that fits."""

    def __init__(self, configured: Iterable[Price] = (), shipped: Iterable[Price] = ()):
        self._prices = [*sorted(configured, key=_rank), *sorted(shipped, key=_rank)]
        self._found: dict[tuple[str, str], Price | None] = {}

    def find(self, provider: str, model: str) -> Price | None:
        """The price of a model at a provider."""
        key = provider, model
        if key not in self._found:
            if len(self._found) > 10_000:
                # A route "*" takes names from clients.
                self._found.clear()
            self._found[key] = next((price for price in self._prices if price.fits(provider, model)), None)
        return self._found[key]


def _rank(price: Price) -> tuple[bool, int]:
    return price.model.endswith("*"), -len(price.model)
