"""Guards, and the stage that the plays use, keep the contract of stages."""

import pytest
from words import Word

from penstock.stages.guards import MaxCharacters, Repetition, StopSequences
from penstock.testing.stages import check_stage

TEXTS = ["", "plain words", "END", "no EN", "xENDx", "END and END", "round and " * 60, "- item\n" * 9]


@pytest.mark.parametrize(
    "stage",
    [Word("END"), Word("END", block=True), Repetition(3), StopSequences(("END", "ite", "EN!"))],
    ids=lambda stage: stage.name,
)
def test_it_keeps_the_contract(stage):
    check_stage(stage, TEXTS)


def test_a_limit_counts_over_all_channels():
    check_stage(MaxCharacters(12), TEXTS, independent=False)
