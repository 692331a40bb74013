"""What counts as a count of tokens, on every wire."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest

from penstock.usage import Usage
from penstock.wire import (
    anthropic_blocks,
    bedrock_blocks,
    cohere_chat,
    openai_chat_usage,
    openai_responses_events,
)

READERS: dict[str, Callable[[Any], Usage | None]] = {
    "openai-chat": lambda value: openai_chat_usage.read_usage({"completion_tokens": value, "cost": value}),
    "openai-responses": lambda value: openai_responses_events.read_usage({"output_tokens": value, "cost": value}),
    "anthropic-messages": lambda value: anthropic_blocks.read_usage({"output_tokens": value, "cost": value}),
    "bedrock-converse": lambda value: bedrock_blocks.read_usage({"outputTokens": value}),
    "cohere-chat": lambda value: cohere_chat.read_usage({"tokens": {"input_tokens": 1, "output_tokens": value}}),
}


@pytest.mark.parametrize("wire", READERS)
@pytest.mark.parametrize("value", [-1, 10**13, 2**63, math.inf, -math.inf, math.nan, 1e300, True, "5", None, [5], {}])
def test_what_can_be_no_count_is_none(wire: str, value: Any) -> None:
    usage = READERS[wire](value)
    assert usage is not None
    assert usage.output is None
    assert usage.cost is None


@pytest.mark.parametrize("wire", READERS)
@pytest.mark.parametrize(("value", "count"), [(0, 0), (7, 7), (7.0, 7), (7.9, 7), (10**12, 10**12)])
def test_a_number_is_a_count(wire: str, value: float, count: int) -> None:
    usage = READERS[wire](value)
    assert usage is not None
    assert usage.output == count
