"""The client's side of a stream: what it has been sent, what is owed to it, and its own clocks."""

from __future__ import annotations

from collections.abc import Callable

from penstock.metering.tally import Tally
from penstock.outcome import Outcome
from penstock.stream import head
from penstock.stream.attempt import Attempt
from penstock.stream.commands import Command, End, Head, Send
from penstock.stream.faults import Failure
from penstock.stream.inputs import CheckAnswered, Headers
from penstock.stream.plan import Plan
from penstock.stream.states import CLIENT, Client, ClientStep, step
from penstock.stream.summary import Summary
from penstock.wire.shortened import shortened

JSON = (b"content-type", b"application/json")
Timer = tuple[float, Callable[[float], None]]


class ClientSide:
    """Turns frames into commands for one client, streamed or folded. ``out`` is the machine's list of commands."""

    passes = True
    """Frames may go past sides of this kind, see `direct`."""

    def __init__(self, plan: Plan, account: Summary, out: list[Command], now: float):
        self._plan = plan
        self._account = account
        self._out = out
        self._began = now
        self._frames: list[bytes] = []
        self._fold = None if plan.request.stream else plan.client.fold()
        self._winner: Attempt | None = None
        self._marked: Tally | None = None
        self.last_write = now
        self.now = now
        """When what is under way happened."""
        self.blocked_since = 0.0
        self.owes_end = False
        """The answer is whole, but the client is blocked and has not read it to its end."""
        self.state = Client.WAITING
        self._heard = True
        """There is a client who may be told something."""
        self.released = False
        """A token event went out: the stream is committed."""
        self.ended = False
        """End was said."""
        self._passes = self.passes and plan.allowance is None
        self.direct = False
        """The head is out, and frames go to the client as they are."""

    # -- the answer -----------------------------------------------------------------------------------------------

    def commit(self, attempt: Attempt) -> None:
        """The attempt has won: its held frames go out, behind the head if that was not sent yet."""
        self._winner = attempt
        if self._fold is None:
            if self.state is Client.WAITING:
                self._head(attempt)
            self.released = self._account.committed = True
        for frame in attempt.held:
            self.put(frame)
        attempt.held = []

    def put(self, frame: bytes) -> None:
        """A frame for the client, after the commit."""
        if self._fold is None:
            self._frames.append(frame)
        else:
            self._fold.feed(frame)

    def flush(self, now: float) -> None:
        """Write what was put since the last flush, in one piece."""
        frames = self._frames
        if not frames:
            return
        if self._heard:
            data = frames[0] if len(frames) == 1 else b"".join(frames)
            self._send(data, now)
        self._frames = []

    def drained(self, now: float) -> bool:
        """The answer is whole: nothing is held back any more (see `staged`). Whether that has ended the stream."""
        return False

    def answered(self, happened: CheckAnswered, now: float) -> None:
        """A check was answered."""

    def release(self) -> None:
        """Let go of the machine. Nothing else may be called after it."""

    def mark(self) -> None:
        """What was generated up to here is what the client has of this attempt."""
        tally = None if self._winner is None else self._winner.told or self._winner.tally
        if tally is not None and tally is not self._marked:
            self._marked = tally
            tally.mark()

    def start_over(self) -> None:
        """Another attempt begins from nothing: only possible while nothing was released."""
        if self._fold is not None:
            self._fold = self._plan.client.fold()

    def end(self, now: float) -> None:
        """The answer is whole. A blocked client gets its end when it has read what waits for it."""
        self.flush(now)
        if self._fold is not None and self._heard:
            self._account.committed = True
            answer = self._fold.answer()
            self._answer(200, (JSON, (b"cache-control", b"no-cache")), answer, now)
        if self.state is Client.BLOCKED:
            self.owes_end = True
        else:
            self._end(now)

    def stop(self, last: bytes, now: float, *, short: bool = False) -> None:
        """Finish an answer whose generation was stopped on request, by its ``last`` frames. ``short``: it was not, but
        may not be longer."""
        if self.state is Client.WAITING and self._fold is None:
            self._head(None)
        self.put(shortened(self._plan.client_wire, last) if short else last)
        self.end(now)

    def fail(self, failure: Failure, now: float) -> None:
        """The stream ends with an error: as a status before the head was sent, as a frame after it."""
        self.flush(now)
        if failure.outcome is Outcome.CLIENT_CLOSED or not self._heard:
            return
        if failure.outcome is Outcome.SLOW_CLIENT or self.state is Client.BLOCKED:
            self._end(now, abort=True)
            return
        client = self._plan.client
        if self.state is Client.WAITING or self._fold is not None:
            early = self.state is not Client.WAITING
            fields: Headers = (JSON,)
            body = failure.body or client.error_body(failure.fault)
            if failure.outcome is Outcome.SHUTDOWN:
                fields += ((b"retry-after", b"1"),)
            provider = self._passed_on(failure.headers)
            self._answer(failure.fault.status or 502, fields + provider, self._clean(body), now)
            if early:
                # The status said 200: no client is to take this body for a whole answer.
                self._end(now, cut=True)
                return
        else:
            frame = self._clean(client.error_frame(failure.fault))
            marked = self._plan.delivery.done_after_error
            self._send(frame + client.end_marker() if marked else frame, now)
            self._end(now, cut=client.cuts_after_error and not marked)
            return
        self._end(now)

    def _passed_on(self, headers: Headers) -> Headers:
        passed, own = head.passed_on(headers, self._plan.secrets), {name for name, _ in self._plan.told}
        return tuple(field for field in passed if field[0] not in own) if own else passed

    def _clean(self, data: bytes) -> bytes:
        return head.scrubbed(data, self._plan.secrets)

    def _head(self, winner: Attempt | None) -> None:
        plan = self._plan
        fields = head.event_stream(plan.client.content_type) + plan.told
        fields += head.own(
            plan.stream, target=winner.name if winner else None, attempts=len(self._account.attempts) if winner else 0
        )
        if winner is not None:
            fields += self._passed_on(winner.headers)
        self._move(ClientStep.HEAD)
        self._account.client_status = 200
        self._out.append(Head(200, fields))

    def _answer(self, status: int, fields: Headers, body: bytes, now: float) -> None:
        """A whole answer with its length; behind a head that went out already, its bytes alone."""
        if self.state is not Client.WAITING:
            self._send(body, now)
            return
        winner = self._winner
        fields += ((b"content-length", b"%d" % len(body)), *self._plan.told)
        fields += head.own(
            self._plan.stream, target=winner.name if winner else None, attempts=len(self._account.attempts)
        )
        if winner is not None and status == 200:
            fields += self._passed_on(winner.headers)
        self._move(ClientStep.HEAD)
        self._account.client_status = status
        self._out.append(Head(status, fields))
        self._send(body, now)

    def _send(self, data: bytes, now: float) -> None:
        self._out.append(Send(data))
        self._account.bytes_out += len(data)
        self.last_write = now

    def _end(self, now: float, *, abort: bool = False, cut: bool = False) -> None:
        if self.state is Client.BLOCKED:
            self._account.blocked += now - self.blocked_since
        if self._heard:
            self._out.append(End(abort, cut))
        if self.state is not Client.CLOSED:
            self._move(ClientStep.CLOSE)
        self.ended = True

    def _move(self, happened: ClientStep) -> None:
        followed = self._plan.resumable is not None
        last = happened is ClientStep.CLOSE or (happened is ClientStep.LEAVE and not followed)
        if last and self._account.committed and (followed or self.state is not Client.DETACHED):
            self.mark()
        self.state = step(CLIENT, self.state, happened)
        self._heard = self.state is not Client.CLOSED and self.state is not Client.DETACHED
        self.direct = self._passes and self._heard and self._fold is None

    # -- its clocks -----------------------------------------------------------------------------------------------

    def timers(self, slow: Callable[[float], None]) -> list[Timer]:
        """The client's deadlines; ``slow`` is called when it was blocked too long."""
        delivery = self._plan.delivery
        if self.state is Client.BLOCKED:
            limit = delivery.slow_client.timeout
            return [] if limit is None else [(self.blocked_since + limit, slow)]
        if self.ended:
            return []
        if self._fold is not None:
            if delivery.heartbeat is None or not self._heard:
                return []
            return [(self.last_write + delivery.heartbeat, self._beat)]
        if self.state is Client.WAITING and delivery.commit_after is not None:
            return [(self._began + delivery.commit_after, self._head_early)]
        if self.state is Client.STREAMING and delivery.keepalive is not None:
            return [(self.last_write + delivery.keepalive, self._keep_alive)]
        return []

    def _head_early(self, now: float) -> None:
        self._head(None)
        self._keep_alive(now)

    def _beat(self, now: float) -> None:
        """White space in front of an answer in one piece."""
        if self.state is Client.WAITING:
            self._move(ClientStep.HEAD)
            self._account.client_status = 200
            fields = head.event_stream(JSON[1]) + head.own(self._plan.stream, target=None, attempts=0)
            self._out.append(Head(200, fields))
        self._say_alive(b" ", now)

    def _keep_alive(self, now: float) -> None:
        self._say_alive(self._plan.client.keepalive(), now)

    def _say_alive(self, frame: bytes, now: float) -> None:
        if frame:
            self._account.keepalives += 1
            self._send(frame, now)
        else:
            # The wire has none, and an empty chunk would end the body.
            self.last_write = now

    def block(self, now: float) -> bool:
        """More waits for the client than it may. False when that changes nothing."""
        if self.state is not Client.STREAMING:
            return False
        self._move(ClientStep.BLOCK)
        self.blocked_since = now
        return True

    def drain(self, now: float) -> bool:
        """The client reads again. False when that changes nothing."""
        if self.state is not Client.BLOCKED:
            return False
        self._move(ClientStep.DRAIN)
        self._account.blocked += now - self.blocked_since
        self.last_write = now
        if self.owes_end:
            self._end(now)
        return True

    @property
    def awaits_checks(self) -> bool:
        """The answer is whole, and whether it may be given is not known yet."""
        return False

    def detach(self, now: float, *, drop: bool = False) -> None:
        """The client is gone, and the stream goes on without it; ``drop``: because it is given up."""
        if self.state is Client.BLOCKED:
            self._account.blocked += now - self.blocked_since
        if drop:
            self._out.append(End(abort=True))
        self._move(ClientStep.LEAVE)

    def leave(self, now: float) -> None:
        """The client is gone: nothing more can be said to it."""
        self.close(now)
        self.ended = True

    def close(self, now: float) -> None:
        """Close the books of this side."""
        if self.state is Client.BLOCKED:
            self._account.blocked += now - self.blocked_since
        if self.state is not Client.CLOSED:
            self._move(ClientStep.CLOSE)
