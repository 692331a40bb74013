"""``${NAME}`` and ``${NAME:-default}`` inside values; ``$${`` stands for ``${`` itself."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

import msgspec

_NAME = r"[A-Za-z_][A-Za-z0-9_]*"
_REFERENCE = re.compile(
    rf"\$(?:(?P<escaped>\$\{{)|\{{(?P<name>{_NAME})(?::-(?P<default>[^{{}}\n]*))?\}}|(?P<broken>\{{))"
)
_HIDDEN = re.compile(rf"\$?\$\{{(?:{_NAME}:-[^{{}}\n]*|[^{{}}\n\"'#]*)\}}")
_PRIVATE_USE = range(0xE000, 0xF900)


def hide(text: str) -> tuple[str, Callable[[str], str]]:
    """``text`` with every reference replaced by a token that YAML takes for letters, and the way back.

    A brace ends a plain scalar inside ``{…}``, so without this ``{api_key: ${KEY}}`` would be no YAML. Lines stay as
    they are. Raises ValueError when no character is left for the token.
    """
    mark = next((c for c in map(chr, _PRIVATE_USE) if c not in text), None)
    if mark is None:
        raise ValueError("no character is free")
    originals: list[str] = []

    def token(match: re.Match[str]) -> str:
        originals.append(match[0])
        return f"{mark}{len(originals) - 1}{mark}"

    hidden = _HIDDEN.sub(token, text)

    def restore(piece: str) -> str:
        return re.sub(f"{mark}([0-9]+){mark}", lambda match: originals[int(match[1])], piece)

    return hidden, restore


class Expansion(msgspec.Struct, frozen=True):
    """A value after substitution. ``missing``: the variables without a value; ``broken``: a ``${`` is malformed."""

    text: str
    missing: tuple[str, ...] = ()
    broken: bool = False


def expand(text: str, env: Mapping[str, str]) -> Expansion:
    """Substitutes from ``env``. A variable that is set but empty counts as missing, as with the shell's ``:-``."""
    if "${" not in text:
        return Expansion(text)
    missing: list[str] = []
    broken = False

    def value(match: re.Match[str]) -> str:
        nonlocal broken
        if match["escaped"]:
            return "${"
        if match["broken"]:
            broken = True
            return match[0]
        found = env.get(match["name"]) or match["default"]
        if found is None:
            missing.append(match["name"])
            return match[0]
        return found

    return Expansion(_REFERENCE.sub(value, text), tuple(dict.fromkeys(missing)), broken)


def escape(text: str) -> str:
    """``text`` as a value that ``expand`` gives back unchanged."""
    return text.replace("${", "$${")
