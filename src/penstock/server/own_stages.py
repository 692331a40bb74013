"""Stages of other packages, found by the entry points of the group ``penstock.stages``."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from penstock.stages.contract import StagePolicy
from penstock.stages.own import Factory

GROUP = "penstock.stages"


def installed_stages() -> dict[str, Factory]:
    """Those that are installed, by name. A package is imported when one of its stages is made."""
    return {entry.name: _factory(entry) for entry in entry_points(group=GROUP)}


def _factory(entry: EntryPoint) -> Factory:
    def make(options: Mapping[str, Any]) -> StagePolicy:
        policy: StagePolicy = entry.load()(options)
        return policy

    return make
