"""A tally counts what it hears, wherever the batches end, and what was heard up to the mark."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from mixed import mixed

from penstock.events import Internal, Media, Reasoning, Refusal, Text, ToolArguments
from penstock.metering.charge import Amount, Known, cost, delivered, generated
from penstock.metering.factors import Drift, Learnt, comparable, unlearnt
from penstock.metering.prices import Price, Rates
from penstock.metering.row import Tokens
from penstock.metering.tally import KEPT, LENGTH, SLICE, Meter, Tally
from penstock.testing.playbook import BYTE_METER
from penstock.usage import Usage

TEXTS = st.text("ab 日\n", min_size=1, max_size=9)
EVENTS = st.one_of(
    st.builds(Text, TEXTS, st.integers(0, 2)),
    st.builds(Reasoning, TEXTS, st.integers(0, 1)),
    st.builds(Refusal, TEXTS),
    st.builds(ToolArguments, st.integers(0, 1), name=TEXTS, arguments=TEXTS),
)


def size(event) -> tuple[int, int]:
    """Bytes of output and of reasoning."""
    text = event.name + event.arguments if isinstance(event, ToolArguments) else event.text
    count = len(text.encode())
    return (0, count) if isinstance(event, Reasoning) else (count, 0)


@given(st.lists(EVENTS, max_size=30), st.integers(0, 30), st.sets(st.integers(0, 30)))
def test_counts_and_the_mark(events, place, folds):
    tally = Tally(BYTE_METER)
    for number, event in enumerate(events):
        if number == place:
            tally.mark()
        if number in folds:
            tally.fold()
        tally.heard.append(event)
    if place >= len(events):
        tally.mark()
    tally.finish()
    whole = Tokens(output=sum(size(e)[0] for e in events), reasoning=sum(size(e)[1] for e in events))
    part = Tokens(output=sum(size(e)[0] for e in events[:place]), reasoning=sum(size(e)[1] for e in events[:place]))
    assert tally.tokens() == whole
    assert tally.delivered == part
    assert tally.exact is not any(isinstance(event, ToolArguments) for event in events)


def test_what_is_not_counted_yet_is_told_by_its_length():
    tally = Tally(BYTE_METER)
    tally.heard += [Text("x" * SLICE), Text("y" * (2 * SLICE)), Reasoning("z" * 10)]
    tally.mark()
    assert tally.about() == Tokens(output=SLICE + 2 * SLICE // 4, reasoning=3)
    tally.finish()
    assert tally.about() == tally.tokens() == Tokens(output=3 * SLICE, reasoning=10)


def test_a_long_text_is_counted_in_slices():
    tally, text = Tally(BYTE_METER), mixed(10 * SLICE, seed=4)
    tally.heard.append(Text(text))
    folds = 1
    while tally.fold():
        folds += 1
    assert folds == 10
    assert tally.tokens().output == len(text.encode())


def test_nothing_is_lost_before_the_vocabulary_is_there():
    there: list = []
    tally = Tally(Meter("m", lambda: there[0] if there else None))
    tally.heard.append(Text("abc"))
    assert not tally.fold()
    tally.mark()
    assert not tally.heard and tally.delivered is None
    there.append(BYTE_METER.vocabulary())
    tally.finish()
    assert tally.delivered == Tokens(output=3, reasoning=0)


def test_output_that_is_no_text_is_no_exact_count():
    for event in (Media("spoken"), Internal("search for cats")):
        tally = Tally(BYTE_METER)
        tally.heard.append(event)
        tally.finish()
        assert not tally.exact and tally.tokens().output in (6, 15)


def test_a_model_that_hides_its_reasoning_is_not_counted_exactly():
    for model, exact in (("gpt-5-mini", False), ("o3", False), ("gpt-4o", True)):
        tally = Tally(Meter(model, BYTE_METER.vocabulary))
        tally.heard.append(Text("a"))
        tally.finish()
        assert tally.exact is exact


# -- charges ----------------------------------------------------------------------------------------------------------


def known(**changed) -> Known:
    return Known(**{"provider": "p", "model": "m", "counted": Tokens(10, 20, 0), "exact": True} | changed)


def test_what_is_charged_of_an_attempt():
    assert generated(known(reported=Usage(1, 2), complete=True)) == Amount(Tokens(1, 2), "reported", "exact")
    assert generated(known(asked=False)) == Amount()
    assert generated(known()) == Amount(Tokens(10, 20, 0), "counted", "exact")
    assert generated(known(exact=False)).basis == "estimated"
    assert generated(known(runs_on=True)).basis == "estimated"
    assert generated(known(counted=Tokens(10, 0, 0))).basis == "estimated"


def test_a_report_without_its_output_is_completed_by_the_count():
    amount = generated(known(reported=Usage(input=5, cache_read=3), complete=True))
    assert amount == Amount(Tokens(5, 20, 0, 3), "counted", "exact")


def test_of_an_answer_left_in_its_middle_the_larger_number_counts():
    assert generated(known(reported=Usage(5, 1))).tokens == Tokens(5, 20, 0)
    assert generated(known(reported=Usage(5, 25))) == Amount(Tokens(5, 25), "reported", "exact")


def test_what_was_delivered_in_part_is_charged_in_part():
    assert delivered(known(), Tokens(output=7, reasoning=0)) == Amount(Tokens(10, 7, 0), "delivered", "exact")
    whole = known(reported=Usage(1, 22, 40), complete=True)
    assert delivered(whole, Tokens(output=20, reasoning=0)).tokens == Tokens(1, 22, 40)


RATES = Rates(input=10**6, output=10 * 10**6)
PRICE = Price(model="m", rates=RATES, source="", date="")


def test_a_cost_that_the_provider_names_stands_unless_a_price_is_configured():
    whole = known(reported=Usage(1, 2, cost=0.5), complete=True)
    amount = generated(whole)
    assert cost(whole, amount, PRICE, "", whole=True) == (500_000_000, [])
    assert cost(whole, amount, None, "", whole=True) == (500_000_000, [])
    own = Price(model="m", rates=RATES, source="", date="", configured=True)
    assert cost(whole, amount, own, "", whole=True) == (21, [])
    assert cost(known(reported=Usage(1, 2, cost=0.5)), amount, PRICE, "", whole=True) == (21, [])


def test_a_kind_without_a_rate_is_charged_as_input_and_said():
    cached = known(reported=Usage(1, 2, cache_read=100, cache_write=10), complete=True)
    nanos, warnings = cost(cached, generated(cached), PRICE, "", whole=True)
    assert nanos == 1 + 20 + 110
    assert warnings == [
        "no price for cache_read of m: charged as input",
        "no price for cache_write of m: charged as input",
    ]


def test_images_have_a_price_of_their_own():
    price = Price(model="m", rates=Rates(input=0, output=0, image=7), source="", date="")
    assert cost(known(images=3), generated(known(images=3)), price, "", whole=True)[0] == 21


# -- what is learnt ---------------------------------------------------------------------------------------------------


def test_a_factor_moves_from_its_seed_to_what_is_reported():
    learnt = unlearnt("claude-sonnet-4-5")
    assert learnt.factor == 1.2
    for _ in range(100):
        learnt = learnt.with_one(1000, 1400)
    assert abs(learnt.factor - 1.4) < 0.01


@given(st.lists(st.tuples(st.integers(1, 10**6), st.integers(1, 10**6)), max_size=50))
def test_a_factor_is_never_of_nothing(answers):
    learnt = unlearnt("m")
    for raw, reported in answers:
        learnt = learnt.with_one(raw, reported)
    assert 0 < learnt.factor < 10**6 and learnt.raw <= 2 * 10**6


def test_an_old_tokeniser_is_forgotten():
    learnt = Learnt(10**6, 10**6)
    for _ in range(50):
        learnt = learnt.with_one(10**5, 2 * 10**5)
    assert learnt.factor > 1.98


def test_what_compares():
    assert comparable(Tokens(output=30, reasoning=0), Tokens(output=31)) == (30, 31)
    assert comparable(Tokens(output=30, reasoning=5), Tokens(output=31)) is None
    assert comparable(Tokens(output=30), Tokens(output=31, reasoning=64)) is None
    assert comparable(Tokens(output=3), Tokens(output=3)) is None
    assert comparable(Tokens(output=0), Tokens(output=30)) is None
    assert Drift().ratio == 0.0
    assert round(Drift(110, 100).ratio, 6) == 0.1


def test_what_comes_too_fast_is_estimated_and_not_kept(monkeypatch):
    monkeypatch.setattr("penstock.metering.tally.KEPT", 10_000)
    tally = Tally(BYTE_METER)
    for _ in range(100):
        tally.heard.extend(Text("word " * 100) for _ in range(64))
        tally.fold()
        assert tally._behind() <= 10_000
    tally.mark()
    tally.finish()
    assert not tally.exact
    made = tally.tokens().output
    assert 100 * 64 * 500 / 4 < made < 100 * 64 * 500
    assert tally.delivered == tally.tokens()


def test_an_answer_in_one_event_is_counted_and_never_taken_by_its_length():
    tally, text = Tally(BYTE_METER), "ä" * (KEPT + 3 * SLICE)
    tally.heard += [ToolArguments(0, name="f"), Text("so"), ToolArguments(0, name="g", arguments=text), Text("end")]
    tally.mark()
    assert tally.fold()
    assert (tally.tokens().output or 0) <= 2 * SLICE, "a slice at a time"
    tally.finish()
    assert tally.tokens().output == tally.delivered.output == len("fgsoend") + 2 * len(text)


def test_what_comes_faster_than_it_is_counted_is_taken_by_its_length_a_little_at_a_time():
    estimated: list[int] = []

    class Counting:
        exact = True

        def add(self, text: str) -> None:
            """Nothing."""

        def guess(self, text: str) -> None:
            estimated.append(len(text))

        def tokens(self) -> int:
            return 0

    class Words:
        name, exact, counter = "words", True, Counting

    tally, long = Tally(Meter("m", Words)), "a" * KEPT
    tally.heard += [Text(long), Text(long, 1)]
    tally.fold()
    assert estimated == [], "no more than the one waits behind"
    tally.heard += [Text("b" * 64), Text("c" * 64, 1)]
    tally.fold()
    assert 0 < sum(estimated) <= LENGTH + 256
    tally.finish()
    assert len(estimated) > 10 and sum(estimated) < KEPT, "what waits alone is counted"
