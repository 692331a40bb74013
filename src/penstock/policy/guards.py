"""Guards against answers that run away."""

from __future__ import annotations

import msgspec


class Guards(msgspec.Struct, frozen=True, kw_only=True):
    """What ends an answer that does not end itself. None and False: nothing."""

    max_characters: int | None = None
    """Characters of one choice, all that is generated in it together."""
    repetition: int | None = None
    """How often the same piece of text may follow itself."""
    stop_sequences: bool = False
    """The client's own stop sequences end the answer here, for providers that generate on past them."""
