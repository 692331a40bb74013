"""The client's own deadline."""

from __future__ import annotations

import pytest

from penstock.errors import BadRequest
from penstock.server.patience import OWN, SDKS, patience


@pytest.mark.parametrize(
    ("value", "seconds"), [(b"30s", 30.0), (b"30", 30.0), (b" 1m30s ", 90.0), (b"500ms", 0.5), (b"0.25", 0.25)]
)
def test_the_clients_own_words(value: bytes, seconds: float) -> None:
    assert patience(((OWN, value),)) == (seconds, "x-penstock-timeout")


@pytest.mark.parametrize("value", [b"", b"0", b"0s", b"-1", b"soon", b"30 s", b"1e3", b"inf", b"0.0001", b"\xff"])
def test_words_that_are_no_deadline_are_told_so(value: bytes) -> None:
    with pytest.raises(BadRequest, match="x-penstock-timeout") as caught:
        patience(((OWN, value),))
    assert (caught.value.status, caught.value.code) == (400, "invalid_header")


@pytest.mark.parametrize("value", [b"600", b"600.0"])
def test_what_the_sdks_send_counts(value: bytes) -> None:
    assert patience(((SDKS, value),)) == (600.0, "x-stainless-timeout")


@pytest.mark.parametrize("value", [b"", b"0", b"-1", b"nan", b"inf", b"NOT_GIVEN", b"1e99", b"30s"])
def test_what_the_sdks_send_is_never_an_error(value: bytes) -> None:
    assert patience(((SDKS, value),)) is None


def test_the_shorter_holds() -> None:
    assert patience(((b"accept", b"*/*"), (SDKS, b"600"), (OWN, b"2s"))) == (2.0, "x-penstock-timeout")
    assert patience(((OWN, b"20m"), (SDKS, b"600"))) == (600.0, "x-stainless-timeout")
    assert patience(()) is None
