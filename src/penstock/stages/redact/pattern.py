"""A pattern in two forms: the plain one, and the *open* one for text that may go on.

The open form has a match wherever the plain form has one or could still get one with more text, and keeps the order
in which a backtracking search tries its choices. So a match of it that ends before the end of the text is the plain
form's match, whatever comes; one that ends at the end is undecided; and where it has none, there never will be one.

How it is made: at the end of the text every atom is satisfied. An atom ``x`` becomes ``(?:x|\\Z)``, a repeat of one
character ``c{m,n}`` becomes ``(?:c{m,n}|c{0,m-1}\\Z)``, ``\\b`` becomes ``(?:\\b|\\Z)``. The first character of a match
has to be there, so its atom stays as it is, which also lets the search skip quickly.

Lookarounds are one character wide: the caller keeps one character of left context, and one character more decides.
"""

from __future__ import annotations

import re
import warnings
from re import _constants as op  # type: ignore[attr-defined]
from re import _parser  # type: ignore[attr-defined]
from typing import Any, NamedTuple

Items = Any
"""A sequence of the parser's ``(operation, argument)`` pairs."""

_CATEGORIES = {
    op.CATEGORY_DIGIT: r"\d",
    op.CATEGORY_NOT_DIGIT: r"\D",
    op.CATEGORY_SPACE: r"\s",
    op.CATEGORY_NOT_SPACE: r"\S",
    op.CATEGORY_WORD: r"\w",
    op.CATEGORY_NOT_WORD: r"\W",
}
_PLACES = {op.AT_BOUNDARY: r"\b", op.AT_NON_BOUNDARY: r"\B", op.AT_END_STRING: r"\Z"}
_REPEATS = {op.MAX_REPEAT: "", op.MIN_REPEAT: "?", op.POSSESSIVE_REPEAT: "+"}
_FLAGS = {re.IGNORECASE: "i", re.DOTALL: "s", re.ASCII: "a"}
_SINGLE = (op.LITERAL, op.NOT_LITERAL, op.ANY, op.IN)


class PatternError(ValueError):
    """A pattern that cannot be looked for in a stream. The text says what to write instead."""


class Pattern(NamedTuple):
    """``plain`` and ``opened`` are sources without groups and global flags; ``width`` is the longest match."""

    plain: str
    opened: str
    width: int


