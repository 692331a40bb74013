"""``penstock serve`` as a process of its own, with the accounts of streams that it logs."""

import json
import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

Account = dict[str, Any]
"""A stream's line in the log."""


class GatewayProcess:
    """A gateway that serves ``config`` (YAML) on a free port of loopback, from entering to leaving."""

    def __init__(self, config: str, folder: Path):
        self._file = folder / "penstock.yaml"
        self._file.write_text(config)
        self._lines: list[str] = []
        self._changed = threading.Condition()
        self.origin = ""

    @property
    def base_url(self) -> str:
        """The base URL as OpenAI's clients want it."""
        return self.origin + "/v1"

    def __enter__(self) -> Self:
        command = [sys.executable, "-m", "penstock", "serve", "-c", str(self._file), "--port", "0"]
        self._process = subprocess.Popen(
            command, stderr=subprocess.PIPE, text=True, env=clean_environment(), cwd=self._file.parent
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        started = self._find(lambda line: re.search(r"listens on (http://\S+)", line), 20)
        if started is None:
            self.__exit__()
            raise AssertionError("the gateway did not start:\n" + "\n".join(self._lines))
        self.origin = started[1]
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._reader.join()
        assert self._process.stderr is not None
        self._process.stderr.close()

    def _read(self) -> None:
        assert self._process.stderr is not None
        for line in self._process.stderr:
            with self._changed:
                self._lines.append(line.rstrip("\n"))
                self._changed.notify_all()

    def _find(self, look: Callable[[str], Any], timeout: float) -> Any:
        deadline = time.monotonic() + timeout
        seen = 0
        with self._changed:
            while True:
                for line in self._lines[seen:]:
                    if found := look(line):
                        return found
                seen = len(self._lines)
                left = deadline - time.monotonic()
                if left <= 0 or self._process.poll() is not None:
                    return None
                self._changed.wait(min(left, 0.2))

    def account(self, model: str, timeout: float = 5.0) -> Account | None:
        """The account of the stream that asked for ``model``, waiting for it to end."""

        def look(line: str) -> Account | None:
            account = _account(line)
            return account if account and account["model"] == model else None

        return self._find(look, timeout)

    def accounts(self) -> list[Account]:
        """The accounts of all streams that are over."""
        return [account for line in self.lines() if (account := _account(line))]

    def lines(self) -> list[str]:
        """All that the gateway logged so far."""
        with self._changed:
            return list(self._lines)

    def complaints(self) -> list[str]:
        """What else was logged, above mere information."""
        return [line for line in self.lines() if '"level":"info"' not in line and '"event":"stream"' not in line][1:]


def _account(line: str) -> Account | None:
    return json.loads(line) if line.startswith("{") and '"event":"stream"' in line else None


_OF_CLIENTS = ("OPENAI_", "ANTHROPIC_", "GOOGLE_", "GEMINI_", "CO_", "OLLAMA_", "LANGCHAIN_", "LANGSMITH_")


def clean_environment() -> dict[str, str]:
    """The environment without what would send clients elsewhere: proxies, keys and addresses of real providers."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.lower().endswith("_proxy") and not name.startswith(_OF_CLIENTS)
    }
    return kept | {"AI_SDK_DISABLE_TELEMETRY": "1", "LANGSMITH_TRACING": "false"}
