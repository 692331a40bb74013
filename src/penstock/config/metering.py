"""``metering:``, ``prices:`` and ``billing:`` – what is counted, what it costs, what a client is charged with.

The table of prices that is shipped has the form of ``prices:``.
"""

from __future__ import annotations

import re
from typing import Any

from penstock import money
from penstock.config.document import parse
from penstock.config.problems import ConfigError
from penstock.config.reading import Field, Report, Section
from penstock.config.tokenizers import read_tokenizers
from penstock.config.values import Metering
from penstock.metering.charge import Billing
from penstock.metering.prices import Price, Rates

RATES = ("input", "output", "cache_read", "cache_write", "reasoning", "image")
PRICE = (*RATES, "tiers", "source", "date")
_AMOUNT = "US dollars for a million tokens, such as 2.50 (image: for one image)"
_DRIFT = "a share such as 10%"
_DATE = "the day it was read there, such as 2026-10-21"


def read_metering(top: Section) -> tuple[Metering | None, tuple[Price, ...]]:
    """How tokens are counted, and the configured prices. They are counted unless ``metering`` is null, or there is no
    ledger either: then any of ``metering`` and ``prices`` has them counted."""
    place, priced, kept = top.get("metering"), top.get("prices"), top.get("ledger", secret=True)
    prices = read_prices(priced, configured=True) if priced is not None else ()
    if place is not None and place.null:
        if prices:
            place.fail("prices are of no use without metering", found="", allowed="leave it out")
        return None, prices
    if place is None and not prices and kept is not None and kept.null:
        return None, prices
    section = top.section("metering", ("drift", "tokenizers"))
    return Metering(drift=_drift(section), tokenizers=read_tokenizers(section.get("tokenizers"))), prices


def _drift(section: Section) -> float:
    field = section.get("drift")
    if field is None or (text := field.text(_DRIFT)) is None:
        return Metering().drift
    if re.fullmatch(r"[0-9]{1,3}(\.[0-9]{1,3})?%", text, re.ASCII) and float(text[:-1]) > 0:
        return round(float(text[:-1]) / 100, 5)
    field.fail(allowed=_DRIFT)
    return Metering().drift


def read_billing(section: Section, base: Billing) -> Billing:
    """The ``billing`` of a section, with ``base`` for what it does not say."""
    billing = section.section("billing", ("charge", "partial"))
    return Billing(
        charge=billing.choice("charge", base.charge, ("generated", "delivered")),
        partial=billing.flag("partial", base.partial),
    )


def read_prices(field: Field, *, configured: bool) -> tuple[Price, ...]:
    """A table of prices."""
    prices = (_price(name, one, configured) for name, one in field.entries("a mapping of models to prices"))
    return tuple(price for price in prices if price is not None)


def read_table(text: str) -> tuple[Price, ...]:
    """The table that is shipped. Raises ConfigError."""
    report = Report("prices.yaml", {})
    root, problems = parse(text, "prices.yaml")
    prices = () if root is None else read_prices(Field(root, "", 1, report), configured=False)
    if problems or report.problems:
        raise ConfigError([*problems, *report.problems])
    return prices


def _price(name: str, field: Field, configured: bool) -> Price | None:
    if not name or "*" in name[:-1] or name == "*":
        field.fail("not usable as a model's name", found="", allowed="a name, or its beginning and *")
    section = field.section(PRICE)
    rates = _rates(section)
    tiers_field = section.get("tiers")
    tiers = {}
    for tier, one in tiers_field.entries("a mapping of service tiers to prices") if tiers_field else ():
        if (found := _rates(one.section(RATES))) is not None:
            tiers[tier] = found
    source = _text(section.get("source"), "where the price was read")
    date = _text(section.get("date"), _DATE)
    if date and not re.fullmatch(r"\d{4}-\d\d-\d\d", date, re.ASCII):
        section.report.problem(f"{field.key}.date", field.line, found=date, allowed=_DATE)
    if rates is None:
        return None
    return Price(model=name, rates=rates, tiers=tiers, source=source, date=date, configured=configured)


def _text(field: Field | None, allowed: str) -> str:
    return "" if field is None else field.text(allowed) or ""


def _rates(section: Section) -> Rates | None:
    found: dict[str, int] = {}
    for name in RATES:
        field = section.require(name, _AMOUNT) if name in ("input", "output") else section.get(name)
        if field is None or (field.null and name not in ("input", "output")):
            continue
        if (text := field.text(_AMOUNT)) is None:
            continue
        try:
            found[name] = money.parse(text)
        except ValueError:
            field.fail(allowed=_AMOUNT)
    return Rates(**found) if "input" in found and "output" in found else None


def show_price(price: Price) -> dict[str, Any]:
    """A price as `read_prices` reads it."""
    shown: dict[str, Any] = _shown(price.rates)
    if price.tiers:
        shown["tiers"] = {tier: _shown(rates) for tier, rates in price.tiers.items()}
    if price.source:
        shown["source"] = price.source
    if price.date:
        shown["date"] = price.date
    return shown


def _shown(rates: Rates) -> dict[str, str]:
    amounts = ((name, getattr(rates, name)) for name in RATES)
    return {name: money.text(amount) for name, amount in amounts if amount is not None}
