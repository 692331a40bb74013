"""Copies of a route's streams, and metadata for their clients: who gets them."""

from __future__ import annotations

import random
import time
from collections.abc import Callable

import msgspec

from penstock.capture.copy import Copy
from penstock.capture.keeper import Keeper
from penstock.config.values import Key, Route
from penstock.errors import BadRequest
from penstock.policy.metadata import MODES, Metadata
from penstock.ports import Recorder
from penstock.request import StreamRequest
from penstock.stream.inputs import Headers
from penstock.stream.plan import Plan
from penstock.stream.summary import Summary
from penstock.stream.tape import Tape

METADATA = b"x-penstock-metadata"


def metadata_of(route: Route, headers: Headers) -> Metadata | None:
    """What the client is told: as it asks for, or else as its route says. Raises BadRequest."""
    asked = next((value for name, value in headers if name == METADATA), None)
    if asked is None:
        return None if route.metadata.mode == "off" else route.metadata
    word = asked.decode("latin-1").strip().lower()
    for mode in MODES:
        if mode == word:
            return None if mode == "off" else msgspec.structs.replace(route.metadata, mode=mode)
    allowed = " or ".join(MODES)
    raise BadRequest(f"{METADATA.decode()} is {word!r}; allowed: {allowed}", code="invalid_header")


class Copying:
    """Gives streams a tape, and their copies to the keeper. Without a keeper nothing is copied."""

    def __init__(self, keeper: Keeper | None, clock: Callable[[], float], chance: Callable[[], float] = random.random):
        self._keeper = keeper
        self._chance = chance
        self._clock = clock

    def planned(self, plan: Plan, route: Route) -> Plan:
        """The plan with a tape, where this stream is to be copied."""
        keeper, capture = self._keeper, route.capture
        if keeper is None or capture is None or self._chance() >= capture.sample:
            return plan
        tape = Tape(limit=keeper.settings.max_copy, original=capture.content == "original")
        return msgspec.structs.replace(plan, tape=tape)

    def recorder(
        self, inner: Recorder, plan: Plan, path: str, key: Key | None, request: Callable[[bool], StreamRequest | None]
    ) -> Recorder:
        """What records the stream. ``request`` is the request as it came (True), or behind the route's detectors."""
        keeper, tape = self._keeper, plan.tape
        if keeper is None or tape is None:
            return inner
        return _Copier(keeper, inner, plan, tape, path, key, request, time.time(), self._clock())

    def close(self) -> None:
        """The gateway ends."""
        if self._keeper is not None:
            self._keeper.close()


class _Copier:
    """A recorder (see `ports.Recorder`) of one stream."""

    def __init__(
        self,
        keeper: Keeper,
        inner: Recorder,
        plan: Plan,
        tape: Tape,
        path: str,
        key: Key | None,
        request: Callable[[bool], StreamRequest | None],
        accepted: float,
        began: float,
    ):
        self._keeper = keeper
        self._inner = inner
        self._plan = plan
        self._tape = tape
        self._path = path
        self._key = key
        self._request = request
        self._accepted = accepted
        self._began = began

    def record(self, summary: Summary) -> None:
        """The stream is over."""
        self._inner.record(summary)
        request, original = self._request, self._tape.original

        def body() -> bytes | None:
            asked = request(original)
            return None if asked is None else msgspec.json.encode(asked.body)

        self._keeper.offer(
            Copy(
                accepted=self._accepted,
                began=self._began,
                key=None if self._key is None else self._key.name,
                path=self._path,
                request=body,
                fold=self._plan.client.fold,
                tape=self._tape,
                summary=summary,
            )
        )
