"""The journal in a file of SQLite: it survives a restart, and gateways of one machine may share it.

Nothing of it runs on the event loop: one thread writes, one reads.
"""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import msgspec

from penstock.errors import BadRequest
from penstock.store.batches import Batch, BatchWriter, Failed, Owned
from penstock.store.cipher import Cipher, Unreadable, sealed_off
from penstock.store.shared import Ended, Held, Known, RemoteLog

LEASE = 3.0
"""Seconds after which a gateway that says nothing is gone."""
TICK = 1.0
POLL = 0.1
"""Seconds between two looks for frames of another process."""
MOST = 64
"""Rows that are read at once."""
_TABLES = """
create table if not exists streams (stream text primary key, held blob not null, name text not null default '',
    began integer not null, ended blob, expires real not null);
create index if not exists streams_name on streams (name) where name != '';
create index if not exists streams_expires on streams (expires);
create table if not exists frames (stream text not null, last integer not null, frames blob not null,
    primary key (stream, last)) without rowid;
create table if not exists keys (owner text not null, name text not null, fingerprint blob not null,
    stream text not null, expires real not null, primary key (owner, name)) without rowid;
create table if not exists gateways (gateway text primary key, seen real not null) without rowid;
create table if not exists stops (gateway text not null, stream text not null);
"""
_encode, _frames = msgspec.msgpack.encode, msgspec.msgpack.Decoder(list[bytes])
_UNREAD = (Failed, Unreadable, BadRequest, msgspec.DecodeError)
_held, _ended = msgspec.msgpack.Decoder(Held), msgspec.msgpack.Decoder(Ended)
Answer = TypeVar("Answer")
Row = tuple[int, bytes]
Stand = tuple[bytes, bytes | None]


