"""The client's side of a stream of which a copy is kept, or whose client is told more (see `notes`).

Both happen behind the stages. Only for streams that have either: others keep the plain `ClientSide`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from penstock.stream.checked import CheckedClient
from penstock.stream.client import ClientSide
from penstock.stream.commands import Command
from penstock.stream.inputs import Headers
from penstock.stream.notes import Notes, noted
from penstock.stream.plan import Plan
from penstock.stream.staged import StagedClient
from penstock.stream.summary import Summary
from penstock.wire.metadata import Placer


class Outlet(ClientSide):
    """See `ClientSide`."""

    passes = False

    def __init__(self, plan: Plan, account: Summary, out: list[Command], now: float):
        super().__init__(plan, account, out, now)
        self._tape = None if plan.tape is None or (plan.tape.original and plan.stages is not None) else plan.tape
        self._notes: Notes | None = None
        if plan.metadata is not None and self._fold is None:
            placer = Placer(plan.client_wire, plan.stream, plan.request.accepted)
            self._notes = Notes(plan.metadata, placer, account, self._found, plan.cost)

    def _found(self) -> Mapping[str, int]:
        return self._account.redactions

    def put(self, frame: bytes) -> None:
        """See `ClientSide`."""
        if self._tape is not None:
            self._tape.add(frame)
        if self._notes is not None:
            winner = self._winner
            frame = self._notes.through(frame, finished=winner is None or winner.decoder.finished)
        super().put(frame)

    def flush(self, now: float) -> None:
        """See `ClientSide`."""
        if self._plan.tape is not None:
            self._plan.tape.stamp(now)
        super().flush(now)

    def start_over(self) -> None:
        """See `ClientSide`."""
        if self._plan.tape is not None:
            self._plan.tape.clear()
        super().start_over()

    def end(self, now: float) -> None:
        """See `ClientSide`."""
        if self._notes is not None and (late := self._notes.late()):
            super().put(late)
        super().end(now)

    def release(self) -> None:
        """See `ClientSide`."""
        self._notes = None
        super().release()

    def _answer(self, status: int, fields: Headers, body: bytes, now: float) -> None:
        if status == 200 and self._plan.metadata is not None and self._fold is not None:
            body = noted(body, self._account, self._found(), self._plan.cost)
        super()._answer(status, fields, body, now)


class StagedOutlet(StagedClient, Outlet):
    """See `StagedClient` and `Outlet`."""

    def _found(self) -> Mapping[str, int]:
        return self._texts.findings()

    def release(self) -> None:
        """See `ClientSide`."""
        self._notes = None
        super().release()


class CheckedOutlet(CheckedClient, StagedOutlet):
    """See `CheckedClient` and `Outlet`."""

    def _found(self) -> Mapping[str, int]:
        found = Counter(super()._found())
        found.update(self._checks.findings)
        return found


class Original(ClientSide):
    """The copy is of what comes in to the stages."""

    def put(self, frame: bytes) -> None:
        """See `ClientSide`."""
        if self._plan.tape is not None:
            self._plan.tape.add(frame)
        super().put(frame)


class StagedOriginal(Original, StagedOutlet):
    """See `StagedOutlet` and `Original`."""


class CheckedOriginal(Original, CheckedOutlet):
    """See `CheckedOutlet` and `Original`."""
