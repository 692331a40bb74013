"""A cell of the matrix as a plan, as a route makes it, and as scripts in virtual time."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, NamedTuple, cast

import msgspec
from matrix_table import AFTER_A_TOKEN, LIMITS, Cell, Phase, Then
from matrix_talk import TALKS, WORDS, Talk
from wire_clients import SPEAKERS, Speaker

from penstock.config.values import Config, Provider, Route, Target
from penstock.drive.targets import Targets
from penstock.policy.deadlines import Deadlines
from penstock.policy.delivery import Delivery, SlowClient
from penstock.server.routing import Router
from penstock.stream.inputs import ClientBlocked, ClientLeft, Shutdown
from penstock.stream.plan import Plan
from penstock.testing.run import Ends, Fails, Meanwhile, Opens, Responds, Script, Sends, Stalls, Step, run
from penstock.testing.transcript import Transcript
from penstock.upstream.pool import Pool
from penstock.wire.registry import CLIENT_WIRES

MODEL = "m"
MAX_FRAME = 8_000
COUNTS = {Phase.TOKEN_1: 1, Phase.TOKEN_10: 10, Phase.LAST: WORDS}
"""The tokens that came before a fault in a phase."""
SECRET = "sk-scripted-secret"
REFUSAL = b'{"error":{"message":"refused by the provider","type":"scripted"}}'
"""The body of an HTTP error of a provider."""


class Lane(NamedTuple):
    """A client and the wires of its two targets, by their names in `SPEAKERS` and in `TALKS`."""

    client: str
    first: str
    second: str

    @property
    def speaker(self) -> Speaker:
        """How the client asks and reads."""
        return SPEAKERS[self.client]

    @property
    def same_wire(self) -> bool:
        """The first target's error bodies are the client's own wire's."""
        return TALKS[self.first].wire == self.client.split(" ")[0]

    def __str__(self) -> str:
        return f"{self.client}, {self.first} then {self.second}".replace(" array", "-array")


LANES = [
    *(Lane(name, name, name) for name in SPEAKERS),
    Lane("openai-chat", "anthropic-messages", "gemini"),
    Lane("openai-chat", "bedrock-converse", "tgi"),
    Lane("openai-chat", "cohere-v1", "openai-chat"),
    Lane("openai-responses", "openai-chat", "bedrock-invoke"),
    Lane("openai-responses", "gemini", "openai-responses"),
    Lane("anthropic-messages", "openai-chat", "anthropic-messages"),
    Lane("anthropic-messages", "bedrock-invoke", "openai-responses"),
    Lane("ollama-chat", "cohere-chat", "openai-chat"),
    Lane("ollama-chat", "tgi", "ollama-chat"),
]


def plan(
    lane: Lane, *, streamed: bool, targets: int = 2, question: dict[str, Any] | None = None, **delivery: Any
) -> Plan:
    """The plan that a gateway makes of the client's request; ``question``: more fields of that."""
    names = ("p1", "p2")[:targets]
    wires = (lane.first, lane.second)[:targets]
    providers = tuple(
        # Without a key Bedrock would be signed for.
        Provider(name=name, base_url="http://provider.test", wire=TALKS[wire].wire, api_key=SECRET)
        for name, wire in zip(names, wires, strict=True)
    )
    settings = {"keepalive": None, "commit_after": None, "max_frame": MAX_FRAME, **delivery}
    route = Route(
        name=MODEL,
        targets=tuple(Target(name, "model") for name in names),
        deadlines=Deadlines(
            connect=LIMITS["connect"], first_token=LIMITS["first_token"], between_tokens=LIMITS["between_tokens"]
        ),
        delivery=Delivery(slow_client=SlowClient(timeout=LIMITS["slow_client"]), **settings),
    )
    router = Router(Config(providers=providers, routes=(route,)), Targets())
    speaker = lane.speaker
    path, _, query = (speaker.path if streamed or not speaker.whole_path else speaker.whole_path).partition("?")
    wire = next(each for each in CLIENT_WIRES if each.serves(path))
    body = speaker.question if speaker.whole_path else {"model": MODEL, "stream": streamed, **speaker.question}
    asked = wire.read(path, query, msgspec.json.encode(body | (question or {})))
    made, _ = router.plan(route, wire, asked, "st_matrix", (), cast("Pool", None), 0.0)
    return made


