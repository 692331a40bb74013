"""The values of the moderate stage and of users' own: what is read, what is refused, what is shown."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from penstock.config import load, show
from penstock.config.document import parse
from penstock.config.moderation import CHECK, MODERATE, read_moderate, show_moderate
from penstock.config.problems import ConfigError
from penstock.config.reading import Field, Report
from penstock.stages.moderate.policy import (
    CHECK_KINDS,
    CHECK_MODES,
    ON_FAILURE,
    ON_MATCH,
    CheckPolicy,
    ModeratePolicy,
)
from penstock.stages.own import OwnStage
from penstock.testing.stages import check_stage

DOCS = Path(__file__).parents[2] / "docs"
PAGE = (DOCS / "moderation.md").read_text("utf-8")
URL = "http://127.0.0.1:9/check"
HEAD = """\
providers: {p: {wire: openai-chat, base_url: "http://127.0.0.1:9/v1", api_key: sk-0123456789abcdef}}
routes:
  m:
    targets: [p/m]
"""


def read(text: str) -> tuple[ModeratePolicy, list[str]]:
    root, problems = parse(text, "penstock.yaml")
    assert root is not None and not problems
    report = Report("penstock.yaml", {"KEY": "sk-0123456789abcdef"})
    policy = read_moderate(Field(root, "moderate", 1, report))
    return policy, [str(problem) for problem in report.problems]


def test_the_stage_of_the_interface():
    assert read('{deny: ["regex or words"], on_match: block}') == (ModeratePolicy(deny=("regex or words",)), [])


EVERYTHING = """\
deny: [bad, 'T-[0-9]{2,4}']
lists: {slurs: lists/slurs.txt}
on_match: flag
prompt: true
check:
  kind: webhook
  url: http://127.0.0.1:9/check?team=a
  api_key: ${KEY}
  headers: {x-team: a}
  ca: own.pem
  categories: [hate, "house rules"]
  mode: window
  on_failure: pass
  timeout: 1s
  characters: 200
  overlap: 50
  delay: 100ms
  max_checks: 9
  prompt: true
