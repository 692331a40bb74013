"""What a client is told of its stream inside the stream."""

from __future__ import annotations

from typing import Literal

import msgspec

MetadataMode = Literal["off", "final", "live"]
MODES: tuple[MetadataMode, ...] = ("off", "final", "live")


class Metadata(msgspec.Struct, frozen=True, kw_only=True):
    """``final``: once, with the answer's end; ``live``: on the way too, with every ``every``-th frame at most."""

    mode: MetadataMode = "off"
    every: int = 20
