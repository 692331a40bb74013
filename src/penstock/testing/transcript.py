"""What happened to a stream and what it answered, with instants: the evidence that laws are held against."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import NamedTuple

import msgspec

from penstock.outcome import Outcome
from penstock.stream.commands import Command, Done, Head, Open, Send
from penstock.stream.inputs import Input
from penstock.stream.machine import Stream
from penstock.stream.plan import Plan
from penstock.stream.summary import Summary


class Started(NamedTuple):
    """The stream was started."""


class Expired(NamedTuple):
    """A deadline had come."""


Cause = Input | Started | Expired


class Turn(NamedTuple):
    """One call of the machine: why, when, what it answered, and how many bytes it holds since."""

    at: float
    cause: Cause
    commands: tuple[Command, ...]
    held: int


class Transcript:
    """A stream's turns in order. It drives the machine, so that nothing can happen unrecorded."""

    def __init__(self, plan: Plan, now: float = 0.0):
        self.plan = plan
        self.began = now
        self.turns: list[Turn] = []
        if plan.silences is not None:
            # What one stream teaches, its replay is not to know.
            plan = msgspec.structs.replace(plan, silences=copy.deepcopy(plan.silences))
        self._stream = Stream(plan, now)

    # -- driving --------------------------------------------------------------------------------------------------

    def start(self, now: float) -> tuple[Command, ...]:
        """Start the stream."""
        return self._note(now, Started(), self._stream.start(now))

    def give(self, happened: Input, now: float) -> tuple[Command, ...]:
        """Something happens."""
        return self._note(now, happened, self._stream.receive(happened, now))

    def expire(self, now: float) -> tuple[Command, ...]:
        """A deadline has come."""
        commands = self._note(now, Expired(), self._stream.expire(now))
        due = self._stream.deadline()
        assert due is None or due > now, f"a deadline at {due:g} is still due after expire({now:g})"
        return commands

    def deadline(self) -> float | None:
        """When `expire` is to be called."""
        return self._stream.deadline()

    @property
    def waits(self) -> bool:
        """The stream waits to hear whether it may be paid."""
        return self._stream.waits and not self._stream.over

    def _note(self, now: float, cause: Cause, commands: list[Command]) -> tuple[Command, ...]:
        turn = Turn(now, cause, tuple(commands), held(self._stream))
        self.turns.append(turn)
        return turn.commands

    # -- reading --------------------------------------------------------------------------------------------------

    @property
    def over(self) -> bool:
        """Done was said."""
        return self._stream.over

    @property
    def account(self) -> Summary:
        """The machine's account of it."""
        return self._stream.account

    @property
    def commands(self) -> list[Command]:
        """Everything that the machine wanted done, in order."""
        return [command for turn in self.turns for command in turn.commands]

    def said(self) -> Iterator[tuple[float, Command]]:
        """The commands with their instants."""
        for turn in self.turns:
            for command in turn.commands:
                yield turn.at, command

    @property
    def outcome(self) -> Outcome | None:
        """How it ended, in the word of Done."""
        return next((command.outcome for command in self.commands if isinstance(command, Done)), None)

    @property
    def head(self) -> Head | None:
        """The head that the client got."""
        return next((command for command in self.commands if isinstance(command, Head)), None)

    @property
    def body(self) -> bytes:
        """The bytes that the client got."""
        return b"".join(command.data for command in self.commands if isinstance(command, Send))

    @property
    def opened(self) -> list[int]:
        """The attempts, by number."""
        return [command.attempt for command in self.commands if isinstance(command, Open)]

    def settled_account(self) -> Summary:
        """A copy of the account, to compare with another."""
        return copy.deepcopy(self.account)

    def story(self) -> str:
        """The whole play, for people."""
        lines = []
        for turn in self.turns:
            lines.append(f"{turn.at:10.3f}  {'·' if isinstance(turn.cause, Expired) else '>'} {short(turn.cause)}")
            lines += [f"{'':10}      {short(command)}" for command in turn.commands]
        return "\n".join(lines) or "(nothing happened yet)"


def held(stream: Stream) -> int:
    """The bytes of the provider's that a machine holds. It looks inside, for law 12; nothing else may."""
    racing = stream._upstream.racing
    return sum(attempt.held_size + attempt.framer.pending + len(attempt.collected) for attempt in racing)


def short(thing: object, limit: int = 110) -> str:
    """A cause or a command in one line: long bytes keep their beginning and their end."""
    text = f"{type(thing).__name__}()" if isinstance(thing, Expired | Started) else repr(thing)
    return text if len(text) <= limit else f"{text[: limit - 40]} … {text[-37:]}"
