"""Mutants that the matrix of phases, faults and wires has to notice."""

from __future__ import annotations

from mutant import CLIENT, UPSTREAM, Mutant

KILLER = "cases/test_BC_matrix.py"


def _lie(name: str, case: str, file: str, old: str, new: str, test: str = "") -> Mutant:
    return Mutant(name, case, file, old, new, KILLER + test)


MATRIX = [
    _lie("a fault of the caller's goes round", "C12", "policy/failover.py", " and not callers_fault", ""),
    _lie("the second target is kept in reserve", "C1", "policy/failover.py", "targets_left > 0", "targets_left > 1"),
    _lie(
        "a stall of a folded answer is retried",
        "B3",
        "outcome.py",
        "        Outcome.EMPTY,\n",
        "        Outcome.EMPTY,\n        Outcome.STALLED,\n",
    ),
    _lie("an empty answer is not tried again", "C7", "outcome.py", "        Outcome.EMPTY,\n", ""),
    _lie(
        "the less useful error is told",
        "C11",
        "stream/faults.py",
        "_rank(new) >= _rank(known)",
        "_rank(new) <= _rank(known)",
    ),
    _lie(
        "a lifecycle frame goes out before its attempt has won",
        "C2",
        UPSTREAM,
        "        attempt.hold(frame)\n        if attempt.held_size <=",
        "        self._course.put(frame)\n        if attempt.held_size <=",
    ),
    _lie(
        "a ping is progress",
        "B2",
        UPSTREAM,
        "            if event.token:\n                token = True\n",
        "            if event.token or type(event) is Heartbeat:\n                token = True\n",
    ),
    _lie("every empty answer is right", "C7", UPSTREAM, "not attempt.decoder.empty_is_right", "False"),
    _lie(
        "a clean end is a whole answer",
        "D1",
        UPSTREAM,
        "        elif missing is not None:\n",
        "        elif missing is not None and not clean:\n",
    ),
    _lie(
        "nobody waits for a connection in vain",
        "B1",
        "stream/timing.py",
        "            if racer.state is Upstream.OPENING:\n",
        "            if False:\n",
    ),
    _lie(
        "the clock of silence is the attempt's",
        "B3",
        "stream/timing.py",
        "racer.last_token + between",
        "racer.dispatched + between",
    ),
    _lie(
        "the client's leaving is the provider's fault",
        "A5",
        "stream/departure.py",
        "            self._client.leave(now)\n            self.end(faults.client_closed(), now)\n",
        "            self._client.leave(now)\n            self.end(faults.upstream_cut('', ''), now)\n",
    ),
    _lie(
        "an early head commits",
        "C2",
        CLIENT,
        "        self._head(None)\n        self._keep_alive(now)\n",
        "        self._head(None)\n        self.released = True\n        self._keep_alive(now)\n",
    ),
    _lie(
        "retry-after is kept back",
        "C11",
        CLIENT,
        "provider = self._passed_on(failure.headers)",
        "provider = ()",
        "::test_C11_of_two_failures_the_more_useful_is_told",
    ),
    _lie(
        "an error frame ends the body well",
        "D6",
        CLIENT,
        "self._end(now, cut=client.cuts_after_error and not marked)",
        "self._end(now)",
    ),
    _lie(
        "a client that does not read is ended well",
        "K1",
        CLIENT,
        "            self._end(now, abort=True)\n",
        "            self._end(now)\n",
    ),
    _lie(
        "an error of another wire goes on as it is",
        "D6",
        "stream/faults.py",
        "body if said is not None and verbatim else None",
        "body if said is not None else None",
    ),
    _lie("a list loses its bracket", "D12", "wire/gemini.py", 'handed_on = b"[" + frame', 'handed_on = b"," + frame'),
    _lie(
        "Anthropic's error has no type",
        "D6",
        "wire/anthropic_errors.py",
        'return {"type": "error", "error"',
        'return {"kind": "error", "error"',
    ),
]
"""Each with the case that it is a lie about."""
