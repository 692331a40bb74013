"""openai-chat: usage as providers report it, in canonical kinds (wire-formats.md §9.3)."""

from __future__ import annotations

from typing import Any

from penstock.usage import Usage


def read_usage(raw: dict[str, Any]) -> Usage:
    """Usage of any dialect in canonical, disjoint kinds (wire-formats.md §9.3)."""
    prompt, completion = _count(raw.get("prompt_tokens")), _count(raw.get("completion_tokens"))
    prompt_details = raw.get("prompt_tokens_details")
    prompt_details = prompt_details if isinstance(prompt_details, dict) else {}
    output_details = raw.get("completion_tokens_details")
    output_details = output_details if isinstance(output_details, dict) else {}
    cached = _count(prompt_details.get("cached_tokens"))
    if cached is None:
        cached = _count(raw.get("prompt_cache_hit_tokens"))
    written = _count(prompt_details.get("cache_write_tokens"))
    reasoning = _count(output_details.get("reasoning_tokens"))
    total = _count(raw.get("total_tokens"))
    # xAI leaves reasoning out of completion_tokens; the total tells which it is.
    apart = bool(reasoning) and total is not None and (prompt or 0) + (completion or 0) + (reasoning or 0) == total
    visible = completion
    if completion is not None and reasoning and not apart:
        visible = max(0, completion - reasoning)
    uncached = None if prompt is None else max(0, prompt - (cached or 0) - (written or 0))
    cost = raw.get("cost")
    return Usage(uncached, visible, reasoning, cached, written, cost if isinstance(cost, float | int) else None)


def _count(value: Any) -> int | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return int(value)
