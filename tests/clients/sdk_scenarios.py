"""What is tried with the SDKs of every wire, in Python and in Node: names of routes, and what the simulated provider
does there."""

from collections.abc import Iterable
from typing import Any

from penstock.sim import words

FAST = "first=0&gap=2ms"
MODELS = {
    "plain": f"sim?tokens=20&{FAST}",
    "long": "sim?tokens=600&first=0&gap=0",
    "tools": f"sim?tool=2&{FAST}",
    "reasoning": f"sim?tokens=5&reasoning=5&{FAST}",
    "length": f"sim?tokens=5&finish=length&{FAST}",
    "filter": f"sim?tokens=5&finish=content_filter&{FAST}",
    "error": f"sim?tokens=20&error_at=5&{FAST}",
    "clean-error": f"sim?tokens=20&error_at=5&{FAST}",
    "error-first": f"sim?error_at=0&{FAST}",
    "cut": f"sim?tokens=20&cut_at=5&{FAST}",
    "drop": f"sim?tokens=20&drop_at=5&{FAST}",
    "reset": f"sim?tokens=20&reset_at=5&{FAST}",
    "stall": f"sim?tokens=20&stall_at=5&{FAST}",
    "no-end": f"sim?tokens=5&finish=no&done=0&{FAST}",
    "crumbs": f"sim?tokens=10&split=3&crlf=1&{FAST}",
    "pings": f"sim?tokens=20&ping=5ms&{FAST}",
    "malformed": f"sim?tokens=10&malformed_at=5&{FAST}",
    "document": f"sim?tokens=10&json=1&{FAST}",
    "lines": f"sim?text=a%E2%80%A8b%C2%85c%E2%80%A9d&{FAST}",
    "429": "sim?status=429&retry_after=1",
    "slow": "sim?tokens=8&first=600ms&gap=150ms",
    "late-429": "sim?status=429&headers=400ms",
}
WHOLE = {"plain": 20, "crumbs": 10, "pings": 20, "malformed": 10, "slow": 8, "document": 10, "long": 600}
"""Answers that arrive whole, and their tokens."""
BROKEN = {
    "error": "upstream_error",
    "cut": "upstream_cut",
    "drop": "upstream_cut",
    "reset": "upstream_cut",
    "stall": "stalled",
    "no-end": "upstream_cut",
}
"""Answers that break off behind five tokens, and the gateway's word for it."""
DEFAULTS: dict[str, Any] = {"health": "off", "deadlines": {"first_token": "10s", "between_tokens": "10s"}}
"""With time for everything but a stall, however busy the machine is."""
_KEPT_ALIVE = {"delivery": {"keepalive": "100ms", "commit_after": "100ms"}}
_POLICIES = {
    "stall": {"deadlines": {"between_tokens": "500ms"}},
    "slow": _KEPT_ALIVE,
    "late-429": _KEPT_ALIVE,
    "clean-error": {"delivery": {"done_after_error": True}},
}


def routes(providers: Iterable[str]) -> dict[str, Any]:
    """A route ``provider-scenario`` for each of both."""
    return {
        f"{provider}-{name}": {"targets": [f"{provider}/{model}"], **_POLICIES.get(name, {})}
        for provider in providers
        for name, model in MODELS.items()
    }


def text(tokens: int) -> str:
    """The simulated provider's answer."""
    return "".join(words.take(words.by_word(words.PARAGRAPH), tokens))
