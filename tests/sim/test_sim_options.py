"""Options: what is accepted, and what an error says."""

import dataclasses

import pytest

from penstock.sim.options import SIM, BadOption, Options, duration, sim_options


def test_every_option_has_a_reader_and_a_default() -> None:
    assert {field.name for field in dataclasses.fields(Options)} == set(SIM)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("500ms", 0.5), ("1s", 1), ("2m", 120), ("1h", 3600), ("3", 3), ("0.25", 0.25), (".5s", 0.5), ("0", 0)],
)
def test_duration(text: str, seconds: float) -> None:
    assert duration(text) == seconds


@pytest.mark.parametrize("text", ["", "s", "-1s", "1 s", "1d", "nan", "1e3", "fast"])
def test_not_a_duration(text: str) -> None:
    with pytest.raises(ValueError, match="a duration: 500ms"):
        duration(text)


def test_no_options_are_the_defaults() -> None:
    assert sim_options("") == Options(gap=0.02, first=0.2)


def test_values_are_percent_and_plus_decoded() -> None:
    assert sim_options("text=one+two%26%C3%A9%0A").text == "one two&é\n"


def test_text_may_be_empty() -> None:
    assert sim_options("text=").text == ""


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("speed=3", "speed is not an option; allowed are accept, "),
        ("tokens=-1", "tokens must be a whole number from 0 to 10000000; it is '-1'"),
        ("tokens=1.5", "tokens must be a whole number"),
        ("tokens=99999999", "tokens must be a whole number"),
        ("split=0", "split must be a whole number from 1"),
        ("gap=soon", "gap must be a duration: 500ms, 1s, 2m, 1h, or a number of seconds; it is 'soon'"),
        ("ping=0", "ping must be a duration of at least 1ms"),
        ("crlf=maybe", "crlf must be 1, yes, true, on, 0, no, false or off"),
        ("usage=twice", "usage must be one of asked, no, always, finish"),
        ("accept=maybe", "accept must be one of yes, never"),
        ("finish=All%20good", "finish must be no, or a finish reason"),
        ("status=200", "status must be a whole number from 400 to 599"),
        ("content_type=a%0d%0ab", "content_type must be printable ASCII"),
        ("tokens=1&tokens=2", "tokens is given twice"),
        ("tokens", 'options must read "key=value&key=value"'),
        ("crlf=1&cr=1", "cr must not stand beside crlf"),
        ("retry_after=7", "retry_after must stand beside status"),
    ],
)
def test_an_error_names_the_key_and_what_is_allowed(query: str, message: str) -> None:
    with pytest.raises(BadOption) as caught:
        sim_options(query)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
