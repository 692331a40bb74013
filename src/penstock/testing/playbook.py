"""Plays: a stream's story as a script, in virtual time.

    (Play(plan())
        .start().expect(Open(0, 0))
        .at(0.2).give(UpstreamOpened(0), UpstreamHead(0, 200, SSE)).expect()
        .at(0.3).give(UpstreamBytes(0, chunk("Hi"))).expect(Head(200, ANY), Send(chunk("Hi")))
        .wait_until(30.3).expect(Close(0), Send(containing(b"stalled")), End(), Record(ANY), Done(Outcome.STALLED)))

Time goes on only by ``at``, ``after`` and ``wait_until``; every deadline that falls due on the way is acted on at
exactly its instant, as the driver would. What the machine answers must be claimed by ``expect`` before anything else
happens, and ``expect()`` claims that there was nothing. A play whose stream is over is held to the laws.
"""

from __future__ import annotations

import difflib
from typing import Any

from penstock.metering.counter import BytePairs, Vocabulary
from penstock.metering.tally import Meter
from penstock.outcome import Outcome
from penstock.policy.deadlines import Deadlines
from penstock.policy.delivery import Delivery, SlowClient
from penstock.policy.hedge import HedgeBudget
from penstock.policy.metadata import Metadata
from penstock.policy.silence import Silence
from penstock.stages.pipeline import StagesPlan
from penstock.stream.commands import Ask, Close, Command, Done, End, Head, Open, Pause, Record, Resume, Send
from penstock.stream.inputs import (
    AllowanceAnswered,
    CheckAnswered,
    ClientBlocked,
    ClientDrained,
    ClientLeft,
    Input,
    Shutdown,
    Stop,
    UpstreamBytes,
    UpstreamEnded,
    UpstreamFailed,
    UpstreamHead,
    UpstreamOpened,
)
from penstock.stream.plan import Asking, Plan, Way
from penstock.stream.summary import Summary
from penstock.stream.tape import Tape
from penstock.testing.clock import VirtualClock
from penstock.testing.frames import DONE, JSON, SSE, answer, chunk, error, finish, reasoning, role, tool, usage
from penstock.testing.laws import check_laws
from penstock.testing.transcript import Transcript, short
from penstock.wire.base import Decoder
from penstock.wire.continued import Beginning, Remembered, rest_of
from penstock.wire.edit import Asked
from penstock.wire.editors import editor_of
from penstock.wire.openai_chat import ChatDecoder
from penstock.wire.openai_chat_client import ChatClient, read_request
from penstock.wire.registry import UPSTREAM_WIRES

__all__ = [
    "ANY",
    "BYTE_METER",
    "DONE",
    "JSON",
    "SSE",
    "AllowanceAnswered",
    "Ask",
    "CheckAnswered",
    "ClientBlocked",
    "ClientDrained",
    "ClientLeft",
    "Close",
    "Done",
    "End",
    "Head",
    "Open",
    "Outcome",
    "Pause",
    "Play",
    "Record",
    "Resume",
    "Send",
    "Shutdown",
    "Stop",
    "UpstreamBytes",
    "UpstreamEnded",
    "UpstreamFailed",
    "UpstreamHead",
    "UpstreamOpened",
    "answer",
    "chunk",
    "containing",
    "error",
    "finish",
    "plan",
    "reasoning",
    "role",
    "streaming",
    "tool",
    "usage",
    "waiting",
]


_BYTES: Vocabulary = BytePairs("bytes", r"\s+|\S+", bytes)
BYTE_METER = Meter("m", lambda: _BYTES)
"""Counts a token for each byte of UTF-8, exactly."""


class _Any:
    """Equal to everything."""

    def __eq__(self, other: object) -> bool:
        return True

    def __hash__(self) -> int:
        return 0

    def __repr__(self) -> str:
        return "ANY"


ANY: Any = _Any()


