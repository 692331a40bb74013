"""The client's side of a resumable stream: what it is sent is numbered and goes to the journal too, and the stream
goes on when the client has left.
"""

from __future__ import annotations

from penstock.outcome import Outcome
from penstock.stream import numbering
from penstock.stream.client import ClientSide
from penstock.stream.commands import Append, Command, Seal
from penstock.stream.faults import Failure
from penstock.stream.inputs import Headers
from penstock.stream.plan import Plan, Resumable
from penstock.stream.states import Client
from penstock.stream.summary import Summary


class JournaledClient(ClientSide):
    """As `ClientSide`; everything is in an Append before it is in a Send, and Seal is the journal's end."""

    def __init__(self, plan: Plan, account: Summary, out: list[Command], now: float):
        super().__init__(plan, account, out, now)
        asked = plan.resumable or Resumable()
        events = numbering.form_of(plan.client.content_type) == numbering.EVENTS
        self._numbers = numbering.Numbers(plan.stream) if asked.ids and events else None
        self._passes = self._passes and self._numbers is None
        self._sealed = False

    def flush(self, now: float) -> None:
        frames = self._frames
        if frames:
            self._frames = []
            data = frames[0] if len(frames) == 1 else b"".join(frames)
            self._tell(data, now)

    def _tell(self, data: bytes, now: float) -> None:
        """For the journal, and for the client while it is there."""
        self._out.append(Append(data))
        if self._heard:
            if self._numbers is not None:
                data = self._numbers.take(data)
            if data:
                self._send(data, now)

    def end(self, now: float) -> None:
        self.flush(now)
        if self._fold is None:
            self._close_journal(now, cut=False)
        elif self.state is Client.DETACHED:
            self._account.committed = True
            self._whole(200, self._fold.answer())
        super().end(now)

    def fail(self, failure: Failure, now: float) -> None:
        if self._sealed:
            super().fail(failure, now)
            return
        self.flush(now)
        client, delivery = self._plan.client, self._plan.delivery
        if self._fold is not None or (self.state is Client.WAITING and failure.outcome is not Outcome.CLIENT_CLOSED):
            if not self._heard or self.state is Client.BLOCKED:
                self._whole(failure.fault.status or 502, self._clean(failure.body or client.error_body(failure.fault)))
            super().fail(failure, now)
            return
        frame = self._clean(client.error_frame(failure.fault))
        if delivery.done_after_error:
            frame += client.end_marker()
        cut = client.cuts_after_error and not delivery.done_after_error
        silent = not self._heard or self.state is Client.BLOCKED or failure.outcome is Outcome.SLOW_CLIENT
        if silent or failure.outcome is Outcome.CLIENT_CLOSED:
            self._out.append(Append(frame))
            self._close_journal(now, cut=cut)
            super().fail(failure, now)
        else:
            self._tell(frame, now)
            self._close_journal(now, cut=cut)
            self._end(now, cut=cut)

    def _answer(self, status: int, fields: Headers, body: bytes, now: float) -> None:
        self._whole(status, body)
        super()._answer(status, fields, body, now)

    def _keep_alive(self, now: float) -> None:
        frame = self._plan.client.keepalive()
        if frame:
            # On wires whose keep-alives are events, they count as events.
            self._out.append(Append(frame))
            if self._numbers is not None:
                frame = self._numbers.take(frame)
        self._say_alive(frame, now)

    # -- the journal's end ----------------------------------------------------------------------------------------

    def _whole(self, status: int, body: bytes) -> None:
        """An answer that is one document."""
        if not self._sealed:
            self._sealed = True
            self._out.append(Seal(status, body))

    def _close_journal(self, now: float, *, cut: bool) -> None:
        if self._sealed:
            return
        self._sealed = True
        self._out.append(Seal(cut=cut))
        if self._numbers is not None and self._heard and (data := self._numbers.rest()):
            self._send(data, now)
