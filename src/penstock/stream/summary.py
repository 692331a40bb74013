"""What is known of a stream at its end. All instants are durations in seconds since the request's acceptance."""

from __future__ import annotations

from bisect import bisect_left

import msgspec

from penstock.metering.tally import Tally
from penstock.outcome import Outcome
from penstock.usage import Usage

GAP_BOUNDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
"""Upper bounds of the gap histogram, seconds; one more bucket holds the rest."""


class AttemptSummary(msgspec.Struct, kw_only=True):
    """One try at one target. ``outcome`` is None for the attempt that the client was served from to the end, and for
    one that ``lost``: the attempt beside it had its first token event sooner. ``hedge``: it was started beside another.
    ``label`` is the target as it is configured (``provider/*``): of those there are few, so it may label metrics."""

    target: str
    label: str = ""
    started: float
    ended: float | None = None
    first_token: float | None = None
    status: int | None = None
    outcome: Outcome | None = None
    reason: str = ""
    round: int = 0
    """How often all targets had been asked before."""
    retry_after: float | None = None
    """Seconds that the provider asked to be left alone for."""
    blameless: bool = False
    """It says nothing of its target: the kept-alive connection that it was sent on was dead already."""
    hedge: bool = False
    lost: bool = False
    continues: bool = False
    """It was to go on with the answer that the one before it had begun."""
    usage: Usage | None = None
    """What it reported of itself."""
    tally: Tally | None = None
    """What it generated, where that is counted."""
    sent: Tally | None = None
    """What the client got of that, where it went through stages or goes on with an answer."""
    runs_on: bool = False
    """Its provider goes on generating, on the bill, when it is left."""

    @property
    def tallies(self) -> tuple[Tally, ...]:
        """All that is counted of it."""
        return tuple(tally for tally in (self.tally, self.sent) if tally is not None)


class Summary(msgspec.Struct, kw_only=True):
    """The account of a stream. ``gaps`` counts gaps between token frames per bucket of `GAP_BOUNDS`."""

    stream: str
    route: str
    model: str
    client_wire: str
    streamed: bool
    outcome: Outcome | None = None
    reason: str = ""
    committed: bool = False
    attempts: list[AttemptSummary] = []
    first_token: float | None = None
    """When the first token event was released to the client's side (folded: was received)."""
    duration: float = 0.0
    frames_in: int = 0
    bytes_in: int = 0
    token_events: int = 0
    bytes_out: int = 0
    usage: Usage | None = None
    told: Usage | None = None
    """What the client was told instead, of an answer that Penstock ended: counted here, or estimated (`telling`)."""
    finish: str | None = None
    malformed: int = 0
    keepalives: int = 0
    blocked: float = 0.0
    """Seconds that the client was blocked."""
    warnings: list[str] = []
    gaps: list[int] = msgspec.field(default_factory=lambda: [0] * (len(GAP_BOUNDS) + 1))
    gap_sum: float = 0.0
    left: float | None = None
    """When the client left a stream that went on without it."""
    leaving: str = ""
    """What followed then: ``drain`` or ``detach``."""
    redactions: dict[str, int] = {}
    """What stages found in the answer, by kind."""
    tags: dict[str, str] = {}
    """The route's."""
    checks: dict[str, int] = {}
    """How checks by a moderation service went: passed, flagged, failed."""
    client_status: int | None = None
    """The HTTP status that the client got, if it got one."""

    @property
    def served(self) -> AttemptSummary | None:
        """The attempt that the client was served from, or the last one that tried."""
        if len(self.attempts) == 1:
            return self.attempts[0]
        tried = [attempt for attempt in self.attempts if not attempt.lost]
        for attempt in tried:
            if attempt.outcome is None:
                return attempt
        began = [attempt for attempt in tried if attempt.first_token is not None] if self.committed else []
        choice = began or tried or self.attempts
        return choice[-1] if choice else None

    @property
    def hedge(self) -> bool | None:
        """Whether the second attempt of a race won; None: there was no race."""
        seconds = [attempt for attempt in self.attempts if attempt.hedge]
        if not seconds:
            return None
        return not seconds[-1].lost and (seconds[-1].outcome is None or seconds[-1].first_token is not None)

    def gap(self, seconds: float) -> None:
        """Count one gap."""
        self.gaps[bisect_left(GAP_BOUNDS, seconds)] += 1
        self.gap_sum += seconds
