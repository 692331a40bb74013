"""What a key with a budget may ask for and will not be served: models without a price (`Limiting`)."""

from __future__ import annotations

from collections.abc import Iterator

from penstock.config.values import Config, Key
from penstock.metering.prices import PriceList
from penstock.server.bookkeeping import price_list


def unpriced(config: Config) -> Iterator[str]:
    """A warning for every key with a budget, and route of its models, whose targets have no price."""
    keys = [key for key in config.keys if key.limits.budgets]
    if keys:
        prices = price_list(config)
        for key in keys:
            yield from _of_key(config, key, prices)


def _of_key(config: Config, key: Key, prices: PriceList) -> Iterator[str]:
    for route in config.routes:
        if key.models and route.name not in key.models:
            continue
        lacking = [target for target in route.targets if prices.find(target.provider, target.model) is None]
        any_model = any(target.model == "*" for target in lacking)
        if lacking:
            which = "models without a price" if any_model else f"its requests: {lacking[0].name} has no price"
            yield (
                f"keys.{key.name}: budget_usd: the route {route.name} refuses {which} (403 model_not_priced); "
                "prices: sets one"
            )
