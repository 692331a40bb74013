"""The values of the redact stage: what is read, what is refused, what is shown."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from penstock.config.document import Mapping, Sequence, parse
from penstock.config.reading import Field, Report
from penstock.config.stages import REDACT, read_redact, show_redact
from penstock.stages.redact.policy import ACTIONS, KINDS, RedactPolicy
from penstock.stages.redact.redactor import Redactor

PAGE = (Path(__file__).parents[2] / "docs" / "guardrails.md").read_text("utf-8")
KEY = "0123456789abcdef"


def read(text: str, env: dict[str, str] | None = None) -> tuple[RedactPolicy, list[str]]:
    """The policy of a stage's YAML, and the problems with it."""
    root, problems = parse(text, "penstock.yaml")
    assert root is not None and not problems
    report = Report("penstock.yaml", env or {})
    policy = read_redact(Field(root, "redact", 1, report))
    return policy, [str(problem) for problem in report.problems]


def accepted(text: str, env: dict[str, str] | None = None) -> RedactPolicy:
    policy, problems = read(text, env)
    assert problems == []
    Redactor(policy)
    return policy


def test_the_stage_of_the_interface():
    policy = accepted(
        "{detectors: [email, phone, credit_card, iban, ssn, ip, api_key, jwt, private_key], replace: '[{kind}]'}"
    )
    assert policy.detectors[:3] == ("email", "phone", "credit_card")
    assert policy == RedactPolicy(detectors=policy.detectors)


def test_everything_said():
    policy = accepted(
        "detectors: [email, ssn]\n"
        "custom: {ticket: 'T-[0-9]{4,8}'}\n"
        "action: hash\n"
        "actions: {ssn: block, ticket: mask}\n"
        "hash_key: ${SALT}\n"
        "hold: 4096\n"
        "overflow: release\n"
        "prompt: true\n",
        {"SALT": KEY},
    )
    assert policy == RedactPolicy(
        detectors=("email", "ssn"),
        custom=(("ticket", "T-[0-9]{4,8}"),),
        action="hash",
        actions=(("ssn", "block"), ("ticket", "mask")),
        hash_key=KEY,
        hold=4096,
        overflow="release",
        prompt=True,
    )


def test_tokens_are_for_the_prompt_unless_said_otherwise():
    assert accepted("{detectors: [email], action: tokenise}").prompt
    assert accepted("{detectors: [email, ip], actions: {ip: tokenise}}").prompt
    assert not accepted("{detectors: [email], action: tokenise, prompt: false}").prompt


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("{}", "nothing to look for; allowed: detectors with private_key"),
        ("{detectors: [emial]}", 'redact.detectors[0]: no such detector; did you mean "email"?; found "emial"'),
        ("{detectors: email}", 'redact.detectors: found "email"; allowed: a list of private_key, '),
        ("{detectors: [email], aktion: mask}", 'redact.aktion: unknown key; did you mean "action"'),
        ("{detectors: [email], action: hide}", 'redact.action: found "hide"; allowed: replace or mask or hash or '),
        ("{detectors: [email], action: mask, replace: x}", "replace has no meaning beside action: mask"),
        ("{detectors: [email], replace: '{name}'}", "redact.replace: a name in braces that stands for nothing"),
        ("{detectors: [email], action: hash}", "redact.hash_key: missing; allowed: a secret of 16 characters"),
        ("{detectors: [email], hash_key: short}", "redact.hash_key: too short; found ***"),
        ("{detectors: [email], actions: {ip: mask}}", "redact.actions.ip: not among this stage's detectors; "),
        ("{detectors: [email], actions: {email: x}}", 'redact.actions.email: found "x"; allowed: replace or '),
        ("{custom: {a b: x}}", 'redact.custom."a b": not usable as a name; allowed: letters, digits'),
        ("{custom: {email: x}}", "redact.custom.email: the name of a built-in detector"),
        ("{custom: {t: 'T-[0-9]+'}}", "redact.custom.t: a repeat has no upper bound: write {0,64} or {1,64}"),
        ("{custom: {t: 'a{0,9}'}}", "redact.custom.t: it matches the empty text"),
        ("{custom: {t: '(a'}}", "redact.custom.t: not a regular expression: missing ), unterminated subpattern"),
        ("{custom: {t: '^a'}}", "redact.custom.t: ^, $ and \\A have no meaning in a stream"),
        ("{custom: {t: 'a{1,900}'}, hold: 900}", "redact.custom.t: a match may have 900 characters, and hold is 900"),
        ("{detectors: [email], hold: 9}", 'redact.hold: found "9"; allowed: a whole number from 64 to 65536'),
        ("{detectors: [email], overflow: cut}", 'redact.overflow: found "cut"; allowed: block or release'),
    ],
)
def test_a_mistake_is_told_with_its_place(text, problem):
    _, problems = read(text)
    assert len(problems) == 1
    assert problem in problems[0]


def test_a_problem_names_its_line():
    _, problems = read("detectors:\n- email\n- fax\n")
    assert problems[0].startswith("penstock.yaml:3: redact.detectors[1]: ")


@pytest.mark.parametrize(
    "policy",
    [
        RedactPolicy(detectors=("email", "ip")),
        RedactPolicy(detectors=("email",), replace="gone: ${kind}"),
        RedactPolicy(detectors=("ip",), custom=(("t", r"T-\d{1,9}"),), action="mask", actions=(("t", "block"),)),
        RedactPolicy(detectors=("ip",), action="tokenise", hold=100, overflow="release", prompt=False),
    ],
)
def test_what_is_shown_reads_back(policy):
    assert accepted(yaml.safe_dump(show_redact(policy))) == policy


def test_the_key_is_not_shown():
    assert KEY not in str(show_redact(RedactPolicy(detectors=("ip",), action="hash", hash_key=KEY)))


# The page.


def test_the_page_explains_every_key_kind_and_action():
    for name in (*REDACT, *KINDS, *ACTIONS):
        assert f"`{name}`" in PAGE, name


def test_the_page_shows_stages_that_can_be_read():
    blocks = re.findall(r"^```yaml\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    stages = []
    for block in blocks:
        root, problems = parse(block, "guardrails.md")
        assert not problems and isinstance(root, Mapping)
        _, node = root.entries["stages"]
        assert isinstance(node, Sequence)
        stages += [item.entries["redact"][1] for item in node.items if isinstance(item, Mapping)]
    assert len(stages) >= 2
    for node in stages:
        report = Report("guardrails.md", {"REDACT_HASH_KEY": KEY})
        Redactor(read_redact(Field(node, "redact", 1, report)))
        assert report.problems == []
