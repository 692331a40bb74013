"""Text of many kinds, and ways to cut it."""

from __future__ import annotations

import random
from collections.abc import Iterator

from penstock.vocabularies import Vocabularies

VOCABULARIES = Vocabularies()
"""Loaded once for all tests."""

KINDS = (
    "The quick brown fox doesn't jump over the lazy dog's back; it's 1,234,567 times better. ",
    "def compute(self, x: int) -> dict[str, int]:\n    return {'a': x ** 2, **self._rest}  # done\n\n\n",
    "我能吞下玻璃而不傷身體。今天天气很好，我们去公园散步吧！",
    "お誕生日おめでとうございます。カタカナとひらがな。",
    "مرحبا بالعالم، كيف حالك اليوم؟ الحمد لله. ",
    "नमस्ते दुनिया, आप कैसे हैं? ",
    "สวัสดีชาวโลก วันนี้อากาศดี ",
    "👩‍👩‍👧‍👦 🏳️‍🌈 👍🏽 🇩🇪 😀😀😀 ",
    '<div class="a">\r\n\t\t<p>&nbsp;</p>\r\n</div>\r\n',
    '{"id":"chatcmpl-123","n":[1,2,3],"x":null,"s":"\\u00e9"}',
    "   \u00a0\u2003 \n \n\t  ",
    "=====-----_____/////*****\n",
    "ǅungla ʰello IT'S we'Ll ÉCOLE straße",
)


def mixed(characters: int, seed: int) -> str:
    """Pieces of all kinds, cut and joined anywhere."""
    chance = random.Random(seed)
    parts, size = [], 0
    while size < characters:
        kind = chance.choice(KINDS)
        start = chance.randrange(len(kind))
        parts.append(kind[start : start + chance.randint(1, 60)])
        size += len(parts[-1])
    return "".join(parts)[:characters]


def cuts(text: str, mean: int, seed: int) -> Iterator[str]:
    """The text in pieces of some characters."""
    chance = random.Random(seed)
    at = 0
    while at < len(text):
        step = chance.randint(1, 2 * mean - 1)
        yield text[at : at + step]
        at += step
