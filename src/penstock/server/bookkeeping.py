"""Settles streams: counts what is left to count in a thread of its own, and hands on the row."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from importlib import resources

from penstock import metering
from penstock.config.metering import read_table
from penstock.config.values import Config, Key, Metering, Route
from penstock.metering import prompt as prompts
from penstock.metering.charge import Billing
from penstock.metering.counter import Vocabulary
from penstock.metering.encodings import O200K, encoding_of
from penstock.metering.factors import Learnt, unlearnt
from penstock.metering.prices import PriceList
from penstock.metering.row import Row, opened
from penstock.metering.tally import Meter
from penstock.ports import Recorder
from penstock.request import StreamRequest
from penstock.stream.asked import prompt_of, tier_of
from penstock.stream.settlement import Settled, Terms, settle
from penstock.stream.summary import Summary
from penstock.vocabularies import Vocabularies
from penstock.wire.base import ClientWire

logger = logging.getLogger("penstock.server")
BREATH = 0.0002
"""Seconds that the thread leaves to the event loop between two slices."""
MODELS = 10_000
"""Models of which a factor is remembered."""


class Bookkeeper:
    """``book`` takes each settlement, on the event loop. ``wall`` gives Unix seconds."""

    def __init__(
        self,
        settings: Metering,
        prices: PriceList,
        vocabularies: Vocabularies,
        book: Callable[[Settled], None],
        wall: Callable[[], float],
    ):
        self._settings = settings
        self._prices = prices
        self._vocabularies = vocabularies
        self._book = book
        self._wall = wall
        self._learnt: dict[str, Learnt] = {}
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="penstock-settle")
        self._wanted: dict[str, Callable[[], Vocabulary | None]] = {}
        self._loop: asyncio.AbstractEventLoop | None = None

    def start(self) -> None:
        """The loop on which rows are booked is this one."""
        self._loop = asyncio.get_running_loop()

    async def close(self) -> None:
        """Settle what is left."""
        await asyncio.to_thread(self._thread.shutdown)
        # The last rows come by way of the loop.
        await asyncio.sleep(0)

    def meter(self, model: str) -> Meter:
        """How a model is counted."""
        own = encoding_of(model)
        if own is not None:
            return Meter(model, self._vocabulary(own.name))
        learnt = self._learnt.get(model) or unlearnt(model)
        return Meter(model, self._vocabulary(O200K.name), learnt.factor)

    def _vocabulary(self, name: str) -> Callable[[], Vocabulary | None]:
        """The vocabulary as soon as it is there. It is loaded ahead of the settlements that need it."""
        if name not in self._wanted:
            self._wanted[name] = partial(self._vocabularies.get, name)
            self._thread.submit(self._vocabularies.load, name)
        return self._wanted[name]

    def accounts(
        self, recorder: Recorder, stream: str, wire: ClientWire, request: StreamRequest, route: Route, key: Key | None
    ) -> Recorder:
        """The recorder of one stream, accepted now, in front of ``recorder``."""
        row = opened(
            stream=stream,
            started_at=round(self._wall(), 3),
            key=key.name if key is not None else None,
            route=route.name,
            client_wire=wire.name,
            tags=dict(route.tags),
        )
        billing = key.billing if key is not None and key.billing is not None else route.billing
        return _Accounts(self, recorder, row, partial(self._terms, wire, request, billing))

    def _terms(self, wire: ClientWire, request: StreamRequest, billing: Billing) -> Terms:
        known: dict[str, prompts.Counted | None] = {}

        def prompt(meter: Meter) -> prompts.Counted | None:
            if meter.model not in known:
                known[meter.model] = prompts.count(prompt_of(wire, request), meter, _breathe)
            return known[meter.model]

        return Terms(
            prices=self._prices, billing=billing, prompt=prompt, tier=tier_of(request), drift=self._settings.drift
        )

    def settle(self, summary: Summary, row: Row, terms: Callable[[], Terms]) -> None:
        """Settle a stream that is over, in the thread."""
        work = self._thread.submit(self._settled, summary, row, terms, round(self._wall(), 3))
        work.add_done_callback(partial(self._done, summary.stream))

    def _settled(self, summary: Summary, row: Row, terms: Callable[[], Terms], ended_at: float) -> Settled:
        for attempt in summary.attempts:
            if attempt.tally is not None:
                while attempt.tally.fold():
                    _breathe()
        return settle(summary, row, ended_at, terms())

    def _done(self, stream: str, work: Future[Settled]) -> None:
        if error := work.exception():
            logger.error("stream %s was not settled", stream, exc_info=error)
        elif self._loop is not None:
            self._loop.call_soon_threadsafe(self._take, work.result())

    def _take(self, settled: Settled) -> None:
        meter = settled.meter
        if meter is not None and meter.factor is not None and settled.pair is not None and settled.raw:
            if len(self._learnt) >= MODELS:
                self._learnt.clear()
            before = self._learnt.get(meter.model) or unlearnt(meter.model)
            self._learnt[meter.model] = before.with_one(settled.raw, settled.pair[1])
        self._book(settled)


class _Accounts:
    """The recorder of one stream."""

    def __init__(self, keeper: Bookkeeper, recorder: Recorder, row: Row, terms: Callable[[], Terms]):
        self._keeper = keeper
        self._recorder = recorder
        self._row = row
        self._terms = terms

    def record(self, summary: Summary) -> None:
        """The stream is over."""
        self._recorder.record(summary)
        self._keeper.settle(summary, self._row, self._terms)


def _breathe() -> None:
    """Give the interpreter to the event loop: between two of these lies half a millisecond's work. Of no length at all
    the sleep would be over before the loop has woken up."""
    time.sleep(BREATH)


def price_list(config: Config) -> PriceList:
    """The configured prices in front of those that are shipped."""
    shipped = resources.files(metering).joinpath("prices.yaml").read_text(encoding="utf-8")
    return PriceList(config.prices, read_table(shipped))


def bookkeeper(
    config: Config, book: Callable[[Settled], None], wall: Callable[[], float] = time.time
) -> Bookkeeper | None:
    """The bookkeeper of a configuration that meters."""
    if config.metering is None:
        return None
    return Bookkeeper(config.metering, price_list(config), Vocabularies(), book, wall)
