"""All that a stream is to be, before it starts."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import msgspec

from penstock.policy.deadlines import Deadlines
from penstock.policy.delivery import Delivery
from penstock.request import StreamRequest
from penstock.wire.base import ClientSession, Decoder, UpstreamWire


class Way(msgspec.Struct, frozen=True, kw_only=True):
    """One target of a stream, and how its answer is read."""

    name: str
    """``provider/model``, for people."""
    label: str
    """The same as configured, for metrics."""
    wire: UpstreamWire
    same_wire: bool
    """The client speaks it too: frames go on as bytes, error bodies as they are."""
    decoder: Callable[[], Decoder]
    """A fresh decoder, for each attempt."""
    ask_usage: bool = True
    """The provider takes the question for usage."""


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """One stream's request, its targets in order and the policies of its route."""

    stream: str
    route: str
    request: StreamRequest
    ways: tuple[Way, ...]
    client: ClientSession
    client_wire: str
    deadlines: Deadlines
    delivery: Delivery
    secrets: Iterable[bytes] = ()
    """What must never reach the client; it may grow while the stream runs."""
