"""What one answer will hold: the request and the options, resolved. Values only."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

from penstock.sim import words
from penstock.sim.options import Options


@dataclasses.dataclass(frozen=True, slots=True)
class Call:
    """What a request asks for, whatever its wire.

    ``n``: choices wanted. ``include_usage``: asked for usage in the stream. ``tools``: names of the tools on offer.
    ``prompt_tokens``: a rough count. ``content_type``: of the stream, where the request chose one of the wire's forms.
    """

    model: str
    stream: bool
    n: int = 1
    include_usage: bool = False
    tools: tuple[str, ...] = ()
    prompt_tokens: int = 1
    content_type: str | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class Tool:
    """One tool call of the answer; ``fragments`` joined are the arguments, as JSON."""

    ident: str
    name: str
    fragments: tuple[str, ...]


@dataclasses.dataclass(frozen=True, slots=True)
class Plan:
    """One answer. ``serial`` is the request's number, from which ids are made; ``created`` a Unix time in seconds.

    ``text_count``, ``reasoning_count``: tokens a choice.
    """

    call: Call
    options: Options
    serial: int
    created: int
    n: int
    text_tokens: tuple[str, ...] | None
    text_count: int
    reasoning_count: int
    tools: tuple[Tool, ...]

    def text(self) -> Iterator[str]:
        """The text of a choice, token by token."""
        if self.options.seed is not None and self.text_tokens is None:
            return (token for token, _ in zip(words.seeded(self.options.seed), range(self.text_count), strict=False))
        return words.take(list(self.text_tokens or ()), self.text_count)

    def reasoning(self) -> Iterator[str]:
        """The reasoning of a choice, token by token."""
        return words.take(_THOUGHT, self.reasoning_count)

    @property
    def token_count(self) -> int:
        """Frames of a choice that carry generated output; a tool call's announcement is not one."""
        return self.text_count + self.reasoning_count + sum(len(tool.fragments) for tool in self.tools)

    @property
    def reason(self) -> str | None:
        """The finish reason, in OpenAI's words; None = none is sent."""
        if self.options.finish is not None:
            return None if self.options.finish == "no" else self.options.finish
        return "tool_calls" if self.tools else "stop"


_PARAGRAPH = tuple(words.by_word(words.PARAGRAPH))
_THOUGHT = words.by_word(words.THOUGHT.lstrip())
_ARGUMENTS = tuple(words.by_size(words.ARGUMENTS, 7))


def plan(call: Call, options: Options, serial: int, created: int) -> Plan:
    """Resolve ``options`` for one request."""
    tokens: tuple[str, ...] | None
    if options.text is not None:
        tokens = tuple(words.by_size(options.text))
        count = len(tokens) if options.tokens is None else options.tokens if tokens else 0
    elif options.seed is not None:
        tokens = None
        count = words.DEFAULT_TOKENS if options.tokens is None else options.tokens
    else:
        tokens = _PARAGRAPH
        count = len(tokens) if options.tokens is None else options.tokens
    if options.tool and options.tokens is None and options.text is None:
        # A model that calls tools says nothing beside them, unless it was told to.
        count = 0
    tools = options.tool
    reasoning = options.reasoning
    if options.empty:
        count = tools = reasoning = 0
    return Plan(
        call=call,
        options=options,
        serial=serial,
        created=created,
        n=options.n or call.n,
        text_tokens=tokens,
        text_count=count,
        reasoning_count=reasoning,
        tools=tuple(_tool(call, serial, index) for index in range(tools)),
    )


def _tool(call: Call, serial: int, index: int) -> Tool:
    names = call.tools or ("get_weather",)
    return Tool(f"call_sim{serial:06d}n{index}", names[index % len(names)], _ARGUMENTS)


def prompt_tokens(value: Any) -> int:
    """A rough count of the tokens in a JSON value: a quarter of the characters of its strings, at least 1."""
    return max(1, _letters(value) // 4)


def _letters(value: Any) -> int:
    if isinstance(value, str):
        return len(value)
    if isinstance(value, dict):
        return sum(_letters(item) for item in value.values())
    if isinstance(value, list):
        return sum(_letters(item) for item in value)
    return 0
