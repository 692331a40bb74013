"""Runs one stream: the only place where a machine meets the world.

No task, no queue and no timer per chunk: what the provider sends goes down one call stack to the client. One lazy
timer a stream: when it fires early, because the deadline has moved on since, it is set again.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import Callable

from penstock.outcome import Outcome
from penstock.ports import Checker, Dialer, Exchange, Listener, Log, Recorder, Sink, Witness
from penstock.stream import commands, inputs
from penstock.stream.machine import Stream
from penstock.stream.summary import Summary

logger = logging.getLogger("penstock.drive")


class Driver:
    """Drives ``machine`` between ``dialer`` and ``sink``. ``on_done`` is called last, once."""

    __slots__ = (
        "_answered",
        "_busy",
        "_carriers",
        "_checker",
        "_dialer",
        "_epoch",
        "_exchanges",
        "_log",
        "_loop",
        "_machine",
        "_now",
        "_on_done",
        "_pass_on",
        "_recorder",
        "_sink",
        "_timer",
        "_timer_at",
        "_waiting",
        "_witness",
        "_write",
        "_write_chunk",
        "outcome",
    )

    def __init__(
        self,
        machine: Stream,
        dialer: Dialer,
        sink: Sink,
        recorder: Recorder,
        clock: Callable[[], float],
        loop: asyncio.AbstractEventLoop,
        on_done: Callable[[Driver], None],
        witness: Witness | None = None,
        log: Log | None = None,
        checker: Checker | None = None,
    ):
        self._machine = machine
        self._dialer = dialer
        self._sink = sink
        self._write = sink.write
        self._write_chunk = sink.write_chunk
        self._pass_on = machine.pass_on
        self._recorder = recorder
        self._loop = loop
        self._now = clock
        self._on_done = on_done
        self._witness = witness
        self._log = log
        self._checker = checker
        self._answered = -1
        """The number of the attempt whose first token the witness was told of."""
        self._exchanges: dict[int, Exchange] = {}
        self._waiting: deque[inputs.Input] = deque()
        self._busy = False
        self._epoch = -1
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = float("inf")
        self.outcome: Outcome | None = None
        """Set when the stream is over."""
        sink.on_blocked = lambda: self.feed(inputs.ClientBlocked())
        sink.on_drained = lambda: self.feed(inputs.ClientDrained())
        sink.on_left = lambda: self.feed(inputs.ClientLeft())
        self._carriers: dict[type[commands.Command], Callable[..., None]] = {
            commands.Open: self._open,
            commands.Close: self._close,
            commands.Head: self._head,
            commands.Seal: self._seal,
            commands.End: self._end,
            commands.Pause: self._pause,
            commands.Resume: self._resume,
            commands.Ask: self._ask,
            commands.Record: self._record,
            commands.Done: self._done,
        }

    @property
    def stream(self) -> str:
        """The stream's id."""
        return self._machine.account.stream

    @property
    def account(self) -> Summary:
        """The stream's account so far."""
        return self._machine.account

    @property
    def name(self) -> str:
        """The answer's id, as the provider says; empty before it did."""
        return self._machine.name

    def start(self) -> None:
        """Begin."""
        self._busy = True
        try:
            self._carry(self._machine.start(self._now()))
            self._release()
        except Exception:
            self._crash()

    def feed(self, happened: inputs.Input) -> None:
        """Something happened now. From within a command it waits until that is carried out."""
        if self._busy:
            self._waiting.append(happened)
            return
        self._busy = True
        try:
            self._carry(self._machine.receive(happened, self._now()))
            self._release()
        except Exception:
            self._crash()

    def _release(self) -> None:
        waiting = self._waiting
        while waiting:
            self._carry(self._machine.receive(waiting.popleft(), self._now()))
        self._rest()

    def _rest(self) -> None:
        """All is done for now."""
        self._busy = False
        if self._machine.epoch != self._epoch:
            self._epoch = self._machine.epoch
            self._set_timer()
            if self._witness is not None:
                self._tell(self._witness)

    def _tell(self, witness: Witness) -> None:
        """Of a first token: it has changed the epoch."""
        machine = self._machine
        for number in self._exchanges:
            attempt = machine.account.attempts[number]
            if attempt.first_token is not None and number != self._answered:
                self._answered = number
                witness.answered(attempt, machine.began + attempt.started, self._now())

    def _carry(self, todo: list[commands.Command]) -> None:
        for command in todo:
            if type(command) is commands.Send:
                self._sink.write(command.data)
            elif type(command) is commands.Append:
                if self._log is not None:
                    self._log.append(command.data)
            else:
                self._carriers[type(command)](command)

    def _crash(self) -> None:
        """A fault of Penstock's own. It ends this stream, as ``crashed``, and never reaches the caller: that is a
        callback of a socket, and other streams may be behind it."""
        logger.exception("stream %s has crashed", self.stream)
        self._waiting.clear()
        whole = False
        with contextlib.suppress(Exception):
            todo = self._machine.crash(self._now())
            whole = True
            for command in todo:
                if type(command) is commands.Close and command.attempt not in self._exchanges:
                    continue
                try:
                    self._carry([command])
                except Exception:
                    # What broke may break again; the rest is to be carried out all the same.
                    whole = False
        for exchange in self._exchanges.values():
            with contextlib.suppress(Exception):
                exchange.close(reuse=False)
        self._exchanges.clear()
        if not whole:
            with contextlib.suppress(Exception):
                self._sink.end(abort=True)
        if self.outcome is None:
            account = self._machine.account
            account.outcome = Outcome.CRASHED
            self._recorder.record(account)
            self._done(commands.Done(Outcome.CRASHED))
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._busy = False

    # -- time -----------------------------------------------------------------------------------------------------

    def _set_timer(self) -> None:
        deadline = self._machine.deadline()
        if deadline is None:
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None
                self._timer_at = float("inf")
        elif deadline < self._timer_at:
            if self._timer is not None:
                self._timer.cancel()
            self._timer_at = deadline
            # A millisecond late rather than early: event loops round their clock.
            self._timer = self._loop.call_later(max(0.0, deadline - self._now()) + 0.001, self._tick)

    def _tick(self) -> None:
        self._timer = None
        self._timer_at = float("inf")
        self._busy = True
        try:
            self._carry(self._machine.expire(self._now()))
            self._epoch = -1
            self._release()
        except Exception:
            self._crash()

    # -- commands -------------------------------------------------------------------------------------------------

    def _open(self, command: commands.Open) -> None:
        listener = self._listener(command.attempt)
        self._exchanges[command.attempt] = self._dialer.open(
            command.target, listener, fresh=command.fresh, ask_usage=command.ask_usage, behind=command.behind
        )
        if self._witness is not None:
            self._witness.dispatched(self._machine.account.attempts[command.attempt], self._now())

    def _listener(self, attempt: int) -> Listener:
        return _Listener(self, attempt)

    def _close(self, command: commands.Close) -> None:
        self._exchanges.pop(command.attempt).close(reuse=command.reuse)
        if self._witness is not None:
            attempt = self._machine.account.attempts[command.attempt]
            self._witness.over(attempt, self._machine.began + attempt.started, self._now())

    def _head(self, command: commands.Head) -> None:
        self._sink.head(command.status, command.headers)

    def _end(self, command: commands.End) -> None:
        self._sink.end(abort=command.abort, cut=command.cut)

    def _seal(self, command: commands.Seal) -> None:
        if self._log is not None:
            self._log.close(command)

    def _pause(self, command: commands.Pause) -> None:
        self._exchanges[command.attempt].pause()

    def _resume(self, command: commands.Resume) -> None:
        self._exchanges[command.attempt].resume()

    def _ask(self, command: commands.Ask) -> None:
        assert self._checker is not None
        self._checker.ask(command.check, command.texts, self.feed)

    def _record(self, command: commands.Record) -> None:
        self._recorder.record(command.summary)

    def _done(self, command: commands.Done) -> None:
        self.outcome = command.outcome
        # The sink may outlive the stream (a kept-alive connection): it must not hold it.
        self._sink.on_blocked = self._sink.on_drained = self._sink.on_left = None
        self._carriers.clear()
        if self._checker is not None:
            self._checker.close()
        self._machine.release()
        if self._witness is not None:
            self._witness.done()
        self._on_done(self)