class _Containing:
    def __init__(self, parts: tuple[bytes, ...]):
        self.parts = parts

    def __eq__(self, other: object) -> bool:
        return isinstance(other, bytes) and all(part in other for part in self.parts)

    def __hash__(self) -> int:
        return 0

    def __repr__(self) -> str:
        return f"containing{self.parts!r}"


def containing(*parts: bytes) -> Any:
    """Equal to every bytes in which all ``parts`` occur."""
    return _Containing(parts)


def plan(
    *,
    stream: bool = True,
    targets: int = 2,
    include_usage: bool = False,
    ask_usage: bool = True,
    secrets: tuple[bytes, ...] = (),
    hedge_after: float | None = None,
    hedge_budget: HedgeBudget | None = None,
    retries: int = 0,
    chance: float = 0.5,
    asking: Asking | None = None,
    continues: bool = False,
    silences: tuple[Silence, ...] | None = None,
    stages: StagesPlan | None = None,
    meter: Meter | None = None,
    runs_on: bool = False,
    metadata: Metadata | None = None,
    tape: Tape | None = None,
    tags: tuple[tuple[str, str], ...] = (),
    **policies: Any,
) -> Plan:
    """A plan as a route with the default policies makes it; ``policies`` are fields of Deadlines and of Delivery,
    and ``slow_client`` is a number of seconds. ``continues``: as with ``mid_stream: continue`` and targets that can."""
    body = b'{"model":"gpt","stream":%s' % (b"true" if stream else b"false")
    body += b',"stream_options":{"include_usage":true}}' if include_usage else b"}"
    request = read_request(body)
    if "slow_client" in policies:
        policies["slow_client"] = SlowClient(timeout=policies["slow_client"])
    limits = {name: policies.pop(name) for name in Deadlines.__struct_fields__ if name in policies}
    delivery = Delivery(**policies)
    expose = include_usage or not stream
    client = ChatClient(request, "st_play")

    client = ChatClient(request, "st_play")

    def decoder() -> Decoder:
        read = ChatDecoder(expose_usage=expose, pin_identity=delivery.pin_identity)
        return Remembered(read) if continues else read

    def goes_on(beginning: Beginning) -> Decoder:
        return rest_of(beginning, ChatDecoder(), client)

    return Plan(
        stream="st_play",
        route="gpt",
        request=request,
        ways=tuple(
            Way(
                name=f"p{number}/m",
                label=f"p{number}/m",
                wire=UPSTREAM_WIRES["openai-chat"],
                same_wire=True,
                decoder=decoder,
                ask_usage=ask_usage,
                goes_on=goes_on,
                continues=continues,
                meter=meter,
                runs_on=runs_on,
            )
            for number in range(targets)
        ),
        client=client,
        client_wire="openai-chat",
        deadlines=Deadlines(**limits),
        delivery=delivery,
        hedge_after=hedge_after,
        hedge_budget=hedge_budget,
        retries=retries,
        chance=chance,
        asking=asking,
        silences=silences,
        stages=stages,
        metadata=metadata,
        tape=tape,
        tags=tags,
        read_as=None if stages is None else UPSTREAM_WIRES["openai-chat"],
        editor=None if stages is None else editor_of("openai-chat", Asked(request, "st_play", client)),
        secrets=secrets,
    )


