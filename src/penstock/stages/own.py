"""Stages that users bring (entry points of the group ``penstock.stages``)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from penstock.stages.contract import StagePolicy

Factory = Callable[[Mapping[str, Any]], StagePolicy]
"""From a stage's options, as the configuration has them, to its policy. Raises ValueError with what is wrong."""


class OwnStage(msgspec.Struct, frozen=True):
    """A user's stage on a route. ``options`` are what it was made from."""

    name: str
    options: dict[str, Any]
    policy: StagePolicy
