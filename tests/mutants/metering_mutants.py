"""Lies about tokens, and about what is written down on the way."""

from __future__ import annotations

from mutant import CLIENT, METERING, UPSTREAM, Mutant

METERED = [
    # 7, for tokens.
    Mutant(
        "the usual frame is not counted",
        "7",
        UPSTREAM,
        "                    tally.heard.append(events[0])\n",
        "                    pass\n",
        METERING,
    ),
    Mutant(
        "the unusual frame is not counted",
        "7",
        UPSTREAM,
        "                    attempt.tally.heard.append(event)\n",
        "                    pass\n",
        METERING,
    ),
    Mutant(
        "what comes after the client's end was delivered",
        "7",
        CLIENT,
        "            tally.mark()\n",
        "            self._account.reason = self._account.reason\n",
        METERING,
    ),
    Mutant(
        "all of a stream is delivered, whoever left",
        "7",
        "metering/tally.py",
        "                self.delivered = self.tokens()\n",
        "                self.delivered = Tokens(output=10**6)\n",
        METERING,
    ),
    Mutant(
        "the rest of the text is forgotten with each batch",
        "count",
        "metering/counter.py",
        "        self._parts = [rest]\n",
        "        self._parts = []\n",
        "metering/test_tally.py",
    ),
    Mutant(
        "one open piece is enough",
        "count",
        "metering/counter.py",
        "            rest = pieces[-2] + pieces[-1]\n            del pieces[-2:]\n",
        "            rest = pieces[-1]\n            del pieces[-1:]\n",
        "metering/test_counter.py",
    ),
    # 7, for what is written down on the way.
    Mutant(
        "what is reported on the way is the whole answer",
        "7",
        "stream/settlement.py",
        "complete = attempt.tally, over and attempt.outcome is None",
        "complete = attempt.tally, attempt.outcome is None",
        "stream/test_plays_metering.py",
    ),
    Mutant(
        "a stream that is being settled is looked at",
        "7",
        "store/ledger.py",
        "        if self.account.outcome is not None:\n",
        "        if False:\n",
        "store/test_checkpoints.py",
    ),
    Mutant(
        "what could not be counted yet is not counted",
        "7",
        "store/ledger.py",
        "self._happened() if known else -1",
        "self._happened()",
        "store/test_checkpoints.py",
    ),
    Mutant(
        "a stream that is settled twice frees two places",
        "limits",
        "policy/limits.py",
        "            self.open = False\n",
        "            pass\n",
        "policy/test_limits.py",
    ),
    Mutant(
        "a budget that is spent ends nothing",
        "limits",
        "stream/spending.py",
        "not allowance.lasts(machine.account)",
        "allowance.lasts(machine.account) is None",
        "stream/test_plays_spending.py",
    ),
    Mutant(
        "attempts that cost nothing use the prompt",
        "limits",
        "stream/used.py",
        "if not made.generated and attempt.outcome in NOTHING_BILLED:",
        "if False:",
        "stream/test_plays_metering.py",
    ),
]
