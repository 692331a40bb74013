"""What a key may use, in virtual time."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.policy.limits import Bucket, Budget, Limits, Refusal, Standing, told

DOLLAR = 10**9
NOON = datetime(2026, 11, 24, 12, tzinfo=UTC).timestamp()
EVENING = datetime(2026, 11, 24, 18, tzinfo=UTC).timestamp()
TOMORROW = datetime(2026, 11, 25, tzinfo=UTC).timestamp()


def standing(spent: tuple[int, ...] = (), **limits: object) -> Standing:
    return Standing(Limits(**limits), spent, NOON)  # type: ignore[arg-type]


@given(st.integers(0, 13_569_465_599))
def test_days_and_months_are_those_of_utc(second):
    at = datetime.fromtimestamp(second, UTC)
    day = at.replace(hour=0, minute=0, second=0, microsecond=0)
    month = day.replace(day=1)
    after = month.replace(year=at.year + at.month // 12, month=at.month % 12 + 1)
    assert Budget("day", 1).began(at.timestamp()) == day.timestamp()
    assert Budget("day", 1).ends(at.timestamp()) == day.timestamp() + 86400
    assert Budget("month", 1).began(at.timestamp()) == month.timestamp()
    assert Budget("month", 1).ends(at.timestamp()) == after.timestamp()


def test_streams_at_a_time():
    key = standing(max_streams=2)
    first, _ = key.reserve(0, NOON, 0, 0), key.reserve(0, NOON, 0, 0)
    assert key.refusal(0, NOON, 0) == Refusal("max_streams", None)
    first.settle(1, 0, 0)
    first.settle(1, 0, 0)
    assert key.streams == 1, "released once"
    assert key.refusal(1, NOON, 0) is None


def test_requests_a_minute():
    key = standing(requests_per_minute=2)
    for _ in range(2):
        assert key.refusal(100, NOON, 0) is None
        key.reserve(100, NOON, 0, 0).settle(100, 0, 0)
    assert key.refusal(100, NOON, 0) == Refusal("requests_per_minute", 30)
    assert key.refusal(115, NOON, 0) == Refusal("requests_per_minute", 15)
    assert key.refusal(130, NOON, 0) is None


def test_tokens_that_were_reserved_and_not_used_are_back():
    key = standing(tokens_per_minute=600)
    stream = key.reserve(0, NOON, 500, 0)
    assert key.refusal(0, NOON, 200) == Refusal("tokens_per_minute", 10)
    stream.settle(0, 100, 0)
    assert key.refusal(0, NOON, 500) is None


def test_tokens_that_were_used_beyond_the_reservation_are_owed():
    key = standing(tokens_per_minute=600)
    key.reserve(0, NOON, 10, 0).settle(0, 1200, 0)
    assert key.refusal(0, NOON, 1) == Refusal("tokens_per_minute", pytest.approx(60.1))


def test_a_request_over_the_limit_is_served_when_the_bucket_is_full():
    key = standing(tokens_per_minute=600)
    assert key.refusal(0, NOON, 5000) is None
    key.reserve(0, NOON, 5000, 0)
    assert key.refusal(0, NOON, 5000) == Refusal("tokens_per_minute", 60)


def test_a_budget_counts_streams_under_way_and_lasts_for_its_period():
    key = standing((4 * DOLLAR,), budgets=(Budget("day", 10 * DOLLAR),))
    one, other = key.reserve(0, NOON, 0, DOLLAR), key.reserve(0, NOON, 0, DOLLAR)
    one.spend(3 * DOLLAR)
    assert one.lasts(NOON) and other.lasts(NOON)
    other.spend(3 * DOLLAR)
    assert one.lasts(NOON) is False and other.lasts(NOON) is False
    assert key.refusal(0, EVENING, 0) == Refusal("budget_usd", TOMORROW - EVENING)
    other.settle(0, 0, 2 * DOLLAR)
    assert one.lasts(EVENING)
    assert key.spending[0].spent == 9 * DOLLAR


def test_a_new_period_begins_with_nothing_spent():
    key = standing((10 * DOLLAR,), budgets=(Budget("day", 10 * DOLLAR),))
    late = key.reserve(0, EVENING, 0, 0)
    assert key.refusal(0, TOMORROW - 1, 0) == Refusal("budget_usd", 1)
    assert key.refusal(0, TOMORROW, 0) is None
    late.settle(0, 0, 7 * DOLLAR)
    assert key.spending[0].spent == 0, "what was accepted yesterday is yesterday's"


def test_the_tightest_of_two_budgets_holds():
    key = standing((0, 49 * DOLLAR), budgets=(Budget("day", 5 * DOLLAR), Budget("month", 50 * DOLLAR)))
    stream = key.reserve(0, NOON, 0, DOLLAR)
    assert stream.lasts(NOON) is False
    assert key.refusal(0, TOMORROW, 0) == Refusal("budget_usd", 6 * 86400)


streams = st.lists(st.tuples(st.integers(0, 300), st.integers(0, 300), st.booleans()), max_size=30)


@given(streams)
def test_whatever_ends_come_nothing_stays_reserved(happened):
    key = standing((0,), max_streams=100, tokens_per_minute=10**6, budgets=(Budget("day", DOLLAR),))
    used = 0
    for reserved, needed, twice in happened:
        stream = key.reserve(0, NOON, reserved, reserved)
        stream.spend(needed // 2)
        if twice:
            stream.settle(0, 999, 999)
        stream.settle(0, needed, needed)
        used += needed
    assert key.streams == 0
    assert key.spending[0].spent == used
    assert key.tokens is not None and key.tokens.level(0) == 10**6 - used


def test_the_bucket_fills_evenly():
    bucket = Bucket(60)
    bucket.take(0, 60)
    assert [bucket.level(at) for at in (0, 1, 30, 100, 50)] == [0, 1, 30, 60, 60]
    bucket.take(100, -5)
    assert bucket.level(100) == 60


def test_headers_as_openai_has_them():
    key = standing(requests_per_minute=60, tokens_per_minute=600)
    key.reserve(0, NOON, 590, 0)
    assert dict(told(key, 0)) == {
        "x-ratelimit-limit-requests": "60",
        "x-ratelimit-remaining-requests": "59",
        "x-ratelimit-reset-requests": "1s",
        "x-ratelimit-limit-tokens": "600",
        "x-ratelimit-remaining-tokens": "10",
        "x-ratelimit-reset-tokens": "59s",
    }
    assert dict(told(key, 58.9951))["x-ratelimit-reset-tokens"] == "5ms"
    assert told(standing(max_streams=1), 0) == []
    slow = standing(requests_per_minute=1)
    slow.reserve(0, NOON, 0, 0)
    slow.reserve(0, NOON, 0, 0)
    assert dict(told(slow, 0))["x-ratelimit-reset-requests"] == "2m0s"


def test_what_was_taken_since_others_were_told_is_kept_when_they_answer():
    bucket = Bucket(60)
    bucket.take(0.0, 10)
    told = bucket.unsent
    bucket.take(0.0, 5)
    bucket.agreed(0.0, 20.0, told)
    assert (bucket.unsent, bucket.level(0.0)) == (5, 15)
    bucket.agreed(1.0, 15.0, 5)
    assert (bucket.unsent, bucket.level(1.0), bucket.level(2.0)) == (0, 15, 16)


def test_what_others_have_spent_is_spent_and_the_own_is_not_lost():
    limits = Limits(budgets=(Budget("day", 100),))
    standing = Standing(limits, (10,), 1000.0)
    reservation = standing.reserve(0.0, 1000.0, 0, 5)
    (spending,) = standing.spending
    told = spending.unsent
    reservation.spend(7)
    assert (spending.spent, spending.unsent) == (17, 7)
    spending.agreed(95, told, 5)
    assert (spending.spent, spending.unsent) == (97, 2)
    assert reservation.lasts(1000.0)
    standing.asked = standing.answered = 1
    spending.agreed(100, 2, 0)
    for _ in range(2):
        assert reservation.lasts(1000.0) is None, "that answer was to another question"
    standing.asked = standing.answered = 2
    assert reservation.lasts(1000.0) is False
    standing.turn(86_400.0)
    assert (spending.spent, spending.unsent, spending.lease) == (0, 0, None)


def leased(lease: int) -> Standing:
    """A key whose gateway may spend so much of its 1600 by itself."""
    key = Standing(Limits(budgets=(Budget("day", 1600),)), (0,), NOON)
    key.spending[0].granted(lease)
    return key


def test_a_stream_goes_on_while_the_lease_lasts_and_then_asks():
    key = leased(100)
    stream = key.reserve(0, NOON, 0, 40)
    assert stream.lasts(NOON) is True and not key.low
    stream.spend(60)
    assert stream.lasts(NOON) is True and key.low
    stream.spend(120)
    assert stream.lasts(NOON) is None
    key.asked = 1
    assert stream.lasts(NOON) is None, "not answered yet"
    key.spending[0].agreed(120, 120, 90)
    key.answered = 1
    assert stream.lasts(NOON) is True and key.spending[0].lease == 90


def test_a_lease_that_is_used_up_again_meanwhile_is_asked_for_again():
    key = leased(100)
    one, other = key.reserve(0, NOON, 0, 100), key.reserve(0, NOON, 0, 0)
    assert one.lasts(NOON) is None
    key.asked = key.answered = 1
    key.spending[0].agreed(100, 100, 20)
    other.spend(20)
    assert one.lasts(NOON) is None, "there was some, and somebody had it"
    key.asked = key.answered = 2
    key.spending[0].agreed(120, 20, 0)
    assert one.lasts(NOON) is False


def test_what_a_gateway_does_not_need_it_gives_back():
    small = leased(100)
    small.reserve(0, NOON, 0, 70)
    assert small.spending[0].keeps(streams=True) == 30, "nothing, but what is spent is no lease any more"
    key = leased(800)
    key.reserve(0, NOON, 0, 50)
    (spending,) = key.spending
    assert spending.keeps(streams=True) == 2 * 97, "a sixteenth of what is left, and as much again"
    assert spending.lease == 50 + 2 * 97
    assert spending.keeps(streams=False) == -1
    assert not spending.covers(NOON)
    key.alone()
    assert spending.keeps(streams=True) == 0
    assert spending.covers(NOON)


def test_a_prompt_that_what_is_left_does_not_pay_for():
    key = standing((0,), budgets=(Budget("day", DOLLAR),))
    assert key.refusal(0, NOON, 0, DOLLAR) is None
    assert key.refusal(0, NOON, 0, DOLLAR + 1) == Refusal("budget_usd", TOMORROW - NOON)
