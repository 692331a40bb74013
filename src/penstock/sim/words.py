"""What the simulated provider says."""

from __future__ import annotations

import itertools
import random
import re
from collections.abc import Iterator

PARAGRAPH = (
    "A river does not hurry, and yet it arrives. Above the old mill the water gathers in a long, quiet pond, and a"
    " wooden gate decides how much of it may pass. When the gate is raised a hand's breadth, a clear stream runs down"
    " the channel, turns the wheel, and goes on its way through the meadow. In spring, when the snow melts, the miller"
    " opens it wide; in August he keeps it nearly closed. The wheel never knows. It only feels a steady, even flow,"
    " and turns."
)
THOUGHT = " First I look at what was asked, then I weigh what is known, and then I choose the shortest true answer."
_WORDS = (
    "water river gate mill wheel stream stone bridge meadow light morning evening quiet steady narrow open clear"
    " gather carry turn follow rise fall under over along between because and then while through toward every any"
    " some small old bright slow even long deep still never often again once here there"
)
VOCABULARY = _WORDS.split()
ARGUMENTS = '{"city": "Paris", "unit": "celsius", "days": 3, "note": "a \\"light\\" coat?"}'
DEFAULT_TOKENS = 90


def by_word(text: str) -> list[str]:
    """``text`` as tokens of one word each, with the space before it; joined they are ``text``."""
    return re.findall(r"\s*\S+(?:\s+$)?|\s+", text)


def by_size(text: str, size: int = 4) -> list[str]:
    """``text`` as tokens of ``size`` characters; joined they are ``text``."""
    return [text[at : at + size] for at in range(0, len(text), size)]


def seeded(seed: int) -> Iterator[str]:
    """Words without an end, the same for the same seed."""
    chance = random.Random(seed)
    yield chance.choice(VOCABULARY)
    while True:
        yield " " + chance.choice(VOCABULARY)


def take(tokens: list[str], count: int) -> Iterator[str]:
    """``count`` tokens, from the start again when they run out; none of an empty list."""
    if count <= len(tokens):
        return iter(tokens[:count])
    # A repeated paragraph must not run into itself.
    again = [" " + tokens[0].lstrip(), *tokens[1:]] if tokens else []
    return itertools.islice(itertools.chain(tokens, itertools.cycle(again)), count)
