"""The machine's laws (see `penstock.stream.machine`), held against any transcript.

Each law is a function that raises AssertionError; `check_laws` calls them all, and with ``replay`` plays the
transcript again in other pieces (5) and with words from attempts that are over (6).
"""

from __future__ import annotations

from collections.abc import Callable

from penstock.framing.sse import SSEFramer, parse
from penstock.outcome import Outcome
from penstock.stream import inputs
from penstock.stream.attempt import MAX_ERROR_BODY
from penstock.stream.commands import (
    Close,
    Command,
    Done,
    End,
    Head,
    Open,
    Pause,
    Record,
    Resume,
    Send,
)
from penstock.testing.going_on import law_4_an_answer_goes_on_from_what_the_client_has
from penstock.testing.journaling import law_3_what_a_resumable_client_was_sent_can_be_replayed
from penstock.testing.reading import readings, serving
from penstock.testing.replaying import crumbs, first_difference, halves, lanes, normal, replay
from penstock.testing.silence import law_9_silence_is_blamed_on_a_side
from penstock.testing.transcript import Expired, Transcript, Turn, short
from penstock.usage import total
from penstock.wire import json

FINISHED = (Outcome.COMPLETED, Outcome.STOPPED, Outcome.BUDGET_EXCEEDED)
"""How a stream ends that the client is told to be finished."""
UNTOLD = frozenset({Outcome.CLIENT_CLOSED, Outcome.SLOW_CLIENT})
"""Endings of which the client is told nothing: it is gone, or does not read."""


def law_1_one_done_one_record_and_nothing_after(transcript: Transcript) -> None:
    """Exactly one Done, last; exactly one Record, before it; the client's part has a head, a body and an end."""
    commands = transcript.commands
    kinds = [type(command) for command in commands]
    wanted = 1 if transcript.over else 0
    assert kinds.count(Done) == kinds.count(Record) == wanted, f"{kinds.count(Done)} Done, {kinds.count(Record)} Record"
    if transcript.over:
        assert kinds[-2:] == [Record, Done], f"the last commands are {kinds[-2:]}"
        assert transcript.account.outcome is transcript.outcome, "Record and Done name different outcomes"
        assert transcript.deadline() is None, "a stream that is over has a deadline"
    spoken = [kind for kind in kinds if kind in (Head, Send, End)]
    assert spoken.count(Head) <= 1, "the client got two heads"
    assert spoken.count(End) <= 1, "the client got two ends"
    assert not spoken or spoken[0] is Head or spoken == [End], "the client got a body before a head"
    assert End not in spoken or spoken[-1] is End, "the client got something after its end"
    gone = False
    for turn in transcript.turns:
        gone = gone or isinstance(turn.cause, inputs.ClientLeft)
        late = [command for command in turn.commands if isinstance(command, Head | Send | End)]
        assert not (gone and late), f"a client that left was sent {late[:1]}"
    if transcript.over and not gone:
        assert End in spoken, "the client's body has no end"


def law_2_every_open_meets_one_close(transcript: Transcript) -> None:
    """Attempts are numbered 0, 1, 2…, each closed once; only an open one is paused and resumed. Two are open only
    where the plan has hedging, at two targets, and never beside one that has had its first token event (where a pace
    is asked for, one of them may be held until its own is known)."""
    paused: dict[int, bool] = {}
    targets: dict[int, int] = {}
    began = {reading.number: reading.began for reading in readings(transcript)}
    most = 1 if transcript.plan.hedge_after is None else 2
    for number, turn in enumerate(transcript.turns):
        for command in turn.commands:
            if isinstance(command, Open):
                assert command.attempt == len(targets), f"attempt {command.attempt} follows {len(targets) - 1}"
                beside = [targets[other] for other in paused]
                assert len(beside) < most, f"attempt {command.attempt} was opened beside {sorted(paused)}"
                assert command.target not in beside, f"target {command.target} races itself"
                targets[command.attempt], paused[command.attempt] = command.target, False
            elif isinstance(command, Close | Pause | Resume):
                assert command.attempt in paused, f"{short(command)} while {sorted(paused)} are open"
                if isinstance(command, Close):
                    del paused[command.attempt]
                else:
                    assert paused[command.attempt] is isinstance(command, Resume), f"{short(command)} twice"
                    paused[command.attempt] = not paused[command.attempt]
        for attempt in paused:
            first = None if transcript.plan.deadlines.min_rate is not None else began[attempt]
            assert first is None or first > number or len(paused) == 1, f"{sorted(paused)} are open after a token"
    assert not transcript.over or not paused, f"{sorted(paused)} were never closed"


