"""The journal in Redis or Valkey: shared by gateways, written in batches, never waited for by the live path.

Per stream two keys: ``penstock:<stream>`` holds its facts, ``penstock:<stream>:frames`` is a Redis stream. An entry
``<n>-0`` holds the frames up to the cursor ``n``, and an entry ``<n>-1`` is the journal's end. A gateway that lives has
a key of its own, which expires when it does not renew it: so the others see that the owner of a stream is gone.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import logging
from collections.abc import Callable
from typing import Any

import msgspec
import redis.asyncio as redis
from redis.exceptions import RedisError

from penstock.drive.journal import Log
from penstock.store.shared import Ended, Held, RemoteLog

logger = logging.getLogger("penstock.journal")
INTERVAL = 0.02
"""Seconds for which frames are gathered."""
LEASE = 3.0
"""Seconds after which a gateway that says nothing is gone."""
TIMEOUT = 5.0
BACKLOG = 64 * 1024 * 1024
"""Bytes that may wait for the store."""
_FAILURES = (RedisError, OSError, TimeoutError)
_encode, _frames = msgspec.msgpack.encode, msgspec.msgpack.Decoder(list[bytes])
_held, _ended = msgspec.msgpack.Decoder(Held), msgspec.msgpack.Decoder(Ended)


class RedisJournal:
    """One gateway's access to the shared journal. ``on_stop`` is told of streams that others want stopped."""

    def __init__(self, url: str, *, gateway: str, ttl: float, per_stream: int):
        self._redis: Any = redis.Redis.from_url(url, protocol=2, socket_timeout=TIMEOUT, socket_connect_timeout=TIMEOUT)
        self._gateway = gateway
        self._ttl = max(1, int(ttl * 1000))
        self._per_stream = per_stream
        self._pending: list[tuple[Log, int, list[bytes] | None]] = []
        self._waiting = 0
        self._wake = asyncio.Event()
        self._live: dict[str, Log] = {}
        """What this gateway owns and the store has all of."""
        self._forget: list[str] = []
        """Keys that are to go when the store is back."""
        self._tasks: list[asyncio.Task[None]] = []
        self._down = False
        self.lost = 0
        """Streams of which the store did not take all."""
        self.on_stop: Callable[[str], None] = lambda stream: None

    def start(self) -> None:
        """Begin; on the loop that serves."""
        if not self._tasks:
            self._tasks = [asyncio.create_task(work()) for work in (self._write, self._renew, self._listen)]

    async def close(self) -> None:
        """Write what is left, for a second, and let go."""
        for task in self._tasks[1:]:
            task.cancel()
        if self._pending and not self._down:
            with contextlib.suppress(*_FAILURES):
                async with asyncio.timeout(1):
                    await self._flush()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks = []
        with contextlib.suppress(*_FAILURES):
            await self._redis.aclose()

    # -- from the live path: nothing waits ------------------------------------------------------------------------

    def began(self, log: Log) -> None:
        """A stream begins."""
        self._live[log.facts.stream] = log
        self._add(log, 0, [])

    def appended(self, log: Log, first: int, frames: list[bytes]) -> None:
        """Frames."""
        if log.facts.stream in self._live:
            self._waiting += sum(map(len, frames))
            self._add(log, first, frames)
            if self._waiting > BACKLOG:
                self._give_up("more waits for it than it takes")

    def sealed(self, log: Log) -> None:
        """The end."""
        if log.facts.stream in self._live:
            self._add(log, log.ring.last, None)

    def _add(self, log: Log, first: int, frames: list[bytes] | None) -> None:
        if not self._pending:
            self._wake.set()
        self._pending.append((log, first, frames))

    def released(self, owner: str | None, name: str) -> None:
        """An idempotency key whose stream came to nothing."""
        self._forget.append(key_of(owner, name))
        self._wake.set()

    # -- the writer -----------------------------------------------------------------------------------------------

    async def _write(self) -> None:
        while True:
            await self._wake.wait()
            await asyncio.sleep(INTERVAL)
            self._wake.clear()
            try:
                await self._flush()
                if self._down:
                    self._down = False
                    logger.info("the journal's store is back")
            except _FAILURES as error:
                self._give_up(str(error) or type(error).__name__)
                await asyncio.sleep(1)
                if self._forget:
                    self._wake.set()

    async def _flush(self) -> None:
        pending, self._pending, self._waiting = self._pending, [], 0
        joined: dict[str, tuple[Log, list[bytes], int, bool, bool]] = {}
        for log, first, frames in pending:
            stream = log.facts.stream
            _, held, last, new, end = joined.get(stream, (log, [], log.ring.last, False, False))
            if frames:
                held += frames
                last = first + len(frames) - 1
            joined[stream] = log, held, last, new or first == 0, end or frames is None
        pipe = self._redis.pipeline(transaction=False)
        for log, frames, last, new, end in joined.values():
            self._commands(pipe, log, frames, last, new=new, end=end)
        forget = list(self._forget)
        if forget:
            pipe.delete(*forget)
        try:
            if joined or forget:
                await pipe.execute()
        except BaseException:
            self._pending = pending + self._pending
            raise
        del self._forget[: len(forget)]
        for log, _, _, _, end in joined.values():
            if end:
                self._live.pop(log.facts.stream, None)

    def _commands(self, pipe: Any, log: Log, frames: list[bytes], last: int, *, new: bool, end: bool) -> None:
        name, key = _names(log.facts.stream)
        if new:
            pipe.set(name, _encode(Held(facts=log.facts, gateway=self._gateway)))
        seal = log.seal
        if frames and (seal is None or seal.body is None):
            pipe.xadd(key, {"f": _encode(frames)}, id=f"{last}-0")
        if log.ring.first > 1:
            pipe.xtrim(key, minid=f"{log.ring.first}-0", approximate=False)
        if end and seal is not None:
            ended = Ended(status=seal.status, body=seal.body, cut=seal.cut)
            pipe.xadd(key, {"e": _encode(ended)}, id=f"{log.ring.last}-1")
        pipe.pexpire(name, self._ttl)
        pipe.pexpire(key, self._ttl)

    def _give_up(self, why: str) -> None:
        """The store has gaps now, or will: the streams that live are no longer resumable elsewhere."""
        self._pending, self._waiting = [], 0
        lost, self._live = list(self._live), {}
        self.lost += len(lost)
        for stream in lost:
            self._forget += _names(stream)
        if lost or not self._down:
            logger.warning(
                "the journal's store fails (%s): %d live streams can be resumed at this gateway alone", why, len(lost)
            )
        self._down = True

    # -- leases and stops -----------------------------------------------------------------------------------------

    async def _renew(self) -> None:
        while True:
            with contextlib.suppress(*_FAILURES):
                await self._redis.set(_lease(self._gateway), b"1", px=int(LEASE * 1000))
            await asyncio.sleep(LEASE / 3)

    async def _listen(self) -> None:
        while True:
            with contextlib.suppress(*_FAILURES):
                async with self._redis.pubsub() as channel:
                    await channel.subscribe(_stops(self._gateway))
                    while True:
                        message = await channel.get_message(ignore_subscribe_messages=True, timeout=1.0)
                        if message is not None:
                            self.on_stop(message["data"].decode())
            await asyncio.sleep(0.5)

    # -- for those who come back ----------------------------------------------------------------------------------

    async def find(self, stream: str) -> Held | None:
        """A stream that the store has; None also when it cannot be asked."""
        try:
            found = await self._redis.get(_names(stream)[0])
            return None if found is None else _held.decode(found)
        except (*_FAILURES, msgspec.DecodeError):
            return None

    async def first(self, stream: str) -> int:
        """The cursor of the oldest frame that is held."""
        with contextlib.suppress(*_FAILURES):
            for name, fields in await self._redis.xrange(_names(stream)[1], count=1):
                if b"f" in fields:
                    return _number(name) - len(_frames.decode(fields[b"f"])) + 1
        return 1

    def source(self, held: Held, after: int) -> RemoteLog:
        """Its frames after a cursor, and what comes."""
        return RemoteLog(held.facts, after, self._per_stream, lambda log: self._follow(held, log))

    async def _follow(self, held: Held, log: RemoteLog) -> None:
        """Read to the end, or until the truth is that there is none."""
        _, key = _names(held.facts.stream)
        position = f"{log.ring.last}-0"
        try:
            while log.seal is None and log.wanted:
                # Asked before the frames are read: what a gateway wrote before it went is then read too.
                owned = await self._owned(held)
                found = await self._redis.xread({key: position}, count=32, block=None if not owned else 500)
                entries = found[0][1] if found else []
                for name, fields in entries:
                    position = name.decode()
                    if b"e" in fields:
                        log.close(_ended.decode(fields[b"e"]))
                    elif not log.extend(_number(name), _frames.decode(fields[b"f"])):
                        log.give_up(held.facts.lost)
                if not entries and owned is None:
                    log.give_up(held.facts.lost)
                elif not entries and not owned:
                    log.give_up(held.facts.orphaned)
                await log.room()
        except (*_FAILURES, msgspec.DecodeError):
            log.give_up(held.facts.lost)

    async def _owned(self, held: Held) -> bool | None:
        """Whether the stream's gateway lives; None: the stream is not held any more."""
        name, _ = _names(held.facts.stream)
        alive, known = await self._redis.mget(_lease(held.gateway), name)
        return None if known is None else alive is not None

    async def stop(self, held: Held) -> bool:
        """Tell the stream's gateway. False: nobody heard it."""
        try:
            return bool(await self._redis.publish(_stops(held.gateway), held.facts.stream.encode()))
        except _FAILURES:
            return False

    async def claim(self, owner: str | None, name: str, fingerprint: bytes, stream: str) -> tuple[bytes, str] | None:
        """Take an idempotency key for a stream; fingerprint and stream of who has it, None where it is taken now, or
        where the store cannot be asked."""
        key = key_of(owner, name)
        try:
            if await self._redis.set(key, fingerprint + stream.encode(), nx=True, px=self._ttl):
                return None
            said = await self._redis.get(key)
        except _FAILURES:
            return None
        return None if said is None else (said[: len(fingerprint)], said[len(fingerprint) :].decode())


def key_of(owner: str | None, name: str) -> str:
    """Where an idempotency key is kept."""
    return "penstock:key:" + hashlib.sha256(f"{owner}\0{name}".encode()).hexdigest()


def _names(stream: str) -> tuple[str, str]:
    return f"penstock:{stream}", f"penstock:{stream}:frames"


def _lease(gateway: str) -> str:
    return f"penstock:gateway:{gateway}"


def _stops(gateway: str) -> str:
    return f"penstock:gateway:{gateway}:stop"


def _number(name: bytes) -> int:
    return int(name.partition(b"-")[0])
