"""``python -m penstock.testing.counted [--write PAGE]``: tokens counted against tokens reported, by model, over the
recordings; ``make billing``. Exits with 2 when the recordings are not there."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

import click
import msgspec

from penstock.errors import BadRequest
from penstock.metering import prompt as prompts
from penstock.metering.encodings import O200K, encoding_of, seed_of
from penstock.metering.factors import Drift
from penstock.metering.prompt import Counted
from penstock.metering.row import Row, opened
from penstock.metering.tally import Meter
from penstock.outcome import Outcome
from penstock.stream.asked import prompt_of
from penstock.stream.settlement import Settled, Terms, settle
from penstock.testing.corpus import MISSING, Recording, corpus, recordings
from penstock.testing.recorded import ELIDED, READ_BY, plan_of, played, wire_of
from penstock.vocabularies import Vocabularies
from penstock.wire.registry import CLIENT_WIRES

BEGIN, END = "<!-- counted: begin -->", "<!-- counted: end -->"
FEWEST = 3
"""Recordings of a model that make a line of its own."""
LIBRARY = Vocabularies()
_DATE = re.compile(r"(-\d{4}-\d\d-\d\d|-20\d{6}|-\d{4}|@\d+|-v\d+:\d+|-latest|-preview.*)+$")


class Case(msgspec.Struct, frozen=True):
    """A recording with usage, settled. ``prompt`` is its prompt counted, where the request was kept."""

    recording: Recording
    settled: Settled
    prompt: Counted | None

    @property
    def row(self) -> Row:
        """Its row."""
        return self.settled.row


def meter_of(model: str) -> Meter:
    """How the gateway would count a model of which it has learnt nothing."""
    own = encoding_of(model)
    name = (own or O200K).name
    LIBRARY.load(name)
    return Meter(model, lambda: LIBRARY.get(name), None if own else seed_of(model))


def case_of(recording: Recording) -> Case | None:
    """A recording, settled; None for one that is no whole answer of one of Penstock's wires."""
    wire = wire_of(recording)
    if wire is None:
        return None
    meter, plan = meter_of(recording.model or ""), plan_of(wire, recording)
    ways = tuple(msgspec.structs.replace(way, meter=meter) for way in plan.ways)
    transcript = played(msgspec.structs.replace(plan, ways=ways), [recording.read()])
    if not transcript.over or transcript.outcome is not Outcome.COMPLETED:
        return None
    begun = opened(stream="st", started_at=0.0, key=None, route="r", client_wire=plan.client_wire, tags={})
    return Case(recording, settle(transcript.account, begun, 0.0, Terms()), _prompt(recording, wire, meter))


def cases() -> list[Case]:
    """Every whole answer with usage."""
    found = (case_of(one) for one in recordings(lambda one: one.kind == "stream" and one.has_usage))
    return [case for case in found if case is not None]


def _prompt(recording: Recording, wire: str, meter: Meter) -> Counted | None:
    """Prompts of nothing but text, as the client's wire says them."""
    speaks = next((client for client in CLIENT_WIRES if client.name == wire), None)
    if speaks is None or recording.request is None or wire in READ_BY or wire == "gemini":
        return None
    try:
        request = speaks.read("/v1/chat/completions", "", msgspec.json.encode(recording.request))
    except BadRequest:
        return None
    counted = prompts.count(prompt_of(speaks, request), meter)
    return counted if counted is not None and not counted.warnings else None


def family(model: str) -> str:
    """A model's name without vendor and date."""
    return _DATE.sub("", model.lower().rpartition("/")[2].rpartition("anthropic.")[2]) or "(not named)"


def table(found: Iterable[Case]) -> str:
    """Counted and reported output, and prompts, by model, as a Markdown table. Answers with tools are left out: what
    a provider's own tools cost is not shown."""
    by_model: defaultdict[str, list[Case]] = defaultdict(list)
    for case in found:
        tools = bool(case.recording.request and case.recording.request.get("tools"))
        if case.settled.pair is not None and not tools and case.recording.file not in ELIDED:
            by_model[family(case.recording.model or "")].append(case)
    rare = sorted(name for name, some in by_model.items() if len(some) < FEWEST)
    groups = {name: by_model[name] for name in sorted(by_model) if name not in rare}
    for name in rare:
        others = "others of OpenAI" if encoding_of(name) else "others"
        groups.setdefault(others, []).extend(by_model[name])
    lines = [
        "| model | counts | answers | counted | reported | difference | equal ± 2 | prompts | difference |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for name, some in groups.items():
        own = {encoding_of(case.recording.model or "") for case in some}
        basis = "estimated" if None in own else next(encoding.name for encoding in own if encoding is not None)
        lines.append(f"| {name} | {basis} | {_cells(some)} |")
    return "\n".join(lines)


def _cells(some: list[Case]) -> str:
    answers, prompted = Drift(), Drift()
    near = prompts_found = 0
    for case in some:
        pair = case.settled.pair or (0, 0)
        answers = answers.with_one(pair)
        near += abs(pair[0] - pair[1]) <= 2
        reported = case.row.reported
        asked = sum(part or 0 for part in (reported.input, reported.cache_read, reported.cache_write))
        if case.prompt is not None and asked:
            prompts_found += 1
            prompted = prompted.with_one((case.prompt.tokens, asked))
    shown = f"{prompted.ratio:+.1%}" if prompts_found else "–"
    return (
        f"{len(some)} | {answers.counted} | {answers.reported} | {answers.ratio:+.1%} | {near} | "
        f"{prompts_found or '–'} | {shown}"
    )


@click.command()
@click.option("--write", "page", type=click.Path(dir_okay=False, path_type=Path), help="Put the table into this page.")
def main(page: Path | None) -> None:
    """Print the table."""
    if corpus() is None:
        click.echo(MISSING, err=True)
        raise SystemExit(2)
    made = table(cases())
    if page is None:
        click.echo(made)
        return
    before, _, rest = page.read_text(encoding="utf-8").partition(BEGIN)
    after = rest.partition(END)[2]
    page.write_text(f"{before}{BEGIN}\n{made}\n{END}{after}", encoding="utf-8")


if __name__ == "__main__":
    main()
