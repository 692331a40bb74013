"""llama.cpp's own server on a free port of loopback, with a tiny model of random weights."""

import http.client
import json
import os
import re
import socket
import subprocess
import time
from pathlib import Path
from typing import Any, Self

_BUILD = Path(__file__).parents[2] / "tools" / "build-llama-server"
SLOTS = 2
CONTEXT = 32768
"""Tokens of a slot: prompt and answer."""


def binary() -> Path:
    """Where tools/build-llama-server puts it."""
    found = re.search(r"^version=(\S+)$", _BUILD.read_text(), re.MULTILINE)
    assert found is not None
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return Path(os.environ.get("PENSTOCK_CACHE") or home / "penstock") / f"llama-server-{found[1]}"


class LlamaServer:
    """Runs from entering to leaving."""

    def __init__(self, model: Path):
        with socket.socket() as sock:
            sock.bind(("127.0.0.1", 0))
            self.port = sock.getsockname()[1]
        self._log = model.with_suffix(f".{self.port}.log")
        options = {
            "-m": model,
            "--host": "127.0.0.1",
            "--port": self.port,
            "-c": SLOTS * CONTEXT,
            "-np": SLOTS,
            "-t": 1,
        }
        self._command = [str(binary()), *(str(part) for option in options.items() for part in option), "--offline"]

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    def __enter__(self) -> Self:
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(self._command, stdout=log, stderr=log, stdin=subprocess.DEVNULL)
        deadline = time.monotonic() + 30
        while not self._healthy():
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.kill()
                raise AssertionError(f"llama-server did not start:\n{self._log.read_text(errors='replace')[-2000:]}")
            time.sleep(0.02)
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    def kill(self) -> None:
        """End it as a machine that fails would."""
        self._process.kill()
        self._process.wait()

    def busy(self) -> int:
        """Slots that generate."""
        return sum(slot["is_processing"] for slot in json.loads(self._get("/slots")))

    def _healthy(self) -> bool:
        try:
            return b"ok" in self._get("/health")
        except OSError:
            return False

    def _get(self, path: str) -> bytes:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        try:
            connection.request("GET", path)
            return connection.getresponse().read()
        finally:
            connection.close()


class Call:
    """One chat request, to the server itself or to the gateway; ``body`` adds to the request."""

    def __init__(self, base_url: str, **body: Any):
        host = base_url.removeprefix("http://").removesuffix("/v1")
        self._connection = http.client.HTTPConnection(host, timeout=20)
        request = {
            "model": "tiny",
            "messages": [{"role": "user", "content": "hello there water"}],
            "temperature": 0,
            "seed": 1,
            # What an earlier request left behind would change the bits of this one.
            "cache_prompt": False,
        }
        headers = {"content-type": "application/json"}
        self._connection.request("POST", "/v1/chat/completions", json.dumps(request | body), headers)
        self.response = self._connection.getresponse()
        self.status = self.response.status

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.response.close()
        self._connection.close()

    def read(self) -> bytes:
        """All that is left of the body."""
        return self.response.read()

    def frames(self, count: int) -> bytes:
        """The next ``count`` frames."""
        return b"".join(self.response.readline() for _ in range(2 * count))


def ask(base_url: str, **body: Any) -> tuple[int, bytes]:
    """Status and body."""
    with Call(base_url, **body) as call:
        return call.status, call.read()
