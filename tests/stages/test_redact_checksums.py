"""Check digits: the right ones pass, every other single digit in their place fails."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.stages.redact.checksums import card, iban, luhn, mod11_10, mod97, verhoeff


@pytest.mark.parametrize(
    ("check", "number"),
    [
        (luhn, "4111111111111111"),
        (luhn, "79927398713"),
        (verhoeff, "234123412346"),
        (mod11_10, "86095742719"),
        (mod97, "DE89370400440532013000"),
        (mod97, "GB82WEST12345698765432"),
    ],
)
def test_one_digit_changed_is_noticed(check, number):
    assert check(number)
    for place, digit in enumerate(number):
        if digit.isdigit():
            for other in set("0123456789") - {digit}:
                assert not check(number[:place] + other + number[place + 1 :])


@given(st.text("0123456789", min_size=12, max_size=18))
def test_luhn_has_exactly_one_right_last_digit(digits):
    assert sum(luhn(digits + last) for last in "0123456789") == 1


def test_verhoeff_notices_neighbours_that_changed_places():
    number = "234123412346"
    for place in range(len(number) - 1):
        swapped = number[:place] + number[place + 1] + number[place] + number[place + 2 :]
        assert verhoeff(swapped) == (swapped == number)


def test_a_card_ends_where_a_group_ends():
    assert card("4111 1111 1111 1111 12") == len("4111 1111 1111 1111")
    assert card("4111 1111 1111 1112 12") == 0
    assert card("4111111111111111") == 16
    assert card("0000000000000000") == 0


def test_an_iban_is_as_long_as_its_country_says():
    assert iban("DE89 3704 0044 0532 0130 00 for rent") == len("DE89 3704 0044 0532 0130 00")
    assert iban("DE89 3704 0044 0532 0130") == 0
    assert iban("ZZ89370400440532013000") == 0
