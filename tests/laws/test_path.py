"""The path of a chunk changes nothing: a frame a read is the same stream as all in one read, account and all."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.stream.inputs import (
    ClientLeft,
    Shutdown,
    Stop,
    UpstreamBytes,
    UpstreamEnded,
    UpstreamHead,
    UpstreamOpened,
)
from penstock.stream.plan import Plan
from penstock.testing import frames, gemini, messages, playbook, responses
from penstock.testing.replaying import comparable
from penstock.testing.transcript import Transcript
from penstock.wire.alike import Alike

CHAT = [frames.chunk("Hi", role="assistant"), *(frames.chunk(word) for word in (" a", " b", " c d", " e"))]
ODD = [frames.COMMENT, frames.usage(3, 4), frames.chunk(" z", choice=1), b"data: {}\n\n", b"data: 1\n\n"]
MIDST = st.lists(st.sampled_from([*CHAT[1:], *ODD]) | st.text(max_size=9).map(frames.chunk), max_size=12)


def played(plan: Plan, pieces: list[tuple[float, bytes]]) -> Transcript:
    transcript = Transcript(plan)
    transcript.start(0.0)
    for happened in (UpstreamOpened(0), UpstreamHead(0, 200, ())):
        transcript.give(happened, 0.0)
    for at, piece in pieces:
        transcript.give(UpstreamBytes(0, piece), at)
    transcript.give(UpstreamEnded(0, clean=True), pieces[-1][0])
    return transcript


def alone_and_by_decoder(plan: Plan, pieces: list[tuple[float, bytes]]) -> tuple[Transcript, Transcript]:
    """Played with and without likeness."""
    with pytest.MonkeyPatch.context() as patch:
        alone = played(plan, pieces)
        patch.setattr(Alike, "learn", lambda *_: None)
        return alone, played(plan, pieces)


def same(plan: Plan, pieces: list[tuple[float, bytes]]) -> None:
    quick, slow = alone_and_by_decoder(plan, pieces)
    assert (quick.body, quick.outcome) == (slow.body, slow.outcome)
    assert comparable(quick.account, cut=False) == comparable(slow.account, cut=False)


@given(middle=MIDST)
def test_any_frames_in_mid_answer(middle):
    whole = [*CHAT, *middle, *CHAT[1:], frames.finish(), frames.DONE]
    same(playbook.plan(targets=1), [(0.1 * number, frame) for number, frame in enumerate(whole, 1)])


def test_usage_that_comes_with_every_delta():
    counts = [{"promptTokenCount": 5, "candidatesTokenCount": number} for number in range(1, 90)]
    chunks = [gemini.sse(gemini.chunk(gemini.text(f"w{n}"), usageMetadata=count)) for n, count in enumerate(counts)]
    plan = gemini.plan(gemini.request("alt=sse"))
    pieces = [(0.01 * number, frame) for number, frame in enumerate(chunks, 1)]
    same(plan, pieces)
    account = played(plan, pieces).account
    assert account.usage is not None and (account.usage.output, account.token_events) == (89, 89)


def numbered(number: int, text: str) -> bytes:
    place = {"item_id": "i0", "output_index": 0, "content_index": 0}
    return responses.frame("response.output_text.delta", sequence_number=number, **place, delta=text)


@pytest.mark.parametrize("deltas", [3, 70])
def test_the_copies_that_end_a_stopped_answer_have_what_was_passed_on(deltas):
    plan = messages.plan(client="openai-responses", upstream="openai-responses")
    place = {"item_id": "i0", "output_index": 0, "content_index": 0}
    part = {"type": "output_text", "text": "", "annotations": []}
    opened = responses.frame("response.content_part.added", sequence_number=1, **place, part=part)
    said = [numbered(number + 2, f"w{number} ") for number in range(deltas)]
    whole = [responses.created(), responses.added(), opened, *said]

    def stopped() -> Transcript:
        transcript = Transcript(plan)
        transcript.start(0.0)
        for happened in (UpstreamOpened(0), UpstreamHead(0, 200, ()), *(UpstreamBytes(0, one) for one in whole)):
            transcript.give(happened, 0.1)
        transcript.give(Stop(), 0.2)
        return transcript

    quick = stopped()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Alike, "learn", lambda *_: None)
        slow = stopped()
    assert quick.body == slow.body
    assert f"w{deltas - 1} ".encode() in quick.body.split(b"event: response.output_text.done")[1]
    same(plan, [(0.1 * number, frame) for number, frame in enumerate(whole, 1)])


PROVIDERS = {
    "openai-chat": lambda: [
        *CHAT,
        *(frames.chunk(f" w{number}") for number in range(70)),
        frames.finish(),
        frames.DONE,
    ],
    "anthropic-messages": lambda: [
        messages.start(),
        messages.opened(),
        *(messages.text(f" w{number}") for number in range(70)),
        messages.closed(),
        messages.finish(),
        messages.frame("message_stop"),
    ],
    "openai-responses": lambda: [
        responses.created(),
        responses.added(),
        *(numbered(number + 1, f" w{number}") for number in range(70)),
        responses.ended(),
    ],
    "gemini": lambda: [
        *(
            gemini.sse(gemini.chunk(gemini.text(f" w{number}"), usageMetadata={"promptTokenCount": 5} | count))
            for number, count in enumerate({"candidatesTokenCount": number} for number in range(70))
        ),
        gemini.sse(gemini.chunk(gemini.text(" end"), reason="STOP")),
    ],
}


@pytest.mark.parametrize("client", ["openai-chat", "anthropic-messages", "openai-responses", "ollama-chat"])
@pytest.mark.parametrize("upstream", PROVIDERS)
@pytest.mark.parametrize("whole", [True, False], ids=["whole", "cut"])
def test_answers_that_are_told_in_another_wire(client, upstream, whole):
    """Also what stands at the end of one that breaks off: usage that was told, texts in copies."""
    pieces = PROVIDERS[upstream]()[: None if whole else -2]
    same(messages.plan(client=client, upstream=upstream), [(0.1 * at, frame) for at, frame in enumerate(pieces, 1)])


def test_blocks_that_follow_each_other():
    plan = messages.plan(client="anthropic-messages", upstream="anthropic-messages")
    said = [messages.text(f" {word}") for word in ("one", "two", "three", "four")]
    second = [messages.text(f" {word}", 1) for word in ("five", "six", "seven")]
    whole = [messages.start(), messages.opened(), *said, messages.closed(), messages.opened(1), *second]
    same(plan, [(0.1 * number, frame) for number, frame in enumerate(whole, 1)])


def test_a_stream_is_on_the_path_from_the_third_delta_on(monkeypatch):
    """The first commits, the second is learnt from."""
    read: list[str] = []
    monkeypatch.setattr(
        Alike, "read", lambda self, frame, read_=Alike.read: read.append(read_(self, frame)) or read[-1]
    )
    played(playbook.plan(targets=1), [(0.1 * number, frame) for number, frame in enumerate(CHAT, 1)])
    assert [text for text in read if text] == [" b", " c d", " e"]


@pytest.mark.parametrize("cause", [Stop(), ClientLeft(), Shutdown(), UpstreamEnded(0, clean=True)])
def test_what_was_learnt_does_not_outlive_the_answer(cause):
    transcript = Transcript(playbook.plan(targets=1))
    transcript.start(0.0)
    for happened in (UpstreamOpened(0), UpstreamHead(0, 200, ()), *(UpstreamBytes(0, frame) for frame in CHAT), cause):
        transcript.give(happened, 0.1)
    body = transcript.body
    transcript.give(UpstreamBytes(0, frames.chunk(" late")), 0.2)
    assert transcript.body == body
