"""Law 9: the clocks, kept a second time beside a transcript's."""

from __future__ import annotations

from penstock.outcome import Outcome
from penstock.policy.deadlines import Deadlines
from penstock.stream import inputs
from penstock.stream.commands import Close, Done, End, Head, Open, Pause, Resume
from penstock.testing.reading import Reading, readings
from penstock.testing.transcript import Expired, Transcript, Turn

_NEAR = 1e-6
_OF_TIME = frozenset({Outcome.CONNECT_FAILED, Outcome.FIRST_TOKEN_TIMEOUT, Outcome.STALLED})


class _Line:
    """An attempt in flight, and since when it has been silent."""

    def __init__(self, reading: Reading, at: float, first_token: float | None):
        self.reading = reading
        self.dispatched = self.token = at
        self.first_token = first_token
        self.opened = False

    def due(self, now: float, limits: Deadlines) -> float | None:
        """The instant at which its silence is over the limit."""
        told = [at for at in self.reading.tokens if at < now]
        if told:
            limit, since = limits.between_tokens, max(told[-1], self.token)
        else:
            limit, since = self.first_token, self.dispatched
            if not self.opened:
                limit = limits.connect if limit is None else min(limit, limits.connect)
        return None if limit is None else since + limit


class _Clocks:
    """When each attempt must have spoken, and when the client must have read."""

    def __init__(self, transcript: Transcript):
        self.transcript = transcript
        self.limits = transcript.plan.deadlines
        self.read = {reading.number: reading for reading in readings(transcript)}
        self.lines: dict[int, _Line] = {}
        self.left = self.gone = self.head = self.ended = False
        self.blocked: float | None = None
        self.waited = 0.0
        """How long the client was blocked in all."""
        self.unpaid: float | None = None
        """Since when nothing is read, as it is not known whether it can be paid."""
        self.paused: set[int] = set()

    def due(self, now: float) -> dict[int, float]:
        """The instants at which the attempts' silences are over their limits."""
        if self.blocked is not None or self.unpaid is not None or self.left or self.ended:
            return {}
        found = {number: line.due(now, self.limits) for number, line in self.lines.items()}
        return {number: due for number, due in found.items() if due is not None}

    def watch(self, turn: Turn) -> None:
        """One turn: nobody's silence has gone unnoticed, and nobody was blamed for a silence that was not theirs."""
        due = self.due(turn.at)
        for number, instant in due.items():
            assert turn.at <= instant + _NEAR, f"at {turn.at:g} attempt {number}'s silence, due {instant:g}, was missed"
        slow = self.transcript.plan.delivery.slow_client.timeout
        if self.blocked is not None and slow is not None:
            assert turn.at <= self.blocked + slow + _NEAR, f"at {turn.at:g} a slow client was not noticed"
        awaited = self.blocked is None or any(not line.reading.complete() for line in self.lines.values())
        if self.limits.total is not None and awaited and not (self.ended or self.left):
            longest = self.transcript.began + self.limits.total
            assert turn.at <= longest + _NEAR, f"at {turn.at:g} the stream is longer than {self.limits.total:g} s"
        if isinstance(turn.cause, Expired):
            self._blame(turn, due)
        self._go_on(turn)

    def _blame(self, turn: Turn, dues: dict[int, float]) -> None:
        for command in turn.commands:
            if isinstance(command, Close):
                outcome = self.transcript.account.attempts[command.attempt].outcome
                if outcome in _OF_TIME:
                    assert self.blocked is None, f"{outcome} at {turn.at:g}, while the client was blocked"
                    due = dues.get(command.attempt)
                    on_time = due is not None and abs(turn.at - due) < _NEAR
                    assert on_time, f"{outcome} at {turn.at:g}, due at {due}"
                if outcome is Outcome.SLOW_CLIENT:
                    assert self.blocked is not None, f"slow_client at {turn.at:g}, while the client was reading"

    def _over(self) -> bool:
        """There is no client who could block."""
        return self.ended or self.gone

    def _read_on(self, now: float) -> None:
        """Nobody holds the provider up any more."""
        assert self.blocked is not None
        self._put_off(self.blocked, now)
        self.waited += now - self.blocked
        self.blocked = None

    def _put_off(self, since: float, now: float) -> None:
        for line in self.lines.values():
            line.token = now
            line.dispatched += now - max(since, line.dispatched)

    def _pay(self, turn: Turn) -> None:
        """A stream that waits to be paid for pauses its attempts. One that begins meanwhile has all its time too."""
        for command in turn.commands:
            if isinstance(command, Pause):
                self.paused.add(command.attempt)
                if self.unpaid is None and self.blocked is None:
                    self.unpaid = turn.at
            elif isinstance(command, Resume | Close):
                self.paused.discard(command.attempt)
        if isinstance(turn.cause, inputs.AllowanceAnswered) and self.unpaid is not None:
            self._put_off(self.unpaid, turn.at)
            # Read on where it may be; else the wait goes on.
            self.unpaid = turn.at if self.paused else None

    def _go_on(self, turn: Turn) -> None:
        cause = turn.cause
        if isinstance(cause, inputs.UpstreamOpened) and cause.attempt in self.lines:
            self.lines[cause.attempt].opened = True
        elif isinstance(cause, inputs.ClientBlocked) and self.head and self.blocked is None and not self._over():
            self.blocked = turn.at
        elif isinstance(cause, inputs.ClientDrained) and self.blocked is not None:
            self._read_on(turn.at)
        elif isinstance(cause, inputs.ClientLeft):
            # Where the stream goes on without the client, its silences are the provider's.
            self.gone = True
            over = any(isinstance(command, Done) for command in turn.commands)
            self.left = over or not self.transcript.account.leaving
            if self.blocked is not None:
                self._read_on(turn.at)
        if self.transcript.plan.allowance is not None:
            self._pay(turn)
        for command in turn.commands:
            if isinstance(command, Open):
                plan, limit = self.transcript.plan, self.limits.first_token
                last = command.target == len(plan.ways) - 1
                last = last and self.transcript.account.attempts[command.attempt].round == plan.retries
                last = last or command.behind is not None
                patient = limit if limit is None or not last else limit * 1.5
                self.lines[command.attempt] = _Line(self.read[command.attempt], turn.at, patient)
            elif isinstance(command, Close):
                self.lines.pop(command.attempt, None)
            elif isinstance(command, Head):
                self.head = True
            elif isinstance(command, End) and command.abort and not isinstance(turn.commands[-1], Done):
                # A client that was given up; the stream goes on without it.
                self.gone = True
                self._read_on(turn.at)
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
