"""The check that every stage has to pass: redaction passes it, stages that break the contract do not."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from penstock.stages.contract import Block, Channel
from penstock.stages.redact.policy import ACTIONS, RedactPolicy
from penstock.stages.redact.redactor import Redactor
from penstock.testing.stages import check_stage

TEXTS = ["", "plain", "to jane.doe@example.com, 4111 1111 1111 1111.", "a@b.co", "日本 +1 555 123 4567", "a@b.co " * 3]


@pytest.mark.parametrize("action", ACTIONS)
def test_redaction_is_a_stage(action):
    policy = RedactPolicy(detectors=("email", "credit_card", "phone"), action=action)
    # Placeholders are numbered over all of a stream's channels.
    check_stage(Redactor(policy), TEXTS, independent=action != "tokenise")


class Broken:
    """A policy and its stage in one, whose ways are told by its name."""

    def __init__(self, name: str):
        self.name = name
        self.held = ""

    def open(self) -> Broken:
        return self if self.name == "shared" else Broken(self.name)

    def feed(self, channel: Channel, text: str) -> str | Block:
        match self.name:
            case "by delta":
                return text.replace("jane", "[name]")
            case "one buffer" | "shared":
                out, self.held = self.held, self.held[:0] + text
                return out
            case "early":
                return Block("name") if "jane" in text else text
        return text

    def flush(self, channel: Channel) -> str | Block:
        if self.name == "one buffer":
            out, self.held = self.held, ""
            return out
        return "." if self.name == "always more" else ""

    def findings(self) -> Mapping[str, int]:
        return {"found": "jane"} if self.name == "tells" else {}  # type: ignore[dict-item]


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("by delta", "and whole as"),
        ("one buffer", "beside others, alone as"),
        ("shared", "comes out as"),
        ("early", "and whole as"),
        ("always more", "was held after the flush"),
        ("tells", "findings are counts"),
        ("", "has a name"),
    ],
)
def test_a_stage_that_breaks_the_contract_is_told_how(name, words):
    with pytest.raises(AssertionError, match=words):
        check_stage(Broken(name), ["so jane said"])


def test_what_is_no_stage_is_told_so():
    class Nothing(Broken):
        def open(self):
            return object()

    with pytest.raises(AssertionError, match="feed, flush and findings"):
        check_stage(Nothing("nothing"), [])
