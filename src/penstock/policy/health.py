"""Is a target worth an attempt? Ejection after faults of its own, half-open probing until it answers again.

A circuit breaker (closed, ejected, half-open) with Envoy's outlier detection for its rules: consecutive failures, a
failure rate, and ejections that grow when they come again. All times in seconds.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum

import msgspec

from penstock.outcome import Outcome
from penstock.policy.failover import RETRYABLE_STATUS
from penstock.policy.window import Window

_LONG_AGO = float("-inf")


class HealthRules(msgspec.Struct, frozen=True, kw_only=True):
    """When a target is ejected, and for how long."""

    consecutive: int = 5
    """Failures in a row."""
    rate: float = 0.5
    """The share of failures among the attempts of the last ``window`` …"""
    least: int = 20
    """… as soon as there are so many."""
    window: float = 30.0
    ejection: float = 5.0
    """The first ejection; each further one is twice as long …"""
    longest: float = 60.0
    """… up to this. A target that was closed for as long begins anew. Also the longest ``retry-after`` heeded."""
    probe_interval: float = 5.0
    """Half-open, one attempt is let through per interval; also while an earlier one still waits."""
    strain: float = 0.1
    """The share of failures from which a closed target counts as struggling: its retries are to be paid for."""
    hang: float = 10.0
    """A wait without a token that is evidence, even when it was the client who ended it."""


class State(Enum):
    """The state of a target."""

    CLOSED = "healthy"
    EJECTED = "ejected"
    HALF_OPEN = "half-open"


class Evidence(Enum):
    """What the end of an attempt says of its target."""

    FAULT = "a fault of its own"
    BUSY = "it asks to be left alone for a while"
    NOTHING = "nothing"


def evidence(
    *, outcome: Outcome | None, status: int | None, waited: float | None, retry_after: float | None, hang: float
) -> Evidence:
    """What an attempt that did not complete says of its target.

    ====================================================================  ============================
    end of the attempt                                                    evidence
    ====================================================================  ============================
    connect_failed, first_token_timeout, upstream_cut, empty, stalled     fault
    too_slow                                                              fault
    upstream_error: 5xx, 408, 409, 425, in a 200                          fault
    upstream_error: 429 with retry-after                                  busy: `Health.rest`
    upstream_error: 429 without                                           fault
    upstream_error: any other 4xx                                         nothing: the caller's own
    client_closed, stopped, max_duration, lost a race; hang, no token     fault
    client_closed, stopped, max_duration, lost a race; otherwise          nothing
    all other endings                                                     nothing
    ====================================================================  ============================

    ``outcome`` is None for the loser of a race (hedging). ``status`` is the HTTP status, None for an error in a 200.
    ``waited``: seconds from the attempt's dispatch to its end when it had no token, None when it had one; *hang*:
    that was at least ``hang``.
    """
    if outcome in _FAULTS:
        return Evidence.FAULT
    if outcome is Outcome.UPSTREAM_ERROR:
        if status == 429 and retry_after is not None:
            return Evidence.BUSY
        callers = status is not None and 400 <= status < 500 and status not in RETRYABLE_STATUS
        return Evidence.NOTHING if callers else Evidence.FAULT
    if outcome in _BROKEN_OFF and waited is not None and waited >= hang:
        return Evidence.FAULT
    return Evidence.NOTHING


_FAULTS = frozenset(
    {
        Outcome.CONNECT_FAILED,
        Outcome.FIRST_TOKEN_TIMEOUT,
        Outcome.TOO_SLOW,
        Outcome.UPSTREAM_CUT,
        Outcome.EMPTY,
        Outcome.STALLED,
    }
)
_BROKEN_OFF = frozenset({None, Outcome.CLIENT_CLOSED, Outcome.STOPPED, Outcome.MAX_DURATION})


class Health:
    """One target's health.

    ==========  =================  ====================================================  ===================
    state       admits             leaves it by                                          to
    ==========  =================  ====================================================  ===================
    closed      all                ``consecutive`` failures, or ``rate`` of ``least``    ejected
    ejected     none               the end of the ejection                               half-open
    ejected     none               an answer to an attempt that was made all the same    closed
    half-open   one per interval   an answer to an attempt of after the ejection         closed
    half-open   one per interval   ``longest`` without a probe: nobody knows             closed
    ==========  =================  ====================================================  ===================

    An *answer* is a first token; for a target whose last fault came after its first token (a cut, a stall) it is the
    whole answer. A failed probe leaves a target half-open: the next one is let through an interval after it. So what
    has healed is found within one interval (and an answer's time) of the later of its healing and its ejection's end,
    however long it was out; ejections grow for targets that heal and fail in turn. Only attempts made since the last
    change count: the many that were under way when a target was ejected change nothing any more, neither way.

    ``began`` is always the instant of the attempt's dispatch.
    """

    __slots__ = (
        "_closed_since", "_ejected_at", "_failures", "_in_a_row", "_late_fault", "_next_probe", "_rest_since",
        "_rest_until", "_successes", "_until", "_why", "ejections", "repeats", "rules",
    )  # fmt: skip

    def __init__(self, rules: HealthRules = HealthRules()):  # noqa: B008 (a frozen value)
        self.rules = rules
        self._failures = Window(rules.window)
        self._successes = Window(rules.window)
        self._in_a_row = 0
        self._closed_since = _LONG_AGO
        self._ejected_at: float | None = None
        self._until = self._next_probe = 0.0
        self._rest_since = self._rest_until = _LONG_AGO
        self._why = ""
        self._late_fault = False
        """The last fault came after a first token: a first token alone proves nothing."""
        self.ejections = 0
        """All of them."""
        self.repeats = 0
        """Those that make the next one longer."""

    # -- questions ------------------------------------------------------------------------------------------------

    def state(self, now: float) -> State:
        """Its state."""
        if self._ejected_at is not None and now >= self._next_probe + self.rules.longest:
            self._back(now, now)
        if self._ejected_at is None:
            return State.CLOSED
        return State.EJECTED if now < self._until else State.HALF_OPEN

    def admits(self, now: float) -> bool:
        """May an attempt be made? Changes nothing: tell it with `dispatched` when one is."""
        if now < self._rest_until:
            return False
        state = self.state(now)
        return state is State.CLOSED or (state is State.HALF_OPEN and now >= self._next_probe)

    def struggling(self, now: float) -> bool:
        """It is not healthy, or three failures or more, and the share ``strain`` of its attempts, say that it may not
        be for long."""
        if self.state(now) is not State.CLOSED or now < self._rest_until:
            return True
        failures = self._failures.total(now)
        return failures >= 3 and failures >= self.rules.strain * (failures + self._successes.total(now))

    @property
    def ejected_until(self) -> float | None:
        """The end of its ejection, past or to come; None for one that is closed."""
        return None if self._ejected_at is None else self._until

    def explain(self, now: float) -> str:
        """State and reason, for the log."""
        state = self.state(now)
        if state is State.EJECTED:
            said = f"ejected for another {self._until - now:.3g} s (ejection {self.repeats} of late): {self._why}"
        elif state is State.HALF_OPEN:
            said = f"half-open, next probe in {max(0.0, self._next_probe - now):.3g} s: {self._why}"
        else:
            said = "healthy" if not self._in_a_row else f"healthy, with {self._in_a_row} failures in a row"
        if now < self._rest_until:
            said += f"; left alone for {self._rest_until - now:.3g} s, as it asked"
        return said

    # -- what happens ---------------------------------------------------------------------------------------------

    def dispatched(self, now: float) -> None:
        """An attempt is being made."""
        if self.state(now) is State.HALF_OPEN:
            self._next_probe = now + self.rules.probe_interval

    def answered(self, now: float, began: float) -> bool:
        """The first token of an attempt: a target that is out is back. For one that is in, `succeeded` counts. True
        when that closes it."""
        if began >= self._rest_since:
            self._rest_until = _LONG_AGO
        return not self._late_fault and self._back(now, began)

    def succeeded(self, now: float, began: float) -> bool:
        """An attempt was answered to its end. True when that closes the target."""
        self.answered(now, began)
        closes = self._back(now, began)
        # A probe's own success counts too, though it began before the target was closed.
        if closes or self._counts(now, began):
            self._in_a_row = 0
            self._successes.add(now)
        return closes

    def failed(self, now: float, began: float, why: str = "", *, answered: bool = False) -> bool:
        """An attempt failed by a fault of the target (see `evidence`), before its first token or after (``answered``).
        True when that ejects the target."""
        if not self._counts(now, began):
            return False
        self._in_a_row += 1
        self._late_fault = answered
        self._failures.add(now)
        failures = self._failures.total(now)
        total = failures + self._successes.total(now)
        if self._in_a_row >= self.rules.consecutive:
            self._eject(now, f"{self._in_a_row} failures in a row", why)
        elif total >= self.rules.least and failures >= self.rules.rate * total:
            self._eject(now, f"{failures:g} of {total:g} attempts in {self.rules.window:g} s failed", why)
        return self._ejected_at is not None

    def rest(self, now: float, seconds: float) -> None:
        """It asked to be left alone (429 with ``retry-after``): no blame, no attempt until then."""
        self._rest_since = now
        self._rest_until = max(self._rest_until, now + min(seconds, self.rules.longest))

    def _back(self, now: float, began: float) -> bool:
        if self._ejected_at is None or began < self._ejected_at:
            return False
        self._ejected_at = None
        self._closed_since = now
        self._forget()
        return True

    def _counts(self, now: float, began: float) -> bool:
        return self.state(now) is State.CLOSED and began >= self._closed_since

    def _eject(self, now: float, rule: str, why: str) -> None:
        if now - self._closed_since >= self.rules.longest:
            self.repeats = 0
        self.repeats += 1
        self.ejections += 1
        length = min(self.rules.longest, self.rules.ejection * 2.0 ** min(self.repeats - 1, 64))
        self._ejected_at = now
        self._until = self._next_probe = now + length
        self._why = f"{rule}, the last: {why}" if why else rule
        self._forget()

    def _forget(self) -> None:
        self._in_a_row = 0
        self._failures.clear()
        self._successes.clear()


class Admission(msgspec.Struct, frozen=True):
    """Which targets of a route to try."""

    order: tuple[int, ...]
    panic: bool = False
    """None of them is worth an attempt, and an attempt is made all the same."""


def admission(targets: Sequence[Health], now: float) -> Admission:
    """The targets that admit an attempt, in the order given; when none does, all of them: a gateway that is sure that
    all is lost helps nobody. Then those go first that are half-open, and within that the order given holds."""
    admitted = tuple(index for index, target in enumerate(targets) if target.admits(now))
    if admitted:
        return Admission(admitted)
    ejected = [target.state(now) is State.EJECTED for target in targets]
    return Admission(tuple(sorted(range(len(targets)), key=lambda index: ejected[index])), panic=bool(targets))
