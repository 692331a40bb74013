"""The documentation is a tested artefact: what it names exists, what it shows works."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from penstock.bench import delays
from penstock.cli import main
from penstock.config import load
from penstock.outcome import Outcome
from penstock.server.websocket import close_of
from penstock.sim.options import SIM
from penstock.stream.notes import note
from penstock.stream.states import diagram
from penstock.stream.summary import AttemptSummary, Summary
from penstock.telemetry.log import stream_fields
from penstock.telemetry.metrics import Metrics
from penstock.wire import dialects, pairs
from penstock.wire.registry import CLIENT_WIRES, UPSTREAM_WIRES

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("examples/*.md")])


def blocks(page: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", page.read_text(), re.MULTILINE | re.DOTALL)


def first_column(page: str) -> set[str]:
    """The names in backquotes in the first column of a page's tables."""
    rows = [line.split("|")[1] for line in (ROOT / page).read_text().splitlines() if line.startswith("| `")]
    return {name for row in rows for name in re.findall(r"`([^`]+)`", row)}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", page.read_text()):
        if not target.startswith("http"):
            assert (page.parent / target).exists(), f"{page.name} links to {target}"


def test_the_readme_shows_a_configuration_that_loads() -> None:
    (text,) = blocks(ROOT / "README.md", "yaml")
    config = load(text, {"OPENAI_API_KEY": "sk-0123456789abcdef"})
    assert [route.name for route in config.routes] == ["gpt-4o", "*"]


def test_the_readme_shows_python_that_compiles() -> None:
    for text in blocks(ROOT / "README.md", "python"):
        compile(text, "README.md", "exec")


def test_the_readme_names_the_commands_that_exist() -> None:
    named = {name.split()[1] for name in first_column("README.md") if name.startswith("penstock ")}
    assert named == set(main.commands)
    targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert {name.split()[1] for name in first_column("README.md") if name.startswith("make ")} <= set(targets)


def test_every_outcome_is_documented() -> None:
    text = (ROOT / "docs/endings.md").read_text().partition("\n## ")[0]
    documented = set(re.findall(r"^\| `([a-z_]+)`", text, re.MULTILINE))
    assert documented == set(Outcome)


def test_the_diagram_is_the_table() -> None:
    (shown,) = blocks(ROOT / "docs/life-of-a-stream.md", "mermaid")
    assert shown.strip() == diagram()


@pytest.mark.parametrize("made", [dialects.table, pairs.table], ids=["dialects", "pairs"])
def test_the_tables_of_providers_are_made_from_the_data(made: Callable[[], str]) -> None:
    assert made() in (ROOT / "docs/providers.md").read_text()


def test_the_table_of_delays_is_what_is_measured() -> None:
    assert delays.table(delays.measured()) in (ROOT / "docs/guardrails.md").read_text()


def test_the_note_of_metadata_is_explained() -> None:
    account = Summary(stream="st_x", route="r", model="m", client_wire="openai-chat", streamed=True)
    told = json.loads(note(account, {}, final=True, receipt="", frames=0, cost=lambda account: 1))
    (shown,) = blocks(ROOT / "docs/metadata.md", "json")
    assert set(json.loads(shown)) == set(told)
    assert set(told) - {"stream", "frames"} <= first_column("docs/metadata.md")


def test_every_wire_is_documented() -> None:
    assert set(UPSTREAM_WIRES) <= first_column("docs/providers.md")
    for wire in CLIENT_WIRES:
        assert any(wire.serves(path.replace("{model}", "m")) for path in re.findall(r"`(/[^`]+)`", _configured())), wire


def _configured() -> str:
    return (ROOT / "docs/providers.md").read_text().partition("## Who can")[0]


def test_every_option_of_the_simulated_provider_is_documented() -> None:
    assert first_column("docs/simulator.md") == set(SIM)
    (text,) = blocks(ROOT / "docs/simulator.md", "yaml")
    assert [route.name for route in load(text, {}).routes] == ["failover", "cut", "*"]


def test_every_metric_is_documented() -> None:
    metrics = Metrics()
    attempt = AttemptSummary(target="p/m", label="p/*", started=0.0, outcome=Outcome.STALLED)
    summary = Summary(
        stream="st_x",
        route="r",
        model="m",
        client_wire="openai-chat",
        streamed=True,
        outcome=Outcome.COMPLETED,
        attempts=[attempt],
        first_token=0.1,
    )
    summary.gap(0.02)
    metrics.record(summary)
    metrics.refused("not_found")
    families = text_string_to_metric_families(metrics.text().decode())
    exposed = {family.name + ("_total" if family.type == "counter" else "") for family in families}
    assert {name for name in first_column("docs/operating.md") if name.startswith("penstock_")} == exposed


def test_every_field_of_the_log_line_is_documented() -> None:
    summary = Summary(stream="st_x", route="r", model="m", client_wire="openai-chat", streamed=True)
    named = {name for name in first_column("docs/operating.md") if not name.startswith("penstock_")}
    assert set(stream_fields(summary)) - {"time", "event", "client_wire"} == named


def test_every_close_code_of_a_websocket_is_documented() -> None:
    text = (ROOT / "docs/websocket.md").read_text()
    documented = {int(code) for code in re.findall(r"^\| (\d{4}) \|", text, re.MULTILINE)}
    assert {close_of(200, outcome)[0] for outcome in (None, *Outcome)} <= documented
    assert close_of(429, None)[0] == 4429 and "4000 + status" in text
