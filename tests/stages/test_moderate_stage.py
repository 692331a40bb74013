"""The moderate stage over channels."""

import pytest

from penstock.stages.contract import Block, Channel
from penstock.stages.moderate.moderator import Moderator
from penstock.stages.moderate.policy import ModeratePolicy, OnMatch
from penstock.testing.stages import check_stage, ending

TEXTS = ["a bad word", "T-1234 and slurry, slur", "nothing at all", "bad T-12", "slur bad T-9999 word", ""]


def moderator(on_match: OnMatch = "block") -> Moderator:
    policy = ModeratePolicy(deny=("bad", r"T-[0-9]{2,4}\b"), lists=(("slurs", "slurs.txt"),), on_match=on_match)
    return Moderator(policy, {"slurs": ["slur", "no good"]})


@pytest.mark.parametrize("on_match", ["block", "replace", "flag"])
def test_it_keeps_the_contract_of_stages(on_match):
    check_stage(moderator(on_match), TEXTS)


def test_a_block_names_the_rule_and_lets_out_what_came_before():
    assert ending(moderator().open(), ["so b", "ad"]) == ("so ", "moderate: deny")
    assert ending(moderator().open(), ["one sl", "ur two"]) == ("one ", "moderate: slurs")
    assert ending(moderator().open(), ["see T-1", "2 and bad"]) == ("see ", "moderate: deny")


def test_what_is_found_is_replaced_and_counted():
    stage = moderator("replace").open()
    assert ending(stage, ["A bad T-", "123, slur."]) == ("A [removed] [removed], [removed].", None)
    assert stage.findings() == {"deny": 2, "slurs": 1}


def test_what_is_only_flagged_is_not_held():
    stage = moderator("flag").open()
    channel = Channel("text")
    assert [stage.feed(channel, piece) for piece in ("b", "ad T-", "12")] == ["b", "ad T-", "12"]
    assert stage.flush(channel) == ""
    assert stage.findings() == {"deny": 2}


def test_a_prompt_is_judged_whole():
    assert moderator("replace").open().prompt(["ok", "bad"]) == ["ok", "[removed]"]
    said = moderator().open().prompt(["ok", "bad"])
    assert isinstance(said, Block)
    assert said.reason == "moderate: deny"
