"""Much work in slices, between which others have their turn.

Pure code that may have much to do at once goes through a text by `pieces`, or says `give_way` now and then. Run by
`Slices`, it stands still there while whoever runs it does something else; run in any other way it goes straight on. It
makes no difference to what comes out, as long as nobody calls the same object meanwhile: what comes for it has to wait.

Greenlets hold the place: else every function between a delta and its stages would be a generator, for texts that are
hardly ever long.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Generic, TypeVar

from greenlet import getcurrent, greenlet

SIZE = 256
"""Characters of a piece: even text that was made to be slow takes about a millisecond then."""
LONGEST = 0.001
"""Seconds after which a slice ends, at the next place for it."""
MORE: Any = object()
"""What is said of work that is not done."""

T = TypeVar("T")
Work = Callable[[], T]


def give_way() -> None:
    """A place where long work may stand still."""
    # Nothing here names the worker: what stands still and is dropped must not hold itself.
    if type(getcurrent()) is _Worker:
        _whoever_runs_it().switch(MORE)


def pieces(text: str) -> Iterator[str]:
    """A text, a piece at a time."""
    for at in range(0, len(text), SIZE):
        if at:
            give_way()
        yield text[at : at + SIZE]


class _Worker(greenlet):
    """Does one piece of work."""


def _whoever_runs_it() -> greenlet:
    parent = getcurrent().parent
    assert parent is not None
    return parent


class Slices(Generic[T]):
    """Does work, one after another. ``clock`` gives seconds."""

    __slots__ = ("_clock", "_worker")

    def __init__(self, clock: Callable[[], float]):
        self._clock = clock
        self._worker: _Worker | None = None
        """Where the work stands that is not done."""

    def run(self, work: Work[T] | None = None) -> T:
        """The next slice: of new work, or (None) of that which is not done. What the work returns, or `MORE`. Raises
        what the work raises."""
        worker, self._worker = self._worker if work is None else _Worker(work), None
        assert worker is not None
        until = self._clock() + LONGEST
        said = worker.switch()
        while said is MORE and self._clock() < until:
            said = worker.switch()
        if said is MORE:
            self._worker = worker
        return said  # type: ignore[no-any-return]
