"""The journal in Redis or Valkey: shared by gateways.

Per stream two keys: ``penstock:<stream>`` holds its facts, ``penstock:<stream>:frames`` is a Redis stream. An entry
``<n>-0`` holds the frames up to the cursor ``n``, and an entry ``<n>-1`` is the journal's end. ``penstock:streams`` is
the index, by their beginning. A gateway that lives has a key of its own, which expires when it does not renew it: so
the others see that the owner of a stream is gone.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
from collections.abc import Iterator, Sequence
from typing import Any

import msgspec
import redis.asyncio as redis
from redis.exceptions import RedisError

from penstock.store.batches import Batch, BatchWriter, Failed, Owned
from penstock.store.cipher import Cipher, Unreadable, sealed_off
from penstock.store.shared import Ended, Held, Known, RemoteLog

LEASE = 3.0
"""Seconds after which a gateway that says nothing is gone."""
TIMEOUT = 5.0
MOST = 10_000
"""Streams in the index."""
_INDEX = "penstock:streams"
_FAILURES = (RedisError, OSError, TimeoutError)
_UNREAD = (*_FAILURES, Unreadable, msgspec.DecodeError)
_encode, _frames = msgspec.msgpack.encode, msgspec.msgpack.Decoder(list[bytes])
_held, _ended = msgspec.msgpack.Decoder(Held), msgspec.msgpack.Decoder(Ended)


class RedisJournal(BatchWriter):
    """One gateway's access to the shared journal. ``on_stop`` is told of streams that others want stopped."""

    def __init__(self, url: str, *, gateway: str, ttl: float, per_stream: int, cipher: Cipher | None = None):
        super().__init__()
        self._cipher = cipher or Cipher()
        self._redis: Any = redis.Redis.from_url(url, protocol=2, socket_timeout=TIMEOUT, socket_connect_timeout=TIMEOUT)
        self._gateway = gateway
        self._ttl = max(1, int(ttl * 1000))
        self._per_stream = per_stream
        self._renewed: dict[str, float] = {}
        """When the streams that live were last given their ``ttl``."""
        self._made: set[str] = set()
        """The keys of their frames, once there are frames."""
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Begin; on the loop that serves."""
        if not self._tasks:
            self._tasks = [asyncio.create_task(work()) for work in (self.work, self._renew, self._listen)]

    async def close(self) -> None:
        """Write what is left, for a second, and let go."""
        await self.put_down(self._tasks)
        with contextlib.suppress(*_FAILURES):
            async with asyncio.timeout(1):
                await self._redis.aclose()

    async def write(self, batches: Sequence[Batch], gone: Sequence[str], free: Sequence[Owned]) -> None:
        """In one pipeline. Raises Failed."""
        pipe = self._redis.pipeline(transaction=False)
        for batch in batches:
            await self._commands(pipe, batch)
        names = [name for stream in gone for name in _names(stream)] + [key_of(*key) for key in free]
        for stream in gone:
            name, key = _names(stream)
            self._renewed.pop(name, None)
            self._made.discard(key)
        if names:
            pipe.delete(*names)
        if gone:
            pipe.zrem(_INDEX, *gone)
        try:
            await pipe.execute()
        except _FAILURES as error:
            raise Failed(str(error) or type(error).__name__) from error

    async def _commands(self, pipe: Any, batch: Batch) -> None:
        name, key = _names(batch.facts.stream)
        encrypt = self._cipher.encrypt
        if batch.new:
            pipe.set(name, encrypt(_encode(Held(facts=batch.facts, gateway=self._gateway))))
            pipe.zadd(_INDEX, {batch.facts.stream: batch.facts.began})
            pipe.zremrangebyrank(_INDEX, 0, -MOST - 1)
        for number, (last, frames) in enumerate(self._cipher.pieces(batch.last, batch.frames)):
            if number:
                # Streams go on between the pieces of a long one.
                await asyncio.sleep(0)
            # A store that has lost its data is not given the rest: nobody could read it.
            made = key in self._made or number > 0
            pipe.xadd(key, {"f": encrypt(_encode(frames))}, id=f"{last}-0", nomkstream=made)
        if batch.first > 1:
            pipe.xtrim(key, minid=f"{batch.first}-0", approximate=False)
        if batch.ended is not None:
            ended = encrypt(_encode(batch.ended))
            pipe.xadd(key, {"e": ended}, id=f"{batch.last}-1", nomkstream=key in self._made)
        if batch.name:
            pipe.set(_answer(batch.name), batch.facts.stream, px=self._ttl)
        now = asyncio.get_running_loop().time()
        if batch.new or batch.ended is not None or now > self._renewed.get(name, 0.0) + self._ttl / 4000:
            self._renewed[name] = now
            pipe.pexpire(name, self._ttl)
            pipe.pexpire(key, self._ttl)
        elif batch.frames and key not in self._made:
            pipe.pexpire(key, self._ttl)
        if batch.frames:
            self._made.add(key)
        if batch.ended is not None:
            del self._renewed[name]
            self._made.discard(key)

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
            return None if found is None else self._held(found)
        except Unreadable:
            raise sealed_off(stream) from None
        except (*_FAILURES, msgspec.DecodeError):
            return None

    async def known(self, stream: str) -> Known | None:
        """The same, and how it stands."""
        held = await self.find(stream)
        return None if held is None else next(iter(await self._stand([held])), None)

    async def listed(self, most: int) -> list[Known]:
        """The streams that are held, the latest first."""
        try:
            names = await self._redis.zrevrange(_INDEX, 0, most - 1)
            found = await self._redis.mget([_names(name.decode())[0] for name in names]) if names else []
            gone = [name for name, one in zip(names, found, strict=True) if one is None]
            if gone:
                await self._redis.zrem(_INDEX, *gone)
            return await self._stand(list(self._readable(found)))
        except (*_FAILURES, msgspec.DecodeError):
            return []

    def _readable(self, found: list[bytes | None]) -> Iterator[Held]:
        for one in found:
            with contextlib.suppress(Unreadable):
                if one is not None:
                    yield self._held(one)

    async def _stand(self, streams: list[Held]) -> list[Known]:
        pipe = self._redis.pipeline(transaction=False)
        for held in streams:
            pipe.xrevrange(_names(held.facts.stream)[1], count=1)
            pipe.exists(_lease(held.gateway))
        try:
            said = await pipe.execute()
            known = []
            for place, held in enumerate(streams):
                entries, alive = said[2 * place], bool(said[2 * place + 1])
                last = entries[0][1].get(b"e") if entries else None
                known.append(Known(held, None if last is None else self._ended(last), alive))
            return known
        except _UNREAD:
            return []

    async def named(self, name: str) -> str | None:
        """The stream whose answer has that id."""
        try:
            found = await self._redis.get(_answer(name))
        except _FAILURES:
            return None
        return None if found is None else found.decode()

    async def snapshot(self, held: Held) -> RemoteLog:
        """All of its frames that are held now."""
        log = self.source(held, await self.first(held.facts.stream) - 1)
        with contextlib.suppress(*_UNREAD):
            self._take(log, held, await self._redis.xrange(_names(held.facts.stream)[1]))
        return log

    async def first(self, stream: str) -> int:
        """The cursor of the oldest frame that is held."""
        with contextlib.suppress(*_UNREAD):
            for name, fields in await self._redis.xrange(_names(stream)[1], count=1):
                if b"f" in fields:
                    return _number(name) - len(self._frames(fields[b"f"])) + 1
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
                self._take(log, held, entries)
                position = entries[-1][0].decode() if entries else position
                if not entries and owned is None:
                    log.give_up(held.facts.lost)
                elif not entries and not owned:
                    log.give_up(held.facts.orphaned)
                await log.room()
        except _UNREAD:
            log.give_up(held.facts.lost)

    def _take(self, log: RemoteLog, held: Held, entries: list[tuple[bytes, dict[bytes, bytes]]]) -> None:
        for name, fields in entries:
            if log.seal is not None:
                # What follows a gap is not to be had, its end included.
                return
            if b"e" in fields:
                log.close(self._ended(fields[b"e"]))
            elif not log.extend(_number(name), self._frames(fields[b"f"])):
                log.give_up(held.facts.lost)

    # What was written, as it was before it was encrypted. Raises Unreadable, msgspec.DecodeError.

    def _held(self, written: bytes) -> Held:
        return _held.decode(self._cipher.decrypt(written))

    def _ended(self, written: bytes) -> Ended:
        return _ended.decode(self._cipher.decrypt(written))

    def _frames(self, written: bytes) -> list[bytes]:
        return _frames.decode(self._cipher.decrypt(written))

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


def _answer(name: str) -> str:
    return f"penstock:answer:{name}"


def _lease(gateway: str) -> str:
    return f"penstock:gateway:{gateway}"


def _stops(gateway: str) -> str:
    return f"penstock:gateway:{gateway}:stop"


def _number(name: bytes) -> int:
    return int(name.partition(b"-")[0])
