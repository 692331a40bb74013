"""What was measured, as tables: for the terminal, and as cells for the page."""

from __future__ import annotations

import msgspec

from penstock.bench.goals import Column, Goal
from penstock.bench.goals_of_failures import COLUMNS_OF_FAILURES, OF_FAILURES
from penstock.bench.guardrails import COLUMNS_OF_GUARDRAILS, OF_GUARDRAILS
from penstock.bench.measures import Outcome
from penstock.bench.proc import Machine
from penstock.bench.spread import Spread
from penstock.bench.wires import CASES, SSE_LIMIT, TRANSLATED_LIMIT


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """A whole run. ``date`` is ISO, ``seconds`` how long it took."""

    penstock: str
    python: str
    uvloop: str
    nginx: str
    machine: Machine
    date: str
    seconds: float
    command: str
    rounds: int
    quick: bool
    outcomes: tuple[Outcome, ...]


class Verdict(msgspec.Struct, frozen=True):
    """A goal and what became of it, in the worst of its rows."""

    goal: Goal
    value: float
    met: bool
    row: str


GOALS = (
    Goal("paced", "cpu_us_per_chunk_x_nginx", "CPU a chunk, paced, at most 1.5 × nginx", 1.5, "× nginx"),
    Goal(
        "saturation", "cpu_us_per_chunk_x_nginx", "CPU a chunk, as fast as it goes, at most 2 × nginx", 2.0, "× nginx"
    ),
    Goal("first_token", "added_first_p99_ms", "Added to the first token, p99 at 128 streams, under 1 ms", 1.0, "ms"),
    Goal("idle", "rss_kib_per_stream", "Memory of an idle stream, at most 32 KiB", 32.0, "KiB"),
    Goal("paced", "pause_ms", "No pause of the event loop over 5 ms, paced", 5.0, "ms", worst=True),
    Goal(
        "idle",
        "pause_ms",
        "No pause of the event loop over 5 ms, idle streams opening and closing",
        5.0,
        "ms",
        worst=True,
    ),
    Goal(
        "wires",
        "cpu_us_per_chunk_x_nginx",
        "CPU a chunk, passed on, the costliest wire over SSE, at most 1.5 × nginx",
        SSE_LIMIT,
        "× nginx",
        rows=tuple(case.label for case in CASES if case.limit == SSE_LIMIT),
    ),
    Goal(
        "wires",
        "cpu_us_per_chunk_x_nginx",
        "CPU a chunk, translated, the costliest pair, at most 2.5 × nginx",
        TRANSLATED_LIMIT,
        "× nginx",
        rows=tuple(case.label for case in CASES if case.limit == TRANSLATED_LIMIT),
    ),
    *OF_FAILURES,
    *OF_GUARDRAILS,
    Goal("ledger", "core_percent", "10,000 ledger rows a minute, under 3 % of a core", 3.0, "%", rows=("ledger",)),
)

COLUMNS: dict[str, tuple[Column, ...]] = {
    "paced": (
        ("cpu_us_per_chunk", "CPU µs/chunk", ".1f"),
        ("cpu_us_per_chunk_x_nginx", "× nginx", ".2f"),
        ("first_p50_ms", "first token p50 ms", ".2f"),
        ("first_p99_ms", "first token p99 ms", ".2f"),
        ("gap_p99_ms", "gap p99 ms", ".2f"),
        ("added_gap_p99_ms", "added gap p99 ms", "+.2f"),
        ("pause_ms", "longest pause ms", ".2f"),
    ),
    "saturation": (
        ("cpu_us_per_chunk", "CPU µs/chunk", ".2f"),
        ("cpu_us_per_chunk_x_nginx", "× nginx", ".2f"),
        ("chunks_per_s", "chunks/s", ",.0f"),
    ),
    "first_token": (
        ("first_p50_ms", "first token p50 ms", ".2f"),
        ("first_p99_ms", "first token p99 ms", ".2f"),
        ("added_first_p50_ms", "added p50 ms", "+.2f"),
        ("added_first_p99_ms", "added p99 ms", "+.2f"),
        ("added_gap_p99_ms", "added gap p99 ms", "+.2f"),
        ("cpu_us_per_chunk_x_nginx", "CPU a chunk × nginx", ".2f"),
    ),
    "idle": (
        ("rss_kib_per_stream", "RSS KiB/stream", ".1f"),
        ("pss_kib_per_stream", "PSS KiB/stream", ".1f"),
        ("private_kib_per_stream", "private KiB/stream", ".1f"),
        ("pause_ms", "longest pause ms", ".2f"),
    ),
    "short": (
        ("cpu_ms_per_stream", "CPU ms/stream", ".3f"),
        ("cpu_ms_per_stream_x_nginx", "× nginx", ".2f"),
        ("first_p50_ms", "first token p50 ms", ".2f"),
        ("added_first_p50_ms", "added ms", "+.2f"),
    ),
    "wires": (
        ("cpu_us_per_chunk", "CPU µs/chunk", ".1f"),
        ("nginx_us_per_chunk", "nginx µs/chunk", ".1f"),
        ("cpu_us_per_chunk_x_nginx", "× nginx", ".2f"),
    ),
    **COLUMNS_OF_FAILURES,
    **COLUMNS_OF_GUARDRAILS,
    "ledger": (
        ("core_percent", "% of a core", ".2f"),
        ("cpu_us_per_row", "CPU µs/row", ".0f"),
        ("rows_per_s", "rows/s", ".0f"),
    ),
}
NAMES = {"direct": "direct", "nginx": "nginx", "gateway": "Penstock"}
BUSY = 0.9
"""Share of a core from which the load generator may have been what was measured."""
QUIET = 0.15
"""Cores that other programs may use without spoiling the figures."""


