"""The ``penstock`` command. Exit codes: 0 done, 1 failed at run time, 2 unusable arguments or configuration."""

from __future__ import annotations

import click

from penstock import __version__
from penstock.bench.command import bench_command
from penstock.cli.check import check_command
from penstock.cli.one_line import OneLineGroup
from penstock.cli.reload import reload_command
from penstock.cli.serve import demo_command, serve_command
from penstock.cli.usage import ledger_command, usage_command
from penstock.sim.command import replay_command, sim_command


@click.group("penstock", cls=OneLineGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="penstock")
def main() -> None:
    """The streaming gateway for AI responses."""


for command in (
    serve_command,
    demo_command,
    check_command,
    reload_command,
    usage_command,
    ledger_command,
    sim_command,
    replay_command,
    bench_command,
):
    main.add_command(command)
