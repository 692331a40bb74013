"""The machine's laws on random stories whose text goes through stages."""

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st
from scripts import attempts, clients, plans

from penstock.outcome import Outcome
from penstock.stages.guards import MaxCharacters, Repetition
from penstock.stages.moderate.policy import CheckPolicy
from penstock.stages.pipeline import StagesPlan
from penstock.stages.redact.policy import RedactPolicy
from penstock.stages.redact.redactor import Redactor
from penstock.stages.segments import Segmenting
from penstock.stream.inputs import CheckAnswered
from penstock.stream.plan import Plan
from penstock.testing.laws import check_laws
from penstock.testing.run import run
from penstock.wire import json
from penstock.wire.edit import Asked
from penstock.wire.editors import editor_of
from penstock.wire.openai_chat_fold import ChatFold
from penstock.wire.registry import UPSTREAM_WIRES

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
    """The plan with stages. No answer goes on with another attempt then: the configuration refuses that."""
    editor = editor_of("openai-chat", Asked(plan.request, plan.stream, plan.client))
    ways = tuple(msgspec.structs.replace(way, continues=False) for way in plan.ways)
    return msgspec.structs.replace(plan, ways=ways, stages=stages, editor=editor, read_as=UPSTREAM_WIRES["openai-chat"])


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


@st.composite
def services(draw):
    """A moderation service that answers now and then, late, wrongly, or not."""
    kinds = draw(st.lists(st.sampled_from(["good", "good", "bad", "fail", "never"]), min_size=1, max_size=5))
    delays = draw(st.lists(st.sampled_from([0.0, 0.1, 0.7, 3.0]), min_size=1, max_size=5))

    def answer(asked):
        kind = kinds[asked.check % len(kinds)]
        found, failed = ("x",) * (kind == "bad"), "it failed" * (kind == "fail")
        return (
            None if kind == "never" else (delays[asked.check % len(delays)], CheckAnswered(asked.check, found, failed))
        )

    return answer


CHECKS = st.builds(
    CheckPolicy,
    mode=st.sampled_from(["block", "window", "audit"]),
    on_failure=st.sampled_from(["block", "pass"]),
    characters=st.sampled_from([3, 10, 400]),
    overlap=st.sampled_from([0, 3]),
    delay=st.sampled_from([0.0, 0.25]),
    timeout=st.sampled_from([0.5, 2.0]),
    max_checks=st.sampled_from([1, 3, 32]),
    flag=st.booleans(),
)
LOCAL = st.sampled_from([(), (LETTERS,), (BLOCK,), (MaxCharacters(9),)])
SHAPES = st.sampled_from([{}, {"whole": True}, {"segments": Segmenting("sentence", delay=0.3, characters=20)}])


@settings(max_examples=2 * settings().max_examples)
@given(
    plan=plans(), check=CHECKS, local=LOCAL, shape=SHAPES, prompt=st.sampled_from([(), ("Hello",)]),
    upstream=st.lists(attempts(), max_size=4), client=clients(), service=services(),
)  # fmt: skip
def test_every_law_holds_while_a_service_is_asked(plan, check, local, shape, prompt, upstream, client, service):
    stages = StagesPlan(stages=local, check=check, asked=prompt, **shape)
    check_laws(run(staged(plan, stages), upstream, client, service=service))
