"""Policies are values with the defaults that the interface promises."""

from __future__ import annotations

from penstock.policy.deadlines import Deadlines, first_token_limit
from penstock.policy.delivery import Delivery, SlowClient


def test_the_deadlines_are_as_promised():
    assert Deadlines() == Deadlines(connect=5.0, first_token=15.0, between_tokens=30.0, total=600.0)


def test_the_clients_own_deadline_only_shortens_the_total():
    limits = Deadlines(total=60.0)
    assert limits.capped(None) is limits.capped(60.0) is limits.capped(90.0) is limits
    assert limits.capped(5.0) == Deadlines(total=5.0)
    assert Deadlines(total=None).capped(5.0) == Deadlines(total=5.0)


def test_only_the_last_target_has_longer_to_its_first_token():
    limits = Deadlines(first_token=10.0)
    assert [first_token_limit(limits, targets_left=left) for left in (2, 1, 0)] == [10.0, 10.0, 15.0]
    assert first_token_limit(Deadlines(first_token=None), targets_left=0) is None


def test_the_delivery_is_as_promised():
    delivery = Delivery()
    assert (delivery.keepalive, delivery.commit_after) == (15.0, 10.0)
    assert delivery.slow_client == SlowClient(buffer=256 * 1024, timeout=30.0)
    assert (delivery.malformed, delivery.done_after_error, delivery.pin_identity) == ("skip", False, False)
