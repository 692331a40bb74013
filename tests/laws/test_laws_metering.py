"""Law 7, for tokens: what is counted is what the provider sent, what is delivered is what the client was sent."""

from __future__ import annotations

import msgspec
from hypothesis import given
from hypothesis import strategies as st
from scripts import MEANWHILE, TOKENS, attempts, clients, cut, plans, streams

from penstock.events import ErrorReport, Media, Reasoning, ToolArguments
from penstock.framing.sse import SSEFramer
from penstock.metering.prices import Price, PriceList, Rates
from penstock.metering.prompt import Counted
from penstock.metering.row import Tokens, opened
from penstock.outcome import Outcome
from penstock.stream.commands import Append
from penstock.stream.settlement import Terms, settle
from penstock.testing.playbook import BYTE_METER, plan
from penstock.testing.run import Meanwhile, Script, run, script
from penstock.testing.transcript import Transcript
from penstock.wire.openai_chat import ChatDecoder

PRICES = PriceList([Price(model="m", rates=Rates(input=10**6, output=2 * 10**6), source="", date="")])
TERMS = Terms(prices=PRICES, prompt=lambda meter: Counted(7, True))
OPENED = opened(stream="st", started_at=1.0, key=None, route="gpt", client_wire="openai-chat", tags={})


def metered(plan):
    ways = tuple(msgspec.structs.replace(way, meter=BYTE_METER) for way in plan.ways)
    return msgspec.structs.replace(plan, ways=ways)


def read(transcript: Transcript) -> Tokens:
    """The output in the client's body, in bytes of UTF-8, read up to an error of Penstock's own. Of a resumable stream
    that is the journal: whoever comes back reads it there."""
    output = reasoning = 0
    decoder = ChatDecoder()
    framer = SSEFramer()
    journal = b"".join(command.data for command in transcript.commands if isinstance(command, Append))
    frames = framer.feed(transcript.body if transcript.plan.resumable is None else journal)
    for frame in [*frames, framer.close()]:
        for event in decoder.decode(frame)[1]:
            if isinstance(event, ErrorReport):
                return Tokens(output=output, reasoning=reasoning)
            if not event.token:
                continue
            if isinstance(event, ToolArguments):
                text = event.name + event.arguments
            else:
                text = event.transcript if isinstance(event, Media) else event.text
            size = len(text.encode("utf-16", "surrogatepass").decode("utf-16", "replace").encode())
            if isinstance(event, Reasoning):
                reasoning += size
            else:
                output += size
    return Tokens(output=output, reasoning=reasoning)


@st.composite
def answering(draw: st.DrawFn) -> Script:
    """A target that has an answer, of some tokens, and what may go wrong on the way."""
    tokens = b"".join(draw(st.lists(st.sampled_from(TOKENS), min_size=1, max_size=5)))
    steps = list(script(*draw(cut(tokens + draw(streams()))), clean=draw(st.booleans())))
    for happened in draw(st.lists(st.sampled_from(MEANWHILE), max_size=2)):
        steps.insert(draw(st.integers(2, len(steps))), (0.0, Meanwhile(happened)))
    return steps


STORIES = {
    "plan": st.one_of(plans(stream=True), plans()),
    "upstream": st.lists(st.one_of(answering(), answering(), attempts()), min_size=1, max_size=4),
}


@given(**STORIES, client=st.one_of(st.just([]), clients()))
def test_counted_and_delivered_are_each_what_they_say(plan, upstream, client):
    transcript = run(metered(plan), upstream, client)
    if not transcript.over:
        return
    row = settle(transcript.account, OPENED, 2.0, TERMS).row
    assert row.outcome is transcript.outcome
    if plan.request.stream:
        sent = transcript.plan.resumable is not None or (transcript.head is not None and transcript.head.status == 200)
        seen = read(transcript) if sent else Tokens(output=0, reasoning=0)
        assert (row.delivered.output or 0, row.delivered.reasoning or 0) == (seen.output, seen.reasoning)
    elif transcript.outcome not in (Outcome.COMPLETED, Outcome.STOPPED) and not row.committed:
        assert row.delivered == Tokens()
    for line, attempt in zip(row.attempts, transcript.account.attempts, strict=True):
        assert (line.counted.generated > 0) <= (attempt.status is not None and 200 <= attempt.status < 300)
        tally = attempt.tally
        assert tally is not None
        if tally.delivered is not None:
            assert tally.delivered.generated <= line.counted.generated
    assert row.cost == sum(line.cost or 0 for line in row.attempts)


def test_of_a_whole_answer_that_went_on_and_then_failed_nothing_was_delivered():
    asked = plan(stream=False, continues=True, targets=1)
    transcript = run(metered(asked), [script(TOKENS[0], clean=False)])
    assert (transcript.account.warnings, transcript.outcome) == (["continued"], Outcome.UPSTREAM_CUT)
    assert settle(transcript.account, OPENED, 2.0, TERMS).row.delivered == Tokens()
