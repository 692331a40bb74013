"""A content block on its way to an Anthropic client, and when a tool's input is whole."""

from __future__ import annotations

import re
from typing import Any

import msgspec

from penstock.events import ToolArguments

Deltas = list[dict[str, Any]]
_MARKS = re.compile(r'\\.?|["{}\[\]]', re.DOTALL)


class Balance(msgspec.Struct, gc=False):
    """Whether the JSON object that comes in fragments is whole, at a cost that grows with the fragment only."""

    depth: int = 0
    begun: bool = False
    in_string: bool = False
    escaped: bool = False
    """The last fragment ended on a backslash."""

    @property
    def whole(self) -> bool:
        """It began, and every bracket is closed."""
        return self.begun and self.depth <= 0

    def feed(self, fragment: str) -> None:
        """The next fragment."""
        if self.escaped and fragment:
            fragment, self.escaped = fragment[1:], False
        for match in _MARKS.finditer(fragment):
            mark = match[0]
            if mark[0] == "\\":
                self.escaped = len(mark) == 1
            elif mark == '"':
                self.in_string = not self.in_string
            elif not self.in_string:
                self.begun = True
                self.depth += 1 if mark in "{[" else -1


class Written(msgspec.Struct):
    """A block. ``deltas`` wait for it to be opened."""

    kind: str
    start: dict[str, Any]
    deltas: Deltas = []
    closed: bool = False
    sealed: bool = False
    """A thinking block has its signature: more thinking is another block."""
    balance: Balance = msgspec.field(default_factory=Balance)

    @classmethod
    def of(cls, kind: str) -> Written:
        """A block of text or thinking."""
        if kind == "text":
            return cls(kind, {"type": "text", "text": ""})
        return cls(kind, {"type": "thinking", "thinking": "", "signature": ""})

    @classmethod
    def call(cls, event: ToolArguments, id: str) -> Written:
        """A tool call; ``id`` where the provider gives none. What Gemini wants to see again beside it goes along as
        ``thought_signature``."""
        start = {"type": "tool_use", "id": event.id or id, "name": event.name, "input": {}}
        if event.signature:
            start["thought_signature"] = event.signature
        return cls("tool_use", start)

    @property
    def may_close(self) -> bool:
        """Another block may follow now: a call must have its whole input first."""
        return self.kind != "tool_use" or self.balance.whole

    @property
    def ready(self) -> bool:
        """It can be opened: a call needs its name."""
        return self.kind != "tool_use" or bool(self.start["name"])
