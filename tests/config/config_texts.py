"""Texts that the tests of the configuration's mistakes are made of, and what they are told is allowed."""

from __future__ import annotations

P = "providers: {openai: {wire: openai-chat, base_url: https://api.openai.com/v1}}\n"
R = "routes: {gpt-4o: {targets: [openai/gpt-4o]}}\n"
KEY = "0123456789abcdef"
D = "a duration such as 500ms, 15s, 10m"
URL = "an address such as https://api.openai.com/v1"
H = "a duration such as 800ms, a quantile from p50 to p99.9, or null"
BUDGET = "US dollars a month such as 50 or 12.50, or {day: 5, month: 50}"
LEDGER = "sqlite:///penstock.db, or postgresql://user:password@host/name"
LATER = "not available in this version"


def route(policy: str) -> str:
    return f"{P}routes:\n  gpt-4o:\n    targets: [openai/gpt-4o]\n    {policy}\n"


def provider(keys: str) -> str:
    return f"{R}providers:\n  openai:\n    {keys}\n"


def keys(element: str) -> str:
    return f"{P}{R}keys:\n- {element}\n"
