"""Which streams of a route are copied, and what is in the copy."""

from __future__ import annotations

from typing import Literal

import msgspec

Content = Literal["redacted", "original"]
CONTENTS: tuple[Content, ...] = ("redacted", "original")


class Capture(msgspec.Struct, frozen=True, kw_only=True):
    """``redacted``: what the client got, and the request behind the route's detectors; ``original``: what the provider
    sent and the client asked, encrypted. ``sample`` is the share of streams, 0 to 1."""

    content: Content = "redacted"
    sample: float = 1.0
