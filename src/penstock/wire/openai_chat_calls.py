"""openai-chat: which tool call a fragment belongs to, in every dialect."""

from __future__ import annotations

from typing import Any


class CallNumbers:
    """Numbers the tool calls of each choice, from 0 and in the order in which they begin.

    A fragment belongs to the call of its index. There are dialects that label every call ``index: 0`` (then another id
    with a name begins another call), that leave the index out, or that get it wrong behind the first fragment (then
    the id tells, and without one the call that was spoken of last).
    """

    def __init__(self) -> None:
        self._at_index: dict[tuple[int, int], int] = {}
        self._with_id: dict[tuple[int, str], int] = {}
        self._id_of: dict[tuple[int, int], str] = {}
        self._last: dict[int, int] = {}
        self._count: dict[int, int] = {}

    def number(self, choice: int, call: dict[str, Any]) -> int:
        """The number of the call to which a fragment belongs."""
        index, id = call.get("index"), call.get("id")
        id = id if isinstance(id, str) else ""
        if type(index) is int:
            found = self._by_index(choice, index, id, call)
        else:
            found = self._by_id(choice, id, call) if id else self._last.get(choice)
        if found is None:
            found = self._count[choice] = self._count.get(choice, -1) + 1
        self._last[choice] = found
        if type(index) is int:
            self._at_index[choice, index] = found
        if id and not self._id_of.get((choice, found)):
            self._id_of[choice, found] = id
            self._with_id[choice, id] = found
        return found

    def _by_index(self, choice: int, index: int, id: str, call: dict[str, Any]) -> int | None:
        found = self._at_index.get((choice, index))
        if not id or (found is not None and self._id_of.get((choice, found), id) == id):
            return found
        return None if _names(call) else self._with_id.get((choice, id), found)

    def _by_id(self, choice: int, id: str, call: dict[str, Any]) -> int | None:
        last = self._last.get(choice)
        late = last is not None and (choice, last) not in self._id_of and not _names(call)
        return self._with_id.get((choice, id), last if late else None)


def _names(call: dict[str, Any]) -> bool:
    function = call.get("function")
    return isinstance(function, dict) and bool(function.get("name"))
