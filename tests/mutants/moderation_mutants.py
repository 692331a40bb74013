"""Small lies about moderation and the short way through editors: name, law, file, old, new, and what has to notice."""

from __future__ import annotations

CHECKED, CHECKS, WORDS = "stream/checked.py", "stages/moderate/checks.py", "stages/moderate/words.py"
PLAYS, LISTS = "stages/test_check_plays.py", "stages/test_moderate_words.py"

MODERATION = [
    (
        "what is not checked is shown",
        "moderation",
        CHECKED,
        "            if mark > allowed:\n                break\n",
        "",
        PLAYS,
    ),
    (
        "the end is said before the last check",
        "moderation",
        CHECKED,
        "            if some or mark <= cleared:\n",
        "            if True:\n",
        PLAYS,
    ),
    (
        "the finish goes by what the client has not read",
        "moderation",
        CHECKED,
        'finish = self._seen.finish("content_filter"',
        'finish = self._editor.finish("content_filter"',
        PLAYS,
    ),
    (
        "a client that reads again gets its end unchecked",
        "moderation",
        CHECKED,
        "        if self._awaiting:\n            self.owes_end = False\n",
        "",
        PLAYS,
    ),
    (
        "an answer to an old question counts",
        "6",
        CHECKS,
        "if asked is None or asked.number != number:",
        "if asked is None:",
        PLAYS,
    ),
    (
        "a failure lets pass what it should hold",
        "moderation",
        CHECKS,
        'if self._policy.on_failure == "block":',
        "if False:",
        PLAYS,
    ),
    ("a dead service is asked for ever", "moderation", CHECKS, "self._failures >= _PATIENCE", "False", PLAYS),
    (
        "nothing of before goes with a question",
        "moderation",
        CHECKS,
        'whole = self._before.get(place, "") + text',
        "whole = text",
        PLAYS,
    ),
    (
        "a word is found inside of another",
        "redaction",
        WORDS,
        "if not at_end and at and inside_word(text[at - 1], text[at]):",
        "if False:",
        LISTS,
    ),
    (
        "the first word that ends is it",
        "redaction",
        WORDS,
        "if self._best is not None and self._best[0] < at + 1 - depths[state]:",
        "if self._best is not None:",
        LISTS,
    ),
    (
        "words end in no other words",
        "redaction",
        WORDS,
        "self.ends[following] += self.ends[self.fail[following]]",
        "pass",
        LISTS,
    ),
    (
        "what is behind a text may be anything",
        "redaction",
        "wire/edit_splice.py",
        "        elif frame.endswith(self.after):\n            end = len(frame)\n",
        "        elif (end := frame.rfind(self.after[:2]) + len(self.after)):\n            pass\n",
        "stages/test_edit_splice.py",
    ),
]
