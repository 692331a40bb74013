"""The player: performs the steps of a script on one connection, without a task and without an await."""

from __future__ import annotations

import asyncio
import dataclasses
import socket
import struct
from collections.abc import Callable

from penstock.sim.steps import DATA, DONE, DROP, END, HEAD, HOLD, RESET, Play, Step
from penstock.sim.wheel import Wheel

BATCH = 16 * 1024
DRAIN_POLL = 0.005


@dataclasses.dataclass(slots=True, eq=False)
class Record:
    """One request and what became of it.

    ``headers``: names in lower case, in order. ``started``, ``peer_closed_at``: the loop's time in seconds; the latter
    only when the peer left before the answer was over. ``bytes_written``: bytes of the body, without HTTP's own
    framing, handed to the transport. ``chunks_written``: chunks of the chunked body, pings included.
    ``tokens_written``: frames that carry generated output. ``finished``: the answer was played to its end, whatever
    end that was.
    """

    method: str = ""
    path: str = ""
    headers: list[tuple[bytes, bytes]] = dataclasses.field(default_factory=list)
    body: bytes = b""
    model: str = ""
    started: float = 0.0
    bytes_written: int = 0
    chunks_written: int = 0
    tokens_written: int = 0
    peer_closed_at: float | None = None
    finished: bool = False

    def header(self, name: str) -> str | None:
        """The first header of that name (lower case), or None."""
        wanted = name.encode()
        return next((value.decode("latin-1") for key, value in self.headers if key == wanted), None)


class Player:
    """Plays one answer.

    ``over`` is called once, when it is over, with True when the connection can be used again; not after :meth:`stop`.
    """

    __slots__ = (
        "_due",
        "_headed",
        "_loop",
        "_missed",
        "_over",
        "_paused",
        "_pinger",
        "_play",
        "_record",
        "_step",
        "_stopped",
        "_transport",
        "_wheel",
        "slot",
    )

    def __init__(
        self,
        transport: asyncio.Transport,
        wheel: Wheel,
        loop: asyncio.AbstractEventLoop,
        record: Record,
        play: Play,
        over: Callable[[bool], None],
    ):
        self.slot = 0
        self._transport = transport
        self._wheel = wheel
        self._loop = loop
        self._record = record
        self._play = play
        self._over = over
        self._paused = self._missed = self._stopped = self._headed = False
        self._due = 0.0
        self._step: Step = (0.0, b"", HOLD, 0)
        self._pinger: _Pinger | None = None

    def start(self, *, paused: bool = False) -> None:
        """Begin. ``paused``: the peer has not read an earlier answer yet."""
        self._paused = paused
        self._due = self._loop.time()
        if self._play.ping and self._play.ping_frame:
            self._pinger = _Pinger(self.ping, self._wheel, self._play.ping, self._due)
        self._step = next(self._play.steps)
        if self._step[0] > 0:
            self._wait(self._step[0])
        else:
            self.beat(self._due)

    def stop(self) -> None:
        """Play nothing more, at once."""
        if self._stopped:
            return
        self._stopped = True
        self._wheel.remove(self)
        if self._pinger is not None:
            self._wheel.remove(self._pinger)
        # A script that is left in the middle is closed here and not by the garbage collector.
        close = getattr(self._play.steps, "close", None)
        if close is not None:
            close()

    def pause(self) -> None:
        """The peer does not read: write nothing until :meth:`resume`."""
        self._paused = True

    def resume(self) -> None:
        """The peer reads again. What was missed is not caught up: the pace goes on from now."""
        self._paused = False
        if self._missed:
            self._missed = False
            self._due = self._loop.time()
            self.beat(self._due)

    def ping(self) -> None:
        """Write the wire's keep-alive if a frame can start here, which is while the player waits."""
        if self._headed and not self._paused and (self.slot or self._step[2] == HOLD):
            self._record.chunks_written += 1
            self._record.bytes_written += len(self._play.ping_frame)
            self._transport.write(b"%x\r\n%b\r\n" % (len(self._play.ping_frame), self._play.ping_frame))

    def beat(self, now: float) -> None:
        """Perform the step that is due, and those that follow it without a wait."""
        if self._stopped:
            return
        if self._paused:
            self._missed = True
            return
        record, play, transport = self._record, self._play, self._transport
        out: list[bytes] = []
        size = 0
        while True:
            _, data, act, tokens = self._step
            if act > HEAD:
                if out:
                    transport.write(b"".join(out))
                self._end(act)
                return
            length = len(data)
            size += length
            if act == HEAD:
                self._headed = True
            else:
                record.bytes_written += length
                if act == DATA:
                    record.tokens_written += tokens
                if act == DATA and length:
                    # An empty chunk would end the body: a wire that says nothing here writes nothing.
                    record.chunks_written += 1
                    data = b"%x\r\n%b\r\n" % (length, data)
            if play.batch:
                out.append(data)
            else:
                transport.write(data)
            self._step = step = next(play.steps)
            if step[0] > 0 or play.spread or size >= BATCH or self._paused:
                break
        if out:
            transport.write(b"".join(out))
        if step[0] > 0:
            self._wait(step[0])
        else:
            self._loop.call_soon(self.beat, now)

    def _wait(self, delay: float) -> None:
        # The pace is that of the script and not of this loop: a late beat does not delay those after it.
        self._due += delay
        self._wheel.add(self, self._due)

    def _end(self, act: int) -> None:
        if act == HOLD:
            return
        if act == RESET:
            if self._transport.get_write_buffer_size():
                self._loop.call_later(DRAIN_POLL, self.beat, 0.0)
                return
            reset(self._transport)
        elif act == END:
            self._transport.write(b"0\r\n\r\n")
        self._record.finished = True
        self.stop()
        if act == DROP:
            self._transport.close()
        self._over(act in (END, DONE))


class _Pinger:
    """Beats at a fixed interval beside a player."""

    __slots__ = ("_due", "_interval", "_ping", "_wheel", "slot")

    def __init__(self, ping: Callable[[], None], wheel: Wheel, interval: float, now: float):
        self.slot = 0
        self._ping = ping
        self._wheel = wheel
        self._interval = interval
        self._due = now + interval
        wheel.add(self, self._due)

    def beat(self, now: float) -> None:
        self._due = max(self._due, now) + self._interval
        self._wheel.add(self, self._due)
        self._ping()


def reset(transport: asyncio.Transport) -> None:
    """Close with RST instead of FIN."""
    sock = transport.get_extra_info("socket")
    if sock is not None:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()
