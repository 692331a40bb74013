"""YAML text to a tree that knows its lines. Scalars stay text: the type of a key decides what they mean.

That keeps YAML 1.1's surprises out: ``off`` is a word, ``1:30`` is no number, ``1e3`` is no float.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import yaml
from yaml.composer import Composer
from yaml.parser import Parser
from yaml.reader import Reader, ReaderError
from yaml.resolver import BaseResolver
from yaml.scanner import Scanner

from penstock.config.problems import Problem, quoted
from penstock.config.variables import hide

_DEEP = "nested too deeply, or refers to itself"


class Scalar(msgspec.Struct, frozen=True):
    """Text as it stands in the file, references unresolved. ``plain``: written without quotes."""

    line: int
    text: str
    plain: bool = True


class Sequence(msgspec.Struct, frozen=True):
    """A list."""

    line: int
    items: tuple[Node, ...]


class Mapping(msgspec.Struct, frozen=True):
    """Keys with the line of each key; merge keys are resolved."""

    line: int
    entries: dict[str, tuple[int, Node]]


Node = Scalar | Sequence | Mapping


class _Loader(Reader, Scanner, Parser, Composer, BaseResolver):
    """PyYAML up to nodes, without implicit types and without constructors."""

    def __init__(self, text: str):
        Reader.__init__(self, text)
        Scanner.__init__(self)
        Parser.__init__(self)
        Composer.__init__(self)
        BaseResolver.__init__(self)


def parse(text: str, source: str) -> tuple[Node | None, list[Problem]]:
    """The document's root (None: empty, or no YAML) and what is wrong with it as YAML."""
    try:
        hidden, restore = hide(text)
        root = _Loader(hidden).get_single_node()
        tree = _Tree(source, restore)
        return (None if root is None else tree.convert(root, "")), tree.problems
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        return None, [Problem(file=source, line=mark.line + 1 if mark else 0, message=f"not YAML: {_reason(error)}")]
    except ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        return None, [Problem(file=source, line=line, message="not YAML: a character that no text file may hold")]
    except RecursionError:
        return None, [Problem(file=source, line=0, message=f"not usable: {_DEEP}")]
    except (ValueError, OverflowError):
        # PyYAML lets these through for escapes beyond Unicode, such as "\UFFFFFFFF".
        return None, [Problem(file=source, line=0, message="not YAML: a character or number that does not exist")]


def _reason(error: yaml.MarkedYAMLError) -> str:
    """PyYAML's words without names from the file: an unquoted credential may begin with ``*`` or ``&``."""
    said = f"{error.context or ''} {error.problem or ''}"
    if "undefined alias" in said:
        return "an alias without an anchor; put text that begins with * in quotes"
    if "duplicate anchor" in said:
        return "an anchor is defined twice; put text that begins with & in quotes"
    if "tag" in said or "directive" in said:
        return "a tag or directive that has no meaning; put text that begins with ! or % in quotes"
    reason = error.problem or error.context or "it cannot be read"
    return reason if reason.isprintable() else quoted(reason)


class _Tree:
    """Converts PyYAML's nodes, each once however often it is aliased, so that nested aliases cannot explode."""

    def __init__(self, source: str, restore: Callable[[str], str]):
        self.problems: list[Problem] = []
        self._source = source
        self._restore = restore
        self._done: dict[int, Node | None] = {}

    def convert(self, node: Any, key: str) -> Node:
        """``key`` is the dotted path for problems. Raises RecursionError for a node inside itself."""
        if id(node) in self._done:
            known = self._done[id(node)]
            if known is None:
                raise RecursionError
            return known
        self._done[id(node)] = None
        if node.tag not in ("tag:yaml.org,2002:str", "tag:yaml.org,2002:seq", "tag:yaml.org,2002:map"):
            self._problem(node, key, "a YAML tag has no meaning here; put text that begins with ! in quotes")
        result: Node
        if isinstance(node, yaml.MappingNode):
            result = self._mapping(node, key)
        elif isinstance(node, yaml.SequenceNode):
            items = tuple(self.convert(item, f"{key}[{i}]") for i, item in enumerate(node.value))
            result = Sequence(node.start_mark.line + 1, items)
        else:
            result = Scalar(node.start_mark.line + 1, self._restore(node.value), node.style is None)
        self._done[id(node)] = result
        return result

    def _mapping(self, node: yaml.MappingNode, key: str) -> Mapping:
        entries: dict[str, tuple[int, Node]] = {}
        merged: dict[str, tuple[int, Node]] = {}
        for name_node, value in node.value:
            line = name_node.start_mark.line + 1
            if not isinstance(name_node, yaml.ScalarNode):
                self._problem(name_node, key, "a key must be text")
                continue
            name = self._restore(name_node.value)
            path = join(key, name)
            if name == "<<" and name_node.style is None:
                self._merge(self.convert(value, path), path, merged)
            elif name in entries:
                self._problem(name_node, path, f"given twice, first in line {entries[name][0]}")
            else:
                entries[name] = (line, self.convert(value, path))
        return Mapping(node.start_mark.line + 1, {**merged, **entries})

    def _merge(self, value: Node, key: str, into: dict[str, tuple[int, Node]]) -> None:
        for source in value.items if isinstance(value, Sequence) else (value,):
            if not isinstance(source, Mapping):
                problem = Problem(file=self._source, line=source.line, key=key, allowed="mappings, such as *anchor")
                self.problems.append(problem)
                continue
            for name, entry in source.entries.items():
                into.setdefault(name, entry)

    def _problem(self, node: Any, key: str, message: str) -> None:
        self.problems.append(Problem(file=self._source, line=node.start_mark.line + 1, key=key, message=message))


def join(key: str, name: str) -> str:
    """The dotted path of ``name`` below ``key``."""
    if not name or not name.isprintable() or " " in name or len(name) > 80:
        name = quoted(name)
    return f"{key}.{name}" if key else name
