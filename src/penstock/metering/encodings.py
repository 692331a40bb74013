"""Encodings of OpenAI's models, as data. Patterns and hashes are part of an encoding's definition (tiktoken,
``tiktoken_ext/openai_public.py``, version 0.14)."""

from __future__ import annotations

import msgspec


class Encoding(msgspec.Struct, frozen=True):
    """``pattern`` cuts text into pieces that are encoded each by itself; ``sha256`` is that of the vocabulary as
    OpenAI publishes it."""

    name: str
    pattern: str
    sha256: str


_ENDINGS = "(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
_UPPER, _LOWER = r"\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}", r"\p{Ll}\p{Lm}\p{Lo}\p{M}"

O200K = Encoding(
    name="o200k_base",
    pattern="|".join(
        (
            rf"[^\r\n\p{{L}}\p{{N}}]?[{_UPPER}]*[{_LOWER}]+{_ENDINGS}",
            rf"[^\r\n\p{{L}}\p{{N}}]?[{_UPPER}]+[{_LOWER}]*{_ENDINGS}",
            r"\p{N}{1,3}",
            r" ?[^\s\p{L}\p{N}]+[\r\n/]*",
            r"\s*[\r\n]+",
            r"\s+(?!\S)",
            r"\s+",
        )
    ),
    sha256="446a9538cb6c348e3516120d7c08b09f57c36495e2acfffe59a5bf8b0cfb1a2d",
)
CL100K = Encoding(
    name="cl100k_base",
    pattern="|".join(
        (
            r"'(?i:[sdmt]|ll|ve|re)",
            r"[^\r\n\p{L}\p{N}]?+\p{L}++",
            r"\p{N}{1,3}+",
            r" ?[^\s\p{L}\p{N}]++[\r\n]*+",
            r"\s++$",
            r"\s*[\r\n]",
            r"\s+(?!\S)",
            r"\s",
        )
    ),
    sha256="223921b76ee99bde995b7ff738513eef100fb51d18c93597a113bcffe865b2a7",
)
ENCODINGS = {encoding.name: encoding for encoding in (O200K, CL100K)}

MODELS: tuple[tuple[str, Encoding], ...] = (
    ("gpt-4o", O200K), ("gpt-4.1", O200K), ("gpt-4.5", O200K), ("gpt-5", O200K), ("gpt-oss", O200K),
    ("chatgpt-4o", O200K), ("o1", O200K), ("o3", O200K), ("o4", O200K),
    ("gpt-4", CL100K), ("gpt-3.5", CL100K), ("gpt-35", CL100K),
)  # fmt: skip
"""Names of models begin so; the first that fits counts."""

REASONERS = ("o1", "o3", "o4", "gpt-5")
"""OpenAI models whose reasoning is billed and not shown. They report it in steps of 64 tokens."""

FRAMES: tuple[tuple[str, tuple[int, int]], ...] = (
    *((start, (4, 2)) for start in REASONERS),
    *((start, (4, 3)) for start in ("gpt-4", "gpt-3.5", "gpt-35", "chatgpt-4o")),
)
"""Tokens around each message, and before the answer. Of the older models by OpenAI's cookbook ("How to count tokens
with tiktoken"); of the others as every recording with such a model has it."""

SEEDS: tuple[tuple[str, float], ...] = (
    ("claude-opus-4-7", 1.5), ("claude", 1.2), ("gemini", 1.1), ("command", 1.1),
)  # fmt: skip
"""Tokens of a model for one of o200k_base, where nothing was learnt yet: judgement, not measurement."""


def encoding_of(model: str) -> Encoding | None:
    """The encoding of an OpenAI model, whatever vendor prefix its name has (``openai/gpt-4o``, ``ft:gpt-4o:…``)."""
    name = _bare(model)
    return next((encoding for start, encoding in MODELS if name.startswith(start)), None)


def hides_reasoning(model: str) -> bool:
    """The model reasons at the client's cost without showing it."""
    return _bare(model).startswith(REASONERS)


def frame_of(model: str) -> tuple[int, int] | None:
    """Tokens around each message of a prompt and before the answer; None where nobody says."""
    name = _bare(model)
    return next((frame for start, frame in FRAMES if name.startswith(start)), None)


def seed_of(model: str) -> float:
    """The factor to begin with for a model without a public encoding."""
    name = _bare(model)
    return next((factor for start, factor in SEEDS if start in name), 1.0)


def _bare(model: str) -> str:
    return model.lower().rpartition("/")[2].removeprefix("ft:")
