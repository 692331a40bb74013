"""``metering``, ``prices`` and ``billing``: what they mean, and what is refused."""

from __future__ import annotations

from importlib import resources

import pytest

from penstock import money
from penstock.config import ConfigError, load, show
from penstock.config.metering import read_table
from penstock.config.values import Metering
from penstock.metering.charge import Billing
from penstock.metering.prices import Price, PriceList, Rates
from penstock.metering.row import Tokens

BASE = """
providers: {p: {wire: openai-chat, base_url: https://api.openai.com/v1}}
routes: {m: {targets: [p/m]}, n: {targets: [p/n], billing: {charge: delivered}}}
keys:
  - {name: a, key: a-key-of-sixteen-letters}
  - {name: b, key: b-key-of-sixteen-letters, billing: {partial: false}}
"""
DOLLAR = 10**9


def config(more: str = ""):
    return load(BASE + more, {})


def refused(more: str) -> str:
    with pytest.raises(ConfigError) as error:
        config(more)
    return str(error.value)


def test_streams_are_counted_unless_nobody_wants_to_know():
    assert config().metering == Metering()
    assert config("metering: {}").metering == Metering(drift=0.1)
    assert config("prices: {}").metering == Metering()
    assert config("ledger: {url: sqlite:///x.db}").metering == Metering()
    assert config("ledger: {url: sqlite:///x.db}\nmetering: null").metering is None
    assert config("ledger: null").metering is None
    assert config("ledger: null\nmetering: {}").metering == Metering()
    assert config("ledger: null\nprices: {m: {input: 1, output: 2}}").metering == Metering()


def test_billing_of_routes_and_keys():
    read = config("defaults: {billing: {partial: false}}")
    assert [route.billing for route in read.routes] == [
        Billing("generated", partial=False),
        Billing("delivered", partial=False),
    ]
    assert [key.billing for key in read.keys] == [None, Billing("generated", partial=False)]


def test_prices_are_whole_nano_dollars():
    (price,) = config(
        "prices: {m*: {input: 0.075, output: '1', cache_read: 0.01, tiers: {batch: {input: 0.0375, output: 0.5}}, "
        "source: here, date: 2026-01-31}}"
    ).prices
    assert price == Price(
        model="m*",
        rates=Rates(input=75_000_000, output=DOLLAR, cache_read=10_000_000),
        tiers={"batch": Rates(input=37_500_000, output=DOLLAR // 2)},
        source="here",
        date="2026-01-31",
        configured=True,
    )


def test_what_is_shown_is_read_back():
    read = config(
        "metering: {drift: 7.5%, tokenizers: {a/*: t.json, m: {file: u.json, sha256: " + "aB" * 32 + "}}}\n"
        "prices: {m: {input: 1, output: 2.5, reasoning: 3, image: 0.001, "
        "tiers: {flex: {input: 0.5, output: 1}}, source: a, date: 2026-01-01}}"
    )
    shown = load(
        show(read).replace("***", "a-key-of-sixteen-letters", 1).replace("***", "b-key-of-sixteen-letters"), {}
    )
    assert (shown.metering, shown.prices, shown.routes) == (read.metering, read.prices, read.routes)
    assert [key.billing for key in shown.keys] == [key.billing for key in read.keys]


def test_the_tokenizer_of_the_longest_name_that_fits():
    metering = config("metering: {tokenizers: {a/*: one, a/m*: two, a/m1: three, b: four}}").metering
    found = {name: metering.tokenizer_of(*name.split("/")) for name in ("a/x", "a/m2", "a/m1", "c/b", "c/m1")}
    assert [one.file if one is not None else None for one in found.values()] == ["one", "two", "three", "four", None]


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ("prices: {m: {input: 1}}", "prices.m.output: missing"),
        ("prices: {m: {input: -1, output: 2}}", "prices.m.input"),
        ("prices: {m: {input: 1e400, output: 2}}", "US dollars for a million tokens"),
        ("prices: {m: {input: nan, output: 2}}", "US dollars for a million tokens"),
        ("prices: {m: {input: 0.0000000001, output: 2}}", "US dollars for a million tokens"),
        ("prices: {'*': {input: 1, output: 2}}", "a name, or its beginning and *"),
        ("prices: {a*b: {input: 1, output: 2}}", "a name, or its beginning and *"),
        ("prices: {m: {input: 1, output: 2, date: today}}", "the day it was read there"),
        ("prices: {m: {inptu: 1, output: 2}}", "did you mean"),
        ("metering: {drift: 10}", "a share such as 10%"),
        ("metering: {drift: 0%}", "a share such as 10%"),
        ("metering: {tokenizers: t.json}", "a mapping of models to tokenizer.json files"),
        ("metering: {tokenizers: {'*': t.json}}", "a name, or its beginning and *"),
        ("metering: {tokenizers: {m: ''}}", "the path of a tokenizer.json"),
        ("metering: {tokenizers: {m: {sha256: a}}}", "metering.tokenizers.m.file: missing"),
        ("metering: {tokenizers: {m: {file: t.json, sha256: a}}}", "64 hexadecimal digits"),
        ("metering: null\nprices: {m: {input: 1, output: 2}}", "prices are of no use without metering"),
        ("defaults: {billing: {charge: sometimes}}", "generated or delivered"),
    ],
)
def test_what_is_refused(more, words):
    assert words in refused(more)


# -- the table that is shipped ----------------------------------------------------------------------------------------


def shipped() -> tuple[Price, ...]:
    return read_table(resources.files("penstock.metering").joinpath("prices.yaml").read_text("utf-8"))


def test_every_shipped_price_has_a_source_and_a_date():
    prices = shipped()
    assert len(prices) > 30
    for price in prices:
        assert price.source.startswith("https://") and price.date.startswith("20"), price.model
        assert price.rates.input <= price.rates.output, price.model
        assert not price.configured


def test_a_million_tokens_cost_what_the_page_says():
    listed = PriceList(shipped=shipped())
    price = listed.find("openai", "gpt-4o-mini")
    assert price is not None
    tokens = Tokens(input=1_000_000, output=1_000_000, cache_read=1_000_000)
    assert money.text(price.rates.cost(tokens)) == "0.825"
    assert price.rates.cost(Tokens(input=1)) == 150


def test_configured_prices_go_before_shipped_ones_and_long_names_before_short():
    own = config(
        "prices: {gpt-4o*: {input: 1, output: 1}, p/gpt-4o: {input: 2, output: 2}, gpt-4o-mini: {input: 3, output: 3}}"
    ).prices
    listed = PriceList(own, shipped())

    def cost(provider: str, model: str) -> int | None:
        price = listed.find(provider, model)
        return None if price is None else price.rates.input // DOLLAR

    assert [cost("p", "gpt-4o"), cost("q", "gpt-4o"), cost("q", "gpt-4o-mini")] == [2, 1, 3]
    assert cost("q", "gpt-4.1") == 2
    assert cost("q", "unheard-of") is None
    assert listed.find("q", "unheard-of") is None


def test_tiers():
    (price,) = (price for price in shipped() if price.model == "gpt-4o")
    assert price.rates_for("batch")[0].output == 5 * DOLLAR
    assert price.rates_for("default") == (price.rates, None)
    rates, warning = price.rates_for("priority")
    assert rates == price.rates and warning == "no price for the service tier 'priority' of gpt-4o: charged as standard"
