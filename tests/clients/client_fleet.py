"""The clients: where each lives, how it is driven, and where it may differ from the others."""

import dataclasses
import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from client_scenarios import SCENARIOS, Scenario
from client_stage import CLIENT_KEY
from gateway_process import clean_environment

HERE = Path(__file__).parent
Report = dict[str, Any]
INSTALL = "run tools/install-test-clients"

_OPENAI = {
    "stream": "APIError",
    "server": "InternalServerError",
    "rate_limit": "RateLimitError",
    "auth": "AuthenticationError",
}
_AI_SDK = {"server": "AI_APICallError", "rate_limit": "AI_APICallError", "auth": "AI_APICallError"}


@dataclasses.dataclass(frozen=True)
class Client:
    """``modes``: ways of using it that are all tried; a ``helper`` only streams.

    ``kinds``: its name for each kind of error. ``without``: what it never shows, by its own design.
    """

    name: str
    driver: str
    environment: str
    modes: tuple[str, ...]
    kinds: dict[str, str]
    without: dict[str, frozenset[str]] = dataclasses.field(default_factory=dict)

    def lacks(self, mode: str, what: str) -> bool:
        return what in self.without.get(mode, self.without.get("*", ()))

    def jobs(self) -> list[tuple[str, Scenario]]:
        """Every way of using it with every scenario that it can play."""
        return [
            (mode, scenario) for mode in self.modes for scenario in SCENARIOS if scenario.stream or "helper" not in mode
        ]


_PYTHON_MODES = ("sync", "async", "helper", "helper-async")
# The helper raises on an answer that a content filter ended.
_PYTHON_WITHOUT = {mode: frozenset({"filtered answers"}) for mode in ("helper", "helper-async")}
CLIENTS = (
    Client("openai-python", "drive_openai.py", "", _PYTHON_MODES, _OPENAI, _PYTHON_WITHOUT),
    Client("openai-python-1", "drive_openai.py", "openai1", _PYTHON_MODES, _OPENAI, _PYTHON_WITHOUT),
    Client("langchain", "drive_langchain.py", "langchain", ("sync", "async"), _OPENAI, {"*": frozenset({"reasoning"})}),
    Client("openai-node", "openai.mjs", "node", ("6-iterate", "6-helper", "7-iterate", "7-helper"), _OPENAI),
    Client(
        "ai-sdk",
        "ai_sdk.mjs",
        "node",
        ("openai", "compatible"),
        _AI_SDK,
        # It asks for usage whatever the application does, knows reasoning on the Responses wire only, and makes an
        # HTTP error of an error frame that comes before any output.
        {"openai": frozenset({"reasoning", "choice of usage", "early error frames"})},
    ),
)


def seed_of(client: Client, mode: str, scenario: Scenario) -> int:
    """A number that no other job of the run has."""
    place = client.jobs().index((mode, scenario))
    return 1000 * (1 + CLIENTS.index(client)) + place


def run(client: Client, base_url: str, folder: Path, only: str | None = None) -> dict[tuple[str, str], Report]:
    """Do all jobs of a client, or those of one scenario, in one process; reports by mode and scenario."""
    jobs = [
        {
            "id": [mode, scenario.name],
            "mode": mode,
            "model": scenario.model(seed_of(client, mode, scenario)),
            "api_key": "not-the-key" if scenario.name == "wrong key" else CLIENT_KEY,
            "stream": scenario.stream,
            "usage": scenario.usage and scenario.stream,
            "tools": scenario.tools,
            "close_after": scenario.close_after,
        }
        for mode, scenario in client.jobs()
        if only in (None, scenario.name)
    ]
    return drive(_command(client, folder), base_url, jobs)


def drive(command: list[str], base_url: str, jobs: list[dict[str, Any]]) -> dict[tuple[str, str], Report]:
    """Give a driver its jobs, all at once; its reports by the two parts of a job's id."""
    done = subprocess.run(
        command,
        check=False,
        input=json.dumps({"base_url": base_url, "jobs": jobs}),
        capture_output=True,
        text=True,
        timeout=90,
        env=clean_environment(),
    )
    assert done.returncode == 0, f"{command[-1]} failed:\n{done.stderr[-4000:]}"
    reports = [json.loads(line) for line in done.stdout.split("\n") if line]
    return {(report["id"][0], report["id"][1]): report for report in reports}


def _command(client: Client, folder: Path) -> list[str]:
    if client.environment != "node":
        python = Path(sys.executable)
        if client.environment:
            lock = HERE / f"constraints-{client.environment}.txt"
            python = _installed(client.environment, lock) / "bin" / "python"
        return [str(python), str(HERE / "python" / client.driver)]
    return node_command(client.driver, folder)


def node_command(driver: str, folder: Path) -> list[str]:
    """Run a driver of Node's in a folder."""
    node = shutil.which("node")
    assert node, f"node is missing: install Node.js 20 or newer, then {INSTALL}"
    modules = _installed("node", HERE / "node" / "package-lock.json") / "node_modules"
    # Node looks for packages beside the module that imports them.
    for each in (HERE / "node").glob("*.mjs"):
        shutil.copy(each, folder)
    (folder / "node_modules").symlink_to(modules, target_is_directory=True)
    return [node, str(folder / driver)]


def _installed(name: str, lock: Path) -> Path:
    """The folder of an environment; see tools/install-test-clients, which names it the same way."""
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    cache = Path(os.environ.get("PENSTOCK_CACHE") or home / "penstock")
    folder = cache / f"clients-{name}-{hashlib.sha256(lock.read_bytes()).hexdigest()[:12]}"
    assert folder.is_dir(), f"{folder} is missing: {INSTALL}"
    return folder
