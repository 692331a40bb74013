"""Editing wires on which a choice may go on behind its finish, whatever that says: providers are known that send one
in the middle, and some with every chunk.

What a stage holds goes out before the finish of its channel. But a channel that goes on must not end there, or what is
cut in two by a finish is seen by no stage. So a finish waits, and all that says nothing behind it, until the answer is
over; or until more is said: then it goes out where it stands, and ends nothing.
"""

from __future__ import annotations

from typing import Any

from penstock.framing import sse
from penstock.wire.edit import Asked, SSEEditor, objects
from penstock.wire.edit_runs import Texts

_MOST = 64 * 1024
"""Bytes that wait behind a finish."""


class FinishEditor(SSEEditor):
    """``choices`` and ``finish_field`` are the names of the list of choices and of the finish in one."""

    choices = "choices"
    finish_field = "finish_reason"

    def __init__(self, texts: Texts, asked: Asked):
        super().__init__(texts, asked)
        self._late: list[tuple[bytes, sse.Block | None, dict[str, Any]]] = []
        self._late_size = 0
        self._ends = True
        """A finish ends the channels of its choice."""

    def _says(self, choice: dict[str, Any]) -> bool:
        """Whether anything is generated in it."""
        raise NotImplementedError

    def _object(self, frame: bytes, block: sse.Block | None, body: dict[str, Any]) -> bytes:
        choices = objects(body.get(self.choices))
        finishes = any(choice.get(self.finish_field) for choice in choices)
        if self.choices not in body or not (finishes or self._late):
            return self._edited_frame(frame, block, body)
        out = b""
        if self._late and (self._late_size > _MOST or any(self._says(choice) for choice in choices)):
            out = self._let_go(ends=False)
            if not finishes:
                return out + self._edited_frame(frame, block, body)
        self._late.append((frame, block, body))
        self._late_size += len(frame)
        # The short ways end here: what follows is to be looked at.
        self._template = self._form = None
        return out

    def _let_go(self, *, ends: bool) -> bytes:
        late, self._late, self._late_size = self._late, [], 0
        self._ends = ends
        out = b"".join([self._edited_frame(*one) for one in late])
        self._ends = True
        return out

    def flush(self) -> bytes:
        """See `edit.Editor`."""
        return self._let_go(ends=True) + super().flush() if self._late else super().flush()
