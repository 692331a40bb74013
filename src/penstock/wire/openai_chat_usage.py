"""openai-chat: usage as providers report it, in canonical kinds (wire-formats.md §9.3)."""

from __future__ import annotations

from typing import Any

from penstock.usage import Usage, cost, count


def read_usage(raw: dict[str, Any]) -> Usage:
    """Usage of any dialect in canonical, disjoint kinds (wire-formats.md §9.3)."""
    prompt, completion = count(raw.get("prompt_tokens")), count(raw.get("completion_tokens"))
    prompt_details = raw.get("prompt_tokens_details")
    prompt_details = prompt_details if isinstance(prompt_details, dict) else {}
    output_details = raw.get("completion_tokens_details")
    output_details = output_details if isinstance(output_details, dict) else {}
    cached = count(prompt_details.get("cached_tokens"))
    if cached is None:
        cached = count(raw.get("prompt_cache_hit_tokens"))
    written = count(prompt_details.get("cache_write_tokens"))
    reasoning = count(output_details.get("reasoning_tokens"))
    total = count(raw.get("total_tokens"))
    # xAI leaves reasoning out of completion_tokens; the total tells which it is.
    apart = bool(reasoning) and total is not None and (prompt or 0) + (completion or 0) + (reasoning or 0) == total
    visible = completion
    if completion is not None and reasoning and not apart:
        visible = max(0, completion - reasoning)
    uncached = None if prompt is None else max(0, prompt - (cached or 0) - (written or 0))
    return Usage(uncached, visible, reasoning, cached, written, cost(raw.get("cost")))
