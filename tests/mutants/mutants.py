"""Hand-made mutants: one small lie each, and what has to notice it.

``killer`` is a test file or test, below ``tests``. Those that a law kills on random stories say ``LAWS``.
"""

from __future__ import annotations

from typing import NamedTuple

from copy_mutants import COPIES
from moderation_mutants import MODERATION
from redaction_mutants import REDACTION

LAWS = "laws/test_laws.py"
METERING = "laws/test_laws_metering.py"


class Mutant(NamedTuple):
    """``old`` occurs once in ``file`` (below ``src/penstock``) and becomes ``new``."""

    name: str
    law: str
    file: str
    old: str
    new: str
    killer: str = LAWS


MACHINE, CLIENT, UPSTREAM = "stream/machine.py", "stream/client.py", "stream/upstream.py"
STAGED = "stream/staged.py"
DECODER, FRAMER = "wire/openai_chat.py", "framing/sse.py"

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
        "if len(head) < len(_BOM) and _BOM.startswith(head):",
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
    # 10. Output bytes are input bytes.
    Mutant(
        "frames from before the first token are lost",
        "10",
        CLIENT,
        "        for frame in attempt.held:\n            self.put(frame)\n",
        "",
    ),
    Mutant(
        "the usage frame leaks",
        "10",
        DECODER,
        "return None if alone and not self._expose_usage else frame",
        "return frame",
        "wire/test_chat_decoder.py",
    ),
    Mutant(
        "every frame is written anew",
        "10",
        DECODER,
        "        bytes_on: bytes | None = frame\n",
        '        bytes_on: bytes | None = b"data: " + payload + b"\\n\\n"\n',
        "wire/test_chat_decoder.py",
    ),
    # 12. Memory is bounded.
    Mutant(
        "frames are held without end",
        "12",
        UPSTREAM,
        "        if attempt.held_size <= self._plan.delivery.max_frame:\n",
        "        if True:\n",
        "stream/test_plays_failed.py",
    ),
    Mutant(
        "a frame may grow without end",
        "12",
        FRAMER,
        "        if len(self._buffer) > self._limit:\n",
        "        if False:\n",
        "framing/test_sse_framer.py",
    ),
    # 13. Success is said only by the provider.
    Mutant(
        "the end of a connection is success",
        "13",
        DECODER,
        '            return "the stream ended before the answer was finished"\n',
        "            return None\n",
    ),
    Mutant(
        "a broken connection is a clean end",
        "13",
        DECODER,
        'return None if clean else "the connection broke before the end marker"',
        "return None",
        "wire/test_chat_decoder.py",
    ),
    Mutant(
        "an error is followed by the end marker",
        "13",
        CLIENT,
        "frame + client.end_marker() if marked else frame",
        "frame + client.end_marker()",
    ),
    Mutant(
        "an empty answer is complete",
        "13",
        UPSTREAM,
        "and not attempt.decoder.empty_is_right",
        "and False",
        "stream/test_plays_failed.py",
    ),
    # Two attempts in flight.
    Mutant(
        "the loser of a race goes on",
        "2",
        MACHINE,
        "        self._won(attempt, now)\n        if self._account.first_token",
        "        if self._account.first_token",
    ),
    Mutant(
        "an ending closes one racer only",
        "2",
        "stream/attempts.py",
        "for attempt in reversed(self.racing):",
        "for attempt in self.racing[:1]:",
    ),
    Mutant(
        "the first to end wins, and be it by an error",
        "4",
        MACHINE,
        "        if self._upstream.attempt is not None:\n",
        "        if False:\n",
        "stream/test_plays_hedging.py",
    ),
    Mutant(
        "what the loser reported is in the account",
        "7",
        UPSTREAM,
        "        if attempt is self.attempt:\n            self._promote(attempt)\n",
        "        self._account.usage = attempt.usage\n",
        "stream/test_plays_hedging.py",
    ),
    Mutant(
        "one clock runs for both racers",
        "9",
        "stream/timing.py",
        "        for racer in self._upstream.racing:\n",
        "        for racer in (attempt,):\n",
    ),
    Mutant(
        "a hedge costs nothing",
        "hedge",
        "stream/timing.py",
        "if budget is None or budget.withdraw():",
        "if True:",
        "stream/test_plays_hedging.py",
    ),
    # The policy, and credentials.
    Mutant(
        "the caller's own fault is tried again",
        "failover",
        "policy/failover.py",
        " and not callers_fault",
        "",
        "policy/test_failover.py",
    ),
    Mutant(
        "a credential reaches the client",
        "secrets",
        "stream/head.py",
        'data = data.replace(secret, b"***")',
        "pass",
        "stream/test_head.py",
    ),
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
        "            self.delivered = self.tokens()\n",
        "            self.delivered = Tokens(output=10**6)\n",
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
        "if lasts is False:",
        "if lasts is None:",
        "stream/test_plays_spending.py",
    ),
    Mutant(
        "who waits for a lease is read on when the client reads again",
        "limits",
        "stream/machine.py",
        "            if not self.waits:\n",
        "            if True:\n",
        "stream/test_plays_spending.py",
    ),
    Mutant(
        "an answer to an earlier question says that there is no more",
        "limits",
        "policy/limits.py",
        "standing.answered > self._asked:",
        "standing.answered >= self._asked:",
        "policy/test_limits.py",
    ),
    Mutant(
        "what was told is told of as a lease too",
        "limits",
        "policy/limits.py",
        "kept = max(0, min(self.lease - self.unsent, ",
        "kept = max(0, min(self.lease, ",
        "policy/test_limits.py",
    ),
    Mutant(
        "attempts that cost nothing use the prompt",
        "limits",
        "stream/used.py",
        "if not made.generated and attempt.outcome in NOTHING_BILLED:",
        "if False:",
        "stream/test_plays_metering.py",
    ),
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
    # Redaction does not depend on the split.
    *(
        Mutant(name, "redaction", f"stages/redact/{file}", old, new, f"stages/test_redact_{killer}.py")
        for name, file, old, new, killer in REDACTION
    ),
    # Copies and metadata say what was.
    *(Mutant(*fields) for fields in COPIES),
    *(Mutant(*moderation) for moderation in MODERATION),
]