def law_2_who_loses_a_race_had_no_token(transcript: Transcript) -> None:
    """An attempt lost only to one whose first token event, or whole answer, came in that very turn. Where a pace is
    asked for, the first token event decides nothing."""
    if transcript.plan.deadlines.min_rate is not None:
        return
    read, accounts = readings(transcript), transcript.account.attempts
    for turn in transcript.turns:
        for command in turn.commands:
            if isinstance(command, Close) and accounts[command.attempt].lost:
                winner = getattr(turn.cause, "attempt", command.attempt)
                assert winner != command.attempt, f"attempt {command.attempt} lost to nobody"
                assert not read[command.attempt].tokens, f"attempt {command.attempt} lost, and had a token"
                won = read[winner].tokens[:1] == [turn.at] or read[winner].complete()
                assert won, f"attempt {winner} won by neither a token nor a whole answer"


def law_4_after_the_first_token_nothing_fails_silently(transcript: Transcript) -> None:
    """No attempt is opened once a token of another was released, but one that goes on with what the client has; a
    failure after that is told in the stream."""
    streamed, committed = transcript.plan.request.stream, False
    said = iter(transcript.turns)
    tokens = {reading.number: reading.tokens for reading in readings(transcript)}
    for turn in said:
        opened = [command for command in turn.commands if isinstance(command, Open) and command.behind is None]
        assert not (committed and opened), f"{short(opened[:1])} after a token had been released"
        cause = turn.cause
        if streamed and isinstance(cause, inputs.UpstreamBytes) and turn.at in tokens.get(cause.attempt, ()):
            sent = [command.data for command in turn.commands if isinstance(command, Send)]
            # What stages hold may never go out: the turn's only word may be an error.
            committed = committed or any(transcript.plan.stages is None or b'"choices"' in data for data in sent)
    if transcript.over and committed and not ended_by_a_stage(transcript):
        assert transcript.account.committed, "tokens were released, and the account does not say so"
    if not transcript.over or not streamed or transcript.head is None or transcript.head.status != 200:
        return
    end = next((command for command in transcript.commands if isinstance(command, End)), None)
    if transcript.outcome not in FINISHED and end is not None:
        told = end.abort or end.cut or error_frames(transcript) or ended_by_a_stage(transcript)
        assert told, f"{transcript.outcome} was not told to the client"


def law_7_the_account_counts_each_thing_by_itself(transcript: Transcript) -> None:
    """What the provider sent, what it reported and what the client was sent: each is what it was."""
    account, read = transcript.account, readings(transcript)
    assert account.bytes_out == len(transcript.body), f"bytes_out {account.bytes_out}, sent {len(transcript.body)}"
    assert len(account.attempts) == len(read), "attempts"
    size = sum(reading.size for reading in read)
    if waited_to_be_paid(transcript):
        # What came meanwhile may never have been read.
        assert account.bytes_in <= size, "bytes_in"
        assert account.frames_in <= sum(reading.frames for reading in read), "frames_in"
        return
    assert account.bytes_in == size, "bytes_in"
    if ended_by_a_stage(transcript):
        # What came in the same piece behind the end counts for nothing, and a reading does not know where that is.
        return
    if transcript.plan.allowance is not None and account.leaving == "drain":
        # Nor where a drain has used the budget up.
        assert account.frames_in <= sum(reading.frames for reading in read), "frames_in"
        return
    assert account.frames_in == sum(reading.frames for reading in read), "frames_in"
    tokens = sum(len(reading.tokens) for reading in read)
    assert account.token_events == tokens, f"token_events {account.token_events}, sent {tokens}"
    assert account.malformed == sum(reading.malformed for reading in read), "malformed"
    served = serving(transcript, read)
    if served is not None:
        reported = served.usage if served.behind is None else total(served.behind.usage, served.usage)
        assert account.usage == reported, f"usage {account.usage}, reported {reported}"
        assert account.finish == served.finish, f"finish {account.finish}, reported {served.finish}"
    assert transcript.head is None or account.client_status == transcript.head.status, "client_status"


