"""``stages:`` – what the text of a route's answers goes through, in order."""

from __future__ import annotations

from typing import Any

from penstock.config.problems import did_you_mean, quoted
from penstock.config.reading import NOT_YET, Field, Section
from penstock.config.stages import read_redact, show_redact
from penstock.stages.redact.policy import RedactPolicy

STAGES = ("redact",)
_LATER = ("moderate",)
_ALLOWED = "a list of stages such as [{redact: {detectors: [email]}}]"


def read_stages(section: Section, base: tuple[RedactPolicy, ...]) -> tuple[RedactPolicy, ...]:
    """The stages of a section; its list takes the place of all of ``base``."""
    field = section.get("stages")
    if field is None:
        return base
    if field.null:
        return ()
    return tuple(stage for item in field.items(_ALLOWED) for stage in _stage(item))


def _stage(item: Field) -> list[RedactPolicy]:
    named = item.entries(_ALLOWED)
    if len(named) > 1:
        item.fail("more than one stage in one entry", found="", allowed=_ALLOWED)
    found = []
    for name, field in named[:1]:
        if name in STAGES:
            found.append(read_redact(field))
        elif name in _LATER:
            field.fail(NOT_YET, found="", allowed=", ".join(STAGES))
        else:
            field.fail(
                f"no stage is named {quoted(name)}{did_you_mean(name, STAGES)}", found="", allowed=", ".join(STAGES)
            )
    return found


def show_stages(stages: tuple[RedactPolicy, ...]) -> list[dict[str, Any]]:
    """As `read_stages` reads them."""
    return [{"redact": show_redact(policy)} for policy in stages]
