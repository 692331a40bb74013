"""``penstock check``: is this configuration right?"""

from __future__ import annotations

import click

from penstock.cli.config_file import DEFAULT, load_config_file
from penstock.config import show


@click.command("check")
@click.option("-c", "--config", "path", default=DEFAULT, show_default=True, metavar="FILE", help="The configuration.")
@click.option("--show", "showing", is_flag=True, help="Print the effective configuration, secrets masked.")
def check_command(path: str, showing: bool) -> None:
    """Validate a configuration: each problem with its file, line and key; exit 2 when there is one."""
    config = load_config_file(path)
    if showing:
        click.echo(show(config), nl=False)
        return
    providers, routes = len(config.providers), len(config.routes)
    click.echo(f"{path}: {_count(providers, 'provider')}, {_count(routes, 'route')}, no problems")


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
