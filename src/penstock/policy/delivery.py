"""How an answer is delivered to the client. Times in seconds, sizes in bytes."""

from __future__ import annotations

from typing import Literal

import msgspec

from penstock.policy.leaving import Drain, OnDisconnect


class SlowClient(msgspec.Struct, frozen=True, kw_only=True):
    """The bounds of patience with a client that does not read."""

    buffer: int = 256 * 1024
    """Bytes that may wait for the client before it counts as blocked and the upstream is paused."""
    timeout: float | None = 30.0
    """How long the client may stay blocked before the stream ends as ``slow_client``."""
    merge: bool = False
    """Deltas that wait for the client are merged, without loss, where they follow on each other."""


class Segment(msgspec.Struct, frozen=True, kw_only=True):
    """How long text waits for the end of its sentence or paragraph."""

    delay: float = 2.0
    characters: int = 500


class Delivery(msgspec.Struct, frozen=True, kw_only=True):
    """The delivery policy of a route (interface.md §3)."""

    mode: Literal["passthrough", "sentence", "paragraph", "full"] = "passthrough"
    """When text goes out: as it comes, by whole sentences or paragraphs, or not before the answer is whole."""
    segment: Segment = Segment()
    max_held: int = 8 * 1024 * 1024
    """The longest answer that ``full`` holds back."""
    signed_reasoning: Literal["drop", "pass"] = "drop"
    """Reasoning under a signature, which no stage can edit: left out, or passed on unread."""
    keepalive: float | None = 15.0
    """Silence towards the client after which a keep-alive is written; ``None`` = never."""
    heartbeat: float | None = None
    """The same for an answer in one piece: the 200 is sent after this long, and white space, which JSON allows in
    front. ``None`` = nothing is sent before the answer."""
    commit_after: float | None = 10.0
    """After this long without a token the 200 and keep-alives are sent; failover stays possible. ``None`` = never."""
    slow_client: SlowClient = SlowClient()
    on_disconnect: OnDisconnect = "cancel"
    """What becomes of the generation when the client leaves: see `policy.leaving`."""
    drain: Drain = Drain()
    max_frame: int = 32 * 1024 * 1024
    """The largest frame of a provider's stream, and the most that is held back before the commit."""
    settle: float = 1.0
    """After the upstream's terminal frame: how long late usage and the clean end of the connection are awaited."""
    malformed: Literal["skip", "fail"] = "skip"
    """A frame that is not of the wire's grammar: left out, with a comment in the stream, or the end of the stream."""
    done_after_error: bool = False
    """Send the wire's end marker after an error frame too, for clients that hang without it."""
    pin_identity: bool = False
    """Rewrite ``id``, ``created`` and ``model`` of every chunk to those of the first (some providers vary them)."""
    served_model: Literal["show", "hide"] = "show"
    """Which name the ``model`` of an answer gives: the provider's own, or (``hide``) the one that was asked for."""
