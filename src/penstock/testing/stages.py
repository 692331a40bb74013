"""The contract of a stage, as a check that anybody's stage has to pass."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from penstock.stages.contract import Block, Channel, Stage, StagePolicy

Ending = tuple[str, str | None]
"""All that came out of a channel, and the reason when it was blocked."""


def check_stage(policy: StagePolicy, texts: Iterable[str], *, independent: bool = True) -> None:
    """Raises AssertionError, with what is wrong, unless for each text

    - what comes out is the same however the text was split: in two at each place, character by character, and whole;
    - channels of a stream, fed in turns, come out as each does alone (not ``independent``: a stage that counts over
      all of a stream's channels may let one show in another);
    - two streams know nothing of each other;
    - a channel that has no text, or was flushed, holds nothing;
    - `findings` are counts.
    """
    assert policy.name, "a stage's policy has a name"
    assert isinstance(policy.open(), Stage), "what a policy opens has feed, flush and findings"
    for text in texts:
        stage = policy.open()
        whole = ending(stage, [text])
        counts = stage.findings()
        assert all(isinstance(kind, str) and isinstance(count, int) for kind, count in counts.items()), (
            f"findings are counts by kind, not {counts!r}"
        )
        for pieces in splits(text):
            stage = policy.open()
            found = ending(stage, pieces)
            assert found == whole, f"{pieces!r} comes out as {found!r}, and whole as {whole!r}"
            if found[1] is None:
                again = stage.flush(Channel("text"))
                assert again == "", f"{again!r} was held after the flush of {pieces!r}"
        if independent:
            _check_channels(policy, text)
    assert policy.open().flush(Channel("refusal")) == "", "a channel without text holds something"


def ending(stage: Stage, pieces: Sequence[str], channel: Channel = Channel("text")) -> Ending:  # noqa: B008
    """What comes out of a channel that gets these deltas and ends."""
    out = ""
    for piece in pieces:
        released = stage.feed(channel, piece)
        if isinstance(released, Block):
            return out + released.released, released.reason
        out += released
    rest = stage.flush(channel)
    return (out + rest.released, rest.reason) if isinstance(rest, Block) else (out + rest, None)


def splits(text: str) -> Iterator[list[str]]:
    """A text in pieces, in every way that `check_stage` tries."""
    yield list(text)
    for place in range(len(text) + 1):
        yield [text[:place], text[place:]]


def _check_channels(policy: StagePolicy, text: str) -> None:
    middle = len(text) // 2
    texts = {
        Channel("text"): text,
        Channel("text", choice=1): text[middle:] + text[:middle],
        Channel("arguments", part=1): text[::-1],
    }
    stage, out = policy.open(), dict.fromkeys(texts, "")
    alone = {channel: ending(policy.open(), [own], channel) for channel, own in texts.items()}
    if any(reason is not None for _, reason in alone.values()):
        return
    for letters in zip(*texts.values(), strict=True):
        for channel, letter in zip(texts, letters, strict=True):
            out[channel] += str(stage.feed(channel, letter))
    for channel, (expected, _) in alone.items():
        out[channel] += str(stage.flush(channel))
        assert out[channel] == expected, f"{channel} comes out as {out[channel]!r} beside others, alone as {expected!r}"
