"""Metadata in a stream: what is told, when, and the receipt over what went before it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from penstock import money
from penstock.policy.metadata import Metadata
from penstock.stream.summary import Summary
from penstock.wire import json
from penstock.wire.metadata import FIELD, Placer, payload, spliced


class Notes:
    """Of one streamed answer. ``found`` tells what stages have found by now."""

    def __init__(
        self,
        policy: Metadata,
        placer: Placer,
        account: Summary,
        found: Callable[[], Mapping[str, int]],
        cost: Callable[[Summary], int | None] | None = None,
    ):
        self._policy = policy
        self._placer = placer
        self._account = account
        self._found = found
        self._cost = cost
        self._frames = 0
        self._due = policy.every
        self._digest = hashlib.sha256()
        self.told = False
        """The last note went out."""

    def through(self, frame: bytes, *, finished: bool) -> bytes:
        """A frame on its way out, with a note where one is due."""
        out: list[bytes] = []
        for block in self._placer.blocks(frame):
            said = payload(block)
            if said is not None:
                if self._placer.is_end(block, said, finished=finished):
                    self.told = True
                    block = self._placer.at_end(block, self._note(final=True))
                else:
                    block, said = self._live(block, said)
                self._digest.update(said + b"\n")
                self._frames += 1
            out.append(block)
        return out[0] if len(out) == 1 else b"".join(out)

    def late(self) -> bytes:
        """The answer has ended without the frame that the last note goes with."""
        if self.told:
            return b""
        self.told = True
        return self._placer.alone(self._note(final=True))

    def _live(self, block: bytes, said: bytes) -> tuple[bytes, bytes]:
        if self._policy.mode != "live" or self.told or self._frames < self._due:
            return block, said
        noted = spliced(block, self._note(final=False))
        if noted is None:
            return block, said
        self._due = self._frames + self._policy.every
        return noted, payload(noted) or said

    def _note(self, *, final: bool) -> bytes:
        receipt = self._digest.copy().hexdigest()
        cost = self._cost if final else None
        return note(self._account, self._found(), final=final, frames=self._frames, receipt=receipt, cost=cost)


def note(
    account: Summary,
    found: Mapping[str, int],
    *,
    final: bool,
    receipt: str,
    frames: int | None = None,
    cost: Callable[[Summary], int | None] | None = None,
) -> bytes:
    """The note as JSON on one line. ``frames``: those that the receipt is over."""
    served, usage = account.served, account.told or account.usage
    told: dict[str, Any] = {
        "stream": account.stream,
        "final": final,
        "target": served.target if served else None,
        "attempts": len(account.attempts),
        "usage": None if usage is None else msgspec.to_builtins(usage),
        "token_events": account.token_events,
        "redactions": dict(found),
        "tags": account.tags,
        "receipt": f"sha256:{receipt}",
    }
    if account.told is not None:
        told["counted"] = True
    if cost is not None:
        nanos = cost(account)
        told["cost_usd"] = None if nanos is None else money.to_dollars(nanos)
    if frames is not None:
        told["frames"] = frames
    return json.one_line(json.dumps(told))


def noted(
    answer: bytes,
    account: Summary,
    found: Mapping[str, int],
    cost: Callable[[Summary], int | None] | None = None,
) -> bytes:
    """A whole answer with the note as its last field. The receipt is over the answer as it would be without it."""
    receipt = hashlib.sha256(answer).hexdigest()
    if not answer.endswith(b"}") or answer == b"{}":
        return answer
    return answer[:-1] + b"," + FIELD + note(account, found, final=True, receipt=receipt, cost=cost) + b"}"
