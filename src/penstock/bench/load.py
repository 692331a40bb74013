"""The load generator, a process of its own: a :class:`Job` on stdin, its :class:`Result` on stdout.

It must never be the bottleneck, so it parses next to nothing. ``[`` stands exactly once in every frame of openai-chat
(``"choices":[`` or ``[DONE]``), in none of the simulated provider's words, and not in HTTP's own framing; and a single
byte cannot be split by a read. Counting it counts frames. Other wires have no such byte: where a job names its wire,
HTTP's framing is taken off, and what ends a frame of that wire is counted. A stream counts only when it had all of its
frames and its body was ended, or, where streams are held open, when it was alive and well at the end; anything else
ends the job with an error.
"""

from __future__ import annotations

import asyncio
import gc
import random
import sys
from time import perf_counter, process_time
from typing import cast

import httptools
import msgspec

from penstock.bench import proc
from penstock.bench.asking import ASKING, Counter, request
from penstock.bench.job import BenchError, Job, Result
from penstock.bench.spread import times

MARK = b"["
FIRST_TOKEN = 2
"""The frame with the first token: the one before it only carries the role."""
_END = b"0\r\n\r\n"


class Client(asyncio.Protocol):
    """One connection, one stream after the other."""

    __slots__ = ("_answered", "_last", "_load", "_started", "_tail", "_transport", "seen")

    def __init__(self, load: Load):
        self._load = load
        self._transport: asyncio.Transport | None = None
        self.seen = 0
        self._started = self._last = 0.0
        self._tail = b""
        self._answered = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self.begin()

    def begin(self) -> None:
        """Send the request, if there is still time for one."""
        if self._load.stopping or self._transport is None:
            self._load.client_over()
            return
        self.seen = 0
        self._tail = b""
        self._load.begun += 1
        self._started = perf_counter()
        self._transport.write(self._load.request)

    def data_received(self, data: bytes) -> None:
        now = perf_counter()
        load = self._load
        count = data.count(MARK)
        load.frames += count
        before = self.seen
        self.seen = seen = before + count
        if before >= FIRST_TOKEN:
            if load.measuring:
                load.gaps.append(now - self._last)
        else:
            self._start(data, now)
        self._last = now
        if seen >= load.job.frames:
            self._finish(data, seen)
        elif seen and data.endswith(_END):  # before the first frame it may be a header that ends in 0
            load.fail(f"a stream ended after {seen} of {load.job.frames} frames")

    def connection_lost(self, exc: Exception | None) -> None:
        self._load.lost(f"a connection was closed after {self.seen} of {self._load.job.frames} frames")

    def abort(self) -> None:
        """Close without a farewell."""
        if self._transport is not None:
            self._transport.abort()

    def _start(self, data: bytes, now: float) -> None:
        load = self._load
        if not self._tail and not data.startswith(b"HTTP/1.1 200 "):
            load.fail(f"a request was answered with {data[:40]!r}")
        self._tail = data[-len(_END) :]
        if self.seen >= FIRST_TOKEN:
            if load.measuring or not load.job.repeat:
                load.first.append(now - self._started)
            if not self._answered:
                self._answered = True
                load.answered += 1

    def _finish(self, data: bytes, seen: int) -> None:
        load = self._load
        if seen > load.job.frames:
            load.fail(f"a stream had {seen} frames instead of {load.job.frames}")
        if load.job.hold:
            return
        # The end of the body comes after the last mark, so what was read before it does not matter.
        self._tail = (self._tail + data)[-len(_END) :]
        if self._tail == _END:
            self._next()

    def _next(self) -> None:
        """A stream was whole."""
        load = self._load
        if not load.job.repeat:
            load.client_over()
        elif load.job.rest:
            load.loop.call_later(load.chance.uniform(0, load.job.rest), self.begin)
        else:
            self.begin()


class WireClient(Client):
    """A connection that speaks any wire."""

    __slots__ = ("_counter", "_ended", "_found", "_parser")

    def begin(self) -> None:
        self._ended = False
        self._found = 0
        self._counter = Counter(self._load.mark)
        self._parser = httptools.HttpResponseParser(self)
        super().begin()

    def data_received(self, data: bytes) -> None:
        now = perf_counter()
        load = self._load
        self._found = 0
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError:
            load.fail(f"this is no HTTP: {data[:40]!r}")
            return
        load.frames += self._found
        before = self.seen
        self.seen = seen = before + self._found
        if before < FIRST_TOKEN:
            self._start(data, now)
        elif load.measuring:
            load.gaps.append(now - self._last)
        self._last = now
        frames = load.job.frames
        if seen > frames:
            load.fail(f"a stream had {seen} frames instead of {frames}")
        elif self._ended and (seen < frames or load.job.hold):
            load.fail(f"a stream ended after {seen} of {frames} frames")
        elif self._ended:
            self._next()

    # httptools

    def on_body(self, body: bytes) -> None:
        self._found += self._counter.feed(body)

    def on_message_complete(self) -> None:
        self._ended = True


