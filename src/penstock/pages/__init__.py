"""Pages for browsers, each one file without a build step."""

from __future__ import annotations

from importlib.resources import files


def page(name: str) -> bytes:
    """A page by its name, such as ``redaction``."""
    return files(__name__).joinpath(f"{name}.html").read_bytes()
