"""Lies about answers that stages hold."""

from __future__ import annotations

from mutant import STAGED, UPSTREAM, Mutant

STAGES = [
    # 4 and 8, with stages.
    Mutant(
        "the commit does not wait for output to be released",
        "4",
        STAGED,
        "        if self._released and not self._stages.whole:\n",
        "        if not self._stages.whole:\n",
        "stages/test_plays.py",
    ),
    Mutant(
        "a failure takes what was held with it",
        "8",
        STAGED,
        "        if self._through and failure.outcome not in _UNFLUSHED and self.verdict is None:\n",
        "        if False:\n",
        "stages/test_plays.py",
    ),
    Mutant(
        "the end of an answer flushes nothing",
        "8",
        STAGED,
        "        out = self._editor.flush()\n        if self._texts.verdict is not None:\n            out = self._last",
        '        out = b""\n        if self._texts.verdict is not None:\n            out = self._last',
        "stages/test_plays.py",
    ),
    Mutant(
        "frames are read on behind a verdict",
        "8",
        UPSTREAM,
        "        if attempt.state is Upstream.CLOSED:\n            # A stage",
        "        if False:\n            # A stage",
        "stages/test_plays.py",
    ),
    Mutant(
        "a new attempt goes on with the text of the one before",
        "6",
        STAGED,
        "        super().start_over()\n        self._begin()\n",
        "        super().start_over()\n",
        "stages/test_plays.py",
    ),
]
