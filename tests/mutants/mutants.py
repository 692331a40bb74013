"""Hand-made mutants: one small lie each, and what has to notice it.

``killer`` is a test file or test, below ``tests``. Those that a law kills on random stories say ``LAWS``.
"""

from __future__ import annotations

from typing import NamedTuple

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
DECODER, FRAMER = "wire/openai_chat.py", "framing/sse.py"

MUTANTS = [
    # 1. One Done, one Record, nothing after.
    Mutant(
        "it hears inputs after Done",
        "1",
        MACHINE,
        "        if not self.over:\n            if type",
        "        if True:\n            if type",
    ),
    Mutant(
        "it records twice",
        "1",
        MACHINE,
        "        self._out.append(Record(self.account))\n",
        "        self._out += [Record(self.account)] * 2\n",
    ),
    Mutant(
        "it goes on talking to a client that left",
        "1",
        MACHINE,
        "        self._client.leave(now)\n",
        "",
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
        "if asking is None or asking.may_try(target, now):",
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
        "            self._frames(attempt, error.frames, now)\n",
        "",
        "stream/test_plays_failed.py",
    ),
    # 6. Words of other attempts change nothing.
    Mutant(
        "bytes of a closed attempt are heard",
        "6",
        UPSTREAM,
        "attempt is None or attempt.number != happened.attempt",
        "attempt is None",
    ),
    Mutant(
        "anything else of a closed attempt is heard",
        "6",
        UPSTREAM,
        "attempt is not None and attempt.number == number",
        "True",
    ),
    # 7. The account counts each thing by itself.
    Mutant(
        "usage of a failed attempt stays",
        "7",
        UPSTREAM,
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
        MACHINE,
        "attempt is None or self._client.state is Client.BLOCKED",
        "attempt is None",
    ),
    Mutant(
        "the silence of a blocked client counts",
        "9",
        UPSTREAM,
        "            attempt.last_token = now\n            if attempt.paused",
        "            if attempt.paused",
        "stream/test_plays_client.py",
    ),
    Mutant(
        "the first token's clock ran while the client was blocked",
        "9",
        UPSTREAM,
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
        "        self._won(attempt, now)\n        self.account.first_token",
        "        self.account.first_token",
    ),
    Mutant(
        "an ending closes one racer only",
        "2",
        UPSTREAM,
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
        MACHINE,
        "        for racer in self._upstream.racing:\n",
        "        for racer in (attempt,):\n",
    ),
    Mutant(
        "a hedge costs nothing",
        "hedge",
        MACHINE,
        "if budget is None or budget.withdraw():",
        "if True:",
        "stream/test_plays_hedging.py",
    ),
    # The policy, and credentials.
    Mutant(
        "the caller's own fault is tried again",
        "failover",
        "policy/failover.py",
        " or callers_fault",
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
        "a folded answer that never was is delivered",
        "7",
        CLIENT,
        "happened is ClientStep.CLOSE and self._account.committed:",
        "happened is ClientStep.CLOSE:",
        "stream/test_plays_metering.py",
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
