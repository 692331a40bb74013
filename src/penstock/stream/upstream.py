"""The provider's side of a stream: what its attempts send, and what that means.

It reports to the `Course` (the machine), which alone decides what follows.
"""

from __future__ import annotations

from typing import Any

from penstock.errors import CorruptFrame, FrameTooLarge
from penstock.events import EndMarker, ErrorReport, Event, Finish, Heartbeat, Malformed, Start, UsageReport
from penstock.metering.tally import BATCH
from penstock.outcome import Outcome
from penstock.policy.rate import Pace
from penstock.stream import faults, inputs
from penstock.stream.attempt import Attempt
from penstock.stream.attempts import Attempts
from penstock.stream.commands import Command
from penstock.stream.course import Course
from penstock.stream.head import scrubbed
from penstock.stream.pace import tokens_of
from penstock.stream.plan import Plan
from penstock.stream.states import Upstream, UpstreamStep
from penstock.stream.summary import Summary
from penstock.usage import Usage
from penstock.wire.alike import Alike
from penstock.wire.base import Body, error_of
from penstock.wire.translated import Translated

LARGEST_READ = 1 << 20
"""What is read from a socket at once is smaller, and so a frame that came whole in one piece."""
HELD_HEARTBEATS = 64 * 1024
"""Comments of an attempt that are kept until its first token, in bytes; what is over is left out."""


