"""The direct lane: a stream's body straight to the socket, without a wait per chunk.

`LaneProtocol` is uvicorn's own HTTP protocol with four differences: it offers the lane to the application as an
ASGI extension (``scope["extensions"]["penstock.lane"]``), it tells the lane at once when the client blocks or is
gone, it does not take a half-closed connection for a client that left, and it passes over an offer to go on in another
protocol.
"""

from __future__ import annotations

import asyncio
import socket
import weakref
from collections.abc import Callable, MutableMapping
from functools import partial
from typing import Any

import httptools
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

from penstock.server.buffers import Bounds
from penstock.stream.inputs import Headers

EXTENSION = "penstock.lane"
_PROBE_CHECKS = (0.02, 0.08, 0.3, 0.5)
"""Seconds between the looks at a connection that was closed from the other side."""
_TCP_CLOSE = 7
MAX_HEAD = 256 * 1024
"""Bytes of a request's first line and headers."""
LINGER = 30.0
"""Seconds that an answer's last bytes may take to a client that does not read, after the answer's end."""


def lane_of(scope: MutableMapping[str, Any], send: Any) -> Callable[[int, Bounds], Lane] | None:
    """What opens the lane of a request, given the bytes that may wait in it and those of all; None where there is none.

    A middleware that has put its own ``send`` in the server's place wants to see the answer: then there is none either.
    """
    offer = scope.get("extensions", {}).get(EXTENSION)
    return offer if offer is not None and getattr(send, "__self__", None) is offer.args[0]() else None


