"""The commands ``penstock sim`` and ``penstock replay``."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

import click
import msgspec

from penstock.sim.options import duration
from penstock.sim.provider import Sim
from penstock.sim.server import Server
from penstock.sim.tape import Replay, TapeError, load_tape
from penstock.sim.wires import WIRES, wire_named

_PORT = click.IntRange(0, 65535)


def _read_duration(_: click.Context, __: click.Parameter, value: str) -> float:
    try:
        return duration(value)
    except ValueError as error:
        raise click.BadParameter(f"must be {error}; it is {value!r}") from error


@click.command("sim", short_help="The simulated provider.")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", default=9000, show_default=True, type=_PORT, help="Port to listen on; 0 picks a free one.")
@click.option(
    "--wire",
    default=WIRES[0].name,
    show_default=True,
    type=click.Choice([wire.name for wire in WIRES]),
    help="The wire of the example that is printed. All wires are served, each on its own path.",
)
@click.option(
    "--folder",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Recorded streams, played for the models tape:PATH.",
)
@click.option("--quiet", is_flag=True, help="Print nothing.")
def sim_command(host: str, port: int, wire: str, folder: Path | None, quiet: bool) -> None:
    """Serve the simulated provider until SIGINT or SIGTERM.

    The model's name says what it does: "sim" is a pleasant paragraph at 50 tokens a second, and
    "sim?tokens=200&gap=20ms&first=500ms&stall_at=50" goes silent after 50 of 200 tokens.
    """
    chosen = wire_named(wire)

    def announce(server: Server) -> list[str]:
        body = msgspec.json.encode(chosen.example("sim")).decode()
        address = f"{server.origin}{chosen.example_path}"
        return [f"simulated provider on {server.origin}", _curl(address, body)]

    _serve(Sim(host, port, folder=folder), announce, quiet)


@click.command("replay", short_help="Play a recorded stream, as a provider.")
@click.argument("tape", type=click.Path(path_type=Path))
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", default=9000, show_default=True, type=_PORT, help="Port to listen on; 0 picks a free one.")
@click.option("--speed", default=1.0, show_default=True, type=click.FloatRange(0.001, 1e6), help="Times as fast.")
@click.option(
    "--gap", default="20ms", show_default=True, callback=_read_duration, help="Between the events of a plain .sse."
)
def replay_command(tape: Path, host: str, port: int, speed: float, gap: float) -> None:
    """Play TAPE with its own timing for every POST to any path, until SIGINT or SIGTERM.

    TAPE is a recording (JSON lines with times) or a plain .sse or .ndjson file.
    """
    try:
        loaded = load_tape(tape, gap)
    except TapeError as error:
        _fail(str(error), 2)

    def announce(server: Server) -> list[str]:
        return [f"replaying {tape} on {server.origin}", _curl(f"{server.origin}/v1/chat/completions", "{}")]

    _serve(Replay(loaded, host, port, speed=speed), announce, quiet=False)


def _curl(address: str, body: str) -> str:
    return f"try: curl -N {address} -H 'content-type: application/json' -d '{body}'"


def _fail(message: str, code: int = 1) -> NoReturn:
    click.echo(f"penstock: {message}", err=True)
    sys.exit(code)


def _serve(server: Server, announce: Callable[[Server], list[str]], quiet: bool) -> None:
    """Run until a signal; exit 1 with one line when the address cannot be had."""
    try:
        with asyncio.Runner(loop_factory=_loop_factory()) as runner:
            runner.run(_until_signal(server, announce, quiet))
    except OSError as error:
        where = f"{server.host}:{server.port}"
        _fail(f"cannot listen on {where}: {error.strerror or error}; choose another address with --host and --port")


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    try:
        import uvloop
    except ImportError:
        return None
    factory: Callable[[], asyncio.AbstractEventLoop] = uvloop.new_event_loop
    return factory


async def _until_signal(server: Server, announce: Callable[[Server], list[str]], quiet: bool) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    async with server:
        if not quiet:
            for line in announce(server):
                click.echo(line)
            sys.stdout.flush()
        await stop.wait()
