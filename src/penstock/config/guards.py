"""``guards:`` – what ends an answer that does not end itself."""

from __future__ import annotations

from penstock.config.reading import Section
from penstock.policy.guards import Guards

KEYS = ("max_characters", "repetition", "stop_sequences")


def read_guards(section: Section, base: Guards) -> Guards:
    """The guards of a section, with ``base`` for what it does not say."""
    return Guards(
        max_characters=_limit(section, "max_characters", base.max_characters, 1, 10**9),
        repetition=_limit(section, "repetition", base.repetition, 3, 1000),
        stop_sequences=section.flag("stop_sequences", base.stop_sequences),
    )


def _limit(section: Section, name: str, base: int | None, least: int, most: int) -> int | None:
    """A number, or None for null."""
    field = section.get(name)
    if field is not None and field.null:
        return None
    return base if field is None else section.count(name, least, least, most)
