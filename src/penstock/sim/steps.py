"""A script is an iterator of steps; the player performs them. A step is data, so that scripts need no loop to test."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator

DATA = 0
"""Write the bytes as one chunk of the chunked body."""
BODY = 1
"""Write the bytes as they are: a body with a ``content-length``, or a part of it."""
HEAD = 2
"""Write the bytes as they are: a response head."""
END = 3
"""End the chunked body; the connection stays open for the next request."""
DONE = 4
"""The response ended with its last byte; the connection stays open."""
DROP = 5
"""Close the connection in the middle of the body (FIN)."""
RESET = 6
"""Reset the connection (RST)."""
HOLD = 7
"""Say nothing any more and keep the connection open."""

Step = tuple[float, bytes, int, int]
"""Seconds to wait before it, bytes, what to do, how many token frames the bytes complete."""

GRACE = 0.001
"""Seconds between the last bytes and a reset, so that the bytes leave before it."""


@dataclasses.dataclass(slots=True)
class Play:
    """How one request is answered.

    ``steps`` ends with one of END, DONE, DROP, RESET, HOLD. ``batch``: steps without a wait may share a write (up to
    16 KiB). ``spread``: every step gets a turn of the event loop of its own. ``ping``: seconds between two
    ``ping_frame``, or None.
    """

    steps: Iterator[Step]
    batch: bool = False
    spread: bool = False
    ping: float | None = None
    ping_frame: bytes = b""


def split_steps(steps: Iterable[Step], size: int) -> Iterator[Step]:
    """Cut the data of ``steps`` anew, every ``size`` bytes.

    Steps that follow one another without a wait flow together first, so that a write may also hold the end of one
    frame and the start of the next. Nothing is held back over a wait.
    """
    held = bytearray()
    wait, tokens = 0.0, 0
    for delay, data, act, count in steps:
        if held and (delay > 0 or act != DATA):
            yield wait, bytes(held), DATA, tokens
            held.clear()
            wait, tokens = 0.0, 0
        if act != DATA:
            yield delay, data, act, count
            continue
        wait += delay
        held += data
        tokens += count
        while len(held) >= size:
            piece = bytes(held[:size])
            del held[:size]
            # The tokens are complete with the last byte of the frame that carries them.
            yield wait, piece, DATA, 0 if held else tokens
            wait = 0.0
            tokens = tokens if held else 0
