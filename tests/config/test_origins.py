"""What ``penstock check --show`` says of where a value comes from."""

from __future__ import annotations

import re

import pytest

from penstock.config import load, show, with_origins
from penstock.config.problems import ConfigError

ENV = {"OPENAI_API_KEY": "sk-0123456789abcdef", "PORT": "9090"}
TEXT = """\
server: {port: "${PORT:-8080}"}
providers:
  openai:
    wire: openai-chat
    base_url: https://api.openai.com/v1
    api_key: ${OPENAI_API_KEY}
defaults:
  deadlines: &waits {first_token: 20s, between_tokens: auto}
  tags: {policy: eu-1}
  delivery:
routes:
  gpt-4o:
    targets:
      - openai/gpt-4o
      - openai/gpt-4o-mini
    tags: {team: "a # b"}
    hedge: p95
    stages: [{redact: {detectors: [email], custom: {code: 'C #[0-9]{4}'}}}]
  "*":
    targets: [openai/*]
    deadlines: {<<: *waits, total: 1m}
keys:
  - {name: a, key: "abcdefghijklmnopqrst", budget_usd: 5}
"""


@pytest.fixture
def shown() -> str:
    return with_origins(show(load(TEXT, ENV)), TEXT, "penstock.yaml")


@pytest.mark.parametrize(
    "line",
    [
        "  host: 127.0.0.1",
        "  port: 9090  # line 1, ${PORT}",
        "    api_key: '***'  # line 6, ${OPENAI_API_KEY}",
        "    max_idle: 64",
        "    targets:  # line 13",
        "      connect: 5s",
        "      first_token: 20s  # defaults, line 8",
        "      policy: eu-1  # defaults, line 9",
        "      team: 'a # b'  # line 16",
        "    hedge: p95  # line 17",
        "    stages:  # line 18",
        "      first_token: 20s  # line 8",
        "      total: 1m  # line 21",
        "      mode: passthrough",
        "keys:  # line 22",
    ],
)
def test_a_value_has_its_line_and_a_default_has_none(shown: str, line: str) -> None:
    assert line in shown.splitlines()


def test_a_short_form_is_the_origin_of_all_that_it_stands_for(shown: str) -> None:
    (bounds,) = set(re.findall(r"between_tokens:\n +floor: 3s(.*)\n +ceiling: 1m(.*)\n", shown)[:1])
    assert bounds == ("  # defaults, line 8", "  # defaults, line 8")


def test_it_loads_as_it_did(shown: str) -> None:
    plain = show(load(TEXT, ENV))
    assert load(shown.replace("'***'", "sk-0123456789abcdef"), {}) == load(
        plain.replace("'***'", "sk-0123456789abcdef"), {}
    )


def test_nothing_is_said_of_a_file_that_is_none() -> None:
    with pytest.raises(ConfigError):
        load("[", {})
    demo = show(load(TEXT, ENV))
    assert with_origins(demo, "", "penstock.yaml").partition("\n")[2] == demo
