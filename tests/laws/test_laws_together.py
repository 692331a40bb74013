"""The machine's laws where everything that a stream may have is drawn together: stages, a moderation service, a
journal, a copy, metadata, a budget, counted tokens, an answer that goes on, whole answers with heartbeats."""

from __future__ import annotations

import re

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st
from scripts import attempts, clients, plans
from test_laws_metering import OPENED, TERMS, answering, metered, read
from test_laws_with_copies import METADATA, taped
from test_laws_with_stages import CHECKS, LETTERS, LOCAL, SHAPES, STAGES, services, staged

from penstock.framing.sse import SSEFramer, parse
from penstock.metering.row import Tokens
from penstock.outcome import Outcome
from penstock.stages.pipeline import StagesPlan
from penstock.stream.commands import Append
from penstock.stream.plan import Plan
from penstock.stream.settlement import settle
from penstock.stream.summary import Summary
from penstock.testing.laws import check_laws
from penstock.testing.run import run
from penstock.testing.transcript import Transcript
from penstock.wire import json

TAGS = (("policy", "eu-1"),)
LONG = re.compile("[a-z]{3,}")


class Purse:
    """Lasts for so many token events. ``asks``: whether there is more is only known when it is asked for again, and
    as often as that there is."""

    def __init__(self, tokens: int, asks: int = 0):
        self.tokens = tokens
        self.asks = asks
        self.asked = False

    def lasts(self, account: Summary) -> bool | None:
        """See `Allowance`."""
        if account.token_events < self.tokens:
            return True
        if self.asks and not self.asked:
            self.asked = True
            return None
        more = self.asks > 0
        if more:
            self.asks, self.asked, self.tokens = self.asks - 1, False, self.tokens + 2
        return more


@st.composite
def together(draw: st.DrawFn, stages: st.SearchStrategy[StagesPlan | None]) -> Plan:
    """A stream with some of everything."""
    plan, chosen = draw(plans()), draw(stages)
    plan = plan if chosen is None else staged(plan, chosen)
    if draw(st.booleans()):
        plan, _ = taped(plan, original=draw(st.booleans()))
    if draw(st.booleans()):
        plan = metered(plan)
    purse = draw(st.sampled_from([None, None, (1, 0), (3, 0), (1, 1), (2, 2)]))
    purse = None if purse is None else Purse(*purse)
    return msgspec.structs.replace(plan, metadata=draw(st.none() | METADATA), allowance=purse, tags=TAGS)


CHECKED = st.builds(
    lambda local, check, prompt, shape: StagesPlan(stages=local, check=check, asked=prompt, **shape),
    LOCAL,
    CHECKS,
    st.sampled_from([(), ("Hello",)]),
    SHAPES,
)
STORY = {"upstream": st.lists(st.one_of(answering(), attempts()), min_size=1, max_size=4), "service": services()}


@settings(max_examples=3 * settings().max_examples)
@given(plan=together(st.one_of(st.none(), st.sampled_from(STAGES), CHECKED)), client=st.just([]) | clients(), **STORY)
def test_every_law_holds_for_any_story(plan, upstream, client, service):
    transcript = run(plan, upstream, client, service=service)
    check_laws(transcript)
    if transcript.over:
        row = settle(transcript.account, OPENED, 2.0, TERMS).row
        assert row.outcome is transcript.outcome
        assert row.redactions == sum(transcript.account.redactions.values())
        spent = transcript.outcome is Outcome.BUDGET_EXCEEDED
        assert not spent or plan.allowance is not None


@given(
    plan=together(st.sampled_from([StagesPlan(stages=(LETTERS,)), StagesPlan(stages=(LETTERS,), whole=True)])),
    client=st.just([]) | clients(),
    **STORY,
)
def test_what_is_redacted_shows_nowhere(plan, upstream, client, service):
    """Neither to the client, nor to one that comes back, nor in a copy of what the client got."""
    transcript = run(plan, upstream, client, service=service)
    seen = [transcript.body, journal(transcript)]
    if plan.tape is not None and not plan.tape.original:
        seen.append(b"".join(frame for _, frame in plan.tape.frames))
    for body in seen:
        for said in texts(body, streamed=plan.request.stream):
            assert not LONG.search(said.replace("[letters]", "")), said


def journal(transcript: Transcript) -> bytes:
    """What a client that comes back is sent."""
    return b"".join(command.data for command in transcript.commands if isinstance(command, Append))


NAMES = frozenset({"role", "name", "id", "type", "finish_reason"})


def texts(body: bytes, *, streamed: bool) -> list[str]:
    """What is generated in a body, joined for each choice and field."""
    joined: dict[tuple[object, ...], str] = {}
    documents = [parse(frame).data for frame in SSEFramer().feed(body)] if streamed else [body]
    for document in documents:
        try:
            said = json.loads(document or b"")
        except ValueError:
            continue
        for choice in said.get("choices", ()) if isinstance(said, dict) else ():
            walk(choice.get("delta" if streamed else "message"), (choice.get("index"),), joined)
    return list(joined.values())


def walk(value: object, path: tuple[object, ...], joined: dict[tuple[object, ...], str]) -> None:
    if isinstance(value, str):
        joined[path] = joined.get(path, "") + value
    elif isinstance(value, dict):
        for key, inner in value.items():
            if key not in NAMES:
                walk(inner, (*path, key), joined)
    elif isinstance(value, list):
        for number, inner in enumerate(value):
            walk(inner, (*path, number), joined)


@given(
    plan=st.builds(staged, plans(stream=True), st.one_of(st.sampled_from(STAGES), CHECKED)), **STORY, client=clients()
)
def test_delivered_is_what_came_out_of_the_stages_and_counted_what_went_in(plan, upstream, client, service):
    transcript = run(metered(plan), upstream, client, service=service)
    if not transcript.over:
        return
    row = settle(transcript.account, OPENED, 2.0, TERMS).row
    sent = plan.resumable is not None or (transcript.head is not None and transcript.head.status == 200)
    seen = read(transcript) if sent else Tokens(output=0, reasoning=0)
    assert (row.delivered.output or 0, row.delivered.reasoning or 0) == (seen.output, seen.reasoning)
