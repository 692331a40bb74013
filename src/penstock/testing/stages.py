"""What every stage must hold to (see `stages.contract`), as a check for anybody's.

def test_my_stage():
    check_stage(MyPolicy(), ["nothing to find", "one match", "a match, and half of on"])
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from penstock.stages.contract import Block, Channel, Stage, StagePolicy

CHANNELS = (Channel("text"), Channel("text", 1), Channel("reasoning"), Channel("arguments", 0, 7))
Result = tuple[str, str | None]
"""What came out, and the reason of a verdict."""


def check_stage(policy: StagePolicy, texts: Iterable[str]) -> None:
    """Hold a stage to its contract with these texts. Raises AssertionError.

    They should hold what it looks for: whole, twice, cut off at the end, and what only looks like it.
    """
    assert policy.name, "a stage has a name"
    for text in texts:
        whole = told(policy.open(), CHANNELS[0], [text])
        for cut in range(len(text) + 1):
            said = told(policy.open(), CHANNELS[0], [text[:cut], text[cut:]])
            assert said == whole, f"{text!r} cut at {cut} gives {said}, and whole {whole}"
        said = told(policy.open(), CHANNELS[0], list(text))
        assert said == whole, f"{text!r} by single characters gives {said}, and whole {whole}"
        _check_channels(policy, text, whole)
    stage = policy.open()
    assert stage.flush(CHANNELS[0]) == "", "a channel without text has nothing to give"
    assert all(count > 0 for count in stage.findings().values()), "what was not found is no finding"


def told(stage: Stage, channel: Channel, deltas: Sequence[str]) -> Result:
    """What comes of a channel's deltas."""
    out = ""
    for text in [*deltas, None]:
        said = stage.flush(channel) if text is None else stage.feed(channel, text)
        if isinstance(said, Block):
            return out + said.released, said.reason
        out += said
    return out, None


def _check_channels(policy: StagePolicy, text: str, whole: Result) -> None:
    """Channels side by side do not mix."""
    if whole[1] is not None:
        return
    stage, out = policy.open(), dict.fromkeys(CHANNELS[:2], "")
    for character in text:
        for channel in out:
            said = stage.feed(channel, character)
            assert isinstance(said, str), "two channels broke a rule that one does not"
            out[channel] += said
    for channel in out:
        said = stage.flush(channel)
        assert isinstance(said, str), "two channels broke a rule that one does not"
        out[channel] += said
    assert set(out.values()) == {whole[0]}, f"channels side by side give {sorted(set(out.values()))}, one {whole[0]!r}"
