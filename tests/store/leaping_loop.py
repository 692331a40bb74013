"""An event loop in virtual time: where nothing is ready, the next timer is."""

from __future__ import annotations

import asyncio
from typing import Any


class LeapingLoop(asyncio.SelectorEventLoop):
    """Time goes on by leaps, from one timer to the next, and by nothing else."""

    def __init__(self) -> None:
        self._instant = 0.0
        super().__init__()
        selector: Any = self._selector  # type: ignore[attr-defined]
        select = selector.select

        def leap(timeout: float | None) -> Any:
            self._instant += timeout or 0.0
            return select(0)

        selector.select = leap

    def time(self) -> float:
        """Seconds since the loop was made."""
        return self._instant
