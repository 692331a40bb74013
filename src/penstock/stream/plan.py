"""All that a stream is to be, before it starts."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from penstock.policy.deadlines import Deadlines
from penstock.policy.delivery import Delivery
from penstock.request import StreamRequest
from penstock.stream.attempt import Decoder
from penstock.wire.openai_chat_client import ChatClient


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """One stream's request, its targets in order and the policies of its route."""

    stream: str
    route: str
    request: StreamRequest
    targets: tuple[str, ...]
    """``provider/model``, for people."""
    labels: tuple[str, ...]
    """The same as configured, for metrics."""
    decoder: Callable[[int], Decoder]
    """A fresh decoder for the target with that number."""
    client: ChatClient
    client_wire: str
    deadlines: Deadlines
    delivery: Delivery
    ask_usage: tuple[bool, ...]
    """For each target: whether its provider takes ``stream_options``."""
    secrets: tuple[bytes, ...] = ()
    """What must never reach the client."""
