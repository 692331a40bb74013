"""``penstock check``: is this configuration right?"""

from __future__ import annotations

import click

from penstock.cli.config_file import DEFAULT, load_config_file, read_text
from penstock.config import show, with_origins


@click.command("check")
@click.option("-c", "--config", "path", default=DEFAULT, show_default=True, metavar="FILE", help="The configuration.")
@click.option(
    "--show",
    "showing",
    is_flag=True,
    help="Print the effective configuration, the line of each value, secrets masked.",
)
def check_command(path: str, showing: bool) -> None:
    """Validate a configuration: each problem with its file, line and key; exit 2 when there is one."""
    config = load_config_file(path)
    if showing:
        click.echo(with_origins(show(config), read_text(path), path), nl=False)
        return
    providers, routes = len(config.providers), len(config.routes)
    click.echo(f"{path}: {_count(providers, 'provider')}, {_count(routes, 'route')}, no problems")


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