def law_10_output_bytes_are_input_bytes(transcript: Transcript) -> None:
    """A streamed client gets the frames of the attempt that served it as the decoder hands them on, all of them when
    the answer is complete; Penstock's own words are keep-alives, one error frame, or the frames of a stop."""
    resumable = transcript.plan.resumable
    if resumable is not None and resumable.ids:
        return  # With lines of their own; law 3 holds the frames against the journal.
    if not transcript.plan.request.stream or transcript.head is None or transcript.head.status != 200:
        return
    if transcript.plan.stages is not None or transcript.plan.metadata is not None:
        return
    read = readings(transcript)
    served = serving(transcript, read)
    frames_on = b"".join(served.handed_on) if served is not None and transcript.account.committed else b""
    if served is not None and served.behind is not None:
        frames_on = b"".join(served.behind.handed_on) + frames_on
        frames_on += served.ending() if transcript.outcome is Outcome.COMPLETED else b""
    body = without_keepalives(transcript)
    left = any(isinstance(turn.cause, inputs.ClientLeft) for turn in transcript.turns)
    left = left or bool(transcript.account.leaving)
    if transcript.outcome is Outcome.COMPLETED and not left:
        assert body == frames_on, f"a complete answer differs from the provider's frames: {differing(body, frames_on)}"
    elif waited_to_be_paid(transcript):
        behind = () if served is None or served.behind is None else served.behind.handed_on
        first = next(iter([*behind, *served.handed_on]), b"") if frames_on and served is not None else b""
        assert body.startswith(first), f"not the provider's bytes: {differing(body, first)}"
    elif was_stopped(transcript) and not (left and frames_on.startswith(body)):
        assert body.startswith(frames_on), f"frames were lost: {differing(body, frames_on)}"
    elif left or not transcript.over:
        assert frames_on.startswith(body), f"not the provider's bytes: {differing(body, frames_on)}"
    else:
        assert body.startswith(frames_on), f"frames were lost: {differing(body, frames_on)}"
        added = SSEFramer().feed(body[len(frames_on) :]) if transcript.outcome not in UNTOLD else []
        assert len(added) <= 1 + transcript.plan.delivery.done_after_error, f"{len(added)} frames were added"


def law_12_memory_is_bounded(transcript: Transcript) -> None:
    """What is held of the provider's bytes stays under the frame cap: held frames, and one that is not whole."""
    bound = max(2 * transcript.plan.delivery.max_frame, MAX_ERROR_BODY)
    bound *= 1 if transcript.plan.hedge_after is None else 2
    for turn in transcript.turns:
        assert turn.held <= bound, f"{turn.held} bytes are held, {bound} allowed"


def law_13_success_is_said_only_by_the_provider(transcript: Transcript) -> None:
    """A success terminal, or a whole folded answer, only where the provider ended its answer or a stop was asked."""
    if not transcript.over:
        return
    read, outcome = readings(transcript), transcript.outcome
    served = serving(transcript, read)
    complete = served is not None and served.complete()
    if outcome is Outcome.COMPLETED:
        assert complete, "completed, and the provider never said so"
    if transcript.head is None:
        return
    if not transcript.plan.request.stream and transcript.body.startswith(b" "):
        # Behind a heartbeat the status says nothing.
        whole = complete or was_stopped(transcript) or ended_by_a_stage(transcript)
        assert whole or b'"choices"' not in transcript.body, "an answer nobody gave"
        end = next((command for command in transcript.commands if isinstance(command, End)), None)
        whole = outcome in FINISHED
        assert end is None or whole or end.cut or end.abort, f"{outcome} looks like a whole answer"
        return
    if not transcript.plan.request.stream:
        whole = transcript.head.status == 200
        assert whole is (outcome in FINISHED), f"{transcript.head.status} for {outcome}"
        return
    marks = [number for number, data in enumerate(payloads(transcript)) if data.startswith(b"[DONE]")]
    assert len(marks) <= 1, "the end marker was sent twice"
    if marks:
        assert marks[0] == len(payloads(transcript)) - 1, "something follows the end marker"
        after_error = transcript.plan.delivery.done_after_error and bool(error_frames(transcript))
        ended = was_stopped(transcript) or ended_by_a_stage(transcript)
        delivered = outcome is Outcome.COMPLETED or ended or (complete and outcome in UNTOLD)
        assert delivered or after_error, f"the end marker was sent, and the outcome is {outcome}"
    if error_frames(transcript):
        assert outcome not in FINISHED, f"an error was sent, and the outcome is {outcome}"


def law_5_cuts_change_nothing(transcript: Transcript) -> None:
    """The same bytes at the same instants in other pieces: the same commands, but for where a Send is cut."""
    before = lanes(transcript)
    for pieces in (halves, crumbs):
        said = lanes(replay(transcript, pieces=pieces))
        for one, other in zip(said, before, strict=True):
            assert one == other, f"cut into {pieces.__name__}: {first_difference(one, other)}"


