"""A value in the file with its place, read as the type that its key asks for.

Every reader returns something usable even after a problem, so that one run finds all of them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import TypeVar

from penstock.config import document
from penstock.config.document import Node, Scalar, join
from penstock.config.problems import Problem, did_you_mean, quoted
from penstock.config.units import DURATION, SIZE, format_duration, format_size, parse_duration, parse_size
from penstock.config.variables import expand
from penstock.stages.own import Factory

MASK = "***"
NOT_YET = "not available in this version"

Word = TypeVar("Word", bound=str)


class Report:
    """What has been found so far, and the environment that values may refer to."""

    def __init__(self, source: str, env: Mapping[str, str], stages: Mapping[str, Factory] | None = None):
        self.source = source
        self.env = env
        self.stages = stages or {}
        """Users' own, by name."""
        self.problems: list[Problem] = []
        self.warnings: list[str] = []

    def problem(self, key: str, line: int, *, message: str = "", found: str = "", allowed: str = "") -> None:
        """Adds one problem; the words are those of ``Problem``."""
        self.problems.append(
            Problem(file=self.source, line=line, key=key, found=found, message=message, allowed=allowed)
        )

    def warn(self, key: str, message: str) -> None:
        """Adds what a user should know that is no error."""
        self.warnings.append(f"{key}: {message}")


class Field:
    """A node at a key. A ``secret`` one is never shown."""

    def __init__(self, node: Node, key: str, line: int, report: Report, *, secret: bool = False):
        self.node = node
        self.key = key
        self.line = line
        self.report = report
        self.secret = secret

    def fail(self, message: str = "", *, allowed: str = "", found: str | None = None) -> None:
        """Reports this value as wrong. ``found`` replaces the value's own display, and "" leaves it out."""
        self.report.problem(
            self.key, self.line, message=message, found=self.shown if found is None else found, allowed=allowed
        )

    @property
    def shown(self) -> str:
        """The value as a problem shows it."""
        if not isinstance(self.node, Scalar):
            return "a mapping" if isinstance(self.node, document.Mapping) else "a list"
        if self.null:
            return "null"
        return MASK if self.secret else quoted(expand(self.node.text, self.report.env).text)

    @property
    def null(self) -> bool:
        """Whether it is YAML's null, perhaps by way of a variable: unquoted, and empty, ``~`` or ``null``."""
        if not isinstance(self.node, Scalar) or not self.node.plain:
            return False
        return expand(self.node.text, self.report.env).text in ("", "~", "null", "Null", "NULL")

    def text(self, allowed: str = "text on one line") -> str | None:
        """The value with its variables filled in; None after a problem (null is one, for a text)."""
        if not isinstance(self.node, Scalar) or self.null:
            self.fail(allowed=allowed)
            return None
        expansion = expand(self.node.text, self.report.env)
        for name in expansion.missing:
            state = "is empty" if name in self.report.env else "is not set"
            message = f"the environment variable {name} {state}"
            allowed = "set it" if self.secret else f"set it, or write ${{{name}:-default}}"
            self.fail(message, found="", allowed=allowed)
        if expansion.broken:
            self.fail("a reference that cannot be read", allowed="${NAME} or ${NAME:-default}; $${ stands for ${")
        if expansion.missing or expansion.broken:
            return None
        if not expansion.text.isprintable():
            self.fail("a line break or a character that cannot be shown is in it", allowed=allowed)
            return None
        return expansion.text

    def items(self, allowed: str) -> list[Field]:
        """The elements of a list; null is an empty one."""
        if self.null:
            return []
        if not isinstance(self.node, document.Sequence):
            self.fail(allowed=allowed)
            return []
        return [
            Field(node, f"{self.key}[{i}]", node.line, self.report, secret=self.secret)
            for i, node in enumerate(self.node.items)
        ]

    def entries(self, allowed: str) -> list[tuple[str, Field]]:
        """The names and values of a mapping that the user names freely; null is an empty one."""
        if self.null:
            return []
        if not isinstance(self.node, document.Mapping):
            self.fail(allowed=allowed)
            return []
        return [
            (name, Field(node, join(self.key, name), line, self.report, secret=self.secret))
            for name, (line, node) in self.node.entries.items()
        ]

    def section(self, known: tuple[str, ...]) -> Section:
        """The mapping with the keys ``known``; empty when it is none."""
        return Section(self, known)


