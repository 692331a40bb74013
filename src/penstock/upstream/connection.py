"""One HTTP/1.1 connection to a provider, used for one exchange after another."""

from __future__ import annotations

import asyncio
import time
from typing import Any, Literal, cast

import httptools

from penstock.ports import Listener
from penstock.upstream.encoding import CodingError, Decoding, decoding
from penstock.upstream.proxy import Proxy

Phase = Literal["idle", "sent", "answering", "answered", "closed"]
_SIZES = {form % size: size for size in range(1, 4096) for form in (b"%x", b"%X")}
"""The sizes of chunks, as they are written (RFC 9112 §7.1)."""
STALE_WITHIN = 3.0
"""Seconds in which a dead kept-alive connection shows itself. One that ends later has worked on the request."""


class Connection(asyncio.Protocol):
    """Pushes what the provider sends to the listener of the exchange that is under way."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._listener: Listener | None = None
        self._parser: Any = None
        self._headers: list[tuple[bytes, bytes]] = []
        self._pieces: list[bytes] = []
        self._decoding: Decoding | None = None
        self._heard = False
        self._feeding = False
        self._in_chunk = True
        self._between_chunks = False
        """The next byte begins a chunk of an answer that is handed on as it is."""
        self._sent_at = 0.0
        self._until_eof = False
        self._reusable = False
        self._paused = False
        self._exchanges = 0
        self.phase: Phase = "idle"
        self.on_lost: Any = None
        """Called when the connection ends while it is idle."""
        self.proxy: Proxy | None = None
        """The plain-HTTP proxy that requests must be addressed to."""
        self.idle_since = 0.0

    # -- for the exchange -----------------------------------------------------------------------------------------

    def send(self, request: bytes, listener: Listener) -> None:
        """Begin an exchange."""
        assert self._transport is not None
        self._listener = listener
        self._parser = httptools.HttpResponseParser(self)
        self._decoding = None
        self._heard = self._between_chunks = False
        self._in_chunk = True
        self._sent_at = time.monotonic()
        self._exchanges += 1
        self.phase = "sent"
        self._transport.write(request)

    @property
    def usable(self) -> bool:
        """An exchange may begin."""
        transport = self._transport
        # While the last answer is still being read it may turn out that more follows it.
        return self.phase == "idle" and not self._feeding and transport is not None and not transport.is_closing()

    def pause(self) -> None:
        """Stop reading."""
        if self._transport is not None and not self._paused and not self._transport.is_closing():
            self._paused = True
            self._transport.pause_reading()

    def resume(self) -> None:
        """Read on."""
        if self._transport is not None and self._paused and not self._transport.is_closing():
            self._paused = False
            self._transport.resume_reading()

    def release(self) -> bool:
        """The exchange is over for the client's side. True: the connection is idle again and whole."""
        self._listener = None
        self._parser = None
        self._pieces = []
        if self.phase == "answered" and self._reusable and self._transport and not self._transport.is_closing():
            self.resume()
            self.phase = "idle"
            return True
        self.abort()
        return False

    def abort(self) -> None:
        """Cut the connection now, whatever is on its way."""
        self._listener = None
        self.phase = "closed"
        if self._transport is not None:
            self._transport.abort()

    # -- asyncio.Protocol -----------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # Not asserted: uvloop's transports are no subclasses of asyncio's.
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        if self._listener is None:
            self._mistrust()
            return
        if self._between_chunks:
            # One whole chunk a read, as nearly always: the parser, which would find just that, need not be asked.
            stop = data.find(b"\r\n", 1, 6)
            size = _SIZES.get(data[:stop])
            if size is not None and len(data) == stop + size + 4 and data.endswith(b"\r\n"):
                self._listener.body(data[stop + 2 : -2], data)
                return
        self._heard = self._feeding = True
        self._between_chunks = False
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            upgrade = isinstance(error, httptools.HttpParserUpgrade)
            self._reusable = False
            self._flush()
            if self._listener is not None:
                why = "it switched to another protocol" if upgrade else error
                self._finish(clean=False, reason=f"no valid HTTP: {why}")
            elif self.phase == "idle":
                self._mistrust()
        finally:
            self._feeding = False
        if self._pieces:
            self._flush()
        # A part of the next chunk's size would have been read in silence.
        self._between_chunks = not self._in_chunk and self._listener is not None and data.endswith(b"\r\n")

    def eof_received(self) -> None:
        return None

    def connection_lost(self, exc: Exception | None) -> None:
        phase, listener = self.phase, self._listener
        self.phase = "closed"
        reason = str(exc) if exc else "connection closed by the provider"
        if listener is None:
            self._gone()
        elif not self._heard and self._exchanges > 1 and time.monotonic() < self._sent_at + STALE_WITHIN:
            self._listener = None
            listener.failed(reason, True)
        elif phase in ("sent", "answering"):
            self._finish(clean=self._until_eof and exc is None and self._decoded, reason=reason)
        # It refers back to this connection: without it there is nothing for the collector to do.
        self._parser = None

    def _mistrust(self) -> None:
        """Nobody asked: an idle connection that talks is not to be trusted with a request."""
        self.abort()
        self._gone()

    def _gone(self) -> None:
        if self.on_lost is not None:
            self.on_lost(self)

    # -- httptools ------------------------------------------------------------------------------------------------

    def on_message_begin(self) -> None:
        if self.phase == "idle":
            self._mistrust()
        elif self.phase == "answered":
            self._reusable = False

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        status = self._parser.get_status_code()
        headers, self._headers = self._headers, []
        if status < 200 or self._listener is None:
            return
        self.phase = "answering"
        names = {name for name, _ in headers}
        self._until_eof = status not in (204, 304) and not names & {b"content-length", b"transfer-encoding"}
        self._reusable = self._parser.should_keep_alive() and not self._until_eof
        self._decoding = decoding(headers)
        self._in_chunk = self._decoding is not None or b"transfer-encoding" not in names
        self._listener.head(status, tuple(headers))

    def on_body(self, body: bytes) -> None:
        self._pieces.append(body)

    def on_chunk_header(self) -> None:
        self._in_chunk = True

    def on_chunk_complete(self) -> None:
        self._in_chunk = self._decoding is not None

    def on_message_complete(self) -> None:
        self._in_chunk = True
        if self.phase == "answering":
            self._flush()
            if self._listener is not None:
                self._finish(clean=self._decoded, reason="" if self._decoded else "its compressed body ends early")

    @property
    def _decoded(self) -> bool:
        return self._decoding is None or self._decoding.complete

    def _flush(self) -> None:
        pieces, self._pieces = self._pieces, []
        if not pieces or self._listener is None:
            return
        data = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        if self._decoding is not None:
            try:
                data = self._decoding.feed(data)
            except CodingError as error:
                self._finish(clean=False, reason=str(error))
                return
        if data:
            self._listener.body(data)

    def _finish(self, *, clean: bool, reason: str) -> None:
        listener, self._listener = self._listener, None
        if self.phase != "closed":
            self.phase = "answered"
        self._reusable = self._reusable and clean
        if listener is not None:
            listener.ended(clean, reason)
