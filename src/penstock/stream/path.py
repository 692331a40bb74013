"""The path of a chunk: from one side of a stream to the other, when that is all there is to do.

Nearly all of a stream is one delta after another, each in a read of its own. What happens here happens for each of
them; everything else is left to the sides.
"""

from __future__ import annotations

from penstock.stream.client import ClientSide
from penstock.stream.states import Upstream
from penstock.stream.summary import Summary
from penstock.stream.upstream import UpstreamSide
from penstock.wire.alike import Alike

# Looked up once: that of an enumeration's member is slow.
_STREAMING = Upstream.STREAMING
_MOST = 64
"""Frames that are passed on before they are counted."""


class Path:
    """Passes frames on that are like the last one (see `Alike`), and writes them down later, together."""

    __slots__ = ("_account", "_alike", "_client", "_passed", "_size", "_texts", "_told", "_upstream")

    def __init__(self, account: Summary, upstream: UpstreamSide, client: ClientSide):
        self._account = account
        self._upstream = upstream
        self._client = client
        self._alike = Alike()
        self._passed: list[float] = []
        """When frames were passed on that are not counted yet…"""
        self._texts: list[str] = []
        """…with these texts…"""
        self._size = 0
        """…and so many bytes…"""
        self._told = 0
        """…that are so many in another wire."""

    def pass_on(self, number: int, data: bytes, now: float) -> bytes | None:
        """A piece of the body of attempt ``number``: what is to be written to the client, and into the journal of a
        resumable stream, when there is nothing else to do. None: there may be anything to do, by the machine's
        commands."""
        alike = self._alike
        if (
            alike.attempt == number
            and data.startswith(alike.head)
            and data.endswith(alike.tail)
            and (text := alike.read(data))
        ):
            frame = data
            if alike.tell is not None:
                frame = alike.told(alike.tell, text)
                if not frame:
                    return self._looked_at(number, data, now)
                self._told += len(frame)
            passed = self._passed
            passed.append(now)
            self._texts.append(text)
            self._size += len(data)
            if len(passed) == _MOST:
                self.count(fold=True)
            return frame
        return self._looked_at(number, data, now)

    def _looked_at(self, number: int, data: bytes, now: float) -> bytes | None:
        alike = self._alike
        if alike.attempt >= 0:
            self.leave()
        upstream, client = self._upstream, self._client
        client.now = now
        attempt = upstream.attempt
        if attempt is None or attempt.number != number or attempt.state is not _STREAMING or not client.direct:
            upstream.on_bytes(number, data, now)
            return None
        frame = upstream.on_one_delta(attempt, data, now, alike)
        if frame is not None:
            account = self._account
            account.token_events += 1
            account.gap(now - attempt.last_token)
            account.bytes_out += len(frame)
            attempt.last_token = client.last_write = now
        return frame

    def leave(self) -> None:
        """Anything else happens: what was learnt does not hold any more."""
        self._alike.forget(useful=bool(self._passed))
        self.count()

    def count(self, *, fold: bool = False) -> None:
        """Write down what was passed on; ``fold``: and count some of its tokens."""
        passed, attempt, account = self._passed, self._upstream.attempt, self._account
        if not passed or attempt is None:
            return
        last = attempt.last_token
        for now in passed:
            account.gap(now - last)
            last = now
        attempt.last_token = self._client.last_write = last
        account.frames_in += len(passed)
        account.token_events += len(passed)
        account.bytes_in += self._size
        account.bytes_out += self._told or self._size
        alike, text = self._alike, "".join(self._texts)
        alike.passed(text, len(passed))
        usage = alike.usage()
        if usage is not None:
            self._upstream.report(usage)
        if attempt.tally is not None:
            attempt.tally.heard.append(alike.kind(text, alike.choice))
            if fold:
                attempt.tally.fold()
        passed.clear()
        self._texts.clear()
        self._size = self._told = 0
