"""What a frame means. An event never replaces its frame: the frame goes on untouched unless a stage changes it.

Each class has ``token``: whether it carries generated output (interface.md §1). Only token events commit a stream,
stop the first-token clock and push the between-tokens clock on. Decoders emit a token event only for non-empty
output, so the class alone answers.
"""

from __future__ import annotations

from typing import ClassVar

import msgspec

from penstock.usage import Usage


class Event(msgspec.Struct, frozen=True, gc=False):
    """Base of all events. ``choice`` is the index of the answer when a request asks for several (n > 1)."""

    token: ClassVar[bool] = False


class Start(Event, frozen=True, gc=False):
    """The provider's name for the answer and the model that it says serves it."""

    id: str
    model: str


class Text(Event, frozen=True, gc=False):
    """Generated text, one delta."""

    token: ClassVar[bool] = True
    text: str
    choice: int = 0


class Reasoning(Event, frozen=True, gc=False):
    """Generated reasoning, one delta."""

    token: ClassVar[bool] = True
    text: str
    choice: int = 0


class Refusal(Event, frozen=True, gc=False):
    """The model declines, in words, one delta."""

    token: ClassVar[bool] = True
    text: str
    choice: int = 0


class ToolArguments(Event, frozen=True, gc=False):
    """A fragment of a tool call: its name (first fragment) or a piece of its JSON arguments."""

    token: ClassVar[bool] = True
    call: int
    id: str = ""
    name: str = ""
    arguments: str = ""
    choice: int = 0


class Media(Event, frozen=True, gc=False):
    """Generated audio or image data, or the transcript that comes with it."""

    token: ClassVar[bool] = True
    transcript: str = ""
    choice: int = 0


class UsageReport(Event, frozen=True, gc=False):
    """Token usage as reported; ``alone`` when the frame carries nothing else."""

    usage: Usage
    alone: bool = False


class Finish(Event, frozen=True, gc=False):
    """One choice is finished. ``reason`` is the provider's word for why; ``again`` when it had finished before and
    this one contradicts the first or adds nothing."""

    reason: str
    choice: int = 0
    again: bool = False


class ErrorReport(Event, frozen=True, gc=False):
    """The provider reports an error inside the stream. ``status`` is the HTTP status it maps to, ``fields`` the
    provider's own error object as it came."""

    message: str
    type: str = "server_error"
    code: str | None = None
    status: int = 502
    param: str | None = None
    fields: dict[str, object] | None = None


class EndMarker(Event, frozen=True, gc=False):
    """The wire's own last word: ``[DONE]`` and its kin."""


class Heartbeat(Event, frozen=True, gc=False):
    """Liveness without output: a comment, a ping, a blank line."""


class Opaque(Event, frozen=True, gc=False):
    """Something of the wire that is neither output nor an ending: role deltas, annotations, unknown kinds."""


class Malformed(Event, frozen=True, gc=False):
    """A frame that this wire's grammar does not allow. ``reason`` says what is wrong with it, without its content."""

    reason: str
