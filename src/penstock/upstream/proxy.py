"""Proxies from the environment, by the usual rules (``HTTPS_PROXY``, ``HTTP_PROXY``, ``ALL_PROXY``, ``NO_PROXY``)."""

from __future__ import annotations

import asyncio
import base64
import socket
import urllib.request
from urllib.parse import unquote, urlsplit

import msgspec

from penstock.upstream.origin import Origin


class Proxy(msgspec.Struct, frozen=True):
    """An HTTP proxy. ``authorization`` is the value of Proxy-Authorization, or None."""

    host: str
    port: int
    authorization: str | None = None


def proxy_for(origin: Origin) -> Proxy | None:
    """The proxy on the way to ``origin``, or None for a direct way. Raises ValueError for one that cannot be used."""
    proxies = urllib.request.getproxies_environment()
    url = proxies.get(origin.scheme) or proxies.get("all")
    if not url or urllib.request.proxy_bypass_environment(f"{origin.host}:{origin.port}", proxies):  # type: ignore[attr-defined]
        return None
    parts = urlsplit(url if "://" in url else f"http://{url}")
    if parts.scheme != "http" or not parts.hostname:
        raise ValueError(f"the proxy for {origin.scheme} must be http://host:port, not {parts.scheme}://…")
    authorization = None
    if parts.username is not None:
        credentials = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        authorization = "Basic " + base64.b64encode(credentials.encode()).decode()
    return Proxy(parts.hostname, parts.port or 80, authorization)


async def tunnel(sock: socket.socket, proxy: Proxy, origin: Origin) -> None:
    """CONNECT through ``proxy`` on its connected socket. Raises ConnectionError with the proxy's own words."""
    loop = asyncio.get_running_loop()
    host = f"[{origin.host}]" if ":" in origin.host else origin.host
    lines = [f"CONNECT {host}:{origin.port} HTTP/1.1", f"host: {host}:{origin.port}"]
    if proxy.authorization:
        lines.append(f"proxy-authorization: {proxy.authorization}")
    await loop.sock_sendall(sock, ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1"))
    answer = b""
    while b"\r\n\r\n" not in answer:
        # Byte by byte towards the end: what follows the blank line belongs to TLS.
        piece = await loop.sock_recv(sock, 1)
        if not piece or len(answer) > 16384:
            raise ConnectionError("the proxy closed the connection")
        answer += piece
    status_line = answer.split(b"\r\n", 1)[0].decode("latin-1")
    if status_line.split(" ")[1:2] != ["200"]:
        raise ConnectionError(f"the proxy refused: {status_line}")
