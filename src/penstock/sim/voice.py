"""What a wire must be able to say, so that every fault of the simulated provider exists on every wire.

A new wire is one file beside this one: a :class:`Wire`, which reads requests, and a :class:`Voice`, which turns the
parts of one answer into frames; then one line in ``wires.py``.
"""

from __future__ import annotations

import dataclasses
from typing import Any, Protocol

from penstock.sim.plan import Call, Plan


@dataclasses.dataclass(frozen=True, slots=True)
class Usage:
    """Tokens of one answer, all choices together. ``output`` includes ``reasoning``."""

    input: int
    output: int
    reasoning: int


class Voice(Protocol):
    """Frames of one answer, as bytes on the wire (for SSE with their blank line), ready to send.

    A method may return several frames at once, or ``b""`` where the wire has no such thing. They are called in the
    order of the stream, so a voice may keep state (a content block that is open, a sequence number).
    """

    def role(self, choice: int) -> bytes:
        """What opens the answer before its first token."""

    def text(self, choice: int, token: str) -> bytes: ...
    def reasoning(self, choice: int, token: str) -> bytes: ...

    def tool(self, choice: int, index: int, fragment: str) -> bytes:
        """A piece of the arguments of the ``index``-th tool call; the first is ``""`` and announces the call."""

    def finish(self, choice: int, reason: str, usage: Usage | None) -> bytes:
        """``usage`` only when it is to stand on the finish frame itself."""

    def usage(self, usage: Usage) -> bytes: ...

    def end(self) -> bytes:
        """The end marker."""

    def error(self) -> bytes:
        """An error inside the stream."""

    def malformed(self) -> bytes:
        """A frame whose payload cannot be parsed."""

    def ping(self) -> bytes:
        """The wire's keep-alive."""

    def whole(self, reason: str | None, usage: Usage | None) -> bytes:
        """The answer to a request that did not ask for a stream: a JSON document."""


class Wire(Protocol):
    """A provider's wire format, seen from the provider's side."""

    name: str
    content_type: str
    example_path: str

    def matches(self, path: str) -> bool:
        """Whether a POST to ``path`` (without its query) speaks this wire."""

    def read(self, path: str, body: dict[str, Any]) -> Call:
        """What the request asks for; ``path`` has its query. Raises ValueError with one line if it cannot be read."""

    def example(self, model: str) -> dict[str, Any]:
        """A body that streams, for a command line to show."""

    def voice(self, plan: Plan) -> Voice: ...

    def error_body(self, message: str, status: int, code: str | None) -> bytes:
        """The body of an HTTP error."""
