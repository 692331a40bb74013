"""The metrics of several processes as one exposition: every sample says by its label ``worker`` whose it is."""

from __future__ import annotations

from collections.abc import Mapping


def merged(texts: Mapping[str, bytes]) -> bytes:
    """``texts`` are expositions by worker. A family's samples stand together, as the format wants it."""
    heads: dict[str, list[str]] = {}
    samples: dict[str, list[str]] = {}
    for worker, text in texts.items():
        family = ""
        for line in text.decode().splitlines():
            if line.startswith("#"):
                family = line.split(" ", 3)[2]
                head = heads.setdefault(family, [])
                if line not in head:
                    head.append(line)
            elif line:
                samples.setdefault(family, []).append(_labelled(line, worker))
    lines = [line for family, head in heads.items() for line in (*head, *samples.get(family, ()))]
    return "\n".join([*lines, ""]).encode()


def _labelled(sample: str, worker: str) -> str:
    """``name{a="b"} 1`` with one more label."""
    name, brace, rest = sample.partition("{")
    if brace and " " not in name:
        return f'{name}{{worker="{worker}",{rest}'
    name, _, value = sample.partition(" ")
    return f'{name}{{worker="{worker}"}} {value}'
