"""``capture:`` of a route – which of its streams are copied."""

from __future__ import annotations

import re
from typing import Any

from penstock.config.reading import Field, Section
from penstock.policy.capture import CONTENTS, Capture

KEYS = ("content", "sample")
_SHARE = "a share such as 0.1 or 10%, above 0 and at most 1"
_NUMBER = re.compile(r"(\d{1,3}(?:\.\d{1,6})?|\.\d{1,6})(%?)", re.ASCII)


def read_capture(section: Section, base: Capture | None) -> Capture | None:
    """The policy of a section, with ``base`` for what it does not say; null takes it away."""
    field = section.get("capture")
    if field is None or field.null:
        return base if field is None else None
    base = base or Capture()
    inner = field.section(KEYS)
    return Capture(
        content=inner.choice("content", base.content, CONTENTS),
        sample=_share(inner.get("sample"), base.sample),
    )


def _share(field: Field | None, base: float) -> float:
    if field is None or (text := field.text(_SHARE)) is None:
        return base
    match = _NUMBER.fullmatch(text)
    share = 0.0 if match is None else float(match[1]) / (100 if match[2] else 1)
    if not 0 < share <= 1:
        field.fail(allowed=_SHARE)
        return base
    return round(share, 9)


def show_capture(capture: Capture) -> dict[str, Any]:
    """As `read_capture` reads it."""
    return {"content": capture.content, "sample": f"{capture.sample:.9f}".rstrip("0").rstrip(".")}
