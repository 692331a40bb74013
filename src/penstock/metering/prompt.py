"""Counting what a client asks: text to the token, images by the rules that providers publish, the rest flagged."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import msgspec

from penstock.metering.counter import Vocabulary
from penstock.metering.encodings import frame_of
from penstock.metering.images import Image, image_tokens
from penstock.metering.tally import SLICE, Meter

FRAME = 4, 3
"""Tokens around each message and before the answer, where nobody says how many."""


class Prompt(msgspec.Struct, frozen=True, kw_only=True):
    """A request as far as it counts. ``plain``: it was read as the conversation that it is; otherwise ``texts`` are
    all its texts, wherever they stood."""

    texts: tuple[str, ...] = ()
    messages: int = 0
    tools: tuple[str, ...] = ()
    """Definitions and calls, as JSON: how a provider writes them for its model is not public."""
    images: tuple[Image, ...] = ()
    plain: bool = True


class Counted(msgspec.Struct, frozen=True):
    """Tokens of a prompt. ``warnings`` name what the number leaves out or guesses."""

    tokens: int
    exact: bool
    images: int = 0
    warnings: tuple[str, ...] = ()


def count(prompt: Prompt, meter: Meter, breathe: Callable[[], None] = lambda: None) -> Counted | None:
    """Tokens of a prompt, None without a vocabulary. Takes as long as the prompt is: not for an event loop.
    ``breathe`` is called between slices, to let others go on."""
    vocabulary = meter.vocabulary()
    if vocabulary is None:
        return None
    texts, exact = _count(vocabulary, prompt.texts, breathe)
    tools, _ = _count(vocabulary, prompt.tools, breathe)
    known = frame_of(meter.model)
    message, reply = known or FRAME
    tokens = round((texts + tools + message * prompt.messages + reply) * (meter.factor or 1.0))
    warnings = []
    if prompt.tools:
        warnings.append("prompt: tools are counted as their JSON")
    if not prompt.plain:
        warnings.append("prompt: counted as all texts of the request")
    unknown = 0
    for image in prompt.images:
        size = image_tokens(meter.model, image)
        tokens += size or 0
        unknown += size is None
    if unknown:
        warnings.append(f"prompt: images that are not counted: {unknown}")
    exact = exact and vocabulary.exact and known is not None and meter.factor is None and not warnings
    return Counted(tokens, exact, len(prompt.images), tuple(warnings))


def _count(vocabulary: Vocabulary, texts: Iterable[str], breathe: Callable[[], None]) -> tuple[int, bool]:
    tokens, exact = 0, True
    for text in texts:
        counter = vocabulary.counter()
        for at in range(0, len(text), SLICE):
            counter.add(text[at : at + SLICE])
            breathe()
        tokens += counter.tokens()
        exact = exact and counter.exact
    return tokens, exact
