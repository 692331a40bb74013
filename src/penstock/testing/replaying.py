"""A transcript told again to a fresh machine, in other pieces or with words from attempts that are over."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import msgspec

from penstock.metering.tally import Tally
from penstock.stream import inputs
from penstock.stream.commands import Append, Ask, Close, Command, Open, Pause, Record, Resume, Seal, Send
from penstock.stream.summary import Summary
from penstock.testing import frames
from penstock.testing.transcript import Expired, Started, Transcript, short


def halves(data: bytes) -> Iterable[bytes]:
    """Two pieces."""
    middle = len(data) // 2
    return data[:middle], data[middle:]


def crumbs(data: bytes) -> Iterable[bytes]:
    """Single bytes, for as long as that is quick."""
    size = max(1, len(data) // 512)
    return (data[place : place + size] for place in range(0, len(data), size))


def whole(data: bytes) -> Iterable[bytes]:
    """As it was."""
    return (data,)


def replay(
    transcript: Transcript, *, pieces: Callable[[bytes], Iterable[bytes]] = whole, late_words: bool = False
) -> Transcript:
    """The same story told to a fresh machine."""
    again = Transcript(transcript.plan, transcript.began)
    closed = [1000]
    for turn in transcript.turns:
        cause = turn.cause
        if isinstance(cause, Started):
            again.start(turn.at)
        elif isinstance(cause, Expired):
            again.expire(turn.at)
        elif isinstance(cause, inputs.UpstreamBytes):
            for piece in pieces(cause.data):
                again.give(inputs.UpstreamBytes(cause.attempt, piece), turn.at)
        else:
            again.give(cause, turn.at)
        closed += [command.attempt for command in turn.commands if isinstance(command, Close)]
        if late_words:
            for word in (word for attempt in closed for word in words(attempt)):
                answered = again.give(word, turn.at)
                assert not answered, f"{short(word)} was answered with {short(answered)}"
    for word in AFTERWARDS if late_words and again.over else ():
        answered = again.give(word, again.turns[-1].at + 1)
        assert not answered, f"{short(word)} was answered after Done with {short(answered)}"
    return again


AFTERWARDS = (
    inputs.ClientBlocked(),
    inputs.ClientDrained(),
    inputs.Stop(),
    inputs.Shutdown(),
    inputs.ClientLeft(),
)


def words(attempt: int) -> Iterable[inputs.Input]:
    """Everything that an attempt can say."""
    yield inputs.UpstreamOpened(attempt)
    yield inputs.UpstreamHead(attempt, 500, frames.JSON)
    yield inputs.UpstreamBytes(attempt, frames.chunk("late") + frames.usage(7, 7) + frames.finish() + frames.DONE)
    yield inputs.UpstreamFailed(attempt, "late")
    yield inputs.UpstreamFailed(attempt, "late", stale=True)
    yield inputs.UpstreamEnded(attempt, clean=True)


Said = list[tuple[float, object]]


def normal(commands: Iterable[tuple[float, Command]], *, cut: bool = False) -> Said:
    """Commands with instants, in a form to compare: Sends at one instant joined, Record as its account. With
    ``cut`` without what rightly depends on the pieces: what came behind an ending in the same piece."""
    found: Said = []
    for at, command in commands:
        last: object = found[-1][1] if found else None
        if isinstance(command, Send) and isinstance(last, Send) and found[-1][0] == at:
            found[-1] = at, Send(last.data + command.data)
        elif isinstance(command, Append) and isinstance(last, Append) and found[-1][0] == at:
            found[-1] = at, Append(last.data + command.data)
        elif isinstance(command, Record):
            found.append((at, comparable(command.summary, cut=cut)))
        else:
            found.append((at, command))
    return found


def lanes(transcript: Transcript) -> tuple[Said, Said, Said]:
    """What was said to the client, to the providers and to the journal: cuts decide how they interleave at one
    instant."""
    said = list(transcript.said())
    upstream = [(at, command) for at, command in said if isinstance(command, Open | Close | Pause | Resume | Ask)]
    journal = [(at, command) for at, command in said if isinstance(command, Append | Seal)]
    others = Open | Close | Pause | Resume | Ask | Append | Seal
    client = [(at, command) for at, command in said if not isinstance(command, others)]
    return normal(client, cut=True), normal(upstream), normal(journal)


def comparable(account: Summary, *, cut: bool) -> dict[str, object]:
    """An account, field by field."""
    fields: dict[str, object] = msgspec.to_builtins(account, enc_hook=_tokens)
    if cut:
        del fields["frames_in"], fields["bytes_in"]
    return fields


def _tokens(value: object) -> object:
    """A tally as what it counted."""
    if not isinstance(value, Tally):
        raise NotImplementedError
    value.finish()
    return msgspec.to_builtins((value.tokens(), value.delivered))


def first_difference(one: Said, other: Said) -> str:
    """Where two stories part."""
    for a, b in zip(one, other, strict=False):
        if a != b:
            return f"{short(a, 600)} is not {short(b, 600)}"
    return f"{len(one)} commands are not {len(other)}: {short((one + other)[min(len(one), len(other))], 600)}"
