"""The provider's side of a stream: the current attempt, one that may race it, what they send and what that means.

It reports to the `Course` (the machine), which alone decides what follows.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from penstock.errors import CorruptFrame, FrameTooLarge
from penstock.events import EndMarker, ErrorReport, Event, Finish, Heartbeat, Malformed, Start, UsageReport
from penstock.metering.tally import BATCH
from penstock.outcome import Outcome
from penstock.stream import faults, inputs
from penstock.stream.attempt import Attempt
from penstock.stream.commands import Close, Command, Open, Pause, Resume
from penstock.stream.head import scrubbed
from penstock.stream.plan import Plan
from penstock.stream.states import Upstream, UpstreamStep
from penstock.stream.summary import AttemptSummary, Summary
from penstock.usage import Usage
from penstock.wire.base import Body, error_of

LOST = "lost the race"
"""Why an attempt was closed beside which another had its first token event sooner."""
HELD_HEARTBEATS = 64 * 1024
"""Comments of an attempt that are kept until its first token, in bytes; what is over is left out."""


class Course(Protocol):
    """What the provider's side tells the machine."""

    settling: bool
    """The answer is whole; only late usage is awaited."""

    @property
    def put(self) -> Callable[[bytes], None]:
        """Takes a frame for the client."""

    @property
    def flush(self) -> Callable[[float], None]:
        """Told the instant when nothing more comes by this input."""

    def first_token(self, attempt: Attempt, now: float) -> None:
        """The attempt has its first token event."""

    def failed(self, attempt: Attempt, failure: faults.Failure, now: float, *, reuse: bool = False) -> None:
        """The attempt has failed."""

    def complete(self, attempt: Attempt, now: float) -> None:
        """The answer is whole."""

    def settled(self, now: float, *, reuse: bool) -> None:
        """The provider's body is over after the answer was whole."""


