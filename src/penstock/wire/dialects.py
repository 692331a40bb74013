"""What providers of one wire do differently, as data (wire-formats.md §2.9)."""

from __future__ import annotations

import msgspec


class Dialect(msgspec.Struct, frozen=True, kw_only=True):
    """A dialect of openai-chat. ``hosts``: the ends of the host names that speak it."""

    name: str
    hosts: tuple[str, ...]
    takes_stream_options: bool = True
    """The provider accepts ``stream_options``. One that rejects it unexpectedly is asked once more without."""


OPENAI = Dialect(name="openai", hosts=())
DIALECTS = (
    Dialect(name="mistral", hosts=("mistral.ai",), takes_stream_options=False),
    Dialect(name="perplexity", hosts=("perplexity.ai",), takes_stream_options=False),
)


def dialect_of(host: str) -> Dialect:
    """The dialect that a host speaks."""
    for dialect in DIALECTS:
        if any(host == end or host.endswith("." + end) for end in dialect.hosts):
            return dialect
    return OPENAI
