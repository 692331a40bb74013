"""A mistake in the arguments is told in one line, as all others are."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import click

_HELP: Any = getattr(click.exceptions, "NoArgsIsHelpError", ())
"""No mistake: nothing was asked. Before click 8.2 this was no error."""


class Mistake(click.ClickException):
    """An argument that cannot be used."""

    exit_code = 2

    def show(self, file: Any = None) -> None:
        """One line on stderr."""
        click.echo(self.message, file, err=file is None)


@contextmanager
def _in_one_line() -> Iterator[None]:
    try:
        yield
    except click.UsageError as error:
        if isinstance(error, _HELP):
            raise
        path = error.ctx.command_path if error.ctx is not None else "penstock"
        said = " ".join(error.format_message().split()).rstrip(".")
        raise Mistake(f"{path}: {said}; `{path} --help` says what there is") from None


class OneLineGroup(click.Group):
    """A group of commands whose mistakes, and those of its commands, take one line."""

    def make_context(self, *arguments: Any, **options: Any) -> click.Context:
        """Its own arguments are read."""
        with _in_one_line():
            return super().make_context(*arguments, **options)

    def invoke(self, ctx: click.Context) -> Any:
        """Its command's are, and it runs."""
        with _in_one_line():
            return super().invoke(ctx)