"""


def test_everything_said():
    check = CheckPolicy(
        kind="webhook",
        url="http://127.0.0.1:9/check?team=a",
        api_key="sk-0123456789abcdef",
        headers=(("x-team", "a"),),
        ca="own.pem",
        categories=("hate", "house rules"),
        mode="window",
        on_failure="pass",
        timeout=1.0,
        characters=200,
        overlap=50,
        delay=0.1,
        max_checks=9,
        prompt=True,
        flag=True,
    )
    policy, problems = read(EVERYTHING)
    assert problems == []
    assert policy == ModeratePolicy(
        deny=("bad", "T-[0-9]{2,4}"), lists=(("slurs", "lists/slurs.txt"),), on_match="flag", prompt=True, check=check
    )
    shown = yaml.safe_dump(show_moderate(policy))
    assert "sk-" not in shown
    again, problems = read(shown.replace("api_key: '***'", "api_key: ${KEY}").replace("x-team: '***'", "x-team: a"))
    assert (again, problems) == (policy, [])


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{}", "moderate: nothing to look for; allowed: deny, lists or check"),
        ("{deny: bad}", 'moderate.deny: found "bad"; allowed: a list of words and regular expressions'),
        ("{deny: ['a+']}", "moderate.deny[0]: a repeat has no upper bound: write {0,64}"),
        ("{deny: ['']}", "moderate.deny[0]: found"),
        ("{deny: [x], on_match: hide}", 'moderate.on_match: found "hide"; allowed: block or replace or flag'),
        ("{deny: [x], replace: y}", "moderate.replace: it has no meaning beside on_match: block"),
        ("{deny: [x], denny: [y]}", 'moderate.denny: unknown key; did you mean "deny"'),
        ("{lists: {deny: a.txt}}", "moderate.lists.deny: not usable as a list's name"),
        (
            "{check: {}}",
            "moderate.check.on_failure: missing; allowed: block (what is not checked does not pass) or pass",
        ),
        ("{check: {on_failure: block, kind: webhook}}", "moderate.check.url: missing; allowed: an address such as"),
        ("{check: {on_failure: block, url: ftp://x}}", "moderate.check.url: found"),
        ("{check: {on_failure: block, mode: fast}}", 'check.mode: found "fast"; allowed: block or window or audit'),
        ("{check: {on_failure: block, overlap: 500}}", "moderate.check: overlap: 500 is more than characters; allowed"),
        (
            "{check: {on_failure: block, headers: {host: x}}}",
            "moderate.check.headers.host: not usable as a header's name",
        ),
        (
            f"{{check: {{on_failure: block, kind: webhook, url: '{URL}', model: m}}}}",
            "moderate.check.model: a webhook is asked for no model",
        ),
        (
            "{on_match: replace, check: {on_failure: block}}",
            "moderate.check: it judges whole texts, of which nothing can be replaced; allowed: on_match: block or flag",
        ),
    ],
)
def test_one_mistake(text, expected):
    _, problems = read(text)
    assert any(expected in problem for problem in problems), problems


@pytest.mark.parametrize("mode", ["window", "audit"])
def test_I9_what_cannot_be_is_refused_when_it_is_configured(mode):
    stage = f"{{moderate: {{check: {{on_failure: block, mode: {mode}}}}}}}"
    with pytest.raises(ConfigError) as error:
        load(f"{HEAD}    delivery: {{mode: full}}\n    stages: [{stage}]\n", {})
    (problem,) = error.value.problems
    assert str(problem).startswith(
        f"penstock.yaml:6: routes.m.stages: delivery.mode: full holds what check.mode: {mode}"
    )


def test_a_route_has_one_check():
    stage = "{moderate: {check: {on_failure: block}}}"
    with pytest.raises(ConfigError, match=r"routes\.m\.stages: two of its stages have a check; allowed: one check"):
        load(f"{HEAD}    stages: [{stage}, {stage}]\n", {})


def test_the_page_explains_every_key_and_word():
    for name in (*MODERATE, *CHECK, *ON_MATCH, *CHECK_KINDS, *CHECK_MODES, *ON_FAILURE):
        assert f"`{name}`" in PAGE, name


def test_the_page_shows_a_configuration_that_loads():
    (text,) = re.findall(r"^```yaml\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    config = load(text, {"OPENAI_API_KEY": "sk-0123456789abcdef"})
    assert load(show(config).replace("'***'", "sk-0123456789abcdef"), {}).routes == config.routes


# -- users' own -------------------------------------------------------------------------------------------------------


def shout(options: Any) -> Any:
    """The stage that the page shows."""
    page = (DOCS / "stages.md").read_text("utf-8")
    code = next(
        text for text in re.findall(r"^```python\n(.*?)^```$", page, re.MULTILINE | re.DOTALL) if "Shout" in text
    )
    space: dict[str, Any] = {"__name__": "shout"}
    exec(compile(code, "docs/stages.md", "exec"), space)
    return space["Shout"](options)


def test_the_stage_of_the_page_keeps_the_contract():
    policy = shout({"words": ["penstock", "gateway"]})
    check_stage(policy, ["a penstock", "pen, gate, gateway", "penstockpenstock", ""])


def test_a_stage_of_ones_own_is_made_from_its_options():
    text = f"{HEAD}    stages: [{{shout: {{words: [penstock], deep: {{a: 1, b: 'x', token: t}}, on: true}}}}]\n"
    config = load(text, {}, stages={"shout": shout})
    (stage,) = config.routes[0].stages
    assert isinstance(stage, OwnStage)
    assert stage.options == {"words": ["penstock"], "deep": {"a": 1, "b": "x", "token": "t"}, "on": True}
    shown = show(config)
    assert "token: '***'" in shown
    assert "words:" in shown


@pytest.mark.parametrize(
    ("stage", "expected"),
    [
        ("{shout: {words: 3}}", "routes.m.stages[0].shout: words: a list of words is needed; allowed: what the stage"),
        (
            "{shot: {}}",
            'stages[0].shot: no stage is named "shot"; did you mean "shout"?; allowed: redact, moderate,',
        ),
        ("{shout: [a]}", "stages[0].shout: found a list; allowed: a mapping of the stage's options"),
    ],
)
def test_what_a_stage_of_ones_own_refuses(stage, expected):
    with pytest.raises(ConfigError) as error:
        load(f"{HEAD}    stages: [{stage}]\n", {}, stages={"shout": shout})
    assert any(expected in str(problem) for problem in error.value.problems), error.value.problems
