"""``penstock check``, from outside."""

from __future__ import annotations

import pytest
from click.testing import CliRunner

from penstock.cli.check import check_command
from penstock.config import load

GOOD = """\
providers:
  a: {wire: openai-chat, base_url: https://a.example/v1, api_key: ${SECRET}}
  b: {wire: openai-chat, base_url: https://b.example}
routes:
  x: {targets: [a/x]}
  y: {targets: [b/y]}
  "*": {targets: [a/*]}
"""


@pytest.fixture
def check(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SECRET", "sk-very-secret")

    def run(text: str | bytes | None, *arguments: str):
        if text is not None:
            (tmp_path / "penstock.yaml").write_bytes(text.encode() if isinstance(text, str) else text)
        return CliRunner().invoke(check_command, list(arguments))

    return run


def test_good(check):
    result = check(GOOD)
    assert (result.exit_code, result.stdout) == (0, "penstock.yaml: 2 providers, 3 routes, no problems\n")
    assert result.stderr == (
        "penstock.yaml: warning: providers.b.base_url: the address has no path; "
        "most providers of this wire want one that ends in /v1\n"
    )


def test_one_of_each(check):
    text = "providers: {a: {wire: openai-chat, base_url: https://a/v1}}\nroutes: {x: {targets: [a/x]}}\n"
    assert check(text).stdout == "penstock.yaml: 1 provider, 1 route, no problems\n"
    assert check(b"\xef\xbb\xbf" + text.encode()).exit_code == 0


def test_show(check):
    result = check(GOOD, "--show", "-c", "penstock.yaml")
    assert result.exit_code == 0
    assert "sk-very-secret" not in result.output
    assert [route.name for route in load(result.stdout, {}).routes] == ["x", "y", "*"]


def test_problems(check):
    result = check(GOOD + "server: {port: x}\nrouts: {}\nkeys: 5\n")
    assert result.exit_code == 2
    assert result.stdout == ""
    lines = result.stderr.splitlines()
    assert [line.split(": ")[:2] for line in lines[:-1]] == [
        ["penstock.yaml:8", "server.port"],
        ["penstock.yaml:9", "routs"],
        ["penstock.yaml:10", "keys"],
    ]
    assert lines[-1] == "3 problems; nothing was started"


@pytest.mark.parametrize(
    ("text", "arguments", "line"),
    [
        (None, (), "penstock.yaml: no such file; write one (see penstock.example.yaml), or start `penstock demo`"),
        (None, ("--config", "a/b.yaml"), "a/b.yaml: no such file; "),
        (None, ("-c", "."), ".: cannot be read: "),
        (None, ("-c", "\0"), "cannot be read: "),
        (b"a: 1\nb: \xff\n", (), "penstock.yaml:2: not UTF-8 text"),
        (
            GOOD.replace("https://b.example", "https://b.example/v1, ca: none.pem"),
            (),
            'penstock.yaml: providers.b.ca: found "none.pem"; allowed: the path of a PEM file that can be read',
        ),
    ],
)
def test_files_that_cannot_be_used(check, text, arguments, line):
    result = check(text, *arguments)
    first, *rest = result.stderr.splitlines()
    assert (result.exit_code, result.stdout) == (2, "")
    assert line in first
    assert rest in ([], ["1 problem; nothing was started"])


@pytest.mark.parametrize(
    ("stage", "line"),
    [
        ("lists: {bad: none.txt}", "lists.bad: the list none.txt cannot be read: No such file or directory"),
        ("check: {on_failure: block, ca: none.pem}", 'check.ca: no PEM file that can be read: "none.pem"'),
    ],
)
def test_files_of_stages_that_cannot_be_used(check, stage, line):
    result = check(GOOD + f"defaults: {{stages: [{{moderate: {{{stage}}}}}]}}\n")
    *problems, last = result.stderr.splitlines()
    assert (result.exit_code, result.stdout, last) == (2, "", "3 problems; nothing was started")
    assert all(problem.endswith(f".stages[0].moderate.{line}") for problem in problems)


def test_models_without_a_price_for_a_key_with_a_budget(check):
    priced = GOOD + "prices: {a/x: {input: 1, output: 2}}\n"
    held = "keys:\n  - {name: t, key: 0123456789abcdef, budget_usd: 5%s}\n"
    said = check(priced + held % "").stderr
    assert "warning: keys.t: budget_usd: the route y refuses its requests: b/y has no price" in said
    assert "the route * refuses models without a price" in said
    assert "the route x" not in said
    assert "model_not_priced" not in check(priced + held % ", models: [x]").stderr
    assert "model_not_priced" not in check(priced + "keys: [{name: t, key: 0123456789abcdef}]\n").stderr


def test_a_tokenizer_that_cannot_be_used(check, tmp_path):
    text = GOOD + "metering: {tokenizers: {b/*: none.json}}\n"
    said = check(text)
    assert said.exit_code == 2
    why = 'cannot be read: No such file or directory; found "none.json"'
    assert f"penstock.yaml: metering.tokenizers.b/*: {why}" in said.stderr
    (tmp_path / "none.json").write_text("{}")
    assert "no tokenizer.json: " in check(text).stderr
