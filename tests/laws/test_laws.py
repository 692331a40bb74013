"""Every law of the machine, on random stories. What the laws say is in `penstock.testing.laws`."""

from __future__ import annotations

from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scripts import attempts, clients, cut, plain, plans, streams

from penstock.outcome import Outcome
from penstock.testing.corpus import examples
from penstock.testing.faults import Fault, fail_at_step
from penstock.testing.frames import DONE, answer, chunk, finish, usage
from penstock.testing.laws import check_laws, lanes
from penstock.testing.playbook import plan
from penstock.testing.run import Ends, run, script

EXAMPLES = {example.file: example for example in examples("openai-chat")}


@settings(max_examples=4 * settings().max_examples)
@given(plan=plans(), upstream=st.lists(attempts(), max_size=5), client=clients())
def test_every_law_holds_for_any_story(plan, upstream, client):
    check_laws(run(plan, upstream, client))


@given(plan=plans(), upstream=st.lists(attempts(), min_size=1, max_size=3))
def test_every_law_holds_for_a_client_that_reads_to_the_end(plan, upstream):
    check_laws(run(plan, upstream))


@given(data=st.data(), name=st.sampled_from(sorted(EXAMPLES)), stream=st.booleans())
def test_examples_come_out_the_same_from_any_pieces(data, name, stream):
    body = EXAMPLES[name].read()
    asked = plan(stream=stream, include_usage=stream, targets=1)
    whole = run(asked, [script(body, gap=0.0)])
    in_pieces = run(asked, [script(*data.draw(cut(body)), gap=0.0)])
    assert lanes(in_pieces) == lanes(whole)
    check_laws(in_pieces, replay=False)


@given(
    plan=plans(),
    name=st.sampled_from(sorted(EXAMPLES)),
    fault=st.sampled_from(Fault),
    number=st.integers(1, 9),
    other=attempts(),
    data=st.data(),
)
def test_every_law_holds_for_a_fault_at_any_step_of_an_example(plan, name, fault, number, other, data):
    steps = script(*data.draw(cut(EXAMPLES[name].read())))
    check_laws(run(plan, [fail_at_step(number, steps, fault) or steps, other, other]))


@given(body=streams(), ending=st.booleans(), client=clients(), stream=st.booleans())
def test_success_needs_a_finish_or_an_end_marker_and_no_error_before_it(body, ending, client, stream):
    """Read with plain means, not with the decoder."""
    assume(b"\xef\xbb\xbf" not in body[3:])  # In the middle it makes a field that nobody knows.
    steps = [*script(body)[:-1], (0.0, Ends(ending))]
    transcript = run(plan(stream=stream, targets=1), [steps], client)
    if transcript.outcome is Outcome.COMPLETED:
        answered = body.partition(b"[DONE]")[0]
        assert b'"error":' not in answered
        assert answered != body or b'"finish_reason":"' in answered


@given(cut(answer("One ", "two ", "three") + usage()), st.integers(0, 8))
def test_a_token_that_was_released_is_never_taken_back(pieces, number):
    """However the rest goes, what a client has seen is the beginning of one attempt's answer."""
    steps = script(*pieces)
    for fault in (Fault.CUT, Fault.RESET, Fault.ERROR_FRAME):
        broken = fail_at_step(number + 1, steps, fault) or steps
        transcript = run(plan(), [broken, script(chunk("Other") + finish() + DONE)])
        assert not (b"One " in transcript.body and b"Other" in transcript.body)


@given(
    answers=st.lists(plain(), min_size=2, max_size=3),
    stream=st.booleans(),
    targets=st.integers(1, 2),
    client=clients(),
    clean=st.booleans(),
)
def test_every_law_holds_where_an_answer_goes_on(answers, stream, targets, client, clean):
    asked = plan(stream=stream, targets=targets, continues=True, include_usage=stream)
    check_laws(run(asked, [script(*pieces, clean=clean) for pieces in answers], client))