class LaneProtocol(HttpToolsProtocol):
    """uvicorn's protocol with the lane."""

    _lane: Lane | None = None
    _in_head = False
    """A request has begun and its head is not whole."""
    _head_size = 0
    """Bytes that it came in, at the least."""

    def data_received(self, data: bytes) -> None:
        """What came. A request may offer another protocol (``upgrade: h2c``, as Java's HTTP client does on every first
        request): it is served as if it did not (RFC 9110 §7.8), where uvicorn would leave its body unread."""
        self._unset_keepalive_if_required()
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            if self._should_upgrade():
                self.handle_websocket_upgrade()
            else:
                self._read_anew(data[upgrade.args[0] :])
        except httptools.HttpParserError:
            self._refuse()
        else:
            if self._in_head:
                self._head_size += len(data)
                if self._head_size > MAX_HEAD:
                    self._refuse(431, "The request's head is too large.")

    def _read_anew(self, rest: bytes) -> None:
        """The head without its offer, and the ``rest``, which the parser took for the other protocol's."""
        method = self.parser.get_method()
        if method == b"CONNECT":
            self._refuse()
            return
        head = b"%b %b HTTP/%b\r\n" % (method, self.url, self.parser.get_http_version().encode())
        head += b"".join(b"%b: %b\r\n" % header for header in self.headers if header[0] != b"upgrade")
        self.parser = httptools.HttpRequestParser(self)
        self.parser.set_dangerous_leniencies(lenient_data_after_close=True)
        self.data_received(head + b"\r\n" + rest)

    def _refuse(self, status: int = 400, message: str = "Invalid HTTP request received.") -> None:
        """What came is no request. Beside an answer that is under way it cannot be told: that one is the last then."""
        self.logger.warning(message)
        self._in_head = False
        cycle = self.cycle
        its_own = cycle is not None and cycle.more_body and not cycle.response_started and not self.pipeline
        if cycle is None or cycle.response_complete or its_own:
            fields = b"content-type: text/plain; charset=utf-8\r\ncontent-length: %d\r\nconnection: close\r\n\r\n"
            self.transport.write(STATUS_LINE[status] + fields % len(message) + message.encode())
            self.transport.close()
        elif status == 431 or cycle.more_body:
            self.transport.abort()
        else:
            cycle.keep_alive = False

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._in_head, self._head_size = True, 0

    def _offered(self) -> bool:
        """The request that is being read offers another protocol, and not that of WebSockets."""
        return bool(self.parser.should_upgrade()) and not self._should_upgrade()

    def on_message_complete(self) -> None:
        if not self._offered():
            super().on_message_complete()

    def on_headers_complete(self) -> None:
        self._in_head = False
        if self._offered():
            return
        super().on_headers_complete()
        scope: dict[str, Any] = self.scope  # type: ignore[assignment]
        if "path" not in scope:
            # It is to become a WebSocket: there is no cycle for it.
            return
        # Bound to its own cycle: `self.cycle` is that of the last request that was read, maybe a pipelined one.
        scope.setdefault("extensions", {})[EXTENSION] = partial(self._open_lane, weakref.ref(self.cycle))

    def _open_lane(self, of: weakref.ref[RequestResponseCycle], buffer: int, buffers: Bounds) -> Lane:
        """The lane for the request that is being served; ``buffer`` bytes, or its share of ``buffers``, may wait before
        the client blocks."""
        cycle = of()
        assert cycle is not None
        if self.transport.is_closing():
            # The client left while its request was looked at: it is told when there is a stream that can hear it.
            lane = Lane(self, cycle, buffers)
            self.loop.call_soon(lane.lost)
            return lane
        if self._lane is not None:
            self._lane.leave()
        lane = Lane(self, cycle, buffers)
        if self.transport.is_closing():
            # The client has gone before its answer could begin. Whoever asks is told so as always: later.
            self.loop.call_soon(lane.lost)
        else:
            self._lane = lane
            buffers.enter(lane, buffer)
        return lane

    def pause_writing(self) -> None:
        super().pause_writing()
        if self._lane is not None:
            self._lane.blocked()

    def resume_writing(self) -> None:
        super().resume_writing()
        if self._lane is not None:
            self._lane.drained()

    def connection_lost(self, exc: Exception | None) -> None:
        lane, self._lane = self._lane, None
        super().connection_lost(exc)
        # uvicorn leaves it after a reset, and with it everything of the connection, for `timeout_keep_alive`.
        self._unset_keepalive_if_required()
        if lane is not None:
            # uvicorn only tells the last request that it has read, which may be one that waits behind this one.
            if not lane.cycle.response_complete:
                lane.cycle.disconnected = True
            lane.cycle.message_event.set()
            lane.lost()
        # Both refer back to this connection: without them it is freed at once, and not when the collector comes by.
        self.cycle = self.scope = None  # type: ignore[assignment]

    def eof_received(self) -> bool | None:  # type: ignore[override]
        """The client will send no more. That is no goodbye: it may have closed only its half (RFC 9112 §9.6).

        A FIN looks the same in both cases, so the client is asked: a byte that changes nothing is written, and a
        socket that is gone answers with a reset. Before the head that is an interim ``100 Continue``, in a chunked
        body a leading zero of the next chunk's size.
        """
        lane = self._lane
        cycle = self.cycle if lane is None or lane.cycle.response_complete else lane.cycle
        if cycle is None or cycle.response_complete or cycle.more_body or self.scheme == "https":
            return None
        if self.scope.get("http_version") == "1.0":
            return None
        # No further request can come: the connection ends with this answer.
        cycle.keep_alive = False
        if not cycle.response_started:
            self.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        elif cycle.chunked_encoding:
            if self._lane is not None:
                self._lane.flush_head()
            self.transport.write(b"0")
        self._look_again(0)
        return True

    def _look_again(self, number: int) -> None:
        if self.transport.is_closing():
            return
        if number > 0 and _is_reset(self.transport):
            self.transport.abort()
        elif number < len(_PROBE_CHECKS):
            self.loop.call_later(_PROBE_CHECKS[number], self._look_again, number + 1)


def _is_reset(transport: asyncio.Transport) -> bool:
    """The other side answered with a reset."""
    sock = transport.get_extra_info("socket")
    option = getattr(socket, "TCP_INFO", None)
    if sock is None or option is None:
        return False
    try:
        return bool(sock.getsockopt(socket.IPPROTO_TCP, option, 1)[0] == _TCP_CLOSE)
    except OSError:
        return True