class UpstreamSide(Attempts):
    """Reads the attempts."""

    def __init__(self, plan: Plan, account: Summary, out: list[Command], course: Course, began: float):
        super().__init__(plan, account, out, began)
        self._course = course

    def release(self) -> None:
        """Let go of the machine. Nothing else may be called after it."""
        del self._course
        self.__dict__.pop("_frames", None)

    def one_by_one(self) -> None:
        """From now on the machine has its say after every frame, and not only after every input."""
        at_once = self._frames

        def one_by_one(attempt: Attempt, frames: list[bytes], now: float) -> None:
            for frame in frames:
                if attempt.state is not Upstream.CLOSED:
                    at_once(attempt, [frame], now)

        self._frames = one_by_one  # type: ignore[method-assign]

    def stalled(self, attempt: Attempt, now: float) -> None:
        """Its silence has lasted too long."""

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

    def on_bytes(self, number: int, data: bytes, now: float) -> None:
        """A piece of the body of attempt ``number``."""
        attempt = self.current(number)
        if attempt is None:
            return
        self._account.bytes_in += len(data)
        frames = self._framed(attempt, data, now)
        if attempt.body is Body.COMPRESSED:
            self._course.failed(attempt, faults.compressed(attempt.coding), now)
        elif frames:
            self._frames(attempt, frames, now)

    def on_one_delta(self, attempt: Attempt, data: bytes, now: float, alike: Alike) -> bytes | None:
        """A piece of the body in mid-answer. Where it is one frame with one delta, it is left to the caller to count it
        and to pass on what is returned, and ``alike`` learns from it; else None, and all is done."""
        account = self._account
        account.bytes_in += len(data)
        try:
            frames = attempt.framer.feed(data)
        except (FrameTooLarge, CorruptFrame) as error:
            self._broken(attempt, error, now)
            return None
        if len(frames) != 1:
            if frames:
                self._frames(attempt, frames, now)
            return None
        frame, decoder = frames[0], attempt.decoder
        account.frames_in += 1
        handed_on, events = decoder.decode(frame)
        one = len(events) == 1 and events[0].token
        if handed_on is None or not (one or self._one_delta(attempt, events)):
            self._frame(attempt, handed_on, events, now)
            self._course.flush(now)
            return None
        if attempt.tally is not None:
            attempt.tally.heard.append(events[0])
            if len(attempt.tally.heard) >= BATCH:
                attempt.tally.fold()
        if decoder.alike is not None and attempt.framer.idle and attempt.limit >= LARGEST_READ:
            if isinstance(decoder, Translated):
                alike.learn(attempt.number, frame, events, decoder.source, decoder.writer.write)
            elif handed_on is frame:
                alike.learn(attempt.number, frame, events, decoder)
        return handed_on

    def _framed(self, attempt: Attempt, data: bytes, now: float) -> list[bytes]:
        """The frames that ``data`` completes. None when it breaks the stream: that is dealt with then."""
        try:
            return attempt.receive(data)
        except (FrameTooLarge, CorruptFrame) as error:
            self._broken(attempt, error, now)
            return []

    def _broken(self, attempt: Attempt, error: FrameTooLarge | CorruptFrame, now: float) -> None:
        """The frames before it still count."""
        self._frames(attempt, error.frames, now)
        if self._course.settling:
            self._course.settled(now, reuse=False)
        elif attempt.state is not Upstream.CLOSED:
            hint = " (delivery.max_frame)" if isinstance(error, FrameTooLarge) else ""
            self._course.failed(attempt, faults.upstream_error(f"{error}{hint}"), now)

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
        self.open(attempt.target, now, fresh=fresh, ask_usage=ask_usage, hedge=hedge, beginning=attempt.beginning)

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
            if attempt.state is Upstream.STREAMING and handed_on is not None and self._one_delta(attempt, events):
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

    def _one_delta(self, attempt: Attempt, events: tuple[Event, ...]) -> bool:
        """Nearly all frames: one delta, on some wires with the usage so far, which is noted."""
        if len(events) == 1:
            return events[0].token
        if len(events) == 2 and events[0].token and type(events[1]) is UsageReport:
            return self._note(attempt, events[1])
        return False

    def _frame(self, attempt: Attempt, frame: bytes | None, events: tuple[Event, ...], now: float) -> bool:
        """One frame. False when nothing more of this attempt is to be read by this input."""
        if attempt.state is Upstream.CLOSED:
            # A stage has ended the stream at a frame of this same input.
            return False
        token = False
        for event in events:
            if event.token:
                token = True
                if attempt.tally is not None:
                    attempt.tally.heard.append(event)
                self._account.token_events += 1
            elif not self._note(attempt, event) and not self._course.settling:
                if token and type(event) is EndMarker:
                    self._token(attempt, events, now)
                return self._turn(attempt, frame, event, now)
        if self._course.settling:
            return True
        if token:
            self._token(attempt, events, now)
        if frame is None:
            return True
        if attempt.state is Upstream.STREAMING:
            self._course.put(frame)
            return True
        return self._hold(attempt, frame, events, now)

    def _token(self, attempt: Attempt, events: tuple[Event, ...], now: float) -> None:
        """A frame with output."""
        streaming = attempt.state is Upstream.STREAMING
        if streaming or attempt.probing:
            self._account.gap(now - attempt.last_token)
        if not streaming and self._fast(attempt, events, now):
            self.commit(attempt, now)
        attempt.last_token = now

    def _fast(self, attempt: Attempt, events: tuple[Event, ...], now: float) -> bool:
        """Is its output to be waited for no longer? Where nobody else could answer, it is fast enough."""
        if attempt.probe is None or not self._course.elsewhere():
            return True
        self._course.epoch += not attempt.probing
        return attempt.probe.token(now, tokens_of(events)) is Pace.FAST

    def commit(self, attempt: Attempt, now: float) -> None:
        """Its output goes to the client from here on."""
        attempt.probe = None
        attempt.move(UpstreamStep.TOKEN)
        self._course.first_token(attempt, now)

    def _hold(self, attempt: Attempt, frame: bytes, events: tuple[Event, ...], now: float) -> bool:
        """Keep a frame from before the commit, within bounds."""
        probing = attempt.probing
        if not probing and (not events or type(events[0]) is Heartbeat) and attempt.held_size > HELD_HEARTBEATS:
            return True
        attempt.hold(frame)
        if attempt.held_size <= self._plan.delivery.max_frame:
            return True
        if probing:
            # So much output is not slow.
            self.commit(attempt, now)
            return True
        message = "the provider sent more than delivery.max_frame before its first token"
        self._course.failed(attempt, faults.upstream_error(message), now)
        return False

    def _note(self, attempt: Attempt, event: Any) -> bool:
        """Write down what an event reports. False for those that turn the stream's course."""
        kind = type(event)
        if kind is UsageReport:
            attempt.usage = event.usage if attempt.usage is None else attempt.usage.overwritten_by(event.usage)
        elif kind is Finish:
            attempt.finish = attempt.finish or event.reason
        elif kind is Start:
            attempt.name_said, attempt.model_said = event.id, event.model
        else:
            return kind is not ErrorReport and kind is not EndMarker and kind is not Malformed
        if attempt is self.attempt:
            self._promote(attempt)
        return True

    def report(self, usage: Usage) -> None:
        """Usage of the current attempt."""
        attempt = self.attempt
        if attempt is not None:
            attempt.usage = usage if attempt.usage is None else attempt.usage.overwritten_by(usage)
            self._promote(attempt)

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
            elif stand_in and attempt.probing:
                attempt.hold(stand_in)
            return True
        if isinstance(event, ErrorReport):
            self._course.failed(attempt, faults.reported(event), now)
            return False
        self._over(attempt, frame, now, clean=True)
        return self._course.settling

    def _over(self, attempt: Attempt, last: bytes | None, now: float, *, clean: bool, reason: str = "") -> None:
        """The provider's last word: its end marker (``last``), or the end of its body."""
        missing = attempt.decoder.incomplete(clean=clean)
        if missing is None and attempt.probing:
            # What is whole is not too slow.
            self.commit(attempt, now)
        began = attempt.state is Upstream.STREAMING or attempt.probing
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
