"""The configuration's file, as every command reads it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

import click
import msgspec

from penstock.config import Config, ConfigError, Problem, load
from penstock.config.problems import quoted
from penstock.server.own_stages import installed_stages
from penstock.server.unpriced import unpriced
from penstock.server.word_lists import ListError, read_words
from penstock.stages.moderate.policy import ModeratePolicy
from penstock.vocabularies.own import TokenizerError, read_own

DEFAULT = "penstock.yaml"


def read_config(path: str) -> Config:
    """Reads and checks a file, with this process's environment. Raises ConfigError, also when it cannot be read."""
    config = load(read_text(path), os.environ, path, installed_stages())
    _check_files(config, path)
    return msgspec.structs.replace(config, warnings=(*config.warnings, *unpriced(config)))


def read_text(path: str) -> str:
    """What the file holds. Raises ConfigError."""
    try:
        raw = Path(path).read_bytes()
    except FileNotFoundError:
        message = "no such file; write one (see penstock.example.yaml), or start `penstock demo`, which needs none"
        raise ConfigError([Problem(file=path, line=0, message=message)]) from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise ConfigError([Problem(file=path, line=0, message=f"cannot be read: {reason}")]) from None
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise ConfigError([Problem(file=path, line=line, message="not UTF-8 text")]) from None


def _check_files(config: Config, path: str) -> None:
    """``load`` sees no files, so those that the configuration names are looked for here."""
    problems = [
        Problem(
            file=path,
            line=0,
            key=f"providers.{provider.name}.ca",
            found=quoted(provider.ca),
            allowed="the path of a PEM file that can be read",
        )
        for provider in config.providers
        if provider.ca is not None and not (os.path.isfile(provider.ca) and os.access(provider.ca, os.R_OK))
    ]
    for route in config.routes:
        for number, stage in enumerate(route.stages):
            if isinstance(stage, ModeratePolicy):
                key = f"routes.{route.name}.stages[{number}].moderate"
                problems += [
                    Problem(file=path, line=0, key=f"{key}.{one}", message=why) for one, why in _lacking(stage)
                ]
    for tokenizer in config.metering.tokenizers if config.metering is not None else ():
        try:
            read_own(tokenizer.file, tokenizer.sha256)
        except TokenizerError as error:
            key = f"metering.tokenizers.{tokenizer.model}"
            problems.append(Problem(file=path, line=0, key=key, found=quoted(tokenizer.file), message=str(error)))
    if problems:
        raise ConfigError(problems)


def _lacking(stage: ModeratePolicy) -> Iterator[tuple[str, str]]:
    """What a stage's files lack, by key."""
    for name, file in stage.lists:
        try:
            read_words(file)
        except ListError as error:
            yield f"lists.{name}", str(error)
    ca = stage.check.ca if stage.check is not None else None
    if ca is not None and not (os.path.isfile(ca) and os.access(ca, os.R_OK)):
        yield "check.ca", f"no PEM file that can be read: {quoted(ca)}"


def load_config_file(path: str) -> Config:
    """The configuration of a file, its warnings on stderr. Problems go to stderr too, and end the command with 2."""
    try:
        config = read_config(path)
    except ConfigError as error:
        refuse(error)
    for warning in config.warnings:
        click.echo(f"{path}: warning: {warning}", err=True)
    return config


def refuse(error: ConfigError) -> NoReturn:
    """Prints every problem on a line of its own and ends the command with 2. A file that is not there is one line."""
    for problem in error.problems:
        click.echo(str(problem), err=True)
    count = len(error.problems)
    if any(problem.line or problem.key for problem in error.problems):
        click.echo(f"{count} {'problem' if count == 1 else 'problems'}; nothing was started", err=True)
    raise click.exceptions.Exit(2)
