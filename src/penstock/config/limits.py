"""The limits of a key: ``max_streams``, ``requests_per_minute``, ``tokens_per_minute``, ``budget_usd``."""

from __future__ import annotations

import re

from penstock import money
from penstock.config.document import Mapping
from penstock.config.journal import usable
from penstock.config.reading import Field, Section
from penstock.config.values import SharedLimits
from penstock.policy.limits import Budget, Limits, Period

KEYS = ("max_streams", "requests_per_minute", "tokens_per_minute", "budget_usd")
_BUDGET = "US dollars a month such as 50 or 12.50, or {day: 5, month: 50}"
_MOST = 10**9
_URL = "redis://host:6379/0 or rediss://…"
_PERIODS: tuple[Period, ...] = ("day", "month")


def read_limits(section: Section) -> Limits:
    """The limits that a key's section sets."""
    return Limits(
        max_streams=_count(section, "max_streams"),
        requests_per_minute=_count(section, "requests_per_minute"),
        tokens_per_minute=_count(section, "tokens_per_minute"),
        budgets=_budgets(section.get("budget_usd")),
    )


def read_shared(field: Field | None) -> SharedLimits | None:
    """``limits``: where gateways keep them together; null or nothing: each for itself."""
    if field is None or field.null:
        return None
    said = field.section(("url",)).require("url", _URL, secret=True)
    if said is None or (text := said.text(_URL)) is None:
        return None
    if not text.startswith("redis") or not usable(text):
        # Not shown: it may hold a password.
        said.fail("no limits can be shared there", found="", allowed=_URL)
        return None
    return SharedLimits(url=text)


def shown(limits: Limits) -> dict[str, object]:
    """What is set, as it would be written."""
    found: dict[str, object] = {name: value for name in KEYS[:3] if (value := getattr(limits, name)) is not None}
    if limits.budgets:
        found["budget_usd"] = {budget.period: money.text(budget.amount) for budget in limits.budgets}
    return found


def _count(section: Section, name: str) -> int | None:
    field = section.get(name)
    return None if field is None or field.null else section.count(name, 1, 1, _MOST)


def _budgets(field: Field | None) -> tuple[Budget, ...]:
    if field is None or field.null:
        return ()
    if not isinstance(field.node, Mapping):
        return _budget(field, "month")
    section = field.section(_PERIODS)
    return tuple(
        budget
        for period in _PERIODS
        if (one := section.get(period)) is not None and not one.null
        for budget in _budget(one, period)
    )


def _budget(field: Field, period: Period) -> tuple[Budget, ...]:
    if (text := field.text(_BUDGET)) is None:
        return ()
    if re.fullmatch(r"\d{1,9}(\.\d{1,9})?", text, re.ASCII) and (amount := money.parse(text)) > 0:
        return (Budget(period, amount),)
    field.fail(allowed=_BUDGET)
    return ()
