"""The provider's side where silence is learnt (``between_tokens: auto``): it knows what an attempt says, and tells
`policy.silence.Silence` of every gap. A class of its own, so that other streams pay nothing for it."""

from __future__ import annotations

from penstock.events import Event, Reasoning, ToolArguments
from penstock.policy.silence import Phase
from penstock.stream.attempt import Attempt
from penstock.stream.states import Upstream
from penstock.stream.upstream import UpstreamSide
from penstock.wire.alike import Alike

_PHASES: dict[type[Event], Phase] = {Reasoning: Phase.THINKING, ToolArguments: Phase.TOOL}


def phase_of(events: tuple[Event, ...]) -> Phase | None:
    """What a frame says: the kind of its last token event; None where it has none."""
    for event in reversed(events):
        if event.token:
            return _PHASES.get(type(event), Phase.TEXT)
    return None


class ListeningSide(UpstreamSide):
    """See `UpstreamSide`."""

    def _frames(self, attempt: Attempt, frames: list[bytes], now: float) -> None:
        decode = attempt.decoder.decode
        for frame in frames:
            self._account.frames_in += 1
            handed_on, events = decode(frame)
            phase = phase_of(events)
            if phase is not None and attempt.state is Upstream.STREAMING:
                self._heard(attempt, now)
            goes_on = self._frame(attempt, handed_on, events, now)
            if phase is not None and attempt.state is Upstream.STREAMING:
                self._says(attempt, phase, now)
            if not goes_on:
                break
        self._course.flush(now)

    def on_one_delta(self, attempt: Attempt, data: bytes, now: float, alike: Alike) -> bytes | None:
        """Every frame is heard: none is passed by."""
        self._account.bytes_in += len(data)
        frames = self._framed(attempt, data, now)
        if frames:
            self._frames(attempt, frames, now)
        return None

    def stalled(self, attempt: Attempt, now: float) -> None:
        """The gap in which patience ended is one, too: a lower bound."""
        self._heard(attempt, now)

    def _heard(self, attempt: Attempt, now: float) -> None:
        """A gap is over. Frames of one read have none between them."""
        silences, limit, gap = self._plan.silences, attempt.silence, now - attempt.last_token
        if silences is not None and limit is not None and gap > 0.0:
            silences[attempt.target].observe(limit.phase, gap, now)

    def _says(self, attempt: Attempt, phase: Phase, now: float) -> None:
        """The limit is looked up when a phase begins, and holds as long as it lasts."""
        silences = self._plan.silences
        if silences is not None and (attempt.silence is None or attempt.silence.phase is not phase):
            attempt.silence = silences[attempt.target].limit(phase, now)
            self._course.epoch += 1
