"""What of an answer was checked by a service, what is being checked, and when to ask next.

One check is under way at a time; the next takes all text that has come meanwhile, with a little of what was before it
in each channel. So there are never more checks than fit into the time, and no text is paid for twice but the overlap.
"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from penstock.stages.contract import Block, ChannelKind
from penstock.stages.moderate.policy import CheckPolicy

Place = tuple[ChannelKind, int, int]
_LONG = 8000
"""Characters of one text of a question: services limit them."""
_PATIENCE = 2
"""Failures in a row after which a stream asks no more, where unchecked text passes."""


class Unchecked(Block, frozen=True, gc=False):
    """The verdict where nobody could be asked, and unchecked text may not pass."""


class Question(msgspec.Struct, frozen=True, gc=False):
    """A check under way: its number, the texts, what is checked when it is answered, and until when that may take.
    ``spans``: by choice, where its text begins and ends among that choice's characters."""

    number: int
    texts: tuple[str, ...]
    upto: int
    until: float
    spans: dict[int, tuple[int, int]]


class Checks:
    """The checks of one stream. ``prompt`` holds the texts of the request that are to be checked. ``patient``: nothing
    is shown before the answer's end, so that one check then is enough."""

    def __init__(self, policy: CheckPolicy, prompt: tuple[str, ...], *, patient: bool):
        self._policy = policy
        self._prompt = prompt
        self._patient = patient
        self._count = 0
        self._failures = 0
        self.counts: dict[str, int] = {}
        """How the checks went: passed, flagged, failed."""
        self.findings: dict[str, int] = {}
        """By category, what was flagged."""
        self.warnings: list[str] = []
        self.off = False
        """No more is asked: the service has failed, and unchecked text passes."""
        self.asked: Question | None = None
        self.offence: Question | None = None
        """What was flagged."""
        self.restart()

    def restart(self) -> None:
        """Another answer, from its beginning. A check of the prompt goes on."""
        if self.asked is not None and self.asked.upto:
            self.asked = None
        self.total = 0
        """Characters of the answer so far."""
        self.cleared = -1 if self._prompt or self.asked is not None else 0
        """Those that are known to be right; -1 before the prompt is."""
        self._fresh: dict[Place, list[str]] = {}
        self._fresh_size = 0
        self._since = self._came = 0.0
        self._shown = self._most = 0
        self._full = False
        """The window is full, and moves."""
        self._before: dict[Place, str] = {}
        self._sizes: dict[Place, int] = {}

    # -- text -----------------------------------------------------------------------------------------------------

    def add(self, place: Place, text: str, now: float) -> None:
        """More of the answer."""
        self.total += len(text)
        if self.off:
            self.cleared = self.total
            return
        self._came = now
        if not self._fresh:
            self._since = now
        self._fresh.setdefault(place, []).append(text)
        self._fresh_size += len(text)

    def allowed(self, now: float, *, last: bool) -> int:
        """How much of the answer may be shown. A window moves on as text comes, not as checks are answered, or the
        text would come in bursts; only where no text comes for a while all that is checked is shown."""
        if self._patient or self._policy.mode == "block":
            return self.cleared
        if self._policy.mode == "audit" or self.off:
            return self.total
        behind, idle = self.total - self._policy.characters, last or now >= self._idle
        self._full = not idle and (self._full or behind > self._most)
        self._shown = max(behind, self.cleared if idle else behind)
        self._most = max(self._most, self._shown)
        return self._shown

    @property
    def even(self) -> int:
        """How much may be shown in exchange for text that comes. Words are not all as long: one shall go out for each
        that comes, not none and then two. A window that is full keeps half of what it may hold at least."""
        return self.total - (self._policy.characters + 1) // 2 if self._full else -1

    @property
    def _idle(self) -> float:
        """When no text has come for a while."""
        return self._came + self._policy.delay

    @property
    def pending(self) -> bool:
        """Something is not checked yet."""
        return not self.off and (self.asked is not None or bool(self._prompt or self._fresh))

    # -- questions ------------------------------------------------------------------------------------------------

    def question(self, now: float, *, last: bool) -> Question | None:
        """What to ask now; nothing more follows it where it is the ``last``."""
        if self.asked is not None or self.off:
            return None
        if self._prompt:
            pieces = [piece for text in self._prompt for piece in _pieces(text)]
            self._prompt = ()
            self.asked = self._question(pieces, 0, now, {})
            return self.asked
        if not self._fresh or not (last or self._is_time(now)):
            return None
        texts: list[str] = []
        spans: dict[int, tuple[int, int]] = {}
        for place, deltas in self._fresh.items():
            text, size = "".join(deltas), self._sizes.get(place, 0)
            self._sizes[place] = size + len(text)
            if place[0] == "text":
                spans[place[1]] = (spans.get(place[1], (size, 0))[0], size + len(text))
            whole = self._before.get(place, "") + text
            self._before[place] = whole[len(whole) - min(len(whole), self._policy.overlap) :]
            if text.strip():
                texts += _pieces(whole)
        self._fresh, self._fresh_size = {}, 0
        if texts:
            self.asked = self._question(texts, self.total, now, spans)
        else:
            self.cleared = self.total
        return self.asked

    def _question(self, texts: list[str], upto: int, now: float, spans: dict[int, tuple[int, int]]) -> Question:
        self._count += 1
        return Question(self._count, tuple(texts), upto, now + self._policy.timeout, spans)

    def _is_time(self, now: float) -> bool:
        due = self._due
        return due is not None and (self._fresh_size >= self._policy.characters or now >= due)

    @property
    def _due(self) -> float | None:
        """When text has waited long enough to be asked about; the last check waits for the end."""
        if not self._fresh or self._patient or self._count >= self._policy.max_checks - 1:
            return None
        return self._since + self._policy.delay

    @property
    def deadline(self) -> float | None:
        """When something is due: a question, or its answer."""
        if self.off:
            return None
        due = self._due if self.asked is None else self.asked.until
        if self._policy.mode == "window" and not self._patient and self.cleared > self._shown:
            return self._idle if due is None else min(due, self._idle)
        return due

    # -- answers --------------------------------------------------------------------------------------------------

    def answered(self, number: int, found: tuple[str, ...], failed: str = "") -> Block | None:
        """An answer, or why there is none; the verdict where it ends the stream. An old one changes nothing."""
        asked = self.asked
        if asked is None or asked.number != number:
            return None
        self.asked = None
        if failed:
            return self._failed(asked, failed)
        self._failures = 0
        self.cleared = asked.upto
        self._counted("flagged" if found else "passed")
        for category in found:
            self.findings[category] = self.findings.get(category, 0) + 1
        if not found or self._policy.flag:
            return None
        self.offence = asked
        return Block(f"moderate: {', '.join(found)}")

    def overdue(self, now: float) -> Block | None:
        """The answer that is awaited does not come any more."""
        asked = self.asked
        if asked is None or asked.until > now:
            return None
        return self.answered(asked.number, (), f"no answer within {self._policy.timeout:g} s")

    def out_of_time(self) -> Block | None:
        """The stream may not last any longer: what is asked counts as not answered."""
        return None if self.asked is None else self.answered(self.asked.number, (), "the stream's total time is over")

    def _failed(self, asked: Question, reason: str) -> Block | None:
        self._counted("failed")
        if self._policy.on_failure == "block":
            return Unchecked(f"it could not be checked: {reason} (moderate.check.on_failure)")
        self._failures += 1
        self.off = self._failures >= _PATIENCE
        self.cleared = self.total if self.off else asked.upto
        self.warnings.append(f"passed unchecked: {reason}" + (", and asked no more" if self.off else ""))
        return None

    def _counted(self, result: str) -> None:
        self.counts[result] = self.counts.get(result, 0) + 1


def _pieces(text: str) -> Iterator[str]:
    for at in range(0, len(text), _LONG):
        yield text[at : at + _LONG]
