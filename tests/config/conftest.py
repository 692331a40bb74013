"""Shared by the configuration's tests."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from penstock.config import ConfigError, Problem, load


@pytest.fixture
def broken() -> Callable[..., list[Problem]]:
    """Loads text that must not load; its problems."""

    def load_broken(text: str, env: dict[str, str] | None = None) -> list[Problem]:
        with pytest.raises(ConfigError) as caught:
            load(text, env or {})
        assert str(caught.value).splitlines() == [str(problem) for problem in caught.value.problems]
        return caught.value.problems

    return load_broken
