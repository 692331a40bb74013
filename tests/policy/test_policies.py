"""Policies are values with the defaults that the interface promises."""

from __future__ import annotations

from penstock.policy.deadlines import Deadlines
from penstock.policy.delivery import Delivery, SlowClient


def test_the_deadlines_are_as_promised():
    assert Deadlines() == Deadlines(connect=5.0, first_token=15.0, between_tokens=30.0, total=600.0)


def test_the_delivery_is_as_promised():
    delivery = Delivery()
    assert (delivery.keepalive, delivery.commit_after) == (15.0, 10.0)
    assert delivery.slow_client == SlowClient(buffer=256 * 1024, timeout=30.0)
    assert (delivery.malformed, delivery.done_after_error, delivery.pin_identity) == ("skip", False, False)
