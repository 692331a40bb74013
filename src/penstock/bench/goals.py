"""What a promise is, and a column."""

from __future__ import annotations

import msgspec

Column = tuple[str, str, str]
"""Figure, heading, format."""


class Goal(msgspec.Struct, frozen=True):
    """A promise: the median (or with ``worst`` the highest) of the figure is at most ``limit`` in each of ``rows``."""

    measure: str
    figure: str
    text: str
    limit: float
    unit: str
    worst: bool = False
    rows: tuple[str, ...] = ("gateway",)