class Section:
    """A mapping with known keys. Unknown ones are reported at once."""

    def __init__(self, field: Field, known: tuple[str, ...]):
        self.place = field
        self.report = field.report
        self._known = known
        allowed = f"a mapping with {', '.join(known)}"
        self._fields = dict(field.entries(allowed))
        for name in [name for name in self._fields if name not in known]:
            self._unknown(name, self._fields.pop(name))

    def _unknown(self, name: str, field: Field) -> None:
        head, colon, _ = name.partition(":")
        if colon and head in self._known:
            # Inside {…}, "api_key:secret" is one long key: the value must not be shown.
            self.report.problem(join(self.place.key, head), field.line, message="a space is missing after its colon")
            return
        field.fail(f"unknown key{did_you_mean(name.lower(), self._known)}", found="", allowed=", ".join(self._known))

    def get(self, name: str, *, secret: bool = False) -> Field | None:
        """The value of a key, None when the key is absent."""
        field = self._fields.get(name)
        if field is not None:
            field.secret = secret
        return field

    def require(self, name: str, allowed: str, *, secret: bool = False) -> Field | None:
        """The value of a key that must be there; its absence is a problem."""
        field = self.get(name, secret=secret)
        if field is None and (self.place.null or isinstance(self.place.node, document.Mapping)):
            self.report.problem(join(self.place.key, name), self.place.line, message="missing", allowed=allowed)
        return field

    def section(self, name: str, known: tuple[str, ...]) -> Section:
        """The section below a key; empty when absent."""
        field = self.get(name) or self._absent(name)
        return field.section(known)

    def _absent(self, name: str) -> Field:
        return Field(document.Mapping(self.place.line, {}), join(self.place.key, name), self.place.line, self.report)

    def choice(self, name: str, base: Word, words: tuple[Word, ...], later: Iterable[str] = ()) -> Word:
        """One of ``words``; those of ``later`` are refused as not built yet. ``base`` when absent."""
        field = self.get(name)
        allowed = " or ".join(words)
        if field is None or (text := field.text(allowed)) is None:
            return base
        for word in words:
            if word == text:
                return word
        field.fail(NOT_YET if text in later else "", allowed=allowed)
        return base

    def flag(self, name: str, base: bool) -> bool:
        """True or false; the words of YAML 1.1 are understood too."""
        field = self.get(name)
        if field is None or (text := field.text("true or false")) is None:
            return base
        if text.lower() in ("true", "yes", "on"):
            return True
        if text.lower() not in ("false", "no", "off"):
            field.fail(allowed="true or false")
        return False

    def count(self, name: str, base: int, least: int, most: int) -> int:
        """A whole number between ``least`` and ``most``."""
        field = self.get(name)
        allowed = f"a whole number from {least} to {most}"
        if field is None or (text := field.text(allowed)) is None:
            return base
        if re.fullmatch(r"\d{1,12}", text, re.ASCII) and least <= int(text) <= most:
            return int(text)
        field.fail(allowed=allowed)
        return base

    def limit(self, name: str, base: int | None, most: int) -> int | None:
        """A whole number from 1 to ``most``, or None for null."""
        field = self.get(name)
        if field is None or field.null:
            return base if field is None else None
        return self.count(name, base or 1, 1, most)

    def number(self, name: str, base: float, most: int) -> float:
        """A number above 0 with three decimals at most, up to ``most``."""
        field = self.get(name)
        allowed = f"a number above 0, such as 3 or 0.5, up to {most}"
        if field is None or (text := field.text(allowed)) is None:
            return base
        if re.fullmatch(r"\d{1,9}(\.\d{1,3})?", text, re.ASCII) and 0 < float(text) <= most:
            return float(text)
        field.fail(allowed=allowed)
        return base

    def size(self, name: str, base: int, least: int = 1024, most: int = 64 * 1024**3) -> int:
        """Bytes."""
        field = self.get(name)
        if field is None or (text := field.text(SIZE)) is None:
            return base
        try:
            size = parse_size(text)
        except ValueError:
            field.fail(allowed=SIZE)
            return base
        if not least <= size <= most:
            field.fail(allowed=f"{format_size(least)} to {format_size(most)}")
        return size

    def duration(self, name: str, base: float, least: float = 0.001) -> float:
        """Seconds; null is a problem."""
        field = self.get(name)
        if field is not None and field.null:
            field.fail("cannot be switched off", allowed=DURATION)
            return base
        return base if field is None else self._seconds(field, base, least, "")

    def deadline(self, name: str, base: float | None, least: float = 0.001, also: str = ", or null") -> float | None:
        """Seconds, or None for null. ``also``: what else is allowed, as a problem says it."""
        field = self.get(name)
        if field is None:
            return base
        return None if field.null else self._seconds(field, 0.0, least, also)

    def _seconds(self, field: Field, base: float, least: float, also: str) -> float:
        if (text := field.text(DURATION + also)) is None:
            return base
        try:
            seconds = parse_duration(text)
        except ValueError as error:
            message = "" if str(error) == "not a duration" else str(error)
            field.fail(message, allowed=DURATION + also)
            return base
        if seconds < least:
            field.fail("too short", allowed=f"{format_duration(least)} or more{also}")
        return seconds
