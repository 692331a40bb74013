"""Backoff: full jitter below the ceiling, never before retry-after, never past the deadline."""

from __future__ import annotations

from email.utils import formatdate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.policy.backoff import Backoff, retry_after

CHANCE = st.floats(0, 1, exclude_max=True)


@given(st.integers(1, 10**6), CHANCE, st.none() | st.floats(0, 1e6), st.none() | st.floats(-10, 1e6))
def test_a_wait_is_long_enough_and_fits(retry, chance, after, left):
    backoff = Backoff(base=0.5, cap=8.0)
    jitter = chance * min(8.0, 0.5 * 2 ** min(retry - 1, 50))
    wait = backoff.wait(retry, chance, retry_after=after, left=left)
    wanted = max(after or 0.0, jitter)
    if left is not None and left <= wanted:
        assert wait is None
    else:
        assert wait == wanted
        assert left is None or wait < left


def test_the_ceiling_doubles_up_to_its_cap():
    backoff = Backoff(base=0.25, cap=3.0)
    assert [backoff.ceiling(retry) for retry in (1, 2, 3, 4, 5, 6, 10**9)] == [0.25, 0.5, 1.0, 2.0, 3.0, 3.0, 3.0]
    with pytest.raises(ValueError):
        backoff.ceiling(0)


NOW = 784111777.0
"""Sun, 06 Nov 1994 08:49:37 GMT, the example of RFC 9110."""


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({b"retry-after": b"20"}, 20.0),
        ({b"retry-after": b" 0 "}, 0.0),
        ({b"retry-after": b"0.5"}, 0.5),
        ({b"retry-after": b"20", b"retry-after-ms": b"1500"}, 1.5),
        ({b"retry-after": b"20", b"retry-after-ms": b"soon"}, 20.0),
        ({b"retry-after": b"Sun, 06 Nov 1994 08:49:47 GMT"}, 10.0),
        ({b"retry-after": b"Sunday, 06-Nov-94 08:49:47 GMT"}, 10.0),
        ({b"retry-after": b"Sun Nov  6 08:49:47 1994"}, 10.0),
        ({b"retry-after": b"Sun, 06 Nov 1994 08:49:27 GMT"}, 0.0),
        ({b"retry-after": b"-3"}, None),
        ({b"retry-after": b"1e9"}, None),
        ({b"retry-after": b"nan"}, None),
        ({b"retry-after": b"inf"}, None),
        ({b"retry-after": b"1_0"}, None),
        ({b"retry-after": b"20 s"}, None),
        ({b"retry-after": b"Sun, 99 Foo 99999 08:49:47 GMT"}, None),
        ({b"retry-after": b"Sun, 06 Nov 99999 08:49:47 GMT"}, None),
        ({b"retry-after": b""}, None),
        ({b"retry-after": b"\xff"}, None),
    ],
)
def test_retry_after_is_read(headers, seconds):
    assert retry_after(headers.items(), NOW) == seconds


def test_of_two_headers_the_first_is_meant():
    assert retry_after([(b"retry-after", b"1"), (b"retry-after", b"2")], NOW) == 1.0


@given(st.integers(0, 4 * 10**9), st.integers(0, 4 * 10**9))
def test_every_http_date_is_read(until, now):
    value = formatdate(until, usegmt=True).encode()
    assert retry_after([(b"retry-after", value)], float(now)) == max(0.0, until - now)


FRAGMENTS = st.lists(
    st.sampled_from(["Sun,", "06", "Nov", "1994", "08:49:37", "GMT", "-0000", "+9999", ":", "", "0", "Feb", "31", "99"])
)


@given(st.binary(max_size=40) | FRAGMENTS.map(lambda parts: " ".join(parts).encode()))
def test_whatever_a_provider_sends_is_a_wait_or_none(value):
    wait = retry_after([(b"retry-after", value), (b"retry-after-ms", value)], NOW)
    assert wait is None or 0.0 <= wait < float("inf")
