"""Law 9: the clocks, kept a second time beside a transcript's."""

from __future__ import annotations

from penstock.outcome import Outcome
from penstock.stream import inputs
from penstock.stream.commands import Close, Done, End, Head, Open
from penstock.testing.reading import Reading, readings
from penstock.testing.transcript import Expired, Transcript, Turn

_NEAR = 1e-6
_OF_TIME = frozenset({Outcome.CONNECT_FAILED, Outcome.FIRST_TOKEN_TIMEOUT, Outcome.STALLED})


class _Clocks:
    """When the current attempt must have spoken, and when the client must have read."""

    def __init__(self, transcript: Transcript):
        self.transcript = transcript
        self.limits = transcript.plan.deadlines
        self.read = {reading.number: reading for reading in readings(transcript)}
        self.current: Reading | None = None
        self.opened = self.left = self.head = self.ended = False
        self.dispatched = self.token = 0.0
        self.blocked: float | None = None
        self.waited = 0.0
        """How long the client was blocked in all."""

    def due(self, now: float) -> float | None:
        """The instant at which the current attempt's silence is over the limit."""
        if self.current is None or self.blocked is not None or self.left or self.ended:
            return None
        told = [at for at in self.current.tokens if at < now]
        if told:
            limit, since = self.limits.between_tokens, max(told[-1], self.token)
        else:
            limit, since = self.limits.first_token, self.dispatched
            if not self.opened:
                limit = self.limits.connect if limit is None else min(limit, self.limits.connect)
        return None if limit is None else since + limit

    def watch(self, turn: Turn) -> None:
        """One turn: nobody's silence has gone unnoticed, and nobody was blamed for a silence that was not theirs."""
        due = self.due(turn.at)
        assert due is None or turn.at <= due + _NEAR, f"at {turn.at:g} silence since {due:g} was not noticed"
        slow = self.transcript.plan.delivery.slow_client.timeout
        if self.blocked is not None and slow is not None:
            assert turn.at <= self.blocked + slow + _NEAR, f"at {turn.at:g} a slow client was not noticed"
        awaited = self.blocked is None or (self.current is not None and not self.current.complete())
        if self.limits.total is not None and awaited and not (self.ended or self.left):
            longest = self.transcript.began + self.limits.total
            assert turn.at <= longest + _NEAR, f"at {turn.at:g} the stream is longer than {self.limits.total:g} s"
        if isinstance(turn.cause, Expired):
            self._blame(turn, due)
        self._go_on(turn)

    def _blame(self, turn: Turn, due: float | None) -> None:
        for command in turn.commands:
            if isinstance(command, Close):
                outcome = self.transcript.account.attempts[command.attempt].outcome
                if outcome in _OF_TIME:
                    assert self.blocked is None, f"{outcome} at {turn.at:g}, while the client was blocked"
                    on_time = due is not None and abs(turn.at - due) < _NEAR
                    assert on_time, f"{outcome} at {turn.at:g}, due at {due}"
                if outcome is Outcome.SLOW_CLIENT:
                    assert self.blocked is not None, f"slow_client at {turn.at:g}, while the client was reading"

    def _go_on(self, turn: Turn) -> None:
        cause = turn.cause
        if isinstance(cause, inputs.UpstreamOpened) and self.current and cause.attempt == self.current.number:
            self.opened = True
        elif isinstance(cause, inputs.ClientBlocked) and self.head and self.blocked is None and not self.ended:
            self.blocked = turn.at
        elif isinstance(cause, inputs.ClientDrained) and self.blocked is not None:
            self.token = turn.at
            self.dispatched += turn.at - max(self.blocked, self.dispatched)
            self.waited += turn.at - self.blocked
            self.blocked = None
        elif isinstance(cause, inputs.ClientLeft):
            self.left = True
        for command in turn.commands:
            if isinstance(command, Open):
                self.current, self.opened = self.read[command.attempt], False
                self.dispatched = self.token = turn.at
            elif isinstance(command, Close):
                self.current = None
            elif isinstance(command, Head):
                self.head = True
            elif isinstance(command, End | Done):
                self.ended = True
                self.waited += 0.0 if self.blocked is None else turn.at - self.blocked
                self.blocked = None


def law_9_silence_is_blamed_on_a_side(transcript: Transcript) -> None:
    """No upstream deadline runs while the client is blocked, only token events push the between-tokens deadline on,
    and every silence that is too long ends the attempt at exactly its instant."""
    clocks = _Clocks(transcript)
    for turn in transcript.turns:
        clocks.watch(turn)
    blocked = transcript.account.blocked
    if transcript.over:
        assert abs(blocked - clocks.waited) < _NEAR, f"blocked for {blocked:g} s, and it was {clocks.waited:g} s"