class Nowhere(asyncio.Transport):
    """The transport of a client that is gone."""

    def is_closing(self) -> bool:
        """It is."""
        return True

    def get_write_buffer_size(self) -> int:
        """Nothing waits."""
        return 0

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Into the void."""

    def close(self) -> None:
        """It is closed."""

    def abort(self) -> None:
        """It is closed."""


class Lane:
    """A sink (see `ports.Sink`) on uvicorn's transport."""

    __slots__ = (
        "_buffers",
        "_chunked",
        "_head",
        "_protocol",
        "_stuck",
        "_transport",
        "cycle",
        "on_blocked",
        "on_drained",
        "on_left",
    )

    def __init__(self, protocol: LaneProtocol, cycle: RequestResponseCycle, buffers: Bounds):
        self._protocol = protocol
        self._transport = Nowhere() if protocol.transport.is_closing() else protocol.transport
        self._buffers = buffers
        self._stuck: asyncio.TimerHandle | None = None
        """Looks, behind the end, whether what waited was read."""
        self.cycle = cycle
        self._chunked = False
        self._head = b""
        self.on_blocked: Callable[[], None] | None = None
        self.on_drained: Callable[[], None] | None = None
        self.on_left: Callable[[], None] | None = None

    @property
    def waiting(self) -> int:
        """Bytes that the kernel has not taken."""
        return self._transport.get_write_buffer_size()

    def allow(self, size: int) -> None:
        """Over so many bytes the client counts as blocked."""
        if not self._transport.is_closing():
            self._transport.set_write_buffer_limits(high=size, low=size // 4)

    def blocked(self) -> None:
        """More waits than may."""
        self._buffers.blocked(self)
        if self.on_blocked is not None:
            self.on_blocked()

    def drained(self) -> None:
        """The client reads again."""
        self._buffers.drained(self)
        if self.on_drained is not None:
            self.on_drained()
        elif self.cycle.response_complete:
            self.leave()

    def leave(self) -> None:
        """Nothing will wait here any more."""
        self._buffers.leave(self)
        if self._stuck is not None:
            self._stuck.cancel()
            self._stuck = None

    def head(self, status: int, headers: Headers) -> None:
        """Status and headers. Without a length the body is chunked; for HTTP/1.0 it ends with the connection."""
        cycle: Any = self.cycle
        sized = any(name == b"content-length" for name, _ in headers)
        old = cycle.scope["http_version"] == "1.0"
        self._chunked = not sized and not old
        cycle.response_started = True
        cycle.waiting_for_100_continue = False
        cycle.chunked_encoding = self._chunked
        if old:
            cycle.keep_alive = False
        lines = [STATUS_LINE[status]]
        for name, value in headers:
            lines += (name, b": ", value, b"\r\n")
        # On a stream no "connection: close", ever: Node's fetch would take a cut body for a whole one.
        if self._chunked:
            lines.append(b"transfer-encoding: chunked\r\n")
        elif not cycle.keep_alive:
            lines.append(b"connection: close\r\n")
        lines.append(b"\r\n")
        # It goes out with the first of the body, in one write; if there is none at once, soon.
        self._head = b"".join(lines)
        self._protocol.loop.call_soon(self.flush_head)

    def flush_head(self) -> None:
        """Write the head, if it still waits for the first of the body."""
        if self._head:
            head, self._head = self._head, b""
            self._transport.write(head)

    def write(self, data: bytes) -> None:
        """Body bytes."""
        if self._chunked:
            data = b"%x\r\n%b\r\n" % (len(data), data)
        if self._head:
            data, self._head = self._head + data, b""
        self._transport.write(data)

    @property
    def write_chunk(self) -> Callable[[bytes], None] | None:
        """`write` for a body in chunks, behind its head."""
        return self._transport.write if self._chunked and not self._head else None

    def end(self, *, abort: bool, cut: bool = False) -> None:
        """The body is over. For HTTP/1.0, whose bodies end with the connection anyway, a ``cut`` cannot be seen."""
        cycle, transport = self.cycle, self._transport
        cycle.response_complete = True
        self.flush_head()
        if abort:
            transport.abort()
        else:
            if self._chunked and not cut:
                transport.write(b"0\r\n\r\n")
            waiting = transport.get_write_buffer_size()
            if cut or not cycle.keep_alive:
                # What was written still goes out, an error frame above all.
                transport.close()
            if not waiting:
                self.leave()
            else:
                self._stuck = self._protocol.loop.call_later(LINGER, self._cut_if_stuck, waiting)
        cycle.message_event.set()
        cycle.on_response()

    def lost(self) -> None:
        """The connection is gone."""
        self.leave()
        if self.on_left is not None:
            self.on_left()

    def _cut_if_stuck(self, waiting: int) -> None:
        """The answer has ended but its client read nothing of what waited: give the memory back."""
        self._stuck = None
        left = self.waiting
        if left >= waiting and not self._transport.is_closing():
            self._transport.abort()
        elif not left:
            self.leave()