def law_6_words_of_closed_attempts_change_nothing(transcript: Transcript) -> None:
    """The same story with late words from every attempt that is over (and from none): the same commands."""
    again = replay(transcript, late_words=True)
    said, before = normal(again.said()), normal(transcript.said())
    assert said == before, f"late words were heard: {first_difference(said, before)}"


LAWS: tuple[Callable[[Transcript], None], ...] = (
    law_1_one_done_one_record_and_nothing_after,
    law_2_every_open_meets_one_close,
    law_2_who_loses_a_race_had_no_token,
    law_3_what_a_resumable_client_was_sent_can_be_replayed,
    law_4_after_the_first_token_nothing_fails_silently,
    law_4_an_answer_goes_on_from_what_the_client_has,
    law_7_the_account_counts_each_thing_by_itself,
    law_9_silence_is_blamed_on_a_side,
    law_10_output_bytes_are_input_bytes,
    law_12_memory_is_bounded,
    law_13_success_is_said_only_by_the_provider,
)
REPLAYED: tuple[Callable[[Transcript], None], ...] = (
    law_5_cuts_change_nothing,
    law_6_words_of_closed_attempts_change_nothing,
)


def check_laws(transcript: Transcript, *, replay: bool = True) -> None:
    """Hold a transcript to every law that shows from outside. Raises AssertionError with the law and the story."""
    # What is left of a budget depends on more than the stream's bytes.
    replay = replay and transcript.plan.allowance is None
    for law in LAWS + REPLAYED if replay else LAWS:
        try:
            law(transcript)
        except AssertionError as error:
            name = law.__name__.replace("_", " ")
            raise AssertionError(f"{name}: {error}\n\nThe play:\n{transcript.story()}") from None


# -- reading what the client got --------------------------------------------------------------------------------------


def payloads(transcript: Transcript) -> list[bytes]:
    """The data of the events in the client's body."""
    found = [parse(frame).data for frame in SSEFramer().feed(transcript.body)]
    return [data for data in found if data is not None]


def error_frames(transcript: Transcript) -> list[dict[str, object]]:
    """Penstock's own error frames in the client's body: they name the stream. None may have choices."""
    found = []
    for data in payloads(transcript):
        body = json.loads(data) if data.startswith(b'{"error"') else None
        if body is not None and body["error"].get("stream") == transcript.plan.stream:
            assert "choices" not in body, "an error frame with choices"
            found.append(body["error"])
    return found


def waited_to_be_paid(transcript: Transcript) -> bool:
    """Its provider was not read on, as others had to be asked whether the key may pay for more."""
    paused = any(isinstance(command, Pause) for turn in transcript.turns for command in turn.commands)
    return paused and transcript.plan.allowance is not None


def was_stopped(transcript: Transcript) -> bool:
    """A stop was asked for in time, or the key's budget was spent."""
    # Its client may then be too slow for the end that it was sent.
    if any(attempt.outcome is Outcome.BUDGET_EXCEEDED for attempt in transcript.account.attempts):
        return True
    return any(isinstance(turn.cause, inputs.Stop) and turn.commands for turn in transcript.turns)


def _ends_within_a_piece(turn: Turn) -> bool:
    return isinstance(turn.cause, inputs.UpstreamBytes) and any(isinstance(command, Close) for command in turn.commands)


def ended_by_a_stage(transcript: Transcript) -> bool:
    """A verdict was the end: the client gets its wire's finish for that, where the stream had begun. Or it was
    the end of a drain, whose outcome is that of the client that left."""
    halted = transcript.outcome is Outcome.STOPPED and not was_stopped(transcript)
    # The client may leave before the last check of an answer that a guard has ended.
    left = transcript.outcome is Outcome.CLIENT_CLOSED and (
        transcript.account.leaving == "drain" or any(map(_ends_within_a_piece, transcript.turns))
    )
    return transcript.plan.stages is not None and (halted or left or transcript.outcome is Outcome.BLOCKED)


def without_keepalives(transcript: Transcript) -> bytes:
    """The client's body without what deadlines wrote into it to keep the connection alive."""
    keepalive = Send(transcript.plan.client.keepalive())
    kept: list[Command] = []
    for turn in transcript.turns:
        kept += [c for c in turn.commands if not (isinstance(turn.cause, Expired) and c == keepalive)]
    return b"".join(command.data for command in kept if isinstance(command, Send))


def differing(one: bytes, other: bytes) -> str:
    """Where two byte strings part."""
    place = next((i for i, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))
    return f"at byte {place} {one[place : place + 60]!r} is not {other[place : place + 60]!r}"
