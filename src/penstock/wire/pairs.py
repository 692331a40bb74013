"""Which client wires are served by providers of which wires, read off the wires themselves."""

from __future__ import annotations

from penstock.wire.base import clients_of
from penstock.wire.registry import CLIENT_WIRES, UPSTREAM_WIRES


def table() -> str:
    """A Markdown table, for docs/providers.md: rows are providers' wires, columns clients'."""
    names = [wire.name for wire in CLIENT_WIRES]
    lines = [
        "| provider's wire | " + " | ".join(f"`{name}`" for name in names) + " |",
        "| --- |" + " --- |" * len(names),
    ]
    for upstream in UPSTREAM_WIRES.values():
        cells = []
        for client in CLIENT_WIRES:
            if client.name in clients_of(upstream):
                cells.append("bytes")
            else:
                cells.append("translated" if client.translates else "–")
        lines.append(f"| `{upstream.name}` | " + " | ".join(cells) + " |")
    return "\n".join(lines)
