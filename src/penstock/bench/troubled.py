"""A gateway between a healthy provider and one that fails, as processes."""

from __future__ import annotations

import contextlib
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec

from penstock.bench.children import Child, free_ports


class Troubled(msgspec.Struct, frozen=True):
    """The processes."""

    healthy: Child
    failing: Child
    gateway: Child

    @property
    def children(self) -> tuple[Child, ...]:
        """All of them."""
        return self.healthy, self.failing, self.gateway


@contextlib.contextmanager
def troubled(routes: Mapping[str, Any]) -> Iterator[Troubled]:
    """Everything started and ready, with the providers ``healthy``, ``failing`` and ``gone`` (where nobody listens);
    at the end everything stopped, its files removed. Raises BenchError."""
    with tempfile.TemporaryDirectory(prefix="penstock-bench-") as name, contextlib.ExitStack() as stack:
        folder = Path(name)
        ports = dict(zip(("healthy", "failing", "gone", "gateway"), free_ports(4), strict=True))
        penstock = [sys.executable, "-m", "penstock"]

        def start(label: str, port: int, *arguments: str, log: Path) -> Child:
            child = Child(label, [*penstock, *arguments], port, log)
            stack.callback(child.stop)
            return child

        def sim(name: str) -> Child:
            port = ports[name]
            return start(
                f"the {name} provider", port, "sim", "--quiet", "--port", str(port), log=folder / f"{name}.err"
            )

        healthy, failing = sim("healthy"), sim("failing")
        settings = {
            "server": {"port": ports["gateway"]},
            "providers": {
                each: {"wire": "openai-chat", "base_url": f"http://127.0.0.1:{ports[each]}/v1"}
                for each in ("healthy", "failing", "gone")
            },
            "routes": dict(routes),
            "ledger": None,
            "telemetry": {"log": "json"},
        }
        config = folder / "penstock.yaml"
        config.write_bytes(msgspec.json.format(msgspec.json.encode(settings)) + b"\n")
        # The gateway logs a line a stream on stderr: a disk shall not come into it.
        gateway = start("the gateway", ports["gateway"], "serve", "-c", str(config), log=Path("/dev/null"))
        site = Troubled(healthy, failing, gateway)
        for child in site.children:
            child.wait_ready()
        yield site
