"""``python -m penstock.testing.report``: every recording through its own wire, counted by wire; ``make corpus``.

Prints a row for each wire, then by name whatever is not a complete answer with identical bytes, with the reason.
Exits with 1 when anything has no reason, with 2 when the recordings are not there.
"""

from __future__ import annotations

import sys
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence

import click

from penstock.outcome import Outcome
from penstock.testing.corpus import Recording, corpus, recordings
from penstock.testing.recorded import FOREIGN_MODEL, Verdict, fresh_seed, judged

MISSING = "no recordings: set PENSTOCK_CORPUS to the folder that holds their index.jsonl; nothing was checked"


def is_stream(recording: Recording) -> bool:
    """The recording is a stream, not the body of an HTTP error."""
    return recording.kind == "stream"


def verdicts(seed: int = 0) -> list[Verdict]:
    """The verdict on every recorded stream, in the order of the index; ``seed`` chooses the cuts."""
    return [judged(recording, seed) for recording in recordings(is_stream)]


def label(verdict: Verdict) -> str:
    """The row that a verdict is counted in."""
    if verdict.wire is None:
        return "(no wire of Penstock's)"
    return "(text completions)" if verdict.recording.api == "completions" else verdict.wire


def explained(found: Iterable[Verdict]) -> dict[str, list[str]]:
    """The files by the reason for which they are not simply identical and complete."""
    reasons: defaultdict[str, list[str]] = defaultdict(list)
    for verdict in found:
        if verdict.remark:
            reasons[verdict.remark].append(verdict.recording.file)
    return dict(reasons)


def unexplained(found: Iterable[Verdict]) -> list[str]:
    """A line for everything that is wrong, and for everything that is odd without a reason."""
    wrong = []
    for verdict in found:
        wrong += [f"{verdict.recording.file}: {problem}" for problem in verdict.problems]
        plain = verdict.identical and verdict.outcome is Outcome.COMPLETED
        if not plain and not verdict.remark and not verdict.problems:
            wrong.append(f"{verdict.recording.file}: {verdict.outcome}, and nobody says why")
    return wrong


def _is(outcome: Outcome) -> Callable[[Verdict], bool]:
    return lambda verdict: verdict.outcome is outcome


COLUMNS: dict[str, Callable[[Verdict], bool]] = {
    "files": lambda verdict: True,
    "identical": lambda verdict: verdict.identical and verdict.outcome is Outcome.COMPLETED,
    "completed": _is(Outcome.COMPLETED),
    "errors": lambda verdict: verdict.outcome is Outcome.UPSTREAM_ERROR and verdict.remark != FOREIGN_MODEL,
    "refused": lambda verdict: verdict.remark == FOREIGN_MODEL,
    "truncated": _is(Outcome.UPSTREAM_CUT),
    "empty": _is(Outcome.EMPTY),
    "wrong": lambda verdict: bool(verdict.problems),
}


def counts(found: Sequence[Verdict]) -> dict[str, dict[str, int]]:
    """The columns of each row."""
    rows: defaultdict[str, list[Verdict]] = defaultdict(list)
    for verdict in found:
        rows[label(verdict)].append(verdict)
    rows = defaultdict(list, sorted(rows.items(), key=lambda row: (row[0].startswith("("), row[0])))
    rows["all"] = list(found)
    return {name: {column: sum(map(of, row)) for column, of in COLUMNS.items()} for name, row in rows.items()}


def table(found: Sequence[Verdict]) -> str:
    """The counts by wire."""
    rows = counts(found)
    width = max(map(len, rows))
    lines = ["  ".join([f"{'wire':{width}}", *COLUMNS])]
    for name, row in rows.items():
        cells = [f"{row[column] or '–':>{len(column)}}" for column in COLUMNS]
        lines.append("  ".join([f"{name:{width}}", *cells]))
    return "\n".join(lines)


def reasons(found: Iterable[Verdict]) -> str:
    """Whatever is not simply identical and complete, by name, with the reason."""
    lines = []
    for reason, files in explained(found).items():
        lines += [f"{len(files)} × {reason}", *(f"    {file}" for file in files)]
    return "\n".join(lines)


def main() -> int:
    """Print the report."""
    if corpus() is None:
        click.echo(MISSING)
        return 2
    seed = fresh_seed()
    found = verdicts(seed)
    click.echo(table(found))
    click.echo("\nNot simply the same bytes, or no complete answer:\n" + reasons(found))
    wrong = unexplained(found)
    if wrong:
        click.echo(f"\nWithout an explanation (cuts of seed {seed}):\n" + "\n".join(wrong))
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
