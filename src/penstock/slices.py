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
    current = getcurrent()
    if type(current) is _Worker:
        current.leave(MORE)


def pieces(text: str) -> Iterator[str]:
    """A text, a piece at a time."""
    for at in range(0, len(text), SIZE):
        if at:
            give_way()
        yield text[at : at + SIZE]


class _Worker(greenlet):
    """Does one piece of work after another."""

    def run(self, work: Work[Any]) -> None:
        """Never ends by itself: begun anew, it would cost more than most of what it does."""
        while True:
            work = self.leave(work())

    def leave(self, said: Any) -> Any:
        """Back to whoever runs it; comes back with what is to be done next."""
        assert self.parent is not None
        return self.parent.switch(said)


class Slices(Generic[T]):
    """Does work, one after another. ``clock`` gives seconds."""

    __slots__ = ("_clock", "_worker")

    def __init__(self, clock: Callable[[], float]):
        self._clock = clock
        self._worker = _Worker()

    def run(self, work: Work[T] | None = None) -> T:
        """The next slice: of new work, or (None) of that which is not done. What the work returns, or `MORE`. Raises
        what the work raises."""
        if self._worker.dead:
            self._worker = _Worker()
        worker, until = self._worker, self._clock() + LONGEST
        said = worker.switch(work)
        while said is MORE and self._clock() < until:
            said = worker.switch(None)
        return said  # type: ignore[no-any-return]
