"""Listening sockets."""

from __future__ import annotations

import contextlib
import socket

from penstock.config.values import Server

SEND_BUFFER = 128 * 1024
"""Bytes that the kernel may hold for a client: part of what a client that reads nothing costs."""
BACKLOG = 2048


def listen(host: str, port: int, *, share: bool = False) -> socket.socket:
    """A listening socket; ``share``: others that also share may listen there too. Raises OSError."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if share:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        # Accepted sockets inherit it.
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER)
        sock.bind((host, port))
        sock.listen(BACKLOG)
        sock.setblocking(False)
    except BaseException:
        sock.close()
        raise
    return sock


def listen_for_all(server: Server) -> list[socket.socket]:
    """A listening socket for each worker, all at one port. Raises OSError."""
    if server.workers == 1:
        return [listen(server.host, server.port, share=server.reuse_port)]
    port = server.port
    if not server.reuse_port:
        # Is the port free? Sockets that share it would not say.
        with contextlib.closing(listen(server.host, port)) as alone:
            port = alone.getsockname()[1]
    first = listen(server.host, port, share=True)
    port = first.getsockname()[1]
    return [first, *(listen(server.host, port, share=True) for _ in range(1, server.workers))]
