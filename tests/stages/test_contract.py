"""Every stage that comes with Penstock keeps the contract."""

import pytest
from words import Word

from penstock.stages.guards import MaxCharacters, Repetition, StopSequences
from penstock.stages.redact.policy import RedactPolicy
from penstock.stages.redact.redactor import Redactor
from penstock.testing.stages import check_stage

TEXTS = [
    "",
    "plain words",
    "jane@example.com",
    "to jane@example.com, bob@example.com",
    "a jane@exa",
    "END",
    "no EN",
    "xENDx",
]
STAGES = [
    Word("END"),
    Word("END", block=True),
    MaxCharacters(12),
    Repetition(3),
    StopSequences(("END", "@ex", "EN!")),
    Redactor(RedactPolicy(detectors=("email",))),
    Redactor(RedactPolicy(detectors=("email",), action="block")),
]


@pytest.mark.parametrize("stage", STAGES, ids=lambda stage: stage.name)
def test_it_keeps_the_contract(stage):
    check_stage(stage, [*TEXTS, "round and " * 60])


def test_a_stage_that_forgets_what_it_held_is_found_out():
    class Forgetful(Word):
        def open(self):
            reader = Word.open(self)
            reader.flush = lambda channel: ""
            return reader

    with pytest.raises(AssertionError, match="cut at"):
        check_stage(Forgetful("END"), ["no EN", "EEND"])


def test_a_stage_that_looks_at_single_deltas_is_found_out():
    class Hasty:
        name = "hasty"

        def open(self):
            return self

        def feed(self, channel, text):
            return text.replace("END", "[x]")

        def flush(self, channel):
            return ""

        def findings(self):
            return {}

    with pytest.raises(AssertionError, match="cut at 1"):
        check_stage(Hasty(), ["END"])
