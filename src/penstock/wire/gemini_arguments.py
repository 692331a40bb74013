"""gemini: the arguments of a tool call that come in pieces with paths, told as pieces of JSON text.

``{"jsonPath": "$.steps[0].name", "stringValue": "Mix", "willContinue": true}`` names a place in the arguments and what
is written there next (wire-formats.md §6.2). Pieces come in the order of the text, so that containers can be opened and
closed as they come; a piece that goes back to a place which is closed already cannot be told so any more.
"""

from __future__ import annotations

import re
from typing import Any

from penstock.wire import json

_STEP = re.compile(r"""\.?([^.\[\]]+)|\[(\d+)\]|\[(?:'([^']*)'|"([^"]*)")\]""")
_VALUES = ("stringValue", "numberValue", "boolValue")

Step = str | int


class ArgumentPieces:
    """The JSON text of one call. Joined, all that `add` and `close` return is an object."""

    def __init__(self) -> None:
        self._open: list[tuple[Step, bool, set[Step]]] = []
        """The containers that are open, outermost first: their place in their parent, whether they are an array, and
        the places in them that are taken."""
        self._string: list[Step] | None = None
        """The place of the string that is not closed yet."""
        self._closed = False

    def add(self, piece: dict[str, Any]) -> str:
        """One of ``partialArgs``. Raises ValueError for a piece that has no place in the text."""
        steps = _steps(str(piece.get("jsonPath") or "$"))
        text = piece.get("stringValue")
        if isinstance(text, str) and steps == self._string:
            return _quoted(text)[1:-1]
        if not steps:
            raise ValueError("a piece of arguments names no place")
        value = next((piece[name] for name in _VALUES if piece.get(name) is not None), None)
        if value is None and "nullValue" not in piece:
            return ""
        out = self._go_to(steps)
        if isinstance(value, str):
            self._string = steps
            return out + _quoted(value)[:-1]
        return out + json.dumps(value).decode()

    def close(self) -> str:
        """The rest of the text: the call has all its arguments."""
        if self._closed:
            return ""
        self._closed = True
        return self._leave_string() + self._close_to(0) if self._open else "{}"

    def _go_to(self, steps: list[Step]) -> str:
        """The text up to where the value at ``steps`` stands."""
        out = self._leave_string()
        if not self._open:
            self._open.append(("", False, set()))
            out += "{"
        shared = 1
        while shared < len(self._open) and shared < len(steps) and self._open[shared][0] == steps[shared - 1]:
            shared += 1
        out += self._close_to(shared)
        for depth in range(shared - 1, len(steps)):
            out += self._enter(steps[depth])
            if depth + 1 < len(steps):
                array = isinstance(steps[depth + 1], int)
                self._open.append((steps[depth], array, set()))
                out += "[" if array else "{"
        return out

    def _enter(self, step: Step) -> str:
        _, array, taken = self._open[-1]
        if step in taken or isinstance(step, int) is not array or (array and step != len(taken)):
            raise ValueError("the pieces of arguments come in no order that JSON could have")
        comma = "," if taken else ""
        taken.add(step)
        return comma if isinstance(step, int) else f"{comma}{_quoted(step)}:"

    def _leave_string(self) -> str:
        if self._string is None:
            return ""
        self._string = None
        return '"'

    def _close_to(self, depth: int) -> str:
        out = ""
        while len(self._open) > depth:
            out += "]" if self._open.pop()[1] else "}"
        return out


def _steps(path: str) -> list[Step]:
    steps: list[Step] = []
    for name, number, single, double in _STEP.findall(path.removeprefix("$")):
        steps.append(int(number) if number else name or single or double)
    return steps


def _quoted(text: str) -> str:
    return json.dumps(text).decode()
