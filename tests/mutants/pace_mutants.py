"""Mutants of the pace that is asked for before the commit (`deadlines.min_rate`), and of providers' places."""

from __future__ import annotations

from mutant import MACHINE, UPSTREAM, Mutant

PLAYS, PLACES = "stream/test_plays_pace.py", "drive/test_places.py"

PACE = [
    Mutant("what is paid for is paid for twice", "4", MACHINE, "target == self._paid or ", "", PLAYS),
    Mutant(
        "output is held though nobody else is there",
        "4",
        UPSTREAM,
        "if attempt.probe is None or not self._course.elsewhere():",
        "if attempt.probe is None:",
        PLAYS,
    ),
    Mutant("a short answer is held", "4", UPSTREAM, "if missing is None and attempt.probing:", "if False:", PLAYS),
    Mutant(
        "an answer with its finish is too slow",
        "13",
        "stream/timing.py",
        "if probe is not None and not attempt.decoder.finished and (",
        "if probe is not None and (",
        PLAYS,
    ),
    Mutant(
        "a client that does not read makes its provider slow",
        "9",
        "stream/attempts.py",
        "                attempt.probe.resume(blocked_since, now)\n",
        "                pass\n",
        PLAYS,
    ),
    Mutant(
        "a window does not end",
        "9",
        "stream/attempt.py",
        "min(ends, self.last_token + between_tokens)",
        "self.last_token + between_tokens",
        PLAYS,
    ),
    Mutant(
        "a full provider is asked again",
        "12",
        "drive/targets.py",
        "if not self._targets.loads.room(label, leaving):",
        "if False:",
        "drive/test_loads.py",
    ),
    Mutant("a place is kept", "12", "drive/loads.py", "        self._bulkhead(target).release()\n", "", PLACES),
    Mutant("a stream that broke keeps its place", "12", "drive/driver.py", "self._witness.done()", "pass", PLACES),
]