class Play:
    """A stream under a script. Every method returns the play, so that a story is one expression."""

    def __init__(self, plan: Plan, now: float = 0.0):
        self.transcript = Transcript(plan, now)
        self._clock: VirtualClock[None] = VirtualClock(now)
        self._unclaimed: list[Command] = []

    # -- what happens ---------------------------------------------------------------------------------------------

    def start(self) -> Play:
        """The stream begins."""
        self._unclaimed += self.transcript.start(self._clock.now)
        return self

    def give(self, *happened: Input) -> Play:
        """Things happen, one after the other, at this instant."""
        self._nothing_unclaimed(f"before {short(happened[0])}")
        for one in happened:
            self._unclaimed += self.transcript.give(one, self._clock.now)
        return self

    def at(self, instant: float) -> Play:
        """Time goes on to an instant; the deadlines on the way are acted on."""
        while (due := self.transcript.deadline()) is not None and due <= instant:
            self._clock.to(max(due, self._clock.now))
            self._unclaimed += self.transcript.expire(self._clock.now)
        self._clock.to(instant)
        return self

    def after(self, seconds: float) -> Play:
        """Time goes on for a while."""
        return self.at(self._clock.now + seconds)

    def wait_until(self, instant: float) -> Play:
        """Nothing happens until an instant, and what is then answered must fall due at exactly that instant."""
        self._nothing_unclaimed("before waiting")
        due = self.transcript.deadline()
        if due is None or abs(due - instant) > 1e-9:
            self._fail(f"the next deadline is at {due}, not at {instant:g}")
        return self.at(max(instant, due or 0.0))

    # -- what is answered -----------------------------------------------------------------------------------------

    def expect(self, *commands: Command) -> Play:
        """These commands, all of them and in this order, were the answer since the last ``expect``."""
        said, self._unclaimed = self._unclaimed, []
        if len(said) != len(commands) or any(a != b for a, b in zip(commands, said, strict=True)):
            wanted = [short(command, 400) for command in commands]
            # A line that matches its pattern is shown in the pattern's words, so that only the rest differs.
            got = [short(command, 400) for command in said]
            for place, (want, have) in enumerate(zip(commands, said, strict=False)):
                if want == have:
                    got[place] = wanted[place]
            diff = "\n".join(difflib.ndiff(wanted, got)) or "(neither expected nor said anything)"
            self._fail(f"other commands than expected ('-' expected, '+' said):\n{diff}")
        if self.transcript.over:
            check_laws(self.transcript)
        return self

    def passing_over(self) -> Play:
        """Claim whatever was answered: this is not what the story is about."""
        self._unclaimed = []
        return self

    def expect_deadline(self, instant: float | None) -> Play:
        """The next deadline is at that instant."""
        due = self.transcript.deadline()
        if due != instant and (due is None or instant is None or abs(due - instant) > 1e-9):
            self._fail(f"the next deadline is at {due}, not at {instant}")
        return self

    def expect_account(self, **fields: object) -> Play:
        """The account has these values."""
        for name, value in fields.items():
            if getattr(self.account, name) != value:
                self._fail(f"account.{name} is {getattr(self.account, name)!r}, not {value!r}")
        return self

    # -- what is known --------------------------------------------------------------------------------------------

    @property
    def account(self) -> Summary:
        """The stream's account."""
        return self.transcript.account

    @property
    def body(self) -> bytes:
        """The bytes that the client got so far."""
        return self.transcript.body

    def _nothing_unclaimed(self, when: str) -> None:
        if self._unclaimed:
            said = "\n".join(f"+ {short(command, 400)}" for command in self._unclaimed)
            self._fail(f"commands that nobody expected {when}:\n{said}")

    def _fail(self, problem: str) -> None:
        raise AssertionError(f"{problem}\n\nThe play so far (> happened, · deadline):\n{self.transcript.story()}")


def waiting(plan: Plan, attempt: int = 0) -> Play:
    """A play up to the first attempt's head, at 0.2 s: the provider has answered 200 and no token came yet."""
    play = Play(plan).start().expect(Open(attempt, 0, ask_usage=plan.ways[0].ask_usage))
    return play.at(0.2).give(UpstreamOpened(attempt), UpstreamHead(attempt, 200, SSE)).expect()


def streaming(plan: Plan, text: str = "Hi") -> Play:
    """A play up to the first token, at 1 s; a folded client has got nothing yet."""
    play = waiting(plan).at(1.0).give(UpstreamBytes(0, chunk(text)))
    return play.expect(Head(200, ANY), Send(chunk(text))) if plan.request.stream else play.expect()
