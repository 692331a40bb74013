"""The processes under test: simulated provider, nginx, gateway. On loopback, and gone when the benchmark is."""

from __future__ import annotations

import contextlib
import ctypes
import http.client
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

import msgspec

from penstock.bench.asking import ASKING, PACED
from penstock.bench.job import BenchError, Job, Result

Target = Literal["direct", "nginx", "gateway"]
TARGETS: tuple[Target, ...] = ("direct", "nginx", "gateway")
KEPT = 64
"""Idle connections to the provider that nginx keeps: the gateway's default."""
_START = 15.0
_STOP = 5.0
_PAUSE = re.compile(rb"^penstock_event_loop_pause_seconds_max (\S+)$", re.MULTILINE)
_DIE_WITH_PARENT = 1  # PR_SET_PDEATHSIG

_NGINX = """\
daemon off;
master_process off;
pid {folder}/nginx.pid;
error_log {folder}/nginx.log warn;
events {{ worker_connections 16384; }}
http {{
  access_log off;
  client_body_temp_path {folder}/client;
  proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi;
  scgi_temp_path {folder}/scgi;
  keepalive_requests 1000000;
  upstream provider {{ server 127.0.0.1:{provider}; keepalive {kept}; keepalive_requests 1000000; }}
  server {{
    listen 127.0.0.1:{port} backlog=2048;
    location / {{
      proxy_pass http://provider;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_buffering off;
      proxy_read_timeout 600s;
    }}
  }}
}}
"""
_OPENAI = ("openai-chat", "openai-responses")


