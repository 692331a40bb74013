"""The redact stage: a route's detectors and actions over the channels of its streams."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence

from penstock.slices import give_way, pieces
from penstock.stages.contract import Block, Channel
from penstock.stages.redact.policy import RedactPolicy
from penstock.stages.redact.scan import Rules, Scan
from penstock.stages.redact.vault import Unmask, Vault, beginnings

_SHOWN = 4
"""Characters that a mask leaves, of a text that has at least twice as many."""


class Redactor:
    """A policy, compiled: one for a route, shared by its streams. Raises PatternError."""

    name = "redact"

    def __init__(self, policy: RedactPolicy):
        self.policy = policy
        self.rules = Rules(policy.shapes(), hold=policy.hold, overflow=policy.overflow)
        self._actions = dict(policy.actions)
        self._key = hashlib.blake2b(policy.hash_key.encode()).digest()

    @property
    def prompts(self) -> bool:
        """The request is redacted too."""
        return self.policy.prompt

    def open(self) -> Redaction:
        """For a new stream."""
        return Redaction(self)

    def instead(self, kind: str, text: str, vault: Vault) -> str | None:
        """What stands in the place of a text; None = nothing may."""
        match self._actions.get(kind, self.policy.action):
            case "replace":
                return self.policy.replace.replace("{kind}", kind)
            case "mask":
                return "****" + (text[-_SHOWN:] if len(text) >= 2 * _SHOWN else "")
            case "hash":
                digest = hashlib.blake2b(text.encode("utf-8", "surrogatepass"), key=self._key, digest_size=8)
                return f"[{kind}:{digest.hexdigest()}]"
            case "tokenise":
                return vault.placeholder(kind, text)
        return None


class Redaction:
    """The stage of one stream. Where the prompt was tokenised, its placeholders become text again in the answer:
    after the answer was redacted, and only those that the prompt was given."""

    def __init__(self, redactor: Redactor):
        self._redactor = redactor
        self._vault = Vault()
        self._scans: dict[Channel, Scan] = {}
        self._unmasks: dict[Channel, Unmask] = {}
        self._texts: dict[str, str] = {}
        self._beginnings: frozenset[str] = frozenset()
        self._findings: dict[str, int] = {}

    def prompt(self, texts: Sequence[str]) -> list[str] | Block:
        """The texts of the request, redacted. To be called once, before the answer."""
        for text in texts:
            self._vault.reserve(text)
        done = []
        for text in texts:
            give_way()
            redacted = self.whole(text)
            if isinstance(redacted, Block):
                return redacted
            done.append(redacted)
        self._texts = self._vault.texts
        self._beginnings = beginnings(self._texts)
        return done

    def whole(self, text: str) -> str | Block:
        """A text that is all there."""
        scan = Scan(self._redactor.rules, self._replace)
        out: list[str] = []
        for piece in pieces(text):
            said = scan.feed(piece)
            if isinstance(said, Block):
                return Block(said.reason, "".join(out) + said.released)
            out.append(said)
        return _joined("".join(out), scan)

    def feed(self, channel: Channel, text: str) -> str | Block:
        """The next delta of a channel; what may go now."""
        scan = self._scans.get(channel)
        if scan is None:
            scan = self._scans[channel] = Scan(self._redactor.rules, self._replace)
        out = scan.feed(text)
        return self._unmasked(channel, out) if self._texts else out

    def flush(self, channel: Channel) -> str | Block:
        """The channel ends here; the rest of it."""
        scan = self._scans.pop(channel, None)
        if scan is None:
            return ""
        out = scan.flush()
        if not self._texts:
            return out
        out = self._unmasked(channel, out)
        return out if isinstance(out, Block) else out + self._unmasks[channel].flush()

    def held(self, channel: Channel) -> int:
        """Characters of a channel that are kept back."""
        unmask = self._unmasks.get(channel)
        scan = self._scans.get(channel)
        return (scan.held if scan else 0) + (unmask.held if unmask else 0)

    def findings(self) -> Mapping[str, int]:
        """How often each kind was found, in the prompt and in the answer."""
        return self._findings

    def _replace(self, kind: str, text: str) -> str | None:
        self._findings[kind] = self._findings.get(kind, 0) + 1
        return self._redactor.instead(kind, text, self._vault)

    def _unmasked(self, channel: Channel, out: str | Block) -> str | Block:
        unmask = self._unmasks.get(channel)
        if unmask is None:
            unmask = self._unmasks[channel] = Unmask(self._texts, self._beginnings)
        if isinstance(out, Block):
            return Block(out.reason, unmask.feed(out.released) + unmask.flush())
        return unmask.feed(out)


def _joined(out: str, scan: Scan) -> str | Block:
    """What was released and what is left, unless that is a verdict."""
    rest = scan.flush()
    return Block(rest.reason, out + rest.released) if isinstance(rest, Block) else out + rest
