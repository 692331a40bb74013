"""Tables, verdicts and the page."""

import re

import msgspec
import pytest

from penstock.bench.measures import MEASURES, Outcome
from penstock.bench.page import page
from penstock.bench.proc import Machine
from penstock.bench.report import COLUMNS, GOALS, Report, cells, text, verdicts
from penstock.bench.spread import Spread, spread
from penstock.bench.wires import CASES


def figures(**values: tuple[float, ...]) -> dict[str, Spread]:
    return {name: spread(each) for name, each in ({"load_busy": (0.2,), "others_busy": (0.01,)} | values).items()}


def paced(ratio: float = 1.4, pause: float = 3.0, **more: tuple[float, ...]) -> Outcome:
    own = {
        "cpu_us_per_chunk": (20.0, 22.0, 24.0),
        "cpu_us_per_chunk_x_nginx": (ratio - 0.1, ratio, ratio + 0.3),
        "pause_ms": (1.0, pause, 2.0),
    }
    return Outcome(
        "paced",
        "200 streams",
        {
            "direct": figures(first_p50_ms=(0.5, 0.6, 0.7)),
            "nginx": figures(cpu_us_per_chunk=(15.0, 16.0, 17.0), cpu_us_per_chunk_x_nginx=(1.0, 1.0, 1.0)),
            "gateway": figures(**(own | more)),
        },
    )


def report(*outcomes: Outcome, quick: bool = False, rounds: int = 3) -> Report:
    return Report(
        penstock="1.2.3",
        python="3.11.7",
        uvloop="0.22",
        nginx="1.22.1",
        machine=Machine("Some CPU", 2, 8 << 30, "Linux 6"),
        date="2026-11-24",
        seconds=61.5,
        command="penstock bench --write docs/performance.md",
        rounds=rounds,
        quick=quick,
        outcomes=outcomes,
    )


def test_a_table_has_a_row_a_target_and_spans_its_rounds() -> None:
    rows = cells(paced())
    assert rows[0] == ["", "CPU µs/chunk", "× nginx", "first token p50 ms", "longest pause ms"]
    assert rows[1] == ["direct", "–", "–", "0.60 (0.50 to 0.70)", "–"]
    assert rows[2] == ["nginx", "16.0 (15.0 to 17.0)", "1.00", "–", "–"]
    assert rows[3] == ["Penstock", "22.0 (20.0 to 24.0)", "1.40 (1.30 to 1.70)", "–", "2.00 (1.00 to 3.00)"]


def test_a_ratio_is_judged_by_its_median_and_a_pause_by_its_worst_round() -> None:
    found = {verdict.goal.figure: verdict for verdict in verdicts(report(paced(ratio=1.4, pause=5.1)))}
    assert found["cpu_us_per_chunk_x_nginx"].met and found["cpu_us_per_chunk_x_nginx"].value == 1.4
    assert not found["pause_ms"].met and found["pause_ms"].value == 5.1


def test_only_what_was_measured_is_judged() -> None:
    assert {verdict.goal.measure for verdict in verdicts(report(paced()))} == {"paced"}
    assert verdicts(report()) == []


def wires(**ratios: float) -> Outcome:
    rows = {case.label: 1.2 for case in CASES} | {name.replace("_", "-"): ratio for name, ratio in ratios.items()}
    own = {
        row: figures(cpu_us_per_chunk=(24.0,), nginx_us_per_chunk=(20.0,), cpu_us_per_chunk_x_nginx=(ratio,))
        for row, ratio in rows.items()
    }
    return Outcome("wires", "By wire", own)


def test_wires_have_a_row_each_with_its_target() -> None:
    rows = cells(wires(gemini=1.6, ollama_chat=9.0))
    assert rows[0] == ["", "CPU µs/chunk", "nginx µs/chunk", "× nginx", "target"]
    assert rows[1] == ["openai-chat", "24.0", "20.0", "1.20", "at most 1.5: met"]
    assert ["gemini", "24.0", "20.0", "1.60", "at most 1.5: missed"] in rows
    assert ["ollama-chat", "24.0", "20.0", "9.00", "–"] in rows
    assert ["openai-chat ← gemini", "24.0", "20.0", "1.20", "at most 2.5: met"] in rows


