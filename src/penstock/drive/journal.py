"""The journals of a gateway's streams: what can be replayed, and who follows it. In memory; a store may be behind."""

from __future__ import annotations

import asyncio
import re
from collections import deque
from collections.abc import Callable, Iterator
from typing import Protocol

import msgspec

from penstock.outcome import Outcome
from penstock.stream.commands import Seal
from penstock.stream.numbering import Frames
from penstock.stream.ring import Ring

STEP = 4096
"""Bytes of a stream that are not counted yet, at the most."""
AT_ONCE = 1024 * 1024
"""Bytes of a stream that were not looked at yet, at the most."""
SWEEP = 1.0
"""Seconds between two looks for journals that have expired, at the least."""
_NAME = re.compile(rb'"(?:response_id|id)"\s*:\s*"((?:resp|st)_[^"]+)"')


class Facts(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of a resumable stream when it begins. ``began`` in Unix seconds."""

    stream: str
    owner: str | None
    """The name of the key that began it."""
    route: str
    model: str
    client_wire: str
    form: str
    """Of its answer, see `stream.numbering`."""
    ids: bool
    content_type: str
    began: int
    lost: bytes
    """The error frame for a reader whose next frame is not held any more."""
    orphaned: bytes
    """The error frame for the end of a stream whose gateway died."""


class Follower(Protocol):
    """A reader of a journal."""

    def news(self) -> None:
        """Frames were appended, or the journal was sealed."""

    @property
    def behind(self) -> int:
        """The bytes that it has not written yet, about."""
        ...


class Backing(Protocol):
    """A store behind the journals. Nothing here waits or raises."""

    def began(self, log: Log) -> None:
        """A stream begins."""

    def appended(self, log: Log) -> None:
        """There is more than it has. Said once, until it says `Log.taken`."""

    def sealed(self, log: Log) -> None:
        """The journal has its end."""

    def released(self, owner: str | None, name: str) -> None:
        """An idempotency key is free again."""


class Log:
    """The journal of one stream. What is appended is looked at when somebody reads, and not before: a chunk costs
    little here."""

    __slots__ = (
        "_backing",
        "_frames",
        "_journal",
        "_mark",
        "_name",
        "_pieces",
        "_ring",
        "_taken",
        "_told",
        "expires",
        "facts",
        "followers",
        "known",
        "on_followers",
        "outcome",
        "seal",
        "size",
    )

    def __init__(self, journal: Journal, facts: Facts, limit: int):
        self._journal = journal
        self._backing = journal.backing
        self.facts = facts
        self._frames = Frames(facts.content_type.encode())
        self._pieces: list[bytes] = []
        """Behind what is in the ring."""
        self._ring = Ring(limit)
        self.size = 0
        """Bytes of both."""
        self.known = 0
        """The size that the journal was told last."""
        self._mark = 0
        """Over this size it is told again."""
        self._taken = False
        """The store has all, as far as it knows."""
        self._told = False
        """Somebody is to hear of news."""
        self._name = ""
        self.seal: Seal | None = None
        """How it ended; None while the stream is live."""
        self.outcome: Outcome | None = None
        self.followers: list[Follower] = []
        self.on_followers: Callable[[int], None] | None = None
        self.expires = float("inf")

    def append(self, data: bytes) -> None:
        """Further bytes of the client's wire."""
        self._pieces.append(data)
        self.size = size = self.size + len(data)
        if size > self._mark:
            self._count()
        if self._told:
            self._tell()

    def close(self, seal: Seal) -> None:
        """The end."""
        # Before the last frame: readers are to know what that is.
        self.seal = seal
        ring = self.ring
        ring.append(self._frames.rest())
        if seal.body is not None:
            ring.append([seal.body])
            if seal.status >= 400:
                self._journal.release(self.facts.stream)
        self.size = ring.size
        self._count()
        self._journal.sealed(self)
        self._tell()

    @property
    def ring(self) -> Ring:
        """The frames."""
        if self._pieces:
            pieces, self._pieces = self._pieces, []
            self._ring.append(self._frames.take_all(pieces))
            self.size = self._ring.size
        return self._ring

    @property
    def name(self) -> str:
        """The answer's id on the wire of OpenAI's Responses; empty on others, and before it is known."""
        if not self._name and self.facts.client_wire == "openai-responses" and self.size:
            ring = self.ring
            first = ring.after(ring.first - 1, 1)
            if first and (found := _NAME.search(first[0])):
                self._name = found[1].decode("utf-8", "replace")
        return self._name

    def shrink(self, limit: int) -> None:
        """Let the oldest frames go."""
        self.ring.shrink(limit)
        self.size = self.known = self._ring.size

    def taken(self) -> None:
        """The store has all that there is now."""
        self._taken = True
        self._told = True

    def _count(self) -> None:
        """Tell the journal what is held: now and then, and not of every chunk."""
        if self.size > self._ring.limit or self.size - self._ring.size > AT_ONCE:
            # Splitting all of a long answer at once would be felt by others.
            self.ring.shrink(self._ring.limit - self._ring.limit // 16)
            self.size = self._ring.size
        grown, self.known = self.size - self.known, self.size
        self._mark = self.size + STEP
        self._journal.counted(grown)

    def _tell(self) -> None:
        if self._taken and self._backing is not None:
            self._taken = False
            self._backing.appended(self)
        for follower in tuple(self.followers):
            follower.news()
        self._told = bool(self.followers)

    def follow(self, follower: Follower) -> None:
        """Tell it of news from now on."""
        self.followers.append(follower)
        self._told = True
        if self.on_followers is not None:
            self.on_followers(len(self.followers))

    def leave(self, follower: Follower) -> None:
        """No longer."""
        if follower in self.followers:
            self.followers.remove(follower)
            if self.on_followers is not None:
                self.on_followers(len(self.followers))


class Journal:
    """All journals by stream, and the idempotency keys that lead to them. ``ttl`` counts from a stream's end."""

    def __init__(
        self,
        *,
        ttl: float,
        per_stream: int,
        limit: int,
        clock: Callable[[], float],
        backing: Backing | None = None,
    ):
        self.ttl = ttl
        self.limit = limit
        """Bytes of all together."""
        self.size = 0
        self.backing = backing
        self._per_stream = per_stream
        self._clock = clock
        self._logs: dict[str, Log] = {}
        self._ended: deque[Log] = deque()
        """In the order of their end."""
        self._keys: dict[tuple[str | None, str], tuple[bytes, str]] = {}
        self._keys_of: dict[str, tuple[str | None, str]] = {}
        self._timer: asyncio.TimerHandle | None = None

    def __len__(self) -> int:
        return len(self._logs)

    def __iter__(self) -> Iterator[Log]:
        self._expire()
        return iter(list(self._logs.values()))

    def begin(self, facts: Facts) -> Log:
        """The journal of a new stream."""
        log = self._logs[facts.stream] = Log(self, facts, self._per_stream)
        if self.backing is not None:
            self.backing.began(log)
        return log

    def get(self, stream: str) -> Log | None:
        """The journal of a stream, if it is still held."""
        self._expire()
        return self._logs.get(stream)

    def named(self, name: str) -> Log | None:
        """The journal of the answer with that id."""
        self._expire()
        return next((log for log in self._logs.values() if log.name == name), None)

    def sealed(self, log: Log) -> None:
        """A journal has its end: from now on its days are counted."""
        log.on_followers = None
        log.expires = self._clock() + self.ttl
        self._ended.append(log)
        if self.backing is not None:
            self.backing.sealed(log)
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(max(self.ttl, SWEEP), self._sweep)

    def drop(self, log: Log) -> None:
        """Nothing of it can be replayed any more."""
        if self._logs.pop(log.facts.stream, None) is not None:
            self.size -= log.known
            key = self._keys_of.pop(log.facts.stream, None)
            if key is not None:
                self._keys.pop(key, None)

    def counted(self, grown: int) -> None:
        """A journal has grown, or shrunk. Over the limit of all together what ended first goes first, then the oldest
        frames of the longest."""
        self.size += grown
        if self.size > self.limit:
            self._shrink()

    def _shrink(self) -> None:
        while self.size > self.limit and self._ended:
            self.drop(self._ended.popleft())
        while self.size > self.limit and self._logs:
            longest = max(self._logs.values(), key=lambda log: log.known)
            before = longest.known
            longest.shrink(longest.ring.size // 2)
            self.size += longest.known - before
            if longest.known >= before:
                break

    def close(self) -> None:
        """No timer is left behind."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _sweep(self) -> None:
        self._timer = None
        self._expire()
        if self._ended:
            wait = max(self._ended[0].expires - self._clock(), SWEEP)
            self._timer = asyncio.get_running_loop().call_later(wait, self._sweep)

    def _expire(self) -> None:
        now = self._clock()
        while self._ended and self._ended[0].expires <= now:
            self.drop(self._ended.popleft())

    # -- idempotency keys -----------------------------------------------------------------------------------------

    def claimed(self, owner: str | None, key: str) -> tuple[bytes, str] | None:
        """The fingerprint and the stream of a request with that key."""
        self._expire()
        return self._keys.get((owner, key))

    def claim(self, owner: str | None, key: str, fingerprint: bytes, stream: str) -> None:
        """The key leads to that stream, while its journal is held."""
        self._keys[owner, key] = fingerprint, stream
        self._keys_of[stream] = owner, key

    def release(self, stream: str) -> None:
        """The stream came to nothing: its key may begin another."""
        key = self._keys_of.pop(stream, None)
        if key is not None:
            self._keys.pop(key, None)
            if self.backing is not None:
                self.backing.released(*key)
