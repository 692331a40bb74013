"""Where a provider is, and how a request to it looks."""

from __future__ import annotations

from urllib.parse import urlsplit

import msgspec


class Origin(msgspec.Struct, frozen=True):
    """An endpoint whose connections may be shared. ``ca`` is a PEM file, None = the system's roots."""

    scheme: str
    host: str
    port: int
    ca: str | None = None

    @property
    def authority(self) -> str:
        """The Host header."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == (443 if self.scheme == "https" else 80) else f"{host}:{self.port}"


class Endpoint(msgspec.Struct, frozen=True):
    """An origin, a path on it, and how it is asked."""

    origin: Origin
    path: str
    method: str = "POST"


def endpoint(base_url: str, path: str, ca: str | None = None) -> Endpoint:
    """``base_url`` and ``path`` joined, e.g. ``https://api.openai.com/v1`` and ``/chat/completions``."""
    parts = urlsplit(base_url)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    return Endpoint(Origin(parts.scheme, parts.hostname or "", port, ca), parts.path.rstrip("/") + path)


def request_bytes(
    target: str, authority: str, headers: list[tuple[str, str]], body: bytes, method: str = "POST"
) -> bytes:
    """A request in wire form. ``target`` is a path, or a whole URL on the way to a plain proxy.

    Identity is all that is accepted: a compressed stream arrives in blocks, not in tokens.
    """
    lines = [f"{method} {target} HTTP/1.1", f"host: {authority}", "accept-encoding: identity"]
    lines += [f"{name}: {value}" for name, value in headers]
    if body or method == "POST":
        lines.append(f"content-length: {len(body)}")
    lines += ["", ""]
    return "\r\n".join(lines).encode("latin-1") + body
