"""The machine's laws on random stories whose text goes through stages."""

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st
from scripts import attempts, clients, plans

from penstock.outcome import Outcome
from penstock.stages.guards import MaxCharacters, Repetition
from penstock.stages.pipeline import StagesPlan
from penstock.stages.redact.policy import RedactPolicy
from penstock.stages.redact.redactor import Redactor
from penstock.stages.segments import Segmenting
from penstock.stream.plan import Plan
from penstock.testing.laws import check_laws
from penstock.testing.run import run
from penstock.wire import json
from penstock.wire.edit import Asked
from penstock.wire.editors import editor_of
from penstock.wire.openai_chat_fold import ChatFold

LETTERS = Redactor(RedactPolicy(custom=(("letters", "[a-z]{3,12}"),)))
BLOCK = Redactor(RedactPolicy(custom=(("letters", "[a-z]{5,12}"),), action="block"))
FOREVER = StagesPlan(stages=(Redactor(RedactPolicy(custom=(("nothing", "[^\x00]{8000}\x00"),))),))
SENTENCES = StagesPlan(segments=Segmenting("sentence", delay=0.3, characters=20))
STAGES = [
    StagesPlan(stages=(LETTERS,)),
    StagesPlan(stages=(BLOCK,)),
    StagesPlan(stages=(LETTERS, MaxCharacters(9), Repetition(3))),
    SENTENCES,
    StagesPlan(stages=(LETTERS,), whole=True),
    StagesPlan(whole=True, max_held=500),
]


def staged(plan: Plan, stages: StagesPlan) -> Plan:
    """The plan with stages."""
    editor = editor_of("openai-chat", Asked(plan.request, plan.stream, plan.client))
    return msgspec.structs.replace(plan, stages=stages, editor=editor)


@settings(max_examples=2 * settings().max_examples)
@given(plan=plans(), stages=st.sampled_from(STAGES), upstream=st.lists(attempts(), max_size=4), client=clients())
def test_every_law_holds_for_any_story(plan, stages, upstream, client):
    check_laws(run(staged(plan, stages), upstream, client))


@given(plan=plans(), upstream=attempts(), stages=st.sampled_from([FOREVER, SENTENCES]))
def test_law_8_every_ending_flushes_every_stage(plan, upstream, stages):
    """A stage that only holds, to the very end if need be, takes nothing away."""
    without, with_ = run(plan, [upstream]), run(staged(plan, stages), [upstream])
    if without.outcome is Outcome.COMPLETED and plan.request.stream and len(without.account.attempts) == 1:
        assert with_.outcome is Outcome.COMPLETED
        assert whole(with_.body) == whole(without.body)


def whole(body: bytes) -> list[tuple[object, object]]:
    """What a client that reads all has of every choice."""
    fold = ChatFold()
    fold.feed(body)
    choices = json.loads(fold.answer())["choices"]
    return [(choice["message"].get("content") or "", choice["finish_reason"]) for choice in choices]
