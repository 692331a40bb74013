"""Lies about the path of a chunk: what is passed on without being read."""

from __future__ import annotations

from mutant import Mutant

ALIKE = "wire/alike.py"
PATH = "stream/path.py"
KILLER = "wire/test_alike.py"

ON_THE_PATH = [
    Mutant(
        "nobody asks the decoder whether the text is the text",
        "10",
        ALIKE,
        "(tell or handed_on == probe) and meant == (type(event)(other, event.choice), *events[1:])",
        "probe",
        KILLER,
    ),
    Mutant("a raw line end in a text passes", "10", ALIKE, " or not _LINE_END.search(text)", " or True", KILLER),
    Mutant("it learns for ever", "12", ALIKE, "        self._chances -= 1\n", "", KILLER),
    Mutant(
        "any filling will do",
        "10",
        ALIKE,
        '                if not frame.startswith(padding, stop):\n                    return ""\n',
        "",
        KILLER,
    ),
    Mutant(
        "what was passed on is not counted",
        "7",
        PATH,
        "        account.token_events += len(passed)\n",
        "",
        "laws/test_path.py",
    ),
    Mutant("gaps of what was passed on are lost", "9", PATH, "            last = now\n", "", "laws/test_path.py"),
    Mutant(
        "what was learnt holds behind anything else",
        "5",
        PATH,
        "        self._alike.forget(useful=bool(self._passed))\n",
        "",
        "laws/test_path.py",
    ),
    Mutant(
        "the usage of a passed frame is lost",
        "7",
        PATH,
        "            self._upstream.report(usage)\n",
        "            pass\n",
        "laws/test_path.py",
    ),
    Mutant(
        "texts that were passed on are missing in the copies at the end",
        "6",
        PATH,
        "        alike.passed(text, len(passed))\n",
        "",
        "laws/test_path.py",
    ),
    Mutant("numbers do not go up", "10", ALIKE, "            self._number = number + 1\n", "", KILLER),
    Mutant(
        "counts of any form are passed on",
        "10",
        ALIKE,
        "if filling.usage is None else counts_like(found[0])",
        "",
        KILLER,
    ),
    Mutant(
        "counts that came with a delta are not told in another wire",
        "7",
        ALIKE,
        "        if self._counts is None:\n            return tell((one,))\n",
        "        if True:\n            return tell((one,))\n",
        "laws/test_path.py",
    ),
]