class UpstreamSide:
    """Reads the attempts. ``out`` is the machine's list of commands."""

    def __init__(self, plan: Plan, account: Summary, out: list[Command], course: Course, began: float):
        self._plan = plan
        self._account = account
        self._out = out
        self._course = course
        self._began = began
        self.attempt: Attempt | None = None
        """The current one: what it reports is in the account."""
        self.rival: Attempt | None = None
        """A second one that races it to the first token event."""
        self.round = 0
        """How often all targets have been asked."""
        self.name = self.model = ""
        """The answer's id and model, as the provider says."""

    def release(self) -> None:
        """Let go of the machine. Nothing else may be called after it."""
        del self._course

    # -- attempts -------------------------------------------------------------------------------------------------

    @property
    def racing(self) -> tuple[Attempt, ...]:
        """The attempts in flight."""
        return tuple(attempt for attempt in (self.attempt, self.rival) if attempt is not None)

    def open(
        self, target: int, now: float, *, fresh: bool = False, ask_usage: bool = True, hedge: bool = False
    ) -> None:
        """Start an attempt, beside the current one if there is one."""
        plan, number = self._plan, len(self._account.attempts)
        way = plan.ways[target]
        attempt = Attempt(number, target, way, plan.delivery.max_frame, now=now)
        attempt.asked_usage = ask_usage and way.ask_usage
        attempt.account = AttemptSummary(target=way.name, label=way.label, started=now - self._began, hedge=hedge)
        attempt.account.round = self.round
        attempt.account.tally, attempt.account.runs_on = attempt.tally, way.runs_on
        self._account.attempts.append(attempt.account)
        if self.attempt is None:
            self._promote(attempt)
        else:
            self.rival = attempt
        self._out.append(Open(number, target, fresh, attempt.asked_usage))

    def _promote(self, attempt: Attempt) -> None:
        """It is the current one now; what another reported is not what this one reports."""
        self.attempt = attempt
        self._account.usage, self._account.finish = attempt.usage, attempt.finish
        self.name, self.model = attempt.name_said, attempt.model_said

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
            attempt.last_token = now
            if attempt.paused:
                attempt.paused = False
                self._out.append(Resume(attempt.number))

    def current(self, number: int) -> Attempt | None:
        """The attempt with that number, if it is one that counts."""
        attempt = self.attempt
        if attempt is not None and attempt.number == number:
            return attempt
        rival = self.rival
        return rival if rival is not None and rival.number == number else None

    # -- what comes in --------------------------------------------------------------------------------------------

    def on_opened(self, happened: inputs.UpstreamOpened, now: float) -> None:
        """The connection stands."""
        attempt = self.current(happened.attempt)
        if attempt is not None and attempt.state is Upstream.OPENING:
            attempt.move(UpstreamStep.OPENED)

    def on_head(self, happened: inputs.UpstreamHead, now: float) -> None:
        """Status and headers."""
        attempt = self.current(happened.attempt)
        if attempt is not None:
            attempt.head(happened.status, happened.headers)
            if attempt.account is not None:
                attempt.account.status = happened.status

    def on_bytes(self, happened: inputs.UpstreamBytes, now: float) -> None:
        """A piece of the body."""
        attempt = self.attempt
        if attempt is None or attempt.number != happened.attempt:
            attempt = self.current(happened.attempt)
            if attempt is None:
                return
        self._account.bytes_in += len(happened.data)
        try:
            frames = attempt.receive(happened.data)
        except (FrameTooLarge, CorruptFrame) as error:
            self._frames(attempt, error.frames, now)
            if self._course.settling:
                self._course.settled(now, reuse=False)
            elif attempt.state is not Upstream.CLOSED:
                hint = " (delivery.max_frame)" if isinstance(error, FrameTooLarge) else ""
                self._course.failed(attempt, faults.upstream_error(f"{error}{hint}"), now)
            return
        if attempt.body is Body.COMPRESSED:
            self._course.failed(attempt, faults.compressed(attempt.coding), now)
        elif frames:
            self._frames(attempt, frames, now)

    def on_ended(self, happened: inputs.UpstreamEnded, now: float) -> None:
        """The body is over."""
        attempt, course = self.current(happened.attempt), self._course
        if attempt is None:
            return
        if course.settling:
            course.settled(now, reuse=happened.clean)
        elif attempt.body is Body.ERROR:
            self._http_error(attempt, now, reuse=happened.clean)
        elif attempt.body is Body.WHOLE and happened.clean:
            whole = attempt.whole()
            if isinstance(whole, ErrorReport):
                course.failed(attempt, faults.reported(whole), now, reuse=True)
            else:
                self._frames(attempt, whole, now)
                self._ended(attempt, b"", happened, now)
        else:
            self._ended(attempt, attempt.rest(), happened, now)

    def _ended(self, attempt: Attempt, rest: bytes, happened: inputs.UpstreamEnded, now: float) -> None:
        """The body is over behind ``rest``, and the answer with it if that was not said before."""
        course = self._course
        if not course.settling and attempt.state is not Upstream.CLOSED:
            frame, events = attempt.decoder.close(rest)
            if self._frame(attempt, frame, events, now) and not course.settling:
                self._over(attempt, None, now, clean=happened.clean, reason=happened.reason)
        if course.settling:
            course.settled(now, reuse=happened.clean)

    def on_failed(self, happened: inputs.UpstreamFailed, now: float) -> None:
        """No byte of an answer came."""
        attempt = self.current(happened.attempt)
        if attempt is None:
            return
        if happened.stale:
            self.close_one(attempt, Outcome.CONNECT_FAILED, happened.message, now)
            if attempt.account is not None:
                attempt.account.blameless = True
            self._again(attempt, now, fresh=True, ask_usage=attempt.asked_usage)
        else:
            self._course.failed(attempt, faults.connect_failed(happened.message), now)

    def _again(self, attempt: Attempt, now: float, *, fresh: bool = False, ask_usage: bool) -> None:
        """The same target once more."""
        hedge = attempt.account is not None and attempt.account.hedge
        self.open(attempt.target, now, fresh=fresh, ask_usage=ask_usage, hedge=hedge)

    def _http_error(self, attempt: Attempt, now: float, *, reuse: bool) -> None:
        rejected = attempt.status in (400, 422) and b"stream_options" in attempt.collected
        asked_by_client = attempt.same_wire and self._plan.request.include_usage
        if rejected and attempt.asked_usage and not asked_by_client:
            # It was Penstock that asked: once more without (H4).
            self.close_one(attempt, Outcome.UPSTREAM_ERROR, "stream_options rejected", now, reuse=reuse)
            self._again(attempt, now, ask_usage=False)
        else:
            # Scrubbed here too: a quotation may end in the middle of a credential.
            body = b"" if attempt.coding else scrubbed(bytes(attempt.collected), self._plan.secrets)
            report = error_of(attempt.wire, body, attempt.headers)
            failure = faults.http_error(attempt.status, attempt.headers, body, report, verbatim=attempt.same_wire)
            self._course.failed(attempt, failure, now, reuse=reuse)

    # -- what it means --------------------------------------------------------------------------------------------

    def _frames(self, attempt: Attempt, frames: list[bytes], now: float) -> None:
        account, course, decode, tally = self._account, self._course, attempt.decoder.decode, attempt.tally
        for frame in frames:
            account.frames_in += 1
            handed_on, events = decode(frame)
            if (
                attempt.state is Upstream.STREAMING
                and handed_on is not None
                and events
                and events[0].token
                and (len(events) == 1 or (len(events) == 2 and type(events[1]) is UsageReport))
            ):
                # Nearly all frames: one delta in the middle of the answer, on some wires with the usage so far.
                if len(events) == 2:
                    self._note(attempt, events[1])
                if tally is not None:
                    tally.heard.append(events[0])
                account.token_events += 1
                account.gap(now - attempt.last_token)
                attempt.last_token = now
                course.put(handed_on)
            elif not self._frame(attempt, handed_on, events, now):
                break
        course.flush(now)
        if tally is not None and len(tally.heard) >= BATCH:
            tally.fold()

    def _frame(self, attempt: Attempt, frame: bytes | None, events: tuple[Event, ...], now: float) -> bool:
        """One frame. False when nothing more of this attempt is to be read by this input."""
        token = False
        for event in events:
            if event.token:
                token = True
                if attempt.tally is not None:
                    attempt.tally.heard.append(event)
                self._account.token_events += 1
            elif not self._note(attempt, event) and not self._course.settling:
                if token and type(event) is EndMarker:
                    self._token(attempt, now)
                return self._turn(attempt, frame, event, now)
        if self._course.settling:
            return True
        if token:
            self._token(attempt, now)
        if frame is None:
            return True
        if attempt.state is Upstream.STREAMING:
            self._course.put(frame)
            return True
        return self._hold(attempt, frame, events, now)

    def _token(self, attempt: Attempt, now: float) -> None:
        """A frame with output."""
        if attempt.state is Upstream.STREAMING:
            self._account.gap(now - attempt.last_token)
        else:
            attempt.move(UpstreamStep.TOKEN)
            self._course.first_token(attempt, now)
        attempt.last_token = now

    def _hold(self, attempt: Attempt, frame: bytes, events: tuple[Event, ...], now: float) -> bool:
        """Keep a frame from before the first token, within bounds."""
        if (not events or type(events[0]) is Heartbeat) and attempt.held_size > HELD_HEARTBEATS:
            return True
        attempt.hold(frame)
        if attempt.held_size <= self._plan.delivery.max_frame:
            return True
        message = "the provider sent more than delivery.max_frame before its first token"
        self._course.failed(attempt, faults.upstream_error(message), now)
        return False

    def _note(self, attempt: Attempt, event: Any) -> bool:
        """Write down what an event reports. False for those that turn the stream's course."""
        kind = type(event)
        if kind is UsageReport:
            attempt.usage = (attempt.usage or Usage()).overwritten_by(event.usage)
        elif kind is Finish:
            attempt.finish = attempt.finish or event.reason
        elif kind is Start:
            attempt.name_said, attempt.model_said = event.id, event.model
        else:
            return kind is not ErrorReport and kind is not EndMarker and kind is not Malformed
        if attempt is self.attempt:
            self._promote(attempt)
        return True

    def _turn(self, attempt: Attempt, frame: bytes | None, event: Event, now: float) -> bool:
        """An event that turns the stream's course: an error, the end, a frame of no grammar."""
        if isinstance(event, Malformed):
            self._account.malformed += 1
            if self._plan.delivery.malformed == "fail":
                message = f"a frame of the provider is malformed: {event.reason} (delivery.malformed)"
                self._course.failed(attempt, faults.upstream_error(message), now)
                return False
            stand_in = self._plan.client.skipped()
            if stand_in and attempt.state is Upstream.STREAMING:
                self._course.put(stand_in)
            return True
        if isinstance(event, ErrorReport):
            self._course.failed(attempt, faults.reported(event), now)
            return False
        self._over(attempt, frame, now, clean=True)
        return self._course.settling

    def _over(self, attempt: Attempt, last: bytes | None, now: float, *, clean: bool, reason: str = "") -> None:
        """The provider's last word: its end marker (``last``), or the end of its body."""
        missing = attempt.decoder.incomplete(clean=clean)
        began = attempt.state is Upstream.STREAMING
        if not began and (clean or missing is None) and not attempt.decoder.empty_is_right:
            self._course.failed(attempt, faults.empty(), now, reuse=clean and last is None)
        elif missing is not None:
            self._course.failed(attempt, faults.upstream_cut(missing, reason), now)
        else:
            if last is not None:
                if began:
                    self._course.put(last)
                else:
                    attempt.hold(last)
            self._account.warnings += attempt.decoder.oddities()
            self._course.complete(attempt, now)
