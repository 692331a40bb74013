"""Settles streams, and hands on their rows: at once where next to nothing is left to count, else in a thread."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from importlib import resources

from penstock import metering
from penstock.config.metering import read_table
from penstock.config.values import Config, Key, Metering, Route
from penstock.errors import BadRequest
from penstock.metering import prompt as prompts
from penstock.metering.charge import Billing
from penstock.metering.counter import Estimate, Vocabulary
from penstock.metering.encodings import O200K, encoding_of
from penstock.metering.factors import Learnt, unlearnt
from penstock.metering.prices import PriceList
from penstock.metering.row import Row, opened
from penstock.metering.tally import Meter
from penstock.ports import Recorder
from penstock.request import StreamRequest
from penstock.server.limiting import asked
from penstock.store.ledger import Ledger, LedgerUnavailable
from penstock.stream.asked import prompt_of, tier_of
from penstock.stream.plan import Plan
from penstock.stream.settlement import Settled, Terms, completing, settle, so_far, unsettled
from penstock.stream.summary import Summary
from penstock.vocabularies import Vocabularies
from penstock.wire.base import ClientWire

logger = logging.getLogger("penstock.server")
BREATH = 0.0002
"""Seconds that the thread leaves to the event loop between two slices."""
MODELS = 10_000
"""Models of which a factor is remembered."""
SHORT = 32 * 1024
"""Bytes of a prompt that is taken by its length, for a crash alone. A longer one is read first, in the thread: it may
hold images."""
BYTES_A_TOKEN = 4
Prompting = Callable[[Meter], prompts.Counted | None]


class Bookkeeper:
    """``book`` takes each settlement, on the event loop. ``wall`` gives Unix seconds. Without ``settings`` nothing is
    counted here: rows have what is reported."""

    def __init__(
        self,
        settings: Metering | None,
        prices: PriceList,
        vocabularies: Vocabularies,
        book: Callable[[Settled], None],
        wall: Callable[[], float],
    ):
        self._settings = settings
        self.prices = prices
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

    def prepare(self, routes: Iterable[Route]) -> None:
        """Load the vocabularies of their models: the first stream is not to wait for that."""
        for route in routes:
            for target in route.targets:
                self.meter(target.provider, target.model)

    async def close(self) -> None:
        """Settle what is left."""
        await asyncio.to_thread(self._thread.shutdown)
        # The last rows come by way of the loop.
        await asyncio.sleep(0)

    async def caught_up(self) -> None:
        """What was over by now is booked."""
        await asyncio.wrap_future(self._thread.submit(_nothing))

    async def ready(self, plan: Plan) -> None:
        """What the stream generates can be counted from its first token on."""
        if any(way.meter is not None and way.meter.vocabulary() is None for way in plan.ways):
            await self.caught_up()

    def meter(self, provider: str, model: str) -> Meter | None:
        """How a model is counted."""
        if self._settings is None:
            return None
        brought = self._settings.tokenizer_of(provider, model)
        if brought is not None:
            load = partial(self._vocabularies.load_own, brought.file, brought.sha256)
            return Meter(model, self._vocabulary(brought.file, load))
        own = encoding_of(model)
        if own is not None:
            return Meter(model, self._vocabulary(own.name))
        learnt = self._learnt.get(model) or unlearnt(model)
        return Meter(model, self._vocabulary(O200K.name), learnt.factor)

    def _vocabulary(self, name: str, load: Callable[[], Vocabulary] | None = None) -> Callable[[], Vocabulary | None]:
        """The vocabulary as soon as it is there. It is loaded ahead of the settlements that need it."""
        if name not in self._wanted:
            self._wanted[name] = partial(self._vocabularies.get, name)
            self._thread.submit(load or partial(self._vocabularies.load, name))
        return self._wanted[name]

    def account(
        self, recorder: Recorder, stream: str, wire: ClientWire, request: StreamRequest, route: Route, key: Key | None
    ) -> Account:
        """The account of one stream, accepted now; ``recorder`` is told of its end first."""
        row = opened(
            stream=stream,
            started_at=round(self._wall(), 3),
            key=key.name if key is not None else None,
            route=route.name,
            client_wire=wire.name,
            tags=dict(route.tags),
        )
        billing = key.billing if key is not None and key.billing is not None else route.billing
        return Account(self, recorder, row, billing, wire, request)

    def terms(self, billing: Billing, request: StreamRequest, prompt: Prompting) -> Terms:
        """What a stream is settled by."""
        drift = self._settings.drift if self._settings is not None else Metering().drift
        return Terms(prices=self.prices, billing=billing, prompt=prompt, tier=tier_of(request), drift=drift)

    def later(self, work: Callable[[], None]) -> None:
        """Do it in the thread."""
        self._thread.submit(work)

    def settle(self, account: Account, summary: Summary) -> None:
        """Settle a stream that is over."""
        settled: Settled | None = None
        if self.short(summary):
            try:
                settled = settle(summary, account.row, round(self._wall(), 3), account.terms(_not_here))
            except Exception:
                # It fails in the thread too, and is told of there.
                settled = None
        if settled is not None:
            self._take(settled)
            return
        work = self._thread.submit(self._settled, account, summary, round(self._wall(), 3))
        work.add_done_callback(self._done)

    def short(self, summary: Summary) -> bool:
        """Nothing is left to count, after a slice of it."""
        for attempt in summary.attempts:
            for tally in attempt.tallies:
                if tally.meter.vocabulary() is None or tally.fold():
                    return False
        return True

    def _settled(self, account: Account, summary: Summary, ended_at: float) -> Settled:
        try:
            for attempt in summary.attempts:
                for tally in attempt.tallies:
                    while tally.fold():
                        _breathe()
            return settle(summary, account.row, ended_at, account.terms(account.prompt()))
        except Exception:
            logger.exception("stream %s was settled without numbers", summary.stream)
            return Settled(unsettled(summary, account.row, ended_at))

    def _done(self, work: Future[Settled]) -> None:
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._take, work.result())

    def _take(self, settled: Settled) -> None:
        meter = settled.meter
        if meter is not None and meter.factor is not None and settled.pair is not None and settled.raw:
            if len(self._learnt) >= MODELS:
                self._learnt.clear()
            before = self._learnt.get(meter.model) or unlearnt(meter.model)
            self._learnt[meter.model] = before.with_one(settled.raw, settled.pair[1])
        self._book(settled)


class Account:
    """One stream's. A recorder: with its end it is settled."""

    def __init__(
        self,
        keeper: Bookkeeper,
        recorder: Recorder,
        row: Row,
        billing: Billing,
        wire: ClientWire,
        request: StreamRequest,
    ):
        self.row = row
        """As it was opened."""
        self._keeper = keeper
        self._recorder = recorder
        self._billing = billing
        self._wire = wire
        self._request = request
        self._sketch: Terms | None = None
        self._guess: prompts.Counted | None = None

    def record(self, summary: Summary) -> None:
        """The stream is over."""
        self._recorder.record(summary)
        self._keeper.settle(self, summary)

    def written_down(self, ledger: Ledger, summary: Summary, refused: Callable[[str], None]) -> None:
        """Its row is opened. Raises BadRequest (503): none is served that could not be billed; ``refused`` is told."""
        try:
            ledger.open(self.row, summary, partial(self.so_far, summary))
        except LedgerUnavailable as error:
            refused(summary.stream)
            raise BadRequest(str(error), status=503, code="ledger_unavailable") from None

    def so_far(self, summary: Summary, at: float) -> tuple[Row, bool]:
        """Its row as it stands; False: more will be known of it soon."""
        if self._sketch is None:
            self._sketch = self._keeper.terms(self._billing, self._request, lambda meter: self._guess)
            self._guess = self._by_length()
            if self._guess is None:
                self._keeper.later(self._estimate)
                return so_far(summary, self.row, at, self._sketch), False
        tallies = [tally for attempt in summary.attempts for tally in attempt.tallies]
        countable = all(tally.meter.vocabulary() is not None for tally in tallies)
        return so_far(summary, self.row, at, self._sketch), countable

    def _by_length(self) -> prompts.Counted | None:
        size = sum(len(bytes(value)) for value in self._request.body.values())
        return None if size > SHORT else prompts.Counted(size // BYTES_A_TOKEN, exact=False)

    def prompt_about(self) -> int:
        """See `plan.Plan.prompt`. A long one that was not read yet is taken by its length, but for files in it."""
        guess = self._guess or self._by_length()
        return asked(self._request)[0] if guess is None else guess.tokens

    def cost(self, summary: Summary) -> int | None:
        """See `plan.Plan`."""
        if not self._keeper.short(summary):
            return None
        at = self.row.started_at + summary.duration
        try:
            return completing(summary, self.row, at, self.terms(_not_here))
        except _Later:
            return None

    def _estimate(self) -> None:
        meter = Meter("", Estimate)
        self._guess = prompts.count(prompt_of(self._wire, self._request), meter)

    def terms(self, prompt: Prompting) -> Terms:
        """What it is settled by at its end."""
        return self._keeper.terms(self._billing, self._request, prompt)

    def prompt(self) -> Prompting:
        """Counts its prompt, once for each model."""
        known: dict[str, prompts.Counted | None] = {}

        def prompt(meter: Meter) -> prompts.Counted | None:
            if meter.model not in known:
                known[meter.model] = prompts.count(prompt_of(self._wire, self._request), meter, _breathe)
            return known[meter.model]

        return prompt


class _Later(Exception):
    """It takes time: not on the event loop."""


def _not_here(meter: Meter) -> prompts.Counted | None:
    raise _Later


def _nothing() -> None:
    """Comes behind what was to be done before."""


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
    """The bookkeeper of a configuration that counts, or keeps rows."""
    if config.metering is None and config.ledger is None:
        return None
    return Bookkeeper(config.metering, price_list(config), Vocabularies(), book, wall)