def verdicts(report: Report) -> list[Verdict]:
    """The goals that the run can judge."""
    found = []
    outcomes = {outcome.name: outcome for outcome in report.outcomes}
    for goal in GOALS:
        outcome = outcomes.get(goal.measure)
        values = _judged(goal, outcome) if outcome else {}
        if values:
            row = max(values, key=values.__getitem__)
            found.append(Verdict(goal, values[row], values[row] <= goal.limit, row))
    return found


def _judged(goal: Goal, outcome: Outcome) -> dict[str, float]:
    """What counts in each row of the goal."""
    figures = {row: own[goal.figure] for row, own in outcome.figures.items() if row in goal.rows and goal.figure in own}
    return {row: figure.highest if goal.worst else figure.median for row, figure in figures.items()}


def cells(outcome: Outcome) -> list[list[str]]:
    """An outcome as a table: the heading, then a row a target or a wire."""
    columns = [column for column in COLUMNS[outcome.name] if any(column[0] in own for own in outcome.figures.values())]
    rows = [["", *(heading for _, heading, _ in columns)]]
    for row, own in outcome.figures.items():
        rows.append([NAMES.get(row, row), *(_cell(own.get(figure), form, figure) for figure, _, form in columns)])
    if outcome.name == "wires":
        for line, row in zip(rows, ("target", *outcome.figures), strict=True):
            line.append(row if row == "target" else _target(outcome, row))
    return rows


def _target(outcome: Outcome, row: str) -> str:
    """What was promised of a row, and whether it was kept."""
    for goal in GOALS:
        if goal.measure == outcome.name and row in goal.rows:
            met = _judged(goal, outcome)[row] <= goal.limit
            return f"at most {goal.limit:g}: {'met' if met else 'missed'}"
    return "–"


def busy_targets(outcome: Outcome) -> list[str]:
    """Targets where the load generator may have been the limit."""
    return [NAMES.get(name, name) for name, own in outcome.figures.items() if own["load_busy"].median > BUSY]


def others(report: Report) -> float:
    """Cores that were busy with something else, in the worst measure."""
    figures = [own["others_busy"].median for outcome in report.outcomes for own in outcome.figures.values()]
    return max(figures, default=0.0)


def disturbed(report: Report) -> str:
    """A sentence when the machine was not the benchmark's own, else nothing."""
    share = others(report)
    if share <= QUIET:
        return ""
    return f"The machine was busy with something else too ({share:.2f} of {report.machine.cores} cores): measure again."


def text(report: Report) -> str:
    """For the terminal."""
    lines = [headline(report), ""]
    if warning := disturbed(report):
        lines += [warning, ""]
    for outcome in report.outcomes:
        lines += [f"{outcome.name}: {outcome.title}", *_aligned(cells(outcome))]
        if names := busy_targets(outcome):
            lines.append(
                f"  the load generator was busy all the time: chunks/s may be its own limit ({', '.join(names)})"
            )
        lines.append("")
    for verdict in verdicts(report):
        lines.append(f"{'met   ' if verdict.met else 'MISSED'}  {verdict.goal.text}: {value(verdict)}")
    return "\n".join(lines) + "\n"


def headline(report: Report) -> str:
    """Versions and machine in a line."""
    machine = report.machine
    return (
        f"penstock {report.penstock} against nginx {report.nginx}, {how_many(report)}; Python {report.python}, "
        f"uvloop {report.uvloop}; {machine.cpu}, {machine.cores} cores, {machine.memory / 2**30:.0f} GiB, "
        f"{machine.kernel}"
    )


def how_many(report: Report) -> str:
    """The rounds, in words."""
    return "1 round" if report.rounds == 1 else f"{report.rounds} rounds"


def value(verdict: Verdict) -> str:
    """What was found, with its unit."""
    where = f" ({verdict.row})" if len(verdict.goal.rows) > 1 else ""
    return f"{verdict.value:.2f} {verdict.goal.unit}{where}"


def _cell(figure: Spread | None, form: str, name: str) -> str:
    if figure is None:
        return "–"
    middle = format(figure.median, form)
    low, high = format(figure.lowest, form), format(figure.highest, form)
    # nginx to itself, or one round only: there is nothing to span.
    return middle if low == high else f"{middle} ({low} to {high})"


def _aligned(rows: list[list[str]]) -> list[str]:
    widths = [max(len(row[place]) for row in rows) for place in range(len(rows[0]))]
    return [
        "  " + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    ]