class Promise:
    """What the table promises of a cell on a lane."""

    def __init__(self, lane: Lane, cell: Cell, *, streamed: bool):
        self.lane, self.cell, self.streamed = lane, cell, streamed

    @property
    def _unreadable(self) -> bool:
        return self.cell.row.fault == "malformed" and not TALKS[self.lane.first].mends

    @property
    def count(self) -> int:
        """The tokens that the first target had sent."""
        return COUNTS.get(self.cell.phase, 0)

    @property
    def words(self) -> str:
        """Their text."""
        return "".join(f"w{number} " for number in range(self.count))

    @property
    def outcome(self) -> str:
        """As the table has it."""
        return "upstream_error" if self._unreadable else self.cell.outcome(self.streamed)

    @property
    def then(self) -> Then:
        """As the table has it; a binary wire cannot be read on behind bytes that are none of its frames."""
        if self._unreadable:
            return Then.FRAME if self.streamed and self.cell.phase in AFTER_A_TOKEN else Then.NEXT
        return self.cell.then(self.streamed)

    @property
    def status(self) -> int:
        """What the client gets where there is no other target, before anything is out."""
        if self._unreadable:
            return 502
        status = self.cell.row.status
        return TALKS[self.lane.first].status if status == "said" else int(status)


# -- scripts ----------------------------------------------------------------------------------------------------------


def parts(talk: Talk, letter: str, phase: Phase) -> list[bytes]:
    """The frames that come before a fault in that phase."""
    count = COUNTS.get(phase, 0)
    if phase in (Phase.HEAD, Phase.SENT, Phase.TLS, Phase.CONNECT):
        return []
    return [talk.start, talk.ping, talk.ping, *talk.words(letter, count)]


def head(talk: Talk) -> Responds:
    """A 200."""
    return Responds(200, ((b"content-type", talk.kind),))


def until(talk: Talk, letter: str, phase: Phase) -> list[tuple[float, Step]]:
    """What goes well before the fault."""
    if phase in (Phase.CONNECT, Phase.TLS):
        return []
    if phase is Phase.SENT:
        return [(0.1, Opens())]
    said = talk.said(parts(talk, letter, phase))
    return [(0.1, Opens()), (0.1, head(talk)), *((0.1, Sends(piece)) for piece in said)]


def rest(talk: Talk, letter: str, phase: Phase) -> list[tuple[float, Step]]:
    """What would follow it, had there been none."""
    gone = until(talk, letter, phase)
    before = parts(talk, letter, phase)
    words = talk.words(letter)[sum(each in talk.words(letter) for each in before) :]
    start = [] if before else [talk.start]
    pieces = talk.said([*start, *words, *talk.end(letter)], closed=True, before=len(before))
    steps = [(0.1, Opens()), (0.1, head(talk))][len(gone) :] if not before else []
    return [*steps, *((0.1, Sends(piece)) for piece in pieces), (0.0, Ends())]


def healthy(talk: Talk, letter: str) -> Script:
    """A whole answer."""
    return rest(talk, letter, Phase.CONNECT)


def script(talk: Talk, letter: str, fault: str, phase: Phase) -> Script:
    """A provider with a fault in a phase."""
    return [*until(talk, letter, phase), *_FAULTS[fault.split(" ")[0]](talk, letter, fault, phase)]


def _broken(talk: Talk, letter: str, fault: str, phase: Phase) -> Script:
    clean = fault == "clean end"
    if phase is Phase.TLS:
        return [(0.1, Fails(f"{fault} in the handshake"))]
    return [(0.1, Ends(clean, "" if clean else fault))]


