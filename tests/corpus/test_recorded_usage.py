"""Every recording with usage: its row is booked with exactly what the provider reported."""

from __future__ import annotations

from functools import cache

import pytest

from penstock.metering.encodings import encoding_of
from penstock.metering.row import Tokens
from penstock.testing import counted, plainly
from penstock.testing.corpus import MISSING, corpus
from penstock.testing.recorded import totals, wire_of
from penstock.usage import Usage

if corpus() is None:
    pytest.skip(MISSING, allow_module_level=True)


@cache
def cases() -> list[counted.Case]:
    return counted.cases()


def test_reported_usage_is_booked_exactly():
    booked = 0
    for case in cases():
        said = plainly.READERS[wire_of(case.recording) or ""](case.recording.read())
        reported = case.row.reported
        usage = Usage(reported.input, reported.output, reported.reasoning, reported.cache_read, reported.cache_write)
        if not said.contradiction:
            assert totals(usage) == (said.input, said.output), case.recording.file
            booked += 1
        if reported.input is not None and reported.output is not None:
            (line,) = case.row.attempts
            assert (line.reported, case.row.charged, case.row.basis) == (reported, "reported", "exact")
    assert booked > 500


def test_the_client_of_a_whole_answer_was_delivered_what_was_counted():
    for case in cases():
        delivered, found = case.row.delivered, case.row.counted
        assert (delivered.output or 0, delivered.reasoning or 0) == (found.output or 0, found.reasoning or 0)


def test_prompts_of_openai_are_counted_to_the_token():
    """All but one, whose provider put something before it."""
    pairs = []
    for case in cases():
        reported = case.row.reported
        asked = sum(part or 0 for part in (reported.input, reported.cache_read, reported.cache_write))
        if case.prompt is not None and case.prompt.exact and asked:
            pairs.append((case.prompt.tokens, asked))
    assert len(pairs) >= 20
    assert sum(ours != theirs for ours, theirs in pairs) <= 1


def test_answers_of_openai_are_counted_as_reported():
    """Of nothing but text, without tools of the provider's own: nine in ten are off by two tokens at most."""
    pairs = []
    for case in cases():
        if encoding_of(case.recording.model or "") is not None and case.settled.pair is not None:
            if not (case.recording.request or {}).get("tools"):
                pairs.append(case.settled.pair)
    near = [pair for pair in pairs if abs(pair[0] - pair[1]) <= 2]
    assert len(pairs) >= 20 and len(near) >= 0.7 * len(pairs), (len(near), len(pairs))


def test_the_table_has_a_line_for_each_common_model(tmp_path):
    made = counted.table(cases())
    assert made.count("\n") > 10 and "| gpt-4o-mini | o200k_base |" in made


def test_a_row_without_usage_has_no_reported_tokens():
    assert Tokens.of(None) == Tokens()
