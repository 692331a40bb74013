"""What a frame means. An event never replaces its frame: the frame goes on untouched unless a stage changes it.

Each class has ``token``: whether it carries generated output (interface.md §1). Only token events commit a stream,
stop the first-token clock and push the between-tokens clock on. Decoders emit a token event only for non-empty
output, so the class alone answers.
"""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import msgspec

from penstock.usage import Usage

FinishKind = Literal["stop", "stop_sequence", "length", "tool_calls", "content_filter", "pause", "error"]


class Event(msgspec.Struct, frozen=True, gc=False):
    """Base of all events. ``choice`` is the index of the answer when a request asks for several (n > 1)."""

    token: ClassVar[bool] = False


class Start(Event, frozen=True, gc=False):
    """The provider's name for the answer and the model that it says serves it."""

    id: str
    model: str
    created: int | None = None
    """Unix seconds, where the provider says."""


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


class ReasoningSeal(Event, frozen=True, gc=False):
    """What must come back with the reasoning on the next turn, unchanged: the signature over the text since the last
    seal, or (``redacted``) the data that stands for reasoning which is withheld."""

    signature: str
    redacted: bool = False
    choice: int = 0


class Refusal(Event, frozen=True, gc=False):
    """The model declines, in words, one delta."""

    token: ClassVar[bool] = True
    text: str
    choice: int = 0


class ToolArguments(Event, frozen=True, gc=False):
    """A fragment of a tool call: its id and name (in the first one) and a piece of its JSON arguments.

    ``call`` counts the calls of a choice from 0. A call without arguments has ``{}`` by its end. ``signature`` is what
    Gemini wants to see again beside the call."""

    token: ClassVar[bool] = True
    call: int
    id: str = ""
    name: str = ""
    arguments: str = ""
    choice: int = 0
    signature: str = ""


class Media(Event, frozen=True, gc=False):
    """Generated audio or image data, or the transcript that comes with it."""

    token: ClassVar[bool] = True
    transcript: str = ""
    choice: int = 0


class Internal(Event, frozen=True, gc=False):
    """Generated output that stays with the provider, though it is shown: the input of a tool that the provider runs
    itself, a compaction of the context. Other wires have no place for it."""

    token: ClassVar[bool] = True
    text: str
    choice: int = 0


class Annotation(Event, frozen=True, gc=False):
    """A citation. ``start`` and ``end`` are offsets in characters of the answer's text, where the provider gives
    them; ``native`` is the provider's own object."""

    url: str = ""
    title: str = ""
    cited: str = ""
    start: int | None = None
    end: int | None = None
    native: dict[str, Any] | None = None
    choice: int = 0


class UsageReport(Event, frozen=True, gc=False):
    """Token usage as reported; ``alone`` when the frame carries nothing else."""

    usage: Usage
    alone: bool = False


class Finish(Event, frozen=True, gc=False):
    """One choice is finished. ``reason`` is the provider's word for why; ``kind`` says the same in the words of all
    wires (wire-formats.md §9.5); ``again`` when it had finished before and this one contradicts the first or adds
    nothing."""

    reason: str
    choice: int = 0
    again: bool = False
    kind: FinishKind = "stop"
    stop_sequence: str | None = None


class ErrorReport(Event, frozen=True, gc=False):
    """The provider reports an error inside the stream. ``status`` is the HTTP status it maps to, ``fields`` the
    provider's own error object as it came, ``retry_after`` seconds to wait where the object says."""

    message: str
    type: str = "server_error"
    code: str | None = None
    status: int = 502
    param: str | None = None
    fields: dict[str, object] | None = None
    retry_after: float | None = None


class EndMarker(Event, frozen=True, gc=False):
    """The wire's own last word: ``[DONE]`` and its kin."""


class Heartbeat(Event, frozen=True, gc=False):
    """Liveness without output: a comment, a ping, a blank line."""


class Opaque(Event, frozen=True, gc=False):
    """Something of the wire that is neither output nor an ending: role deltas, annotations, unknown kinds."""


class Malformed(Event, frozen=True, gc=False):
    """A frame that this wire's grammar does not allow. ``reason`` says what is wrong with it, without its content."""

    reason: str
