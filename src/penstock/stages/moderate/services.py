"""What a moderation service is asked, and what it answers."""

from __future__ import annotations

from typing import Any

import msgspec

from penstock.stages.moderate.policy import CheckPolicy

FLAGGED = "flagged"
"""The category of what a service flags without naming one."""


def request_body(policy: CheckPolicy, texts: tuple[str, ...]) -> bytes:
    """The question: OpenAI's ``POST /v1/moderations``, or ``{"texts": […]}`` for a webhook."""
    asked: dict[str, Any] = {"texts": texts} if policy.kind == "webhook" else {"model": policy.model, "input": texts}
    return msgspec.json.encode(asked)


def findings_of(policy: CheckPolicy, count: int, body: bytes) -> list[tuple[str, ...]]:
    """The answer, ``{"results": [{"flagged": true, "categories": {"violence": true}}, …]}`` for both: the categories
    that each of ``count`` texts was flagged for. Raises ValueError, with what is wrong with it."""
    try:
        answer = msgspec.json.decode(body)
    except msgspec.DecodeError:
        raise ValueError("the answer is no JSON") from None
    results = answer.get("results") if isinstance(answer, dict) else None
    if not isinstance(results, list) or len(results) != count:
        raise ValueError(f"the answer has not {count} results")
    return [_found(policy, result) for result in results]


def _found(policy: CheckPolicy, result: Any) -> tuple[str, ...]:
    if not isinstance(result, dict) or not isinstance(result.get("flagged"), bool):
        raise ValueError("a result does not say whether it is flagged")
    categories = result.get("categories")
    named = [name for name, said in categories.items() if said is True] if isinstance(categories, dict) else []
    if policy.categories:
        return tuple(name for name in named if name in policy.categories)
    return tuple(named or [FLAGGED]) if result["flagged"] else ()