class _Listener:
    """The ears of one attempt."""

    __slots__ = ("_attempt", "_driver")

    def __init__(self, driver: Driver, attempt: int):
        self._driver = driver
        self._attempt = attempt

    def opened(self) -> None:
        self._driver.feed(inputs.UpstreamOpened(self._attempt))

    def head(self, status: int, headers: inputs.Headers) -> None:
        self._driver.feed(inputs.UpstreamHead(self._attempt, status, headers))

    def body(self, data: bytes, chunk: bytes | None = None) -> None:
        """The path of a chunk: `Driver.feed` without a word too many. What writing raises meets a machine at rest."""
        driver = self._driver
        if driver._busy:
            driver._waiting.append(inputs.UpstreamBytes(self._attempt, data))
            return
        try:
            passed = driver._pass_on(self._attempt, data, driver._now())
            if passed is not None and driver._log is not None:
                driver._log.append(passed)
            if passed is data and chunk is not None and driver._write_chunk is not None:
                driver._write_chunk(chunk)
            elif passed is not None:
                driver._write(passed)
                if driver._write_chunk is None:
                    driver._write_chunk = driver._sink.write_chunk
            else:
                driver._busy = True
                driver._carry(driver._machine.taken())
                driver._release()
        except Exception:
            driver._crash()

    def ended(self, clean: bool, reason: str) -> None:
        self._driver.feed(inputs.UpstreamEnded(self._attempt, clean, reason))

    def failed(self, message: str, stale: bool) -> None:
        self._driver.feed(inputs.UpstreamFailed(self._attempt, message, stale))
