"""A credential that grows old: fetched off the event loop, kept while it is good, renewed before it is not."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

import msgspec

from penstock.errors import PenstockError

logger = logging.getLogger("penstock.upstream")
T = TypeVar("T")
PAUSE = 1.0
"""Seconds after a failure in which nothing is fetched: the failure still stands."""


class CredentialError(PenstockError):
    """A credential cannot be had. The message is for clients too: it names no secret and quotes no output."""


class Fetched(msgspec.Struct, Generic[T], frozen=True):
    """A fresh credential. ``good_for``: seconds after which it may not be used; ``renew_after``: seconds after which
    another one is fetched beside the requests that go on with it."""

    value: T
    good_for: float
    renew_after: float


class Renewing(Generic[T]):
    """``fetch`` is given the value that was refused, or None. However many ask, one fetch runs at a time."""

    def __init__(
        self, name: str, fetch: Callable[[T | None], Awaitable[Fetched[T]]], clock: Callable[[], float] = time.monotonic
    ):
        self._name = name
        self._fetch = fetch
        self._clock = clock
        self._value: T | None = None
        self._good_until = self._renew_at = self._rests_until = 0.0
        self._error: CredentialError | None = None
        self._task: asyncio.Task[T] | None = None
        self.on_value: Callable[[T], None] = lambda value: None
        """Told of each new value."""

    def at_hand(self) -> T | None:
        """The credential, where it can be used now and need not be waited for."""
        now = self._clock()
        if self._value is None or now >= self._good_until:
            return None
        if now >= self._renew_at and now >= self._rests_until:
            self._start(None)
        return self._value

    async def get(self, refused: T | None = None) -> T:
        """The credential; another one than ``refused`` where there is one. Raises CredentialError."""
        value = self.at_hand()
        if value is not None and value != refused:
            return value
        if self._error is not None and self._clock() < self._rests_until:
            raise CredentialError(str(self._error))
        return await asyncio.shield(self._start(refused))

    async def close(self) -> None:
        """Give up what is being fetched."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task})

    def _start(self, refused: T | None) -> asyncio.Task[T]:
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._renew(refused))
            self._task.add_done_callback(self._over)
        return self._task

    async def _renew(self, refused: T | None) -> T:
        try:
            fetched = await self._fetch(refused)
        except CredentialError:
            raise
        except Exception as error:
            # Its words may hold anything: they are for the log.
            logger.exception("%s failed", self._name)
            raise CredentialError(f"{self._name} failed") from error
        now = self._clock()
        self._good_until, self._renew_at = now + fetched.good_for, now + fetched.renew_after
        self._value, self._error = fetched.value, None
        self.on_value(fetched.value)
        return fetched.value

    def _over(self, task: asyncio.Task[T]) -> None:
        self._task = None
        error = None if task.cancelled() else task.exception()
        if isinstance(error, CredentialError):
            self._rests_until = self._clock() + PAUSE
            self._error = error
            logger.warning("%s", error)
