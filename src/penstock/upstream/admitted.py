"""An exchange whose credential may have to be fetched first, and is renewed once when the provider refuses it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any, Generic, TypeVar

from penstock.ports import Exchange, Listener
from penstock.stream.inputs import Headers
from penstock.upstream.authority import Authority
from penstock.upstream.renewing import CredentialError

logger = logging.getLogger("penstock.upstream")
T = TypeVar("T")


class AdmittedExchange(Generic[T]):
    """See `ports.Exchange`; to the exchange that it opens it is the `ports.Listener`.

    ``open`` sends the request with a credential. A refusal is held back while another credential is fetched; when
    there is none, it goes on to the listener as it came.
    """

    def __init__(self, authority: Authority[T], open: Callable[[T, Listener], Exchange], listener: Listener):
        self._authority = authority
        self._open = open
        self._listener: Listener | None = listener
        self._exchange: Exchange | None = None
        self._task: asyncio.Task[None] | None = None
        self._credential: T | None = None
        self._renewed = False
        self._paused = False
        self._held: list[tuple[Callable[..., None], tuple[Any, ...]]] | None = None
        """What came of the refusal, while it is held back."""

    def start(self) -> None:
        """Begin."""
        credential = self._authority.at_hand()
        if credential is not None:
            self._send(credential)
        else:
            self._run(self._fetch())

    def _run(self, work: Any) -> None:
        self._task = asyncio.get_running_loop().create_task(work)

    async def _fetch(self) -> None:
        try:
            credential = await self._authority.get()
        except CredentialError as error:
            if self._listener is not None:
                self._listener.failed(str(error), False)
        else:
            self._send_later(credential)

    async def _renew(self) -> None:
        refused = self._credential
        try:
            credential = await self._authority.get(refused)
        except CredentialError as error:
            logger.warning("a credential was refused and no other is to be had: %s", error)
            credential = None
        held, self._held = self._held or [], None
        if credential is None or credential == refused:
            for tell, arguments in held:
                if self._listener is not None:
                    tell(*arguments)
        elif self._listener is not None:
            exchange, self._exchange = self._exchange, None
            if exchange is not None:
                exchange.close(reuse=any(tell == self._listener.ended and args[0] for tell, args in held))
            self._send_later(credential)

    def _send_later(self, credential: T) -> None:
        """From a task, whose failure nobody else would see."""
        try:
            self._send(credential)
        except Exception:
            logger.exception("an attempt could not be started")
            if self._listener is not None:
                self._listener.failed("the request could not be sent", False)

    def _send(self, credential: T) -> None:
        if self._listener is None:
            return
        self._credential = credential
        self._exchange = self._open(credential, self)
        if self._paused:
            self._exchange.pause()

    # -- ports.Exchange -------------------------------------------------------------------------------------------

    def pause(self) -> None:
        """Stop reading."""
        self._paused = True
        if self._exchange is not None:
            self._exchange.pause()

    def resume(self) -> None:
        """Read on."""
        self._paused = False
        if self._exchange is not None:
            self._exchange.resume()

    def close(self, *, reuse: bool) -> None:
        """No more is wanted."""
        self._listener = None
        task, self._task = self._task, None
        if task is not None and task is not asyncio.current_task():
            task.cancel()
        exchange, self._exchange = self._exchange, None
        if exchange is not None:
            exchange.close(reuse=reuse)

    # -- ports.Listener -------------------------------------------------------------------------------------------

    def opened(self) -> None:
        """The request is on its way."""
        if self._listener is not None:
            self._listener.opened()

    def head(self, status: int, headers: Headers) -> None:
        """Status and headers: a refusal is held back, once."""
        if self._listener is None:
            return
        if not self._renewed and self._authority.refuses(status, headers):
            self._renewed = True
            self._held = [(self._listener.head, (status, headers))]
            self._run(self._renew())
        else:
            self._listener.head(status, headers)

    def body(self, data: bytes, chunk: bytes | None = None) -> None:
        """A piece of the body."""
        listener = self._listener
        if listener is not None and self._held is None:
            listener.body(data, chunk)
        elif listener is not None and self._held is not None:
            self._held.append((listener.body, (data,)))

    def ended(self, clean: bool, reason: str) -> None:
        """The body is over."""
        listener = self._listener
        if listener is not None and self._held is None:
            listener.ended(clean, reason)
        elif listener is not None and self._held is not None:
            self._held.append((listener.ended, (clean, reason)))

    def failed(self, message: str, stale: bool) -> None:
        """There was no answer."""
        if self._listener is not None:
            self._listener.failed(message, stale)
