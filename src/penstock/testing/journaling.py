"""Law 3: the journal, held against what the client was sent."""

from __future__ import annotations

from penstock.framing.sse import SSEFramer, parse
from penstock.stream import inputs
from penstock.stream.commands import Append, Seal, Send
from penstock.stream.numbering import Frames, named
from penstock.testing.transcript import Transcript


def law_3_what_a_resumable_client_was_sent_can_be_replayed(transcript: Transcript) -> None:
    """Every data frame is in the journal before it is sent, numbered without a gap; the journal has one end, before
    Done, and all that a client which stayed was sent. A stream that is not resumable has none of that."""
    plan = transcript.plan
    told = [command for command in transcript.commands if isinstance(command, Append | Seal)]
    if plan.resumable is None:
        assert not told, f"a journal that nobody asked for got {told[:1]}"
        return
    seals = [command for command in told if isinstance(command, Seal)]
    assert len(seals) <= 1, "the journal has two ends"
    assert not seals or isinstance(told[-1], Seal), "the journal goes on behind its end"
    if transcript.over:
        assert seals, "the journal has no end"
    if plan.request.stream and transcript.head is not None and transcript.head.status == 200:
        _held(transcript)


def _held(transcript: Transcript) -> None:
    """Of a streamed answer: at every instant the journal has what was sent by then."""
    ids = transcript.plan.resumable is not None and transcript.plan.resumable.ids
    journal: list[bytes] = []
    sent: list[bytes] = []
    framer, splitter = SSEFramer(), Frames(transcript.plan.client.content_type)
    for command in transcript.commands:
        if isinstance(command, Append):
            new = splitter.take(command.data)
            assert all(parse(frame).data is not None for frame in new), "a frame without data has a cursor"
            journal += new
        elif isinstance(command, Seal):
            journal += splitter.rest()
        elif isinstance(command, Send):
            sent += [frame for frame in framer.feed(command.data) if parse(frame).data is not None]
            assert len(sent) <= len(journal), "a frame was sent that the journal does not have"
    stream = transcript.plan.stream
    shown = [named(frame, stream, number) for number, frame in enumerate(journal, 1)] if ids else journal
    for have, frame in zip(shown, sent, strict=False):
        assert parse(have).data == parse(frame).data, "the journal has other frames than the client got"
        assert not ids or parse(have).id == parse(frame).id, "a frame was sent with another cursor"
    deaf = any(isinstance(turn.cause, inputs.ClientLeft | inputs.ClientBlocked) for turn in transcript.turns)
    if transcript.over and not deaf and not transcript.account.leaving:
        rest = framer.close()
        held = len(sent) + (parse(rest).data is not None)
        assert held == len(journal), f"the client was sent {held} frames, and the journal has {len(journal)}"
