"""Asks a route's moderation service over HTTP. What it has said of a text is remembered: the same history comes with
every turn of a conversation."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Callable
from urllib.parse import urlsplit

from penstock import __version__
from penstock.ports import Exchange
from penstock.stages.moderate.policy import CheckPolicy
from penstock.stages.moderate.services import findings_of, request_body
from penstock.stream.inputs import CheckAnswered, Headers
from penstock.upstream.origin import endpoint
from penstock.upstream.pool import Pool

_REMEMBERED = 8192
"""Texts."""
_MOST = 4 * 1024 * 1024
"""Bytes of an answer."""

Answer = Callable[[CheckAnswered], None]


class Checking:
    """One route's service, for all of its streams."""

    def __init__(self, policy: CheckPolicy):
        self.policy = policy
        parts = urlsplit(policy.url)
        path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        self.at = endpoint(f"{parts.scheme}://{parts.netloc}", path, policy.ca)
        self.headers = [("user-agent", f"penstock/{__version__}"), ("content-type", "application/json")]
        if policy.api_key:
            self.headers.append(("authorization", f"Bearer {policy.api_key}"))
        self.headers += policy.headers
        self._known: OrderedDict[bytes, tuple[str, ...]] = OrderedDict()

    def known(self, text: str) -> tuple[str, ...] | None:
        """What was found in a text before; None for one that was not asked about."""
        key = _key(text)
        found = self._known.get(key)
        if found is not None:
            self._known.move_to_end(key)
        return found

    def learn(self, text: str, found: tuple[str, ...]) -> None:
        """An answer."""
        self._known[_key(text)] = found
        while len(self._known) > _REMEMBERED:
            self._known.popitem(last=False)


class StreamChecks:
    """See `ports.Checker`."""

    def __init__(self, checking: Checking, pool: Pool):
        self._checking = checking
        self._pool = pool
        self._asking: _Asking | None = None

    def ask(self, check: int, texts: tuple[str, ...], answer: Answer) -> None:
        """See `ports.Checker`."""
        self.close()
        asking = _Asking(self._checking, self._pool, check, texts, answer)
        if asking.unknown:
            self._asking = asking
            asking.send(fresh=False)
        else:
            asking.answered()

    def close(self) -> None:
        """See `ports.Checker`."""
        asking, self._asking = self._asking, None
        if asking is not None:
            asking.close()


class _Asking:
    """One question (see `ports.Listener`)."""

    def __init__(self, checking: Checking, pool: Pool, check: int, texts: tuple[str, ...], answer: Answer):
        self._checking = checking
        self._pool = pool
        self._check = check
        self._texts = texts
        self._answer = answer
        self.unknown = tuple(text for text in dict.fromkeys(texts) if checking.known(text) is None)
        self._found: dict[str, tuple[str, ...]] = {}
        self._exchange: Exchange | None = None
        self._status = 0
        self._pieces: list[bytes] = []
        self._size = 0

    def send(self, *, fresh: bool) -> None:
        """Post it."""
        checking = self._checking
        body = request_body(checking.policy, self.unknown)
        self._exchange = self._pool.open(checking.at, checking.headers, body, self, fresh=fresh)

    def close(self, *, reuse: bool = False) -> None:
        """Give it up, or its connection back."""
        exchange, self._exchange = self._exchange, None
        if exchange is not None:
            exchange.close(reuse=reuse)

    def answered(self) -> None:
        """All texts are known."""
        found: dict[str, None] = {}
        for text in self._texts:
            said = self._found.get(text)
            found |= dict.fromkeys((said if said is not None else self._checking.known(text)) or ())
        self._answer(CheckAnswered(self._check, tuple(found)))

    def _failed(self, reason: str) -> None:
        self.close()
        self._answer(CheckAnswered(self._check, failed=reason))

    # -- see Listener ---------------------------------------------------------------------------------------------

    def opened(self) -> None:
        """See `ports.Listener`."""

    def head(self, status: int, headers: Headers) -> None:
        """See `ports.Listener`."""
        self._status = status

    def body(self, data: bytes, chunk: bytes | None = None) -> None:
        """See `ports.Listener`."""
        self._size += len(data)
        if self._size > _MOST:
            self._failed(f"the answer is over {_MOST} bytes")
        else:
            self._pieces.append(data)

    def ended(self, clean: bool, reason: str) -> None:
        """See `ports.Listener`."""
        self.close(reuse=clean)
        if self._status != 200 or not clean:
            self._failed(f"the service answered with status {self._status}" if clean else f"cut off: {reason}")
            return
        try:
            said = findings_of(self._checking.policy, len(self.unknown), b"".join(self._pieces))
        except ValueError as error:
            self._failed(str(error))
            return
        for text, found in zip(self.unknown, said, strict=True):
            self._found[text] = found
            self._checking.learn(text, found)
        self.answered()

    def failed(self, message: str, stale: bool) -> None:
        """See `ports.Listener`."""
        self.close()
        if stale:
            self.send(fresh=True)
        else:
            self._failed(message)


def _key(text: str) -> bytes:
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest()
