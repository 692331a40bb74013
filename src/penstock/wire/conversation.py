"""A request in no wire's words: what a client asks, on its way from one wire to another.

A client wire reads its own body into a `Conversation`, an upstream wire writes its own from it. Nothing is dropped in
silence: what a reader does not know, or a writer has no place for, is refused with a 400 that names the client's field.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Literal

import msgspec

from penstock.errors import BadRequest


class TextPart(msgspec.Struct, frozen=True):
    """Text."""

    text: str


class ImagePart(msgspec.Struct, frozen=True):
    """An image: by ``url``, or by ``data`` (base64) with its ``media_type``. ``detail`` as OpenAI has it."""

    url: str | None = None
    data: str | None = None
    media_type: str | None = None
    detail: str | None = None


class ThinkingPart(msgspec.Struct, frozen=True):
    """Reasoning of an earlier turn. ``signature`` is opaque and must come back as it was; ``redacted``: the text is
    withheld and the signature is all there is."""

    text: str = ""
    signature: str | None = None
    redacted: bool = False


class ToolCallPart(msgspec.Struct, frozen=True):
    """A call that the assistant made. ``arguments`` is JSON text. ``signature``: Gemini's, beside the call."""

    id: str
    name: str
    arguments: str
    signature: str | None = None


class ToolResultPart(msgspec.Struct, frozen=True):
    """What a call gave: text and images."""

    call: str
    parts: tuple[TextPart | ImagePart, ...]
    is_error: bool = False
    name: str | None = None
    """The tool's name, where the wire says it (Gemini) or it is known from the call."""


Part = TextPart | ImagePart | ThinkingPart | ToolCallPart | ToolResultPart


class Message(msgspec.Struct, frozen=True):
    """One turn. Tool results stand in user turns, as Anthropic and Gemini have it."""

    role: Literal["user", "assistant"]
    parts: tuple[Part, ...]


class Tool(msgspec.Struct, frozen=True):
    """A function that the model may call. ``parameters`` is its JSON Schema."""

    name: str
    description: str | None = None
    parameters: dict[str, Any] | None = None
    strict: bool | None = None


class ToolChoice(msgspec.Struct, frozen=True):
    """``mode``: auto, none, required (some tool), or one by ``name``."""

    mode: Literal["auto", "none", "required", "named"]
    name: str | None = None


class Format(msgspec.Struct, frozen=True):
    """The form of the answer: any JSON object (``schema`` None), or JSON of a schema."""

    schema: dict[str, Any] | None = None
    name: str | None = None
    strict: bool | None = None


class Conversation(msgspec.Struct, kw_only=True):
    """All that can be carried from wire to wire. None means: the client said nothing.

    ``names`` maps the fields here to the client's own names for them, for the words of a refusal.
    """

    system: tuple[str, ...] = ()
    messages: tuple[Message, ...] = ()
    tools: tuple[Tool, ...] = ()
    tool_choice: ToolChoice | None = None
    parallel_tools: bool | None = None
    max_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    stop: tuple[str, ...] = ()
    seed: int | None = None
    frequency_penalty: float | None = None
    presence_penalty: float | None = None
    format: Format | None = None
    effort: str | None = None
    """How hard to think, in words: minimal, low, medium, high."""
    thinking_budget: int | None = None
    """How hard to think, in tokens; 0 = not at all."""
    user: str | None = None
    names: dict[str, str] = {}

    def refuse(self, field: str, wire: str) -> BadRequest:
        """The refusal of something that ``wire`` has no place for."""
        name = self.names.get(field, field)
        return BadRequest(
            f"{name} cannot be carried to the provider of this model, which speaks {wire}; leave it out, or ask for a "
            "model of a provider that takes it",
            code="unsupported_field",
            param=name,
        )

    def only(self, wire: str, *supported: str) -> None:
        """Refuse every field that is set and not among ``supported``. Raises BadRequest."""
        for name in self.__struct_fields__:
            if name in ("names", "messages", "system", *supported):
                continue
            if getattr(self, name) not in (None, ()):
                raise self.refuse(name, wire)


class Fields:
    """A client's JSON object, from which each field is taken once; what is left over is refused.

    ``path`` names the object in refusals, e.g. ``messages.2``; the top level has none.
    """

    def __init__(self, fields: Mapping[str, Any], path: str = ""):
        self._left = dict(fields)
        self._path = path

    @classmethod
    def of(cls, value: Any, path: str) -> Fields:
        """The fields of a value that must be an object. Raises BadRequest."""
        if not isinstance(value, dict):
            raise BadRequest(f"{path} must be an object", param=path)
        return cls(value, path)

    def has(self, field: str) -> bool:
        """Whether the field is there and not null."""
        return self._left.get(field) is not None

    def name(self, field: str) -> str:
        """The path of a field."""
        return f"{self._path}.{field}" if self._path else field

    def take(self, field: str, *kinds: type, default: Any = None) -> Any:
        """A field, or ``default`` where it is absent or null. Raises BadRequest when it is of no such kind."""
        value = self._left.pop(field, None)
        if value is None:
            return default
        if kinds and (not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds)):
            words = " or ".join(_WORDS.get(kind, kind.__name__) for kind in kinds)
            raise BadRequest(f"{self.name(field)} must be {words}", param=self.name(field))
        return value

    def need(self, field: str, *kinds: type) -> Any:
        """A field that must be there."""
        value = self.take(field, *kinds)
        if value is None:
            raise BadRequest(f"{self.name(field)} is missing", param=self.name(field))
        return value

    def ignore(self, *fields: str) -> None:
        """Fields that say nothing to a provider of another wire and may stay behind, by decision."""
        for field in fields:
            self._left.pop(field, None)

    def neutral(self, field: str, *values: Any) -> None:
        """A field that may only have one of ``values`` (or null), which are the same as leaving it out."""
        value = self._left.get(field)
        if value is None or any(value == neutral and type(value) is type(neutral) for neutral in values):
            self._left.pop(field, None)

    def done(self) -> None:
        """Refuse what is left. Raises BadRequest that names the first such field."""
        for field, value in self._left.items():
            if value is not None:
                raise BadRequest(
                    f"{self.name(field)} cannot be carried to the provider of this model, which speaks another wire",
                    code="unsupported_field",
                    param=self.name(field),
                )


_WORDS = {
    str: "a string",
    int: "an integer",
    float: "a number",
    bool: "true or false",
    list: "a list",
    dict: "an object",
}


def data_url(url: str) -> tuple[str, str] | None:
    """Media type and base64 data of a ``data:`` URL, or None for another URL."""
    if not url.startswith("data:"):
        return None
    head, _, data = url[5:].partition(",")
    if not head.endswith(";base64"):
        return None
    return head.removesuffix(";base64") or "application/octet-stream", data


def joined_text(parts: Iterable[Part]) -> str:
    """The text of the text parts."""
    return "".join(part.text for part in parts if isinstance(part, TextPart))