class Load:
    """The clients of a job, and what they count."""

    def __init__(self, job: Job, loop: asyncio.AbstractEventLoop):
        self.job = job
        self.loop = loop
        self.request = request(job.wire or "openai-chat", job.model, job.port)
        self.mark = ASKING[job.wire].mark if job.wire else MARK
        self.chance = random.Random(7)
        self.frames = self.begun = self.answered = 0
        self.first: list[float] = []
        self.gaps: list[float] = []
        self.measuring = self.stopping = False
        self._closing = False
        self._over: asyncio.Future[None] = loop.create_future()
        self._clients: list[Client] = []
        self._clients_over = 0
        self._connecting: set[asyncio.Task[None]] = set()

    async def run(self) -> Result:
        """The whole job. Raises BenchError."""
        job = self.job
        before = proc.memory(job.watch)
        for _ in range(job.streams):
            self.loop.call_later(self.chance.uniform(0, job.ramp), self._start)
        await self._wait(job.ramp)
        await self._all_answered()
        await self._wait(job.settle)
        start, had = self._look(), [client.seen for client in self._clients]
        self.measuring = True
        await self._wait(job.window)
        self.measuring = False
        seconds, streams, frames, cpu, own, known, busy = (b - a for a, b in zip(start, self._look(), strict=True))
        after = proc.memory(job.watch)
        self.stopping = True
        if job.hold:
            self._check_held(had)
        await (self._close() if job.hold else self._finish())
        return Result(
            seconds=seconds,
            frames=int(frames),
            streams=int(streams),
            cpu=cpu,
            load_cpu=own,
            other_cpu=busy - known - own,
            first=times(self.first),
            gaps=times(self.gaps),
            before=before,
            after=after,
        )

    def _look(self) -> tuple[float, ...]:
        """Everything of which the window's difference is wanted."""
        job = self.job
        cpu, known = proc.cpu_seconds(job.watch), proc.cpu_seconds(job.known)
        return perf_counter(), self.begun, self.frames, cpu, process_time(), known, proc.busy_seconds()

    def fail(self, message: str) -> None:
        """The job has failed; the first reason counts."""
        if not self._over.done():
            self._over.set_exception(BenchError(message))

    def lost(self, message: str) -> None:
        """A connection is gone."""
        if not self._closing:
            self.fail(message)

    def client_over(self) -> None:
        """A client has had its last stream."""
        self._clients_over += 1
        if self._clients_over == self.job.streams and not self._over.done():
            self._over.set_result(None)

    def _start(self) -> None:
        task = self.loop.create_task(self._connect())
        self._connecting.add(task)
        task.add_done_callback(self._connecting.discard)

    async def _connect(self) -> None:
        client = WireClient(self) if self.job.wire else Client(self)
        self._clients.append(client)
        try:
            await self.loop.create_connection(lambda: client, "127.0.0.1", self.job.port)
        except OSError as error:
            self.fail(f"no connection to port {self.job.port}: {error.strerror or error}")

    async def _wait(self, seconds: float) -> None:
        await asyncio.wait({self._over}, timeout=seconds)
        if self._over.done():
            self._over.result()
        if self._clients_over:
            raise BenchError("a stream was over before the measured window was")

    async def _all_answered(self) -> None:
        """Every client has had a first token: from here on the load is steady."""
        end = perf_counter() + self.job.limit
        while self.answered < self.job.streams:
            if perf_counter() > end:
                raise BenchError(f"{self.job.streams - self.answered} of {self.job.streams} streams had no first token")
            await self._wait(0.02)

    async def _finish(self) -> None:
        """What is under way ends properly, or the job has failed."""
        await asyncio.wait({self._over}, timeout=self.job.limit)
        if not self._over.done():
            raise BenchError(f"{self.job.streams - self._clients_over} streams had no end in time")
        self._over.result()
        self._closing = True
        for client in self._clients:
            client.abort()

    async def _close(self) -> None:
        """Let the held streams go one after the other, as they came."""
        self._closing = True
        for client in self._clients:
            self.loop.call_later(self.chance.uniform(0, self.job.ramp), client.abort)
        await asyncio.sleep(self.job.ramp + 0.1)

    def _check_held(self, before: list[int]) -> None:
        """No stream lagged behind: ``before`` is what each had at the window's start."""
        gained = [client.seen - had for client, had in zip(self._clients, before, strict=True)]
        if all(had == self.job.frames for had in before):
            return
        if min(gained) < sum(gained) / len(gained) / 2:
            raise BenchError(f"a stream had {min(gained)} frames where the others had {max(gained)}")


async def _run(job: Job) -> Result:
    return await Load(job, asyncio.get_running_loop()).run()


def main() -> None:
    """Do the job on stdin. Exit 1 with one line on stderr when it fails."""
    import uvloop

    job = msgspec.json.decode(sys.stdin.buffer.read(), type=Job)
    # The job is short and bounded; a pause here would be taken for one of the gateway's.
    gc.disable()
    try:
        result = uvloop.run(_run(job))
    except BenchError as error:
        sys.exit(str(error))
    except OSError as error:
        sys.exit(f"a process under test is gone: {error}")
    sys.stdout.buffer.write(msgspec.json.encode(result))


if __name__ == "__main__":
    main()