def _failed(talk: Talk, letter: str, fault: str, phase: Phase) -> Script:
    return [(0.1, Fails(fault))]


def _silent(talk: Talk, letter: str, fault: str, phase: Phase) -> Script:
    return [(0.1, Stalls())]


def _pings(talk: Talk, letter: str, fault: str, phase: Phase) -> Script:
    before = parts(talk, letter, phase)
    start = [] if before else [talk.start]
    said = talk.said([*start, *[talk.ping] * 30], before=len(before))
    return [(2.0, Sends(piece)) for piece in said]


def _status(talk: Talk, letter: str, fault: str, phase: Phase) -> Script:
    json, after = (b"content-type", b"application/json"), (b"retry-after", b"7")
    return [(0.1, Responds(int(fault.split(" ")[1]), (json, after))), (0.1, Sends(REFUSAL)), (0.0, Ends())]


def _says(*said: bytes, closed: bool = False) -> Callable[[Talk, str, Phase], Script]:
    def steps(talk: Talk, letter: str, phase: Phase) -> Script:
        pieces = talk.said(said, closed=closed, before=len(parts(talk, letter, phase)))
        return [(0.1, Sends(piece)) for piece in pieces]

    return steps


def _error(talk: Talk, letter: str, fault: str, phase: Phase) -> Script:
    return [*_says(talk.error, closed=True)(talk, letter, phase), (0.1, Ends())]


def _empty(talk: Talk, letter: str, fault: str, phase: Phase) -> Script:
    start = [] if parts(talk, letter, phase) else [talk.start]
    return [*_says(*start, *talk.empty, closed=True)(talk, letter, phase), (0.1, Ends())]


def _malformed(talk: Talk, letter: str, fault: str, phase: Phase) -> Script:
    said = _says(talk.malformed)(talk, letter, phase)
    after = rest(talk, letter, phase)
    if talk.listed and not parts(talk, letter, phase):
        # The list is open by now.
        first = next(place for place, (_, step) in enumerate(after) if isinstance(step, Sends))
        after[first] = 0.1, Sends(b",\r\n" + cast("Sends", after[first][1]).data[1:])
    return [*said, *after]


def _oversized(talk: Talk, letter: str, fault: str, phase: Phase) -> Script:
    return [*_says(talk.word("x" * 2 * MAX_FRAME))(talk, letter, phase), *rest(talk, letter, phase)]


def _meanwhile(talk: Talk, letter: str, fault: str, phase: Phase) -> Script:
    happened = {"client leaves": ClientLeft(), "client blocks": ClientBlocked(), "shutdown": Shutdown()}[fault]
    return [(0.1, Meanwhile(happened)), *rest(talk, letter, phase)]


_FAULTS: dict[str, Callable[[Talk, str, str, Phase], Script]] = {
    "refused": _failed,
    "untrusted": _failed,
    "reset": _broken,
    "unclean": _broken,
    "clean": _broken,
    "silence": _silent,
    "pings": _pings,
    "status": _status,
    "error": _error,
    "empty": _empty,
    "malformed": _malformed,
    "malformed,": _malformed,
    "oversized": _oversized,
    "client": _meanwhile,
    "shutdown": _meanwhile,
}


# -- runs -------------------------------------------------------------------------------------------------------------


def played(lane: Lane, cell: Cell, *, streamed: bool, targets: int = 2, **delivery: Any) -> Transcript:
    """The cell, with a healthy second target or without one."""
    if cell.row.fault == "malformed, fail":
        delivery["malformed"] = "fail"
    made = plan(lane, streamed=streamed, targets=targets, **delivery)
    first = script(TALKS[lane.first], "w", cell.row.fault, cell.phase)
    return run(made, [first, healthy(TALKS[lane.second], "k")])


@functools.cache
def calm(lane: Lane, streamed: bool) -> Transcript:
    """What a client gets of the second target, where there was no connection to the first."""
    made = plan(lane, streamed=streamed)
    return run(made, [[(0.1, Fails())], healthy(TALKS[lane.second], "k")])