def test_wires_are_judged_by_the_costliest() -> None:
    passed, translated = verdicts(report(wires(gemini=1.6)))
    assert (passed.value, passed.met, passed.row) == (1.6, False, "gemini")
    assert (translated.value, translated.met) == (1.2, True)
    assert "at most 1.5 × nginx: 1.60 × nginx (gemini)\n" in text(report(wires(gemini=1.6)))


def test_every_goal_and_every_measure_can_be_shown() -> None:
    names = {measure.name for measure in MEASURES}
    assert set(COLUMNS) == names
    for goal in GOALS:
        assert goal.figure in {figure for figure, _, _ in COLUMNS[goal.measure]}


def test_the_terminal_gets_aligned_columns() -> None:
    lines = text(report(paced(ratio=1.6))).splitlines()
    assert lines[0].startswith(
        "penstock 1.2.3 against nginx 1.22.1, 3 rounds; Python 3.11.7, uvloop 0.22; Some CPU, 2 "
    )
    place = lines.index("paced: 200 streams")
    columns = {lines[place + 1].index("× nginx"), lines[place + 3].index("1.00"), lines[place + 4].index("1.60")}
    assert len(columns) == 1
    assert "MISSED  CPU a chunk, paced, at most 1.5 × nginx: 1.60 × nginx" in lines
    assert "met     No pause of the event loop over 5 ms, paced: 3.00 ms" in lines


def test_one_round_is_said_so() -> None:
    assert "against nginx 1.22.1, 1 round;" in text(report(paced(), rounds=1))


@pytest.mark.parametrize("name", ["load_busy", "others_busy"])
def test_what_spoils_the_figures_is_told(name: str) -> None:
    spoilt = report(paced(**{name: (0.95, 0.96, 0.97)}))
    warning = "load generator was busy" if name == "load_busy" else r"busy with something else too \(0.96 of 2 cores\)"
    assert re.search(warning, text(spoilt)) and re.search(warning, page(spoilt))
    assert not re.search(warning, text(report(paced()))) and not re.search(warning, page(report(paced())))


def test_the_page_is_whole_markdown() -> None:
    outcomes = [
        Outcome(measure.name, measure.title.format(streams=2000), paced().figures)
        if measure.name == "paced"
        else Outcome(measure.name, measure.title.format(streams=2000), {"gateway": figures(pause_ms=(1.0,))})
        for measure in MEASURES
    ]
    written = page(report(*outcomes))
    assert written.startswith("# Performance\n") and written.endswith("\n") and "{" not in written
    assert "`penstock bench --write docs/performance.md`" in written
    assert "| CPU a chunk, paced, at most 1.5 × nginx | 1.40 × nginx | met |" in written
    assert "| date | 2026-11-24 |" in written and "Some CPU, 2 cores, 8 GiB, Linux 6" in written
    assert "2,000" in written and "quick run" not in written
    assert [line for line in written.splitlines() if line.startswith("## ")] == [
        "## Targets",
        "## Measured",
        "## How to read it",
        "## How it is measured",
    ]
    for table in re.findall(r"(?:^\|.*\n)+", written, re.MULTILINE):
        assert len({line.count("|") for line in table.splitlines()}) == 1


def test_a_quick_page_and_a_missed_target_say_so() -> None:
    written = page(report(paced(ratio=2.0), quick=True))
    assert "**A quick run" in written and "| 2.00 × nginx | **missed** |" in written


def test_a_report_goes_through_json() -> None:
    before = report(paced())
    assert msgspec.json.decode(msgspec.json.encode(before), type=Report) == before