class Child:
    """One process that listens on ``port``."""

    def __init__(self, name: str, argv: Sequence[str], port: int, log: Path):
        self.name = name
        self.port = port
        self._log = log
        with log.open("wb") as errors:
            self._process = _spawn(argv, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=errors)

    @property
    def pid(self) -> int:
        return self._process.pid

    def wait_ready(self) -> None:
        """Wait until it takes connections. Raises BenchError."""
        end = time.monotonic() + _START
        while time.monotonic() < end:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), timeout=1):
                return
            if self._process.poll() is not None:
                lines = self._log.read_text(errors="replace").strip().splitlines() if self._log.is_file() else []
                reason = f": {lines[-1]}" if lines else ""
                raise BenchError(f"{self.name} ended with exit code {self._process.returncode}{reason}")
            time.sleep(0.02)
        raise BenchError(f"{self.name} did not listen within {_START:g} s")

    def halt(self) -> None:
        """It does nothing more; the kernel still takes connections for it, and bytes."""
        self._process.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        """It does again."""
        self._process.send_signal(signal.SIGCONT)

    def stop(self) -> None:
        """End it: SIGTERM, and SIGKILL when that was not enough."""
        self._process.terminate()
        self.go_on()  # a halted one would not hear of it
        try:
            self._process.wait(_STOP)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def put(job: Job, child: Child, known: Iterable[Child], *, watched: bool = True) -> Result:
    """Put ``job`` on a process, whose CPU and memory are ``watched``. Raises BenchError."""
    watch = (child.pid,) if watched else ()
    job = msgspec.structs.replace(job, port=child.port, watch=watch, known=tuple(each.pid for each in known))
    process = _spawn(
        [sys.executable, "-m", "penstock.bench.load"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    try:
        # Over its own limit the job fails by itself, so this is for a load generator that hangs.
        out, errors = process.communicate(msgspec.json.encode(job), timeout=2 * job.limit + 10)
    except subprocess.TimeoutExpired:
        raise BenchError(f"{child.name}: the load generator hangs") from None
    finally:
        process.kill()
        process.wait()
    if process.returncode:
        lines = errors.decode(errors="replace").strip().splitlines() or ["no reason given"]
        raise BenchError(f"{child.name}: the round failed: {lines[-1]}")
    return msgspec.json.decode(out, type=Result)


class Site:
    """The provider and what stands before it."""

    def __init__(self, provider: Child, nginx: Child, gateway: Child):
        self._children: dict[Target, Child] = {"direct": provider, "nginx": nginx, "gateway": gateway}

    def load(self, target: Target, job: Job) -> Result:
        """Put ``job`` on ``target``. Raises BenchError."""
        return put(job, self._children[target], self._children.values(), watched=target != "direct")

    def pause(self) -> float:
        """The gateway's longest event-loop pause since the last call, in seconds."""
        return longest_pause(self._children["gateway"].port)


def longest_pause(port: int) -> float:
    """A gateway's longest event-loop pause since it was last asked, in seconds. Raises BenchError."""
    match = _PAUSE.search(metrics(port))
    if match is None:
        raise BenchError("the gateway's metrics do not tell the longest pause of its event loop")
    return float(match[1])


def metrics(port: int) -> bytes:
    """The gateway's metrics. Raises BenchError."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request("GET", "/metrics")
        return connection.getresponse().read()
    except (OSError, http.client.HTTPException) as error:
        raise BenchError(f"the gateway's metrics cannot be read: {error}") from error
    finally:
        connection.close()


@contextlib.contextmanager
def site(nginx: str) -> Iterator[Site]:
    """Everything started and ready; at the end everything stopped, its files removed. Raises BenchError."""
    with tempfile.TemporaryDirectory(prefix="penstock-bench-") as name, contextlib.ExitStack() as stack:
        folder = Path(name)

        def start(label: str, argv: Sequence[str], port: int, log: Path) -> Child:
            child = Child(label, argv, port, log)
            stack.callback(child.stop)
            return child

        ports = free_ports(3)
        penstock = [sys.executable, "-m", "penstock"]
        sim = [*penstock, "sim", "--quiet", "--port", str(ports[0])]
        provider = start("the simulated provider", sim, ports[0], folder / "sim.err")
        settings = folder / "nginx.conf"
        settings.write_text(_NGINX.format(folder=folder, provider=ports[0], port=ports[1], kept=KEPT))
        proxy = start("nginx", [nginx, "-p", name, "-c", str(settings)], ports[1], folder / "nginx.err")
        config = folder / "penstock.yaml"
        config.write_bytes(_gateway(ports[0], ports[2]))
        serve = [*penstock, "serve", "-c", str(config)]
        # The gateway logs a line a stream on stderr, and nginx logs none: a disk shall not come into it.
        gateway = start("the gateway", serve, ports[2], Path("/dev/null"))
        for child in (provider, proxy, gateway):
            child.wait_ready()
        yield Site(provider, proxy, gateway)


def _gateway(provider: int, port: int) -> bytes:
    """The gateway's configuration: any model is one of openai-chat, and a wire's name is a paced one of that wire."""
    origin = f"http://127.0.0.1:{provider}"
    providers = {wire: {"wire": wire, "base_url": origin + ("/v1" if wire in _OPENAI else "")} for wire in ASKING}
    # Without a key Bedrock would be signed for.
    providers["bedrock-converse"]["api_key"] = "sim"
    routes = {wire: {"targets": [f"{wire}/{PACED}"]} for wire in ASKING}
    settings = {
        "server": {"port": port},
        "providers": providers,
        "routes": {**routes, "*": {"targets": ["openai-chat/*"]}},
        "ledger": None,
        "telemetry": {"log": "json"},
    }
    return msgspec.json.format(msgspec.json.encode(settings)) + b"\n"


def find_nginx() -> str:
    """The path of nginx. Raises BenchError when there is none."""
    # Where it is installed is often not on the path of a user who is not root.
    path = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin:/usr/local/sbin:/usr/local/bin")
    if path is None:
        raise BenchError("nginx is missing, and it is what the gateway is measured against: `make bench` installs it")
    return path


def nginx_version(nginx: str) -> str:
    """Such as ``1.22.1``."""
    done = subprocess.run([nginx, "-v"], capture_output=True, text=True, timeout=10, check=False)
    match = re.search(r"nginx/(\S+)", done.stderr)
    return match[1] if match else "of an unknown version"


def _spawn(argv: Sequence[str], **pipes: Any) -> subprocess.Popen[bytes]:
    """A process in a session of its own, so that Ctrl-C reaches only the parent, which ends it in order."""
    # A parent that was killed cannot do so: then the kernel does. There is one thread here, so the hook is safe.
    return subprocess.Popen(argv, start_new_session=True, preexec_fn=_die_with_parent, **pipes)  # noqa: PLW1509


def _die_with_parent() -> None:
    ctypes.CDLL(None).prctl(_DIE_WITH_PARENT, signal.SIGKILL)


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens on."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for sock in sockets:
            sock.bind(("127.0.0.1", 0))
        return [sock.getsockname()[1] for sock in sockets]
