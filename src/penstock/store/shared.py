"""A stream of another gateway, or of an earlier process, as a source for readers."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Protocol

import msgspec

from penstock.drive.journal import Backing, Facts, Follower
from penstock.outcome import Outcome
from penstock.stream.commands import Seal
from penstock.stream.ring import Ring

ROOM = 1024 * 1024
"""Bytes that are read ahead of a reader, about."""


class Held(msgspec.Struct, frozen=True):
    """What a store knows of a stream, and the gateway that it belongs to."""

    facts: Facts
    gateway: str


class Ended(msgspec.Struct, frozen=True):
    """A journal's end, as a store keeps it; see `stream.commands.Seal`."""

    status: int
    body: bytes | None
    cut: bool
    outcome: str = ""


class Known(msgspec.Struct, frozen=True):
    """A stream as it stands in the store."""

    held: Held
    ended: Ended | None
    alive: bool
    """Its gateway is."""

    @property
    def state(self) -> str:
        """``ended`` also where it has no end, and nobody who would give it one."""
        return "live" if self.ended is None and self.alive else "ended"

    @property
    def outcome(self) -> str | None:
        """How it ended."""
        if self.ended is not None:
            return self.ended.outcome or None
        return None if self.alive else Outcome.CRASHED.value


class Store(Backing, Protocol):
    """A journal that outlives the process, or that gateways share."""

    lost: int
    """Streams of which it did not take all."""
    on_stop: Callable[[str], None]
    """Told of streams of this gateway that are to be stopped."""

    def start(self) -> None:
        """Begin; on the loop that serves."""

    async def close(self) -> None:
        """Write what is left, and let go."""

    async def find(self, stream: str) -> Held | None:
        """A stream that is held; None also when the store cannot be asked."""

    async def known(self, stream: str) -> Known | None:
        """The same, and how it stands."""

    async def listed(self, most: int) -> list[Known]:
        """The streams that are held, the latest first; none also when the store cannot be asked."""
        ...

    async def named(self, name: str) -> str | None:
        """The stream whose answer has that id on the wire of OpenAI's Responses."""

    async def snapshot(self, held: Held) -> RemoteLog:
        """All of its frames that are held now."""
        ...

    async def first(self, stream: str) -> int:
        """The cursor of its oldest frame."""
        ...

    def source(self, held: Held, after: int) -> RemoteLog:
        """Its frames after a cursor, and what comes."""
        ...

    async def stop(self, held: Held) -> bool:
        """Tell the stream's gateway to stop it. False: nobody heard it."""
        ...

    async def claim(self, owner: str | None, name: str, fingerprint: bytes, stream: str) -> tuple[bytes, str] | None:
        """Take an idempotency key for a stream; fingerprint and stream of who has it, None where it is taken now."""


class RemoteLog:
    """A `drive.reader.Source`: one for each reader, filled by ``follow`` as fast as the reader reads."""

    def __init__(self, facts: Facts, after: int, limit: int, follow: Callable[[RemoteLog], Coroutine[Any, Any, None]]):
        self.facts = facts
        self.ring = Ring(max(limit, 2 * ROOM), first=after + 1)
        self.seal: Seal | None = None
        self._follow = follow
        self._follower: Follower | None = None
        self._task: asyncio.Task[None] | None = None

    def follow(self, follower: Follower) -> None:
        """The one reader: reading begins."""
        self._follower = follower
        self._task = asyncio.create_task(self._follow(self))

    def leave(self, follower: Follower) -> None:
        """It has enough."""
        self._follower = None
        if self._task is not None and self._task is not asyncio.current_task():
            self._task.cancel()

    @property
    def wanted(self) -> bool:
        """There is a reader."""
        return self._follower is not None

    def extend(self, last: int, frames: list[bytes]) -> bool:
        """Frames up to the cursor ``last``. False: some before them are missing."""
        known = self.ring.last
        if last - len(frames) > known:
            return False
        new = frames[len(frames) - (last - known) :] if last > known else []
        if new:
            self.ring.append(new)
            self._news()
        return True

    def close(self, ended: Ended) -> None:
        """The end."""
        self.seal = Seal(ended.status, ended.body, ended.cut)
        if ended.body is not None and not self.ring.last:
            self.ring.append([ended.body])
        self._news()

    def give_up(self, told: bytes) -> None:
        """The end cannot be had: the reader is told so, in its wire."""
        if self.seal is None:
            self.ring.append([told])
            self.seal = Seal(cut=True)
            self._news()

    def _news(self) -> None:
        if self._follower is not None:
            self._follower.news()

    async def room(self) -> None:
        """Wait while the reader is far behind."""
        while self.wanted and self.seal is None and self._behind() > ROOM:  # noqa: ASYNC110 - a socket decides
            await asyncio.sleep(0.05)

    def _behind(self) -> int:
        return 0 if self._follower is None else self._follower.behind
