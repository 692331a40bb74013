"""Mutants of resuming (`tests/store/test_resume_model.py`) and of what waits for slow clients."""

from __future__ import annotations

from mutants import Mutant

MODEL, MERGED = "store/test_resume_model.py", "wire/test_merge.py"
SQLITE, READER = "store/sqlite_journal.py", "drive/reader.py"
MERGE = "wire/merge.py"

RESUMING = [
    Mutant(
        "a dead gateway's stream is told as whole",
        "3",
        SQLITE,
        "log.give_up(held.facts.orphaned)",
        "log.close(Ended(200, None, False))",
        MODEL,
    ),
    Mutant("a dead gateway is waited for, for ever", "3", SQLITE, "elif not known.alive:", "elif False:", MODEL),
    Mutant("a reader begins a frame late", "3", READER, "self._cursor = after", "self._cursor = after + 1", MODEL),
    Mutant(
        "a stop is not told to the gateway that has the stream",
        "3",
        "server/resume.py",
        "heard = await self.store.stop(held)",
        "heard = True",
        MODEL,
    ),
    Mutant(
        "merged over another frame",
        "1",
        MERGE,
        "            if delta is None:\n                self._shut()\n",
        "            if delta is None:\n",
        MERGED,
    ),
    Mutant("merged frames of two texts", "1", MERGE, "last.form == delta.form and", "", MERGED),
]
