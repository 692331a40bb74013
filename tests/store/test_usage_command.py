"""``penstock usage`` and ``penstock ledger``, from outside."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from ledger_rows import row

from penstock.cli import main
from penstock.outcome import Outcome
from penstock.store.connect import connect

BASE = "providers: {p: {wire: openai-chat, base_url: https://h/v1}}\nroutes: {m: {targets: [p/m]}}\n"
Run = Callable[..., Result]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.chdir(tmp_path)
    Path("penstock.yaml").write_text(BASE + "ledger: {}\n")

    def command(*arguments: str) -> Result:
        return CliRunner().invoke(main, list(arguments))

    return command


@pytest.fixture
def filled(run: Run) -> Run:
    assert run("ledger", "migrate").output == "migrations that were applied: 2\n"
    assert run("ledger", "migrate").output == "the ledger is up to date\n"
    database = connect("sqlite:///penstock.db")
    database.put(
        [
            row("st_a", started_at=1_000_000.0),
            row("st_b", started_at=1_000_000.0 + 86400, key=None, cost=1_500_000_000),
            row("st_c", Outcome.STALLED, started_at=1_000_000.0 + 86400, model="other", cost=None),
        ],
        "gw_1",
    )
    database.close()
    return run


def test_sums_by_model(filled: Run) -> None:
    assert filled("usage").output == (
        "model  streams  input_tokens  output_tokens  cost_usd   unpriced\n"
        "gpt    2        30            40             1.5000003  0\n"
        "other  1        15            20             0          1\n"
    )


def test_sums_by_day_of_what_was_accepted_since(filled: Run) -> None:
    shown = json.loads(filled("usage", "--by", "day", "--format", "json", "--since", "1970-01-13").output)
    assert [(line["day"], line["streams"]) for line in shown] == [("1970-01-13", 2)]
    assert filled("usage", "--until", "1970-01-01", "--format", "csv").output.count("\n") == 1


def test_every_row_from_a_cursor_on(filled: Run) -> None:
    lines = filled("usage", "--by", "stream", "--format", "json", "--limit", "2").output.splitlines()
    first = [json.loads(line) for line in lines]
    assert [each["stream"] for each in first] == ["st_a", "st_b"]
    assert first[1]["cost_usd"] == 1.5
    rest = filled("usage", "--by", "stream", "--format", "csv", "--after", first[1]["cursor"])
    (only,) = csv.DictReader(io.StringIO(rest.output))
    assert (only["stream"], only["reported_output"], only["cost_usd"], only["key"]) == ("st_c", "20", "", "team-a")
    assert "st_c" in filled("usage", "--by", "stream", "--outcome", "stalled").output


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("usage", "--since", "soon"), 2, "'soon' is no instant; allowed: Unix seconds, a date"),
        (("usage", "--by", "colour"), 2, "'colour' is not one of"),
        (("usage", "--outcome", "canceled"), 2, "'canceled' is not one of 'completed', 'client_closed'"),
        (("usage",), 1, "there is no ledger at penstock.db: start the gateway, which makes it"),
        (("usage", "--colour"), 2, "`penstock usage --help` says what there is"),
        (("bogus",), 2, "No such command 'bogus'; `penstock --help` says what there is"),
        (("replay", "no.tape"), 2, "no.tape: cannot be read: No such file or directory; name a recording"),
    ],
)
def test_mistakes(run: Run, arguments: tuple[str, ...], code: int, said: str) -> None:
    result = run(*arguments)
    assert result.exit_code == code
    assert said in result.stderr
    assert result.stderr.count("\n") == 1


def test_without_a_ledger(run: Run) -> None:
    Path("penstock.yaml").write_text(BASE + "ledger: null\n")
    result = run("usage")
    assert result.exit_code == 1
    assert result.stderr == "penstock.yaml switches the ledger off; take out ledger: null\n"
