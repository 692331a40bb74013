"""All that a stream is to be, before it starts."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Protocol

import msgspec

from penstock.errors import BadRequest
from penstock.metering.tally import Meter
from penstock.policy.deadlines import Deadlines
from penstock.policy.delivery import Delivery
from penstock.policy.hedge import HedgeBudget
from penstock.policy.leaving import Drains
from penstock.policy.metadata import Metadata
from penstock.policy.silence import Silence
from penstock.request import StreamRequest
from penstock.stages.pipeline import StagesPlan
from penstock.stream.inputs import Headers
from penstock.stream.summary import Summary
from penstock.stream.tape import Tape
from penstock.wire.base import ClientSession, Decoder, UpstreamWire
from penstock.wire.continued import Beginning
from penstock.wire.edit import Editor
from penstock.wire.edit_runs import Texts


def _stands(beginning: Beginning) -> Decoder:
    raise BadRequest("this target does not write on from a beginning")


class Way(msgspec.Struct, frozen=True, kw_only=True):
    """One target of a stream, and how its answer is read."""

    name: str
    """``provider/model``, for people."""
    label: str
    """The same as configured, for metrics."""
    wire: UpstreamWire
    same_wire: bool
    """The client speaks it too: frames go on as bytes, error bodies as they are."""
    decoder: Callable[[], Decoder]
    """A fresh decoder, for each attempt."""
    ask_usage: bool = True
    """The provider takes the question for usage."""
    goes_on: Callable[[Beginning], Decoder] = _stands
    """A fresh decoder for an attempt that goes on with an answer. Raises BadRequest where that cannot be taken up."""
    continues: bool = False
    """There is such a thing: the target writes on from a beginning."""
    stops_when_left: bool | None = None
    """Closing the connection ends the generation, and the bill; None: nobody knows."""
    meter: Meter | None = None
    """How its tokens are counted; None: they are not."""
    runs_on: bool = False
    """The provider goes on generating, on the bill, when it is left."""


class Resumable(msgspec.Struct, frozen=True, kw_only=True):
    """The stream outlives its client's connection."""

    ids: bool = False
    """Every data frame gets a line ``id: <stream>.<n>``."""
    alone: float = 600.0
    """Seconds that it may go on while nobody follows it."""


class Asking(Protocol):
    """Answers for the targets as they are now. It may count what it is asked."""

    def admitted(self, now: float) -> Sequence[int]:
        """The numbers of the targets that are worth an attempt, in order."""

    def may_try(self, target: int, now: float) -> bool:
        """Is a further attempt at it paid for? True withdraws what it costs."""


class Allowance(Protocol):
    """What the client's key may still spend."""

    def lasts(self, account: Summary) -> bool | None:
        """Told what the stream has come to: may it go on? None: others are asked, and `AllowanceAnswered` comes."""


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """One stream's request, its targets in order and the policies of its route."""

    stream: str
    route: str
    request: StreamRequest
    ways: tuple[Way, ...]
    client: ClientSession
    client_wire: str
    deadlines: Deadlines
    total_from: str = "deadlines.total"
    """Who has set the total deadline: the route, or a header of the client's."""
    delivery: Delivery
    hedge_after: float | None = None
    """Seconds that an attempt is alone before the next target is asked beside it; None: no hedging."""
    hedge_budget: HedgeBudget | None = None
    """Pays for that; None: it costs nothing."""
    retries: int = 0
    """How often all targets are asked once more, while nothing was committed."""
    chance: float = 0.5
    """A random number in [0, 1) for the waits before that."""
    silences: tuple[Silence, ...] | None = None
    """What is known of each target's silences, where that decides how long one may last (``between_tokens: auto``)."""
    asking: Asking | None = None
    """None: every target is worth every attempt."""
    resumable: Resumable | None = None
    """None: the stream is over when its client has left."""
    drains: Drains | None = None
    """Bounds the drains of the route; None: as many as there are."""
    stages: StagesPlan | None = None
    """What the answer's text goes through; None: nothing, and frames go on as they come."""
    editor: Callable[[Texts], Editor] | None = None
    """A fresh editor of the client's wire, where there are stages."""
    read_as: UpstreamWire | None = None
    """The client's wire as its clients read it, where there are stages."""
    allowance: Allowance | None = None
    """None: the key may spend what it likes."""
    told: Headers = ()
    """Headers of the answer that say where the key stands; a provider's own of these names do not go on."""
    metadata: Metadata | None = None
    """What the client is told inside the stream; None: nothing."""
    cost: Callable[[Summary], int | None] | None = None
    """For that: nano-dollars of a stream that is complete but for its last frame; None: not known yet."""
    prompt: Callable[[], int | None] | None = None
    """About how many tokens the request has, for answers that end before their provider has said it; None: unknown."""
    tape: Tape | None = None
    """Takes a copy of the answer; None: none is kept."""
    tags: tuple[tuple[str, str], ...] = ()
    """The route's, for accounts and metadata."""
    secrets: Iterable[bytes] = ()
    """What must never reach the client; it may grow while the stream runs."""

    def account(self) -> Summary:
        """The account of a stream that begins."""
        return Summary(
            stream=self.stream,
            route=self.route,
            model=self.request.model,
            client_wire=self.client_wire,
            streamed=self.request.stream,
            attempts=[],
            warnings=[],
            tags=dict(self.tags),
        )
