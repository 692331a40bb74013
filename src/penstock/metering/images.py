"""Tokens of an image, by its size and the provider's published rule. Only the file's first bytes are read."""

from __future__ import annotations

from binascii import a2b_base64

import msgspec

HEAD = 64 * 1024
"""Characters of base64 in which the size must stand."""


class Image(msgspec.Struct, frozen=True):
    """An image of a prompt. ``head`` is the begin of its base64; empty for an image by address."""

    head: str = ""
    detail: str | None = None


_OPENAI = (
    ("gpt-4o-mini", 2833, 5667), ("gpt-4o", 85, 170), ("gpt-4.1-mini", 0, 0), ("gpt-4.1-nano", 0, 0),
    ("gpt-4.1", 85, 170), ("gpt-4.5", 85, 170), ("o1", 75, 150), ("o3", 75, 150),
)  # fmt: skip
"""Tokens of an image, and of each of its tiles (OpenAI, "Images and vision"); 0: counted by another rule."""


def image_tokens(model: str, image: Image) -> int | None:
    """Tokens; None where no rule is known, or the size is not."""
    name = model.lower().rpartition("/")[2]
    size = image_size(image.head) if image.head else None
    for start, base, tile in _OPENAI:
        if name.startswith(start):
            if image.detail == "low" and base:
                return base
            return base + tile * _openai_tiles(*size) if size and base else None
    if size is None:
        return None
    width, height = size
    if name.startswith("claude"):
        # Anthropic, "Vision": at most 1568 pixels on the longer side and about 1,600 tokens.
        scale = min(1.0, 1568 / max(size))
        return min(1600, round(width * scale * height * scale / 750))
    return None


def _openai_tiles(width: int, height: int) -> int:
    """Tiles of 512 pixels, after scaling into 2048 × 2048 and then to 768 on the shorter side."""
    scale = min(1.0, 2048 / max(width, height))
    scale = min(scale, 768 / min(width, height))
    across, down = (-(-round(side * scale) // 512) for side in (width, height))
    return max(1, across) * max(1, down)


def image_size(base64: str) -> tuple[int, int] | None:
    """Width and height in pixels of a PNG, GIF or JPEG; None for what is none."""
    text = base64[:HEAD]
    try:
        data = a2b_base64(text[: len(text) // 4 * 4])
    except ValueError:
        return None
    size = None
    if data.startswith(b"\x89PNG\r\n\x1a\n") and len(data) >= 24:
        size = int.from_bytes(data[16:20], "big"), int.from_bytes(data[20:24], "big")
    elif data.startswith(b"GIF8") and len(data) >= 10:
        size = int.from_bytes(data[6:8], "little"), int.from_bytes(data[8:10], "little")
    elif data.startswith(b"\xff\xd8"):
        size = _jpeg(data)
    return size if size and size[0] and size[1] else None


def _jpeg(data: bytes) -> tuple[int, int] | None:
    """The size from the first start of frame (ITU T.81, B.2.2)."""
    at = 2
    while at + 9 <= len(data) and data[at] == 0xFF:
        kind = data[at + 1]
        if 0xC0 <= kind <= 0xCF and kind not in (0xC4, 0xC8, 0xCC):
            return int.from_bytes(data[at + 7 : at + 9], "big"), int.from_bytes(data[at + 5 : at + 7], "big")
        at += 2 + int.from_bytes(data[at + 2 : at + 4], "big")
    return None