class SqliteJournal(BatchWriter):
    """One gateway's access to the file. Raises sqlite3.Error where it cannot be opened."""

    def __init__(self, path: str, *, gateway: str, ttl: float, per_stream: int, cipher: Cipher | None = None):
        super().__init__()
        self._cipher = cipher or Cipher()
        self._gateway = gateway
        self._ttl = ttl
        self._per_stream = per_stream
        self._writes, self._reads = _open(path), _open(path)
        self._writer = ThreadPoolExecutor(1, "penstock-journal-writer")
        self._reader = ThreadPoolExecutor(1, "penstock-journal-reader")
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Begin; on the loop that serves."""
        if not self._tasks:
            self._tasks = [asyncio.create_task(work()) for work in (self._renew, self.work)]

    async def close(self) -> None:
        """Write what is left, and let go of the file."""
        await self.put_down(self._tasks)
        for thread, connection in ((self._writer, self._writes), (self._reader, self._reads)):
            thread.submit(connection.close)
            thread.shutdown()

    async def write(self, batches: Sequence[Batch], gone: Sequence[str], free: Sequence[Owned]) -> None:
        """In one transaction. Raises Failed."""
        await self._written(lambda: self._put(batches, gone, free))

    def _put(self, batches: Sequence[Batch], gone: Sequence[str], free: Sequence[Owned]) -> None:
        run, expires, encrypt = self._writes.execute, time.time() + self._ttl, self._cipher.encrypt
        for batch in batches:
            stream = batch.facts.stream
            if batch.new:
                held = encrypt(_encode(Held(facts=batch.facts, gateway=self._gateway)))
                values = (stream, held, batch.facts.began, expires)
                run("insert or replace into streams (stream, held, began, expires) values (?, ?, ?, ?)", values)
            for last, frames in self._cipher.pieces(batch.last, batch.frames):
                run("insert or replace into frames values (?, ?, ?)", (stream, last, encrypt(_encode(frames))))
            if batch.first > 1:
                run("delete from frames where stream = ? and last < ?", (stream, batch.first))
            ended = None if batch.ended is None else encrypt(_encode(batch.ended))
            known = (ended, batch.name, expires, stream)
            run("update streams set ended = ?, name = ?, expires = ? where stream = ?", known)
        self._forget(gone)
        self._writes.executemany("delete from keys where owner = ? and name = ?", [(o or "", n) for o, n in free])

    def _forget(self, streams: Sequence[str]) -> None:
        for table in ("frames", "streams"):
            self._writes.executemany(f"delete from {table} where stream = ?", [(stream,) for stream in streams])

    # -- the threads ----------------------------------------------------------------------------------------------

    async def _written(self, act: Callable[[], Answer]) -> Answer:
        def inside() -> Answer:
            try:
                with self._writes:
                    return act()
            except sqlite3.Error as error:
                raise Failed(str(error)) from error

        return await self._in(self._writer, inside)

    async def _read(self, query: str, *values: object) -> list[tuple[object, ...]]:
        def inside() -> list[tuple[object, ...]]:
            try:
                return self._reads.execute(query, values).fetchall()
            except sqlite3.Error as error:
                raise Failed(str(error)) from error

        return await self._in(self._reader, inside)

    async def _in(self, thread: ThreadPoolExecutor, act: Callable[[], Answer]) -> Answer:
        return await asyncio.get_running_loop().run_in_executor(thread, act)

    async def _renew(self) -> None:
        while True:
            with contextlib.suppress(Failed):
                for stream in await self._written(self._sign_on):
                    self.on_stop(stream)
            await asyncio.sleep(TICK)

    def _sign_on(self) -> list[str]:
        """This gateway lives; what has expired goes. The streams that are to be stopped."""
        run, now = self._writes.execute, time.time()
        run("insert or replace into gateways values (?, ?)", (self._gateway, now))
        run("delete from gateways where seen < ?", (now - 60,))
        run("delete from keys where expires < ?", (now,))
        self._forget([stream for (stream,) in run("select stream from streams where expires < ? limit 100", (now,))])
        stops = [stream for (stream,) in run("select stream from stops where gateway = ?", (self._gateway,))]
        run("delete from stops where gateway = ? or gateway not in (select gateway from gateways)", (self._gateway,))
        return stops

    # -- for those who come back ----------------------------------------------------------------------------------

    async def find(self, stream: str) -> Held | None:
        """A stream that is held."""
        known = await self.known(stream)
        return None if known is None else known.held

    async def known(self, stream: str) -> Known | None:
        """The same, and how it stands."""
        rows, alive = await self._stand("where stream = ? and expires >= ?", stream, time.time())
        try:
            return next((self._known(row, alive) for row in rows), None)
        except Unreadable:
            raise sealed_off(stream) from None
        except msgspec.DecodeError:
            return None

    async def listed(self, most: int) -> list[Known]:
        """The streams that are held, the latest first."""
        order = "where expires >= ? order by began desc, rowid desc limit ?"
        rows, alive = await self._stand(order, time.time(), most)
        known = []
        for row in rows:
            with contextlib.suppress(Unreadable, msgspec.DecodeError):
                known.append(self._known(row, alive))
        return known

    async def _stand(self, where: str, *values: object) -> tuple[list[Stand], set[object]]:
        """What is written of streams, and the gateways that live."""
        try:
            seen = await self._read("select gateway from gateways where seen >= ?", time.time() - LEASE)
            rows = await self._read(f"select held, ended from streams {where}", *values)
        except Failed:
            return [], set()
        return rows, {gateway for (gateway,) in seen}  # type: ignore[return-value]

    def _known(self, row: Stand, alive: set[object]) -> Known:
        """Raises Unreadable, msgspec.DecodeError."""
        held, ended = row
        stream = _held.decode(self._cipher.decrypt(held))
        end = None if ended is None else _ended.decode(self._cipher.decrypt(ended))
        return Known(stream, end, stream.gateway in alive)

    async def named(self, name: str) -> str | None:
        """The stream whose answer has that id."""
        with contextlib.suppress(Failed):
            for (stream,) in await self._read("select stream from streams where name = ?", name):
                return str(stream)
        return None

    async def first(self, stream: str) -> int:
        """The cursor of the oldest frame that is held."""
        with contextlib.suppress(*_UNREAD):
            for last, frames in await self._after(stream, 0, 1):
                return last - len(self._frames(frames)) + 1
        return 1

    def _frames(self, written: bytes) -> list[bytes]:
        return _frames.decode(self._cipher.decrypt(written))

    async def _after(self, stream: str, last: int, most: int) -> list[Row]:
        query = "select last, frames from frames where stream = ? and last > ? order by last limit ?"
        return await self._read(query, stream, last, most)  # type: ignore[return-value]

    def source(self, held: Held, after: int) -> RemoteLog:
        """Its frames after a cursor, and what comes."""
        return RemoteLog(held.facts, after, self._per_stream, lambda log: self._follow(held, log))

    async def snapshot(self, held: Held) -> RemoteLog:
        """All of its frames that are held now."""
        log = self.source(held, await self.first(held.facts.stream) - 1)
        with contextlib.suppress(*_UNREAD):
            known = await self.known(held.facts.stream)
            for last, frames in await self._after(held.facts.stream, 0, 1 << 62):
                log.extend(last, self._frames(frames))
            if known is not None and known.ended is not None:
                log.close(known.ended)
        return log

    async def _follow(self, held: Held, log: RemoteLog) -> None:
        """Read to the end, or until the truth is that there is none."""
        stream = held.facts.stream
        try:
            while log.seal is None and log.wanted:
                # Asked before the frames are read: what a gateway wrote before it went is then read too.
                known = await self.known(stream)
                rows = await self._after(stream, log.ring.last, MOST)
                for last, frames in rows:
                    if not log.extend(last, self._frames(frames)):
                        log.give_up(held.facts.lost)
                if not rows:
                    if known is None:
                        log.give_up(held.facts.lost)
                    elif known.ended is not None:
                        log.close(known.ended)
                    elif not known.alive:
                        log.give_up(held.facts.orphaned)
                    else:
                        await asyncio.sleep(POLL)
                await log.room()
        except _UNREAD:
            log.give_up(held.facts.lost)

    async def stop(self, held: Held) -> bool:
        """Tell the stream's gateway. False: it is gone."""
        known = await self.known(held.facts.stream)
        if known is None or not known.alive:
            return False
        values = (held.gateway, held.facts.stream)
        try:
            await self._written(lambda: self._writes.execute("insert into stops values (?, ?)", values))
        except Failed:
            return False
        return True

    async def claim(self, owner: str | None, name: str, fingerprint: bytes, stream: str) -> tuple[bytes, str] | None:
        """Take an idempotency key for a stream; fingerprint and stream of who has it, None where it is taken now, or
        where the file cannot be written."""

        def take() -> tuple[bytes, str] | None:
            run, now, key = self._writes.execute, time.time(), (owner or "", name)
            run("delete from keys where owner = ? and name = ? and expires < ?", (*key, now))
            taken = run(
                "insert or ignore into keys values (?, ?, ?, ?, ?)", (*key, fingerprint, stream, now + self._ttl)
            )
            if taken.rowcount:
                return None
            found: tuple[bytes, str] = run(
                "select fingerprint, stream from keys where owner = ? and name = ?", key
            ).fetchone()
            return found

        try:
            return await self._written(take)
        except Failed:
            return None


def _open(path: str) -> sqlite3.Connection:
    connection = sqlite3.connect(path, timeout=5.0, check_same_thread=False)
    connection.execute("pragma journal_mode = wal")
    # What was written survives the process at any time; of a machine that loses power it may miss the last moments.
    connection.execute("pragma synchronous = normal")
    connection.executescript(_TABLES)
    return connection