def translate(source: str, *, ascii_only: bool = False) -> Pattern:
    """The forms of a regular expression. Raises PatternError."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # About what later versions of Python may read in another way.
            tree = _parser.parse(source, re.ASCII if ascii_only else 0)
    except Warning as warning:
        raise PatternError(f"not clear: {warning}") from None
    except (re.error, OverflowError, RecursionError) as error:
        raise PatternError(f"not a regular expression: {error}") from None
    least, most = tree.getwidth()
    if least == 0:
        raise PatternError("it matches the empty text")
    flags = "".join(letter for flag, letter in _FLAGS.items() if tree.state.flags & flag)
    plain, _ = _Writer(opened=False).sequence(tree, first=True)
    opened, _ = _Writer(opened=True).sequence(tree, first=True)
    scope = f"(?{flags}:%s)" if flags else "(?:%s)"
    return Pattern(scope % plain, scope % opened, int(most))


def join(sources: list[str]) -> re.Pattern[str]:
    """One pattern that tries all, in order; ``lastindex`` of a match counts from 1 which one it was."""
    # The group comes last: an alternative that begins with a character is skipped fast, one that begins a group is not.
    return re.compile("|".join(f"{source}()" for source in sources) or "(?!)")


class _Writer:
    """Writes the parser's tree as a source again. ``first``: nothing can have matched a character before here."""

    def __init__(self, *, opened: bool):
        self._opened = opened

    def sequence(self, items: Items, first: bool) -> tuple[str, bool]:
        """The source, and whether still nothing can have matched a character after it."""
        items = list(items)
        out = []
        if first and (head := _character_before_lookbehind(items)):
            out.append(head)
            first = False
        for operation, argument in items:
            text, first = self._item(operation, argument, first)
            out.append(text)
        return "".join(out), first

    def _item(self, operation: Any, argument: Any, first: bool) -> tuple[str, bool]:
        if operation in _SINGLE:
            return self._or_end(_single(operation, argument), first), False
        if operation is op.AT:
            return self._or_end(_place(argument), first), first
        if operation in (op.ASSERT, op.ASSERT_NOT):
            return self._or_end(self._lookaround(operation, argument), first), first
        if operation in _REPEATS:
            return self._repeat(argument, _REPEATS[operation], first)
        if operation is op.BRANCH:
            done = [self.sequence(branch, first) for branch in argument[1]]
            return f"(?:{'|'.join(text for text, _ in done)})", all(still for _, still in done)
        if operation is op.SUBPATTERN:
            _, added, removed, inner = argument
            text, first = self.sequence(inner, first)
            return f"(?{_flags(added, removed)}:{text})", first
        if operation is op.ATOMIC_GROUP:
            text, first = self.sequence(argument, first)
            return f"(?>{text})", first
        if operation in (op.GROUPREF, op.GROUPREF_IGNORE, op.GROUPREF_EXISTS):
            raise PatternError("it refers back to a group; write the alternatives out")
        raise PatternError("it uses something that cannot be looked for in a stream")

    def _or_end(self, text: str, first: bool) -> str:
        return f"(?:{text}|\\Z)" if self._opened and not first else text

    def _repeat(self, argument: Any, suffix: str, first: bool) -> tuple[str, bool]:
        least, most, inner = int(argument[0]), int(argument[1]), argument[2]
        if argument[1] is op.MAXREPEAT:
            raise PatternError("a repeat has no upper bound: write {0,64} or {1,64} instead of * or +")
        if len(inner) != 1 or inner[0][0] not in _SINGLE:
            text, still = self.sequence(inner, first and most == 1)
            return f"(?:{text}){{{least},{most}}}{suffix}", still and first
        one = _single(*inner[0])
        if most == 0:
            return "", first
        head = ""
        if first and least:
            head, least, most = one, least - 1, most - 1
        if most == 0:
            return head, False
        text = f"{one}{{{least},{most}}}{suffix}"
        if self._opened and least:
            text = f"(?:{text}|{one}{{0,{least - 1}}}\\Z)"
        return head + text, False

    def _lookaround(self, operation: Any, argument: Any) -> str:
        direction, inner = argument
        if inner.getwidth() != (1, 1):
            raise PatternError("a lookahead or lookbehind has to be one character wide")
        text, _ = _Writer(opened=False).sequence(inner, first=False)
        return f"(?{'<' if direction < 0 else ''}{'=' if operation is op.ASSERT else '!'}{text})"


def _character_before_lookbehind(items: list[Any]) -> str:
    """``(?<!x)c`` as ``c(?<!xc)``, which says the same: a search skips what does not begin with a character fast, and
    a lookbehind slowly. Takes from ``items`` what it wrote; empty where they begin in another way."""
    if len(items) < 2 or items[0][0] not in (op.ASSERT, op.ASSERT_NOT):
        return ""
    direction, behind = items[0][1]
    operation, argument = items[1]
    rest = []
    if operation in _REPEATS and int(argument[0]) > 0 and len(argument[2]) == 1:
        least, most, inner = argument
        rest = [(operation, (int(least) - 1, most if most is op.MAXREPEAT else int(most) - 1, inner))]
        operation, argument = inner[0]
    if direction > 0 or operation not in _SINGLE or len(behind) != 1 or behind[0][0] not in _SINGLE:
        return ""
    one = _single(operation, argument)
    sign = "=" if items[0][0] is op.ASSERT else "!"
    items[:2] = rest
    return f"{one}(?<{sign}{_single(*behind[0])}{one})"


def _single(operation: Any, argument: Any) -> str:
    if operation is op.LITERAL:
        return _character(argument)
    if operation is op.NOT_LITERAL:
        return f"[^{_character(argument)}]"
    if operation is op.ANY:
        return "."
    return f"[{''.join(map(_member, argument))}]"


def _member(item: Any) -> str:
    kind, value = item
    if kind is op.NEGATE:
        return "^"
    if kind is op.LITERAL:
        return _character(value)
    if kind is op.RANGE:
        return f"{_character(value[0])}-{_character(value[1])}"
    return _CATEGORIES[value]


def _character(code: int) -> str:
    if chr(code).isalnum() and code < 128:
        return chr(code)
    return f"\\x{code:02x}" if code < 256 else f"\\U{code:08x}"


def _place(argument: Any) -> str:
    if argument not in _PLACES:
        raise PatternError("^, $ and \\A have no meaning in a stream: write \\b, or what comes before")
    return _PLACES[argument]


def _flags(added: int, removed: int) -> str:
    def letters(flags: int) -> str:
        return "".join(letter for flag, letter in _FLAGS.items() if flags & flag)

    return letters(added) + (f"-{letters(removed)}" if letters(removed) else "")
