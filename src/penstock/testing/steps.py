"""The steps of a scripted provider's answer (openai-chat), see `penstock.testing.upstream`.

[hdr(delay=0.1), role(), tok(40, gap=0.01), fin("stop"), usage(9, 40), done()]
[hdr(), tok(3), raw(b"data: {bad\\n\\n"), cut()]           # or rst(), or eof() for a clean end without a terminal
[hdr(), role(), forever(ping(), pause(0.1))]             # alive, and without progress
[st(429, {"error": {"message": "slow down"}}, [("retry-after", "7")])]
[hdr(), split(7), tok(10), fin(), done()]                # a write for every 7 bytes
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any

from penstock.testing import frames
from penstock.testing.upstream import SSE, Step, Turn
from penstock.wire import json


def accept() -> Step:
    """Take the request and say nothing (yet)."""
    return pause(0)


def hdr(
    delay: float = 0, status: int = 200, content_type: str | None = SSE, headers: Iterable[tuple[str, str]] = ()
) -> Step:
    """The head of a chunked answer, after ``delay`` seconds."""

    async def play(turn: Turn) -> None:
        if delay:
            await turn.wait(delay)
        kind = [("content-type", content_type)] if content_type else []
        await turn.head(status, [*kind, ("transfer-encoding", "chunked"), *headers])

    return play


def st(
    code: int, body: bytes | dict[str, Any] = b"", headers: Iterable[tuple[str, str]] = (), *, kind: str = ""
) -> Step:
    """A whole answer with a status; ``kind`` is its content type (JSON for a dict)."""
    content = json.dumps(body) if isinstance(body, dict) else body
    kind = kind or ("application/json" if isinstance(body, dict) or body[:1] == b"{" else "text/plain")
    return lambda turn: turn.whole(code, [("content-type", kind), *headers], content)


def raw(data: bytes) -> Step:
    """Any bytes of the body."""
    return lambda turn: turn.write(data)


def role() -> Step:
    """The chunk that carries a role and no output."""
    return raw(frames.role())


def word(number: int) -> str:
    """The text of token number ``number`` (from 0)."""
    return f"w{number} "


def words(count: int) -> str:
    """The text of an answer of ``count`` tokens."""
    return "".join(word(number) for number in range(count))


def tok(n: int = 1, gap: float = 0) -> Step:
    """``n`` tokens, one frame each, with ``gap`` seconds after each; the words are numbered through the answer."""

    async def play(turn: Turn) -> None:
        for _ in range(n):
            await turn.write(frames.chunk(word(turn.seen.tokens_written)))
            turn.seen.tokens_written += 1
            if gap:
                await turn.wait(gap)

    return play


def tool(arguments: str = '{"city":"Rome"}', *, name: str = "weather", id: str = "call_1", call: int = 0) -> Step:
    """A tool call: one frame with its id and name, then its arguments in frames of four characters."""
    pieces = [arguments[start : start + 4] for start in range(0, len(arguments), 4)]
    fragments = [frames.tool(call, id=id, name=name), *(frames.tool(call, arguments=piece) for piece in pieces)]

    async def play(turn: Turn) -> None:
        for fragment in fragments:
            await turn.write(fragment)

    return play


def ping() -> Step:
    """A comment."""
    return raw(b": ping\n\n")


def fin(reason: str = "stop") -> Step:
    """The frame with the finish reason."""
    return raw(frames.finish(reason))


def usage(prompt: int = 9, completion: int = 2) -> Step:
    """The frame with the usage and no choices."""
    return raw(frames.usage(prompt, completion))


def done() -> Step:
    """The end marker."""
    return raw(frames.DONE)


def err(type: str = "server_error", message: str = "The server had an error", code: Any = None) -> Step:
    """An error inside the stream."""
    return raw(frames.error(message, type=type, code=code))


def pause(seconds: float) -> Step:
    """Say nothing for so long."""
    return lambda turn: turn.wait(seconds)


def forever(*steps: Step) -> Step:
    """Say nothing more, or ``steps`` over and over, until the peer is gone."""

    async def play(turn: Turn) -> None:
        if not steps:
            await turn.wait(None)
        while True:
            for step in steps:
                await step(turn)
            await asyncio.sleep(0)

    return play


def until_closed() -> Step:
    """Wait for the peer to close."""
    return forever()


def split(k: int | None) -> Step:
    """From here on one write for each ``k`` bytes; None: one for each frame again."""

    async def play(turn: Turn) -> None:
        turn.piece = k

    return play


def eof() -> Step:
    """The clean end of the body; the connection may serve on."""

    async def play(turn: Turn) -> None:
        if not turn.headed:
            await hdr()(turn)
        await turn.finish()

    return play


def cut(*, notify: bool = True) -> Step:
    """The connection closes (FIN) inside the body. Under TLS without ``notify``: without its close_notify."""
    return lambda turn: turn.hang_up("cut", notify=notify)


def rst() -> Step:
    """The connection is reset inside the body."""
    return lambda turn: turn.hang_up("rst")
