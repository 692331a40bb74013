"""Where each value of a shown configuration comes from, as comments: its line in the file, or in ``defaults``."""

from __future__ import annotations

import re
from collections.abc import Iterator

import yaml

from penstock.config.document import Mapping, Node, Scalar, parse

_VARIABLE = re.compile(r"(?<!\$)\$\{([A-Za-z_][A-Za-z0-9_]*)")


def with_origins(shown: str, text: str, source: str) -> str:
    """``shown``, as ``show`` makes it of the configuration that ``text`` holds, and behind each value its origin.

    ``source`` is the file's name. A value without an origin is Penstock's default. The result loads as ``shown`` does.
    """
    root, _ = parse(text, source)
    lines = shown.splitlines()
    for path, line in _places(yaml.compose(shown, yaml.SafeLoader), ()):
        origin = _origin(root, path)
        if origin:
            lines[line] += f"  # {origin}"
    head = f"# Behind each value: where it stands in {source}. Those without a line are Penstock's defaults.\n"
    return head + "".join(f"{line}\n" for line in lines)


def _places(node: yaml.Node | None, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], int]]:
    """Each value with the index of the line that may take its comment. Lists have one for all of their items."""
    if not isinstance(node, yaml.MappingNode):
        return
    for key, value in node.value:
        below = (*path, key.value)
        if isinstance(value, yaml.MappingNode) and value.value:
            yield from _places(value, below)
        elif isinstance(value, yaml.SequenceNode) and value.value:
            yield below, key.end_mark.line
        else:
            yield below, value.end_mark.line


def _origin(root: Node | None, path: tuple[str, ...]) -> str:
    """In words; "" for a default."""
    found, said = _find(root, path), ""
    if found is None and path[0] == "routes":
        found, said = _find(root, ("defaults", *path[2:])), "defaults, "
    if found is None:
        return ""
    line, node = found
    names = dict.fromkeys(_variables(node))
    return f"{said}line {line}" + "".join(f", ${{{name}}}" for name in names)


def _find(node: Node | None, path: tuple[str, ...]) -> tuple[int, Node] | None:
    """The key's line and its value; of a short form that stands for a mapping (``between_tokens: auto``), its own."""
    found = None
    for name in path:
        if not isinstance(node, Mapping):
            # A section without anything in it says nothing of what it could hold.
            return None if isinstance(node, Scalar) and node.plain and node.text in _NOTHING else found
        entry = node.entries.get(name)
        if entry is None:
            return None
        found, node = entry, entry[1]
    return found


_NOTHING = ("", "~", "null", "Null", "NULL")


def _variables(node: Node) -> Iterator[str]:
    if isinstance(node, Scalar):
        yield from _VARIABLE.findall(node.text)
    else:
        inner = [value for _, value in node.entries.values()] if isinstance(node, Mapping) else node.items
        for item in inner:
            yield from _variables(item)
