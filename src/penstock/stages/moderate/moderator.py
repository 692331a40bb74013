"""The moderate stage: words and patterns over the channels of a route's streams."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from penstock.slices import give_way, pieces
from penstock.stages.contract import Block, Channel
from penstock.stages.moderate.policy import ModeratePolicy, is_pattern
from penstock.stages.moderate.words import Words, WordScan
from penstock.stages.redact.detectors import Detector
from penstock.stages.redact.scan import Rules, Scan

DENY = "deny"


class Moderator:
    """A policy, compiled: one for a route, shared by its streams. ``lists`` holds the words of the policy's lists by
    name. Raises PatternError."""

    name = "moderate"

    def __init__(self, policy: ModeratePolicy, lists: Mapping[str, Sequence[str]] | None = None):
        self.policy = policy
        words = [(DENY, [entry for entry in policy.deny if not is_pattern(entry)]), *(lists or {}).items()]
        self.words = Words(words) if any(some for _, some in words) else None
        patterns = [Detector(DENY, entry, ascii_only=False) for entry in policy.deny if is_pattern(entry)]
        self.rules = Rules(patterns) if patterns else None

    @property
    def prompts(self) -> bool:
        """The rules hold for requests too."""
        return self.policy.prompt

    @property
    def idle(self) -> bool:
        """There is no local rule."""
        return self.words is None and self.rules is None

    def open(self) -> Moderation:
        """For a new stream."""
        return Moderation(self)


class Moderation:
    """The stage of one stream: the words first, then the patterns, which see what is left."""

    def __init__(self, moderator: Moderator):
        self._moderator = moderator
        self._scans: dict[Channel, list[Scan | WordScan]] = {}
        self._findings: dict[str, int] = {}
        self._flags = moderator.policy.on_match == "flag"

    def prompt(self, texts: Sequence[str]) -> list[str] | Block:
        """The texts of the request, as they may go on. To be called once, before the answer."""
        done = []
        for text in texts:
            channel = Channel("text", part=-1)
            give_way()
            said = *(self.feed(channel, piece) for piece in pieces(text)), self.flush(channel)
            for one in said:
                if isinstance(one, Block):
                    return one
            done.append("".join(one for one in said if isinstance(one, str)))
        return done

    def feed(self, channel: Channel, text: str) -> str | Block:
        """The next delta of a channel; what may go now. Where finds are only flagged, all of it at once."""
        scans = self._scans.get(channel)
        if scans is None:
            scans = self._scans[channel] = self._new()
        out = self._through(scans, text)
        return text if self._flags else _named(out)

    def flush(self, channel: Channel) -> str | Block:
        """The channel ends here; the rest of it."""
        scans, out = self._scans.pop(channel, []), ""
        for number, scan in enumerate(scans):
            rest = self._through(scans[number + 1 :], scan.flush())
            if isinstance(rest, Block):
                return _named(Block(rest.reason, out + rest.released))
            out += rest
        return "" if self._flags else out

    def findings(self) -> Mapping[str, int]:
        """How often each rule's kind was found, in the prompt and in the answer."""
        return self._findings

    def _new(self) -> list[Scan | WordScan]:
        words, rules = self._moderator.words, self._moderator.rules
        scans: list[Scan | WordScan] = [] if words is None else [WordScan(words, self._replace)]
        return scans if rules is None else [*scans, Scan(rules, self._replace)]

    def _through(self, scans: list[Scan | WordScan], said: str | Block) -> str | Block:
        """What some scans let pass of what came out before them."""
        for number, scan in enumerate(scans):
            if isinstance(said, Block):
                rest = _last_words(scans[number:], said.released)
                return rest if isinstance(rest, Block) else Block(said.reason, rest)
            said = scan.feed(said)
        return said

    def _replace(self, kind: str, text: str) -> str | None:
        self._findings[kind] = self._findings.get(kind, 0) + 1
        match self._moderator.policy.on_match:
            case "replace":
                return self._moderator.policy.replace
            case "flag":
                return text
        return None


def _last_words(scans: list[Scan | WordScan], text: str) -> str | Block:
    """A text that is the last that these scans get."""
    for scan in scans:
        said = scan.feed(text)
        rest = "" if isinstance(said, Block) else scan.flush()
        if isinstance(said, Block):
            return said
        if isinstance(rest, Block):
            return Block(rest.reason, said + rest.released)
        text = said + rest
    return text


def _named(said: str | Block) -> str | Block:
    """A verdict says which stage has spoken."""
    return Block(f"moderate: {said.reason}", said.released) if isinstance(said, Block) else said
