"""Hand-made mutants: one small lie each, and what has to notice it.

``killer`` is a test file or test, below ``tests``. Those that a law kills on random stories say ``LAWS``.
"""

from __future__ import annotations

from copy_mutants import COPIES
from metering_mutants import METERED
from moderation_mutants import MODERATION
from mutant import CLIENT, DECODER, FRAMER, LAWS, MACHINE, UPSTREAM, Mutant
from race_mutants import RACES
from redaction_mutants import REDACTION
from stage_mutants import STAGES
from truth_mutants import TRUTH

MUTANTS = [
    # 1. One Done, one Record, nothing after.
    Mutant(
        "it hears inputs after Done",
        "1",
        MACHINE,
        "        elif not self.over:\n",
        "        else:\n",
    ),
    Mutant(
        "it records twice",
        "1",
        MACHINE,
        "        self._out.append(Record(self._account))\n",
        "        self._out += [Record(self._account)] * 2\n",
    ),
    Mutant(
        "an error behind a heartbeat looks whole",
        "13",
        CLIENT,
        "                self._end(now, cut=True)\n                return\n",
        "                self._end(now)\n                return\n",
    ),
    Mutant(
        "a blocked client's answer in one piece is never sealed",
        "3",
        "stream/journaled.py",
        "not self._heard or self.state is Client.BLOCKED:\n                self._whole(",
        "not self._heard:\n                self._whole(",
        "stream/test_plays_folded.py",
    ),
    Mutant(
        "a frame is sent that the journal does not have",
        "3",
        "stream/journaled.py",
        "        self._out.append(Append(data))\n",
        "",
        "stream/test_plays_leaving.py",
    ),
    Mutant(
        "a store that failed keeps what has no end any more",
        "3",
        "store/batches.py",
        "        self._gone += lost\n",
        "",
        "store/test_batches_model.py",
    ),
    Mutant(
        "a batch leaves a frame out",
        "3",
        "store/batches.py",
        "True, ring.last\n",
        "True, ring.last + 1\n",
        "store/test_batches_model.py",
    ),
    Mutant(
        "a drain asks the next target",
        "10",
        MACHINE,
        "released=self._client.released or self.draining,",
        "released=self._client.released,",
        "stream/test_plays_leaving.py",
    ),
    Mutant(
        "it goes on talking to a client that left",
        "1",
        "stream/departure.py",
        "provider's usage may still come.\n            self._client.leave(now)\n",
        "provider's usage may still come.\n",
        "stream/test_plays_completed.py",
    ),
    # 2. Every Open meets a Close.
    Mutant(
        "a stale attempt is not closed",
        "2",
        UPSTREAM,
        "            self.close_one(attempt, Outcome.CONNECT_FAILED, happened.message, now)\n",
        "",
    ),
    Mutant(
        "an ending leaves the attempt open",
        "2",
        MACHINE,
        "        self._upstream.close(failure.outcome, failure.fault.message, now)\n",
        "",
    ),
    # 4. After the commit nothing fails in silence, and nothing is tried again.
    Mutant(
        "a commit is not remembered",
        "4",
        CLIENT,
        "            self.released = self._account.committed = True\n",
        "            self._account.committed = True\n",
    ),
    Mutant(
        "it goes on and does not say so",
        "4",
        MACHINE,
        '        self._account.warnings.append("continued")\n',
        "",
        f"{LAWS}::test_every_law_holds_where_an_answer_goes_on",
    ),
    Mutant(
        "it goes on from less than the client has",
        "4",
        "wire/continued.py",
        'text = "".join(self._pieces)',
        'text = "".join(self._pieces[:-1] or self._pieces)',
    ),
    Mutant(
        "it asks who cannot go on",
        "4",
        "stream/continuing.py",
        "if self._plan.ways[target].continues]",
        "]",
        "stream/test_plays_continuing.py",
    ),
    Mutant(
        "what goes on begins anew",
        "10",
        "wire/continued.py",
        "isinstance(event, Start | Reasoning",
        "isinstance(event, Reasoning",
        "stream/test_plays_continuing.py",
    ),
    Mutant(
        "words come twice at the seam",
        "4",
        "wire/seam.py",
        "self._held = body[size:] if size else self._held",
        "self._held = self._held",
        "wire/test_seam.py",
    ),
    Mutant(
        "the usage of what broke off is forgotten",
        "7",
        "stream/attempts.py",
        "total(attempt.beginning.usage, attempt.usage)",
        "attempt.usage",
    ),
    Mutant(
        "a refused beginning hides what broke off",
        "4",
        MACHINE,
        "broken = self._continuing.broken if speechless else None",
        "broken = None",
        "stream/test_plays_continuing.py",
    ),
    Mutant(
        "a silence is taken for one of another phase",
        "9",
        "stream/listening.py",
        "observe(limit.phase, gap, now)",
        "observe(Phase.TEXT, gap, now)",
        "stream/test_plays_silence.py",
    ),
    Mutant(
        "a new phase keeps the limit of the last",
        "9",
        "stream/listening.py",
        "attempt.silence is None or attempt.silence.phase is not phase",
        "attempt.silence is None",
        "stream/test_plays_silence.py",
    ),
    Mutant("failover after the commit", "4", MACHINE, "released=self._client.released", "released=False"),
    Mutant(
        "an error after the commit is kept from the client",
        "4",
        CLIENT,
        "frame = self._clean(client.error_frame(failure.fault))",
        'frame = b""',
    ),
    Mutant(
        "a folded answer starts over with the first one's text",
        "4",
        CLIENT,
        "            self._fold = self._plan.client.fold()\n",
        "            pass\n",
        "stream/test_plays_folded.py",
    ),
    Mutant(
        "nobody pays for a further attempt",
        "4",
        MACHINE,
        "if asking is None or target == self._paid or asking.may_try(target, now):",
        "if True:",
        "stream/test_plays_failover.py",
    ),
    Mutant(
        "rounds are not counted",
        "4",
        MACHINE,
        "        self._retries -= 1\n",
        "",
        "stream/test_plays_failover.py",
    ),
    Mutant(
        "the last target is cut off like all others",
        "9",
        "policy/deadlines.py",
        "else limit * GRACE",
        "else limit",
    ),
    # 5. Cuts change nothing.
    Mutant(
        "a blank line in pieces is overlooked",
        "5",
        FRAMER,
        "max(0, self._scanned - 2)",
        "self._scanned",
        "framing/test_sse_framer.py",
    ),
    Mutant(
        "a CRLF is cut in two",
        "5",
        FRAMER,
        r"(?:\r\n|\n|\r(?=[^\n]))|",
        r"(?:\r\n|\n|\r)|",
        "framing/test_sse_framer.py",
    ),
    Mutant(
        "a byte order mark in pieces stays",
        "5",
        FRAMER,
        "if len(head) < len(BOM) and BOM.startswith(head):",
        "if False:",
        "framing/test_sse_framer.py",
    ),
    Mutant(
        "what came before a frame that is too large is lost",
        "5",
        UPSTREAM,
        "        self._frames(attempt, error.frames, now)\n",
        "",
        "stream/test_plays_failed.py",
    ),
    # 6. Words of other attempts change nothing.
    Mutant(
        "bytes of a closed attempt are heard",
        "6",
        "stream/path.py",
        "attempt is None or attempt.number != number or ",
        "attempt is None or ",
    ),
    Mutant(
        "anything else of a closed attempt is heard",
        "6",
        "stream/attempts.py",
        "attempt is not None and attempt.number == number",
        "True",
    ),
    # 7. The account counts each thing by itself.
    Mutant(
        "usage of a failed attempt stays",
        "7",
        "stream/attempts.py",
        "self._account.finish = attempt.usage, attempt.finish\n",
        "self._account.finish = attempt.usage or self._account.usage, attempt.finish\n",
        "stream/test_plays_failover.py",
    ),
    Mutant(
        "usage adds up",
        "7",
        "usage.py",
        "input=self.input if later.input is None else later.input",
        "input=(self.input or 0) + (later.input or 0)",
        "wire/test_chat_usage.py",
    ),
    Mutant("what is sent is not counted", "7", CLIENT, "        self._account.bytes_out += len(data)\n", ""),
    Mutant(
        "the time of a slow client is lost",
        "7",
        CLIENT,
        "cut: bool = False) -> None:\n        if self.state is Client.BLOCKED:\n",
        "cut: bool = False) -> None:\n        if False:\n",
        "stream/test_plays_client.py",
    ),
    # 9. Silence is blamed on a side.
    Mutant(
        "the provider's clock runs while the client is blocked",
        "9",
        "stream/timing.py",
        "attempt is None or self._client.state is Client.BLOCKED",
        "attempt is None",
    ),
    Mutant(
        "the silence of a blocked client counts",
        "9",
        "stream/attempts.py",
        "            attempt.last_token = now\n            if attempt.paused",
        "            if attempt.paused",
        "stream/test_plays_client.py",
    ),
    Mutant(
        "the first token's clock ran while the client was blocked",
        "9",
        "stream/attempts.py",
        "            attempt.dispatched += now - max(blocked_since, attempt.dispatched)\n",
        "",
        "stream/test_plays_client.py",
    ),
    Mutant(
        "a comment is a token",
        "9",
        "events.py",
        '"""Liveness without output: a comment, a ping, a blank line."""\n',
        '"""Liveness."""\n\n    token: ClassVar[bool] = True\n',
        "stream/test_plays_failed.py",
    ),
    Mutant(
        "an empty delta is a token",
        "9",
        DECODER,
        "            if content:\n",
        "            if content is not None:\n",
        "stream/test_plays_failed.py",
    ),
    *TRUTH,
    *RACES,
    *METERED,
    *STAGES,
    # Redaction does not depend on the split.
    *(
        Mutant(name, "redaction", f"stages/redact/{file}", old, new, f"stages/test_redact_{killer}.py")
        for name, file, old, new, killer in REDACTION
    ),
    # Copies and metadata say what was.
    *(Mutant(*fields) for fields in COPIES),
    *(Mutant(*moderation) for moderation in MODERATION),
]
