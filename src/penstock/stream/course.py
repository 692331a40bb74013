"""What the provider's side of a stream reports, and asks: the machine's face towards it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from penstock.stream import faults
from penstock.stream.attempt import Attempt


class Course(Protocol):
    """What the provider's side tells the machine."""

    settling: bool
    """The answer is whole; only late usage is awaited."""
    epoch: int
    """Grows when a deadline may have come nearer."""

    @property
    def waits(self) -> bool:
        """It is not known whether the provider may be paid for more."""

    @property
    def put(self) -> Callable[[bytes], None]:
        """Takes a frame for the client."""

    @property
    def flush(self) -> Callable[[float], None]:
        """Told the instant when nothing more comes by this input."""

    def elsewhere(self) -> bool:
        """Could another target still answer?"""

    def first_token(self, attempt: Attempt, now: float) -> None:
        """The attempt has its first token event, and is fast enough where that is asked for."""

    def failed(self, attempt: Attempt, failure: faults.Failure, now: float, *, reuse: bool = False) -> None:
        """The attempt has failed."""

    def complete(self, attempt: Attempt, now: float) -> None:
        """The answer is whole."""

    def settled(self, now: float, *, reuse: bool) -> None:
        """The provider's body is over after the answer was whole."""
