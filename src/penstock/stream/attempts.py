"""The attempts of a stream: the current one, and one that may race it."""

from __future__ import annotations

from penstock.outcome import Outcome
from penstock.policy.rate import Probe
from penstock.stream.attempt import Attempt
from penstock.stream.commands import Close, Command, Open, Pause, Resume
from penstock.stream.plan import Plan
from penstock.stream.states import UpstreamStep
from penstock.stream.summary import AttemptSummary, Summary
from penstock.usage import total
from penstock.wire.continued import Beginning

LOST = "lost the race"
"""Why an attempt was closed beside which another had its first token event sooner."""


class Attempts:
    """Opens and closes them. ``out`` is the machine's list of commands."""

    def __init__(self, plan: Plan, account: Summary, out: list[Command], began: float):
        self._plan = plan
        self._account = account
        self._out = out
        self._began = began
        self.attempt: Attempt | None = None
        """The current one: what it reports is in the account."""
        self.rival: Attempt | None = None
        """A second one that races it to the first token event."""
        self.round = 0
        """How often all targets have been asked."""
        self.name = self.model = ""
        """The answer's id and model, as the provider says."""

    @property
    def racing(self) -> tuple[Attempt, ...]:
        """The attempts in flight."""
        return tuple(attempt for attempt in (self.attempt, self.rival) if attempt is not None)

    def open(
        self,
        target: int,
        now: float,
        *,
        fresh: bool = False,
        ask_usage: bool = True,
        hedge: bool = False,
        beginning: Beginning | None = None,
    ) -> None:
        """Start an attempt, beside the current one if there is one; or one that goes on behind ``beginning``."""
        plan, number = self._plan, len(self._account.attempts)
        way = plan.ways[target]
        attempt = Attempt(number, target, way, plan.delivery.max_frame, now=now, beginning=beginning)
        attempt.asked_usage = ask_usage and way.ask_usage
        attempt.probe = None if plan.deadlines.min_rate is None else Probe(plan.deadlines.min_rate)
        attempt.account = AttemptSummary(target=way.name, label=way.label, started=now - self._began, hedge=hedge)
        attempt.account.round = self.round
        attempt.account.continues = beginning is not None
        attempt.account.tally, attempt.account.runs_on = attempt.tally, way.runs_on
        attempt.account.sent = attempt.told
        self._account.attempts.append(attempt.account)
        if self.attempt is None:
            self._promote(attempt)
        else:
            self.rival = attempt
        behind = None if beginning is None else beginning.prefix
        self._out.append(Open(number, target, fresh, attempt.asked_usage, behind))

    def _promote(self, attempt: Attempt) -> None:
        """It is the current one now; what another reported is not what this one reports."""
        self.attempt = attempt
        self._account.usage, self._account.finish = attempt.usage, attempt.finish
        if attempt.beginning is None:
            self.name, self.model = attempt.name_said, attempt.model_said
        else:
            self._account.usage = total(attempt.beginning.usage, attempt.usage)

    def win(self, attempt: Attempt, now: float) -> Attempt | None:
        """The race is over: the attempt serves the client, and the other, which is returned, is closed at once."""
        if self.rival is None:
            return None
        loser = self.attempt if attempt is self.rival else self.rival
        if loser is not None:
            self.close_one(loser, None, LOST, now)
            if loser.account is not None:
                loser.account.lost = True
        return loser

    def close(self, outcome: Outcome | None, reason: str, now: float, *, reuse: bool = False) -> None:
        """End every attempt that is in flight."""
        for attempt in reversed(self.racing):
            self.close_one(attempt, outcome, reason, now, reuse=reuse)

    def close_one(
        self, attempt: Attempt, outcome: Outcome | None, reason: str, now: float, *, reuse: bool = False
    ) -> None:
        """End one attempt. Where it was the current one, the one beside it is that now."""
        attempt.move(UpstreamStep.CLOSE)
        rival, self.rival = self.rival, None
        if attempt is self.attempt:
            self.attempt = None
            if rival is not None:
                self._promote(rival)
        if attempt.account is not None:
            attempt.account.outcome = outcome
            attempt.account.reason = reason
            attempt.account.ended = now - self._began
            attempt.account.usage = attempt.usage
        self._out.append(Close(attempt.number, reuse))

    def pause(self) -> None:
        """Read no more for now."""
        for attempt in self.racing:
            if not attempt.paused:
                attempt.paused = True
                self._out.append(Pause(attempt.number))

    def resume(self, blocked_since: float, now: float) -> None:
        """Read on; the silence meanwhile was not the provider's."""
        for attempt in self.racing:
            attempt.dispatched += now - max(blocked_since, attempt.dispatched)
            if attempt.probe is not None:
                attempt.probe.resume(blocked_since, now)
            attempt.last_token = now
            if attempt.paused:
                attempt.paused = False
                self._out.append(Resume(attempt.number))

    def read_on(self, now: float) -> None:
        """What came while nothing was to be read is read now (see `paying`)."""

    def current(self, number: int) -> Attempt | None:
        """The attempt with that number, if it is one that counts."""
        attempt = self.attempt
        if attempt is not None and attempt.number == number:
            return attempt
        rival = self.rival
        return rival if rival is not None and rival.number == number else None
