"""The machine's laws on random stories of which a copy is kept and whose clients are told more."""

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st
from scripts import attempts, clients, plans
from test_laws_with_stages import CHECKS, LOCAL, SHAPES, STAGES, services, staged

from penstock.framing.sse import SSEFramer, parse
from penstock.policy.metadata import Metadata
from penstock.stages.pipeline import StagesPlan
from penstock.stream.plan import Plan
from penstock.stream.tape import Tape
from penstock.testing.laws import check_laws
from penstock.testing.run import run
from penstock.wire import json

METADATA = st.sampled_from([Metadata(mode="final"), Metadata(mode="live", every=1), Metadata(mode="live", every=3)])
SOME_STAGES = st.sampled_from([None, *STAGES])


def taped(plan: Plan, *, original: bool = False) -> tuple[Plan, Tape]:
    tape = Tape(limit=10**6, original=original)
    return msgspec.structs.replace(plan, tape=tape), tape


@settings(max_examples=2 * settings().max_examples)
@given(
    plan=plans(),
    stages=st.sampled_from(STAGES),
    upstream=st.lists(attempts(), max_size=4),
    client=clients(),
    original=st.booleans(),
    metadata=METADATA,
)
def test_every_law_holds_for_any_story(plan, stages, upstream, client, original, metadata):
    watched, _ = taped(staged(plan, stages), original=original)
    check_laws(run(msgspec.structs.replace(watched, metadata=metadata), upstream, client))


@given(
    plan=plans(),
    stages=SOME_STAGES,
    upstream=st.lists(attempts(), max_size=4),
    client=clients(),
    original=st.booleans(),
)
def test_a_copy_changes_nothing(plan, stages, upstream, client, original):
    plan = plan if stages is None else staged(plan, stages)
    watched, tape = taped(plan, original=original)
    with_, without = run(watched, upstream, client), run(plan, upstream, client)
    assert with_.body == without.body
    assert with_.outcome == without.outcome
    assert tape.whole
    instants = [instant for instant, _ in tape.frames]
    assert instants == sorted(instants)


@given(plan=plans(), stages=SOME_STAGES, upstream=attempts())
def test_a_redacted_copy_is_what_a_client_that_reads_all_was_sent(plan, stages, upstream):
    watched, tape = taped(plan if stages is None else staged(plan, stages))
    sent = run(watched, [upstream])
    numbered = plan.resumable is not None and plan.resumable.ids
    if plan.request.stream and sent.account.keepalives == 0 and not numbered:
        copied = b"".join(frame for _, frame in tape.frames)
        assert sent.body.startswith(copied)
        assert b'"choices"' not in sent.body[len(copied) :]


@given(plan=plans(), stages=SOME_STAGES, upstream=st.lists(attempts(), max_size=4), metadata=METADATA)
def test_but_for_its_notes_a_stream_is_what_it_was(plan, stages, upstream, metadata):
    plan = plan if stages is None else staged(plan, stages)
    told, plain = run(msgspec.structs.replace(plan, metadata=metadata), upstream), run(plan, upstream)
    assert told.outcome == plain.outcome
    if plan.request.stream and plain.account.committed:
        assert events(told.body) == events(plain.body)


def events(body: bytes) -> list[object]:
    """What the frames say, without notes, and without frames that are nothing but a note."""
    said: list[object] = []
    for frame in SSEFramer().feed(body):
        data = parse(frame).data
        try:
            event = json.loads(data or b"")
        except ValueError:
            event = data
        if isinstance(event, dict) and event.pop("penstock", None) is not None and event.get("choices") == []:
            continue
        said.append(event)
    return said


@given(
    plan=plans(),
    check=CHECKS,
    local=LOCAL,
    shape=SHAPES,
    upstream=st.lists(attempts(), max_size=4),
    client=clients(),
    original=st.booleans(),
    metadata=METADATA,
    service=services(),
)
def test_every_law_holds_with_checks_too(plan, check, local, shape, upstream, client, original, metadata, service):
    checked = staged(plan, StagesPlan(stages=local, check=check, **shape))
    watched, tape = taped(checked, original=original)
    told = run(msgspec.structs.replace(watched, metadata=metadata), upstream, client, service=service)
    check_laws(told)
    assert tape.whole
    assert run(watched, upstream, client, service=service).body == run(checked, upstream, client, service=service).body
