"""``penstock serve`` and ``penstock demo``."""

from __future__ import annotations

import socket
import sys
from collections.abc import Callable
from typing import NoReturn

import click
import msgspec

from penstock import app
from penstock.cli.config_file import DEFAULT, read_config, refuse
from penstock.cli.reload import Reloads
from penstock.cli.workers import Workers
from penstock.config import Config, ConfigError, demo_config, listen_on
from penstock.config.advice import with_advice
from penstock.config.demo import redaction_routes
from penstock.config.values import Server
from penstock.errors import PenstockError
from penstock.pages import page
from penstock.server import sockets
from penstock.sim import Sim


@click.command("serve")
@click.option("-c", "--config", "path", default=DEFAULT, show_default=True, metavar="FILE", help="The configuration.")
@click.option("--host", help="Listen here instead of server.host.")
@click.option("--port", type=click.IntRange(0, 65535), help="Listen here instead of server.port; 0 = any free one.")
@click.option("--workers", type=click.IntRange(1, 256), help="Processes instead of server.workers.")
def serve_command(path: str, host: str | None, port: int | None, workers: int | None) -> None:
    """Run the gateway until SIGTERM or Ctrl-C; then the streams under way may end within server.drain. SIGHUP, or
    penstock reload, reads the configuration anew."""

    def placed(config: Config) -> Config:
        config = listen_on(config, host, port)
        server = config.server if workers is None else msgspec.structs.replace(config.server, workers=workers)
        return with_advice(msgspec.structs.replace(config, server=server))

    config = _placed(path, placed)
    reloads = Reloads(path, lambda: placed(read_config(path)))
    if config.server.workers > 1:
        _check(config)
        sockets = _listen(config.server)
        click.echo(f"penstock listens on http://{_address(sockets[0])}", err=True)
        Workers(config, sockets, reloads).run()
        return
    gateway = _gateway(config)
    (sock,) = _listen(config.server)
    click.echo(f"penstock listens on http://{_address(sock)}", err=True)
    app.run(gateway, sock, reloads)


@click.command("demo")
@click.option("--host", default="127.0.0.1", show_default=True)
@click.option("--port", type=click.IntRange(0, 65535), default=8080, show_default=True)
@click.option("--json", "json_log", is_flag=True, help="Log in JSON instead of for the console.")
def demo_command(host: str, port: int, json_log: bool) -> None:
    """Run the gateway with a simulated provider: no configuration, no key."""
    app.run_loop(_demo(host, port, json_log))


async def _demo(host: str, port: int, json_log: bool) -> None:
    sim = Sim()
    await sim.start()
    config = _listening(demo_config(sim.base_url), host, port)
    config = msgspec.structs.replace(
        config,
        telemetry=msgspec.structs.replace(config.telemetry, log="json" if json_log else "console"),
        routes=(*config.routes, *redaction_routes()),
    )
    gateway = app.Gateway(config, pages={"/demo/redaction": page("redaction")})
    (sock,) = _listen(config.server)
    app.set_up_logging(gateway)
    click.echo(_WELCOME.format(address=_address(sock)))
    try:
        await app.serve(gateway, sock)
    finally:
        await sim.close()


_WELCOME = """
Penstock is running with a simulated provider. Watch a stream:

  curl -N http://{address}/v1/chat/completions -H 'content-type: application/json' \\
    -d '{{"model": "gpt-4o", "stream": true, "messages": [{{"role": "user", "content": "Hello"}}]}}'

The model's name steers the provider, for example "sim?tokens=200&gap=20ms&stall_at=50" or "sim?error_at=10".
Redaction on a live stream: http://{address}/demo/redaction

Base URL for SDKs: http://{address}/v1 (any key). Metrics: http://{address}/metrics. Ctrl-C stops it.
"""


def _placed(path: str, placed: Callable[[Config], Config]) -> Config:
    """The configuration of a file, with what the command line says; its warnings are told."""
    try:
        config = placed(read_config(path))
    except ConfigError as error:
        refuse(error)
    for warning in config.warnings:
        click.echo(f"{path}: warning: {warning}", err=True)
    return config


def _check(config: Config) -> None:
    try:
        app.check(config)
    except PenstockError as error:
        _fail(str(error))


def _listening(config: Config, host: str | None, port: int | None) -> Config:
    try:
        return listen_on(config, host, port)
    except ConfigError as error:
        refuse(error)


def _gateway(config: Config) -> app.Gateway:
    """Built before it listens: what is missing for a provider is told now."""
    try:
        return app.Gateway(config)
    except PenstockError as error:
        _fail(str(error))


def _listen(server: Server) -> list[socket.socket]:
    try:
        return sockets.listen_for_all(server)
    except OSError as error:
        _fail(f"cannot listen on {server.host}:{server.port}: {error.strerror or error}")


def _fail(message: str) -> NoReturn:
    click.echo(message, err=True)
    sys.exit(1)


def _address(sock: socket.socket) -> str:
    host, port = sock.getsockname()[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
