"""The report as a page of the documentation."""

from __future__ import annotations

from penstock.bench.asking import CHUNK
from penstock.bench.children import KEPT
from penstock.bench.measures import Outcome
from penstock.bench.report import Report, Verdict, busy_targets, cells, disturbed, how_many, others, value, verdicts


def page(report: Report) -> str:
    """Markdown. Which measures it holds depends on the report."""
    parts = [_INTRO.format(command=report.command), _facts(report)]
    if report.quick:
        parts.append("**A quick run: short rounds. Its numbers show that the benchmark works, no more.**\n")
    if warning := disturbed(report):
        parts.append(f"**{warning}**\n")
    if judged := verdicts(report):
        parts += ["## Targets\n", _targets(judged)]
    parts.append("## Measured\n")
    parts += [_measured(outcome) for outcome in report.outcomes]
    parts += [_READING, _METHOD.format(chunk=CHUNK, kept=KEPT)]
    return "\n".join(parts)


def _facts(report: Report) -> str:
    machine = report.machine
    rows = [
        ["", ""],
        ["date", report.date],
        ["machine", f"{machine.cpu}, {machine.cores} cores, {machine.memory / 2**30:.0f} GiB, {machine.kernel}"],
        [
            "versions",
            f"Penstock {report.penstock}, Python {report.python}, uvloop {report.uvloop}, nginx {report.nginx}",
        ],
        ["run", f"{how_many(report)}, {report.seconds:.0f} s; other programs used {others(report):.2f} cores at most"],
    ]
    return _table(rows)


def _targets(judged: list[Verdict]) -> str:
    rows = [["target", "measured", ""]]
    rows += [[verdict.goal.text, value(verdict), "met" if verdict.met else "**missed**"] for verdict in judged]
    return _table(rows)


def _measured(outcome: Outcome) -> str:
    lines = [f"### {outcome.title}\n", _table(cells(outcome))]
    if names := busy_targets(outcome):
        lines.append(
            f"The load generator was busy all the time here: chunks/s may be its own limit ({', '.join(names)}).\n"
        )
    lines.append(_NOTES[outcome.name].format(chunk=CHUNK))
    return "\n".join(lines)


def _table(rows: list[list[str]]) -> str:
    head, *body = ["| " + " | ".join(row) + " |" for row in rows]
    return "\n".join([head, "|" + " --- |" * len(rows[0]), *body, ""])


_INTRO = """\
# Performance

What the gateway costs, against nginx and against no gateway, measured in one run. This page is written by the
benchmark itself: `{command}` (`make bench` installs what it needs).
"""

_READING = """\
## How to read it

* Each cell is the median over the rounds, with the lowest and the highest round in brackets.
* **Compare ratios, not microseconds.** Absolute times belong to the machine. A ratio is taken within one round, where
  the gateway and nginx had the same load a few seconds apart; its median is over those ratios. So it need not be the
  quotient of the two medians beside it.
* **CPU** is that of the proxy's own processes, user and system together. What the provider and the load generator
  use does not count. Most of it is the kernel's work for two sockets, which nginx has too.
* **nginx** does the least that a proxy can do: it passes bytes on and does not know what a token is. The gateway also
  splits and decodes each chunk, watches the deadlines, counts, and keeps the account of the stream.
* **added** is the figure minus that of `direct` in the same round.
* Where provider, load generator and gateway share few cores they wait for each other, and latencies hold that
  wait: with CPU to spare they are lower. CPU a chunk hardly suffers from it.
"""

_METHOD = """\
## How it is measured

Three ways lead to the same simulated provider (`penstock sim`, one process): none (`direct`), nginx with one worker
(`proxy_buffering off`, HTTP/1.1 and keep-alive to the provider, up to {kept} idle connections, no access log), and
`penstock serve` with one worker, as many idle connections, default deadlines and its log switched on. All are processes
of their own on loopback, warmed up before the first round, and new ones for each round of idle streams. A round puts
the same load on each, one after the other, in an order that rotates from round to round.

A chunk is one event of a chat completion, {chunk} bytes; where wires are compared it is one frame of the client's wire,
which stands for one of the provider's. The load generator is another process. It counts the
events of each stream and checks the status, the number of events and the end of the body, and that streams which it
closes itself were alive until then: a stream that is short, broken, behind the others or refused fails the whole run.

CPU time is read from the kernel's clock of each process, at the beginning and at the end of a window in which the load
is steady; streams that start or end lie outside of it, except where starting is what is measured. First token is the
time from the request's write to the read that holds the first token, on a connection that is already open. Gap is the
time between two reads of one stream. Memory is `/proc/PID/smaps_rollup` with the streams open minus the same
before, divided by the streams. The longest pause is the gateway's own metric,
`penstock_event_loop_pause_seconds_max`: how late the event loop was at most, from the first connection of the
load to the last.
"""

_NOTES = {
    "paced": """\
The load of many readers: a write for every chunk, nothing to batch. First token here includes new connections to
the provider, since more streams begin at once than idle connections are kept.
""",
    "saturation": """\
The provider still writes each chunk on its own, but a proxy that has not come round yet finds several in one read.
Chunks a second are limited by all that share the cores, for nginx and `direct` by the provider.
""",
    "first_token": """\
What a reader notices: how much later the first word comes because there is a gateway.
""",
    "idle": """\
Opened within seconds, silent after the first token, closed one after the other. What the kernel holds for the sockets
is in nobody's memory here. The pause covers opening, silence and closing.
""",
    "short": """\
What a request costs from acceptance to account, when nothing else is going on.
""",
    "wires": """\
A single name is a wire on both sides, whose bytes go on as they are; with an arrow the provider's frames are translated
into the client's. nginx passes the same provider's stream in the same round, next to it, and translates nothing. Frames
are filled up to about {chunk} bytes where the wire has a place for that (Gemini's has none), and translated ones are
shorter. Ollama's lines of JSON on both sides have no target. At most three rounds.
""",
    "failover": """\
The first target fails each time, and the second answers at once. Configured is what the route waits before it turns
away from a target: `first_token` for the one that never sends headers, nothing for the others. Connections are those to
the first target that stand when all streams are over: after a 503 and an empty answer, which were read to their ends,
they are kept for further requests. At most two rounds.
""",
    "hang": """\
The provider that hangs is a process that was stopped: the kernel takes its connections and requests, and nobody
answers. Found again is the time from the instant at which it goes on, while it is ejected, until a user is served by
it; in between they are served by a second target. Nobody hangs: the average of before and after. At most two rounds.
""",
    "guardrails": """\
Redaction is measured by itself, in one process and on one thread; hostile texts are beginnings of something, over and
over, and the row has the worst of them. One delta of 64 KB is worked on in slices, with the event loop's other work
between them: a step is a slice. Moderation is measured through the gateway: a service beside it
is asked about every text, in windows of 400 characters, and finds nothing. Passthrough: the average of before and
after. At most three rounds.
""",
    "ledger": """\
In a process of its own, all its threads together: 200 streams at a time of 1.2 s each, whose rows are opened, brought
up to date a second later, settled from the provider's usage, spooled, and written to SQLite three times. The same
streams without a ledger and without counts are taken off. All other measures are without a ledger. At most three
rounds.
""",
}
