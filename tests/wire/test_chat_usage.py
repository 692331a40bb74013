"""Usage of every dialect in canonical, disjoint kinds."""

from __future__ import annotations

import pytest

from penstock.usage import Usage
from penstock.wire.openai_chat_usage import read_usage


def tokens(prompt: object, completion: object, total: object = None, **more: object) -> dict[str, object]:
    return {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": total, **more}


CASES = {
    "plain": (tokens(9, 2, 11), Usage(9, 2)),
    "cached tokens are part of the prompt": (
        tokens(9, 2, 11, prompt_tokens_details={"cached_tokens": 4}),
        Usage(5, 2, cache_read=4),
    ),
    "written ones too": (
        tokens(9, 2, 11, prompt_tokens_details={"cached_tokens": 4, "cache_write_tokens": 3}),
        Usage(2, 2, cache_read=4, cache_write=3),
    ),
    "reasoning is part of the completion": (
        tokens(9, 7, 16, completion_tokens_details={"reasoning_tokens": 5}),
        Usage(9, 2, 5),
    ),
    "reasoning without a total": (tokens(9, 7, completion_tokens_details={"reasoning_tokens": 5}), Usage(9, 2, 5)),
    "xAI leaves it out, as the total tells": (
        tokens(12, 1, 303, completion_tokens_details={"reasoning_tokens": 290}),
        Usage(12, 1, 290),
    ),
    "no reasoning": (tokens(9, 2, 11, completion_tokens_details={"reasoning_tokens": 0}), Usage(9, 2, 0)),
    "more reasoning than completion": (
        tokens(9, 2, 11, completion_tokens_details={"reasoning_tokens": 5}),
        Usage(9, 0, 5),
    ),
    "DeepSeek's cache": (
        tokens(30, 2, 32, prompt_cache_hit_tokens=20, prompt_cache_miss_tokens=10),
        Usage(10, 2, cache_read=20),
    ),
    "more cached than there is": (tokens(3, 1, prompt_tokens_details={"cached_tokens": 5}), Usage(0, 1, cache_read=5)),
    "OpenRouter's cost": (tokens(9, 2, 11, cost=0.5), Usage(9, 2, cost=0.5)),
    "details that are null": (tokens(9, 2, prompt_tokens_details=None, completion_tokens_details=None), Usage(9, 2)),
    "numbers as floats": (tokens(9.0, 2.0), Usage(9, 2)),
    "words in place of numbers": (tokens("9", True), Usage()),
    "nothing": ({}, Usage()),
}


@pytest.mark.parametrize("case", CASES)
def test_usage_is_read(case):
    raw, wanted = CASES[case]
    assert read_usage(raw) == wanted


def test_a_later_report_replaces_what_it_knows_and_nothing_else():
    first, later = Usage(9, 2, reasoning=1, cost=0.5), Usage(9, 4, cache_read=3)
    assert first.overwritten_by(later) == Usage(9, 4, reasoning=1, cache_read=3, cost=0.5)
