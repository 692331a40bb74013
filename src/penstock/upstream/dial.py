"""Makes connections: names, happy eyeballs, proxies, TLS."""

from __future__ import annotations

import asyncio
import os
import socket
import ssl

import aiohappyeyeballs

from penstock.upstream import proxy, tls
from penstock.upstream.connection import Connection
from penstock.upstream.origin import Origin

RECEIVE_BUFFER = 56 * 1024
"""Bytes that the kernel may take from a provider before the gateway reads them (Linux doubles it): part of what a
stalled client costs. One read stays under the size from which malloc asks the system: what it took goes back whole."""


class DialError(ConnectionError):
    """No connection. The message is for people and names no credential."""


async def dial(origin: Origin) -> Connection:
    """A fresh connection to ``origin``. Raises DialError."""
    via = ""
    try:
        way = proxy.proxy_for(origin)
        host, port = (way.host, way.port) if way else (origin.host, origin.port)
        via = f"the proxy {host}:{port}: " if way else ""
        sock = await _connect(host, port)
        via = ""
        try:
            if way and origin.scheme == "https":
                await proxy.tunnel(sock, way, origin)
            context = tls.context(origin.ca) if origin.scheme == "https" else None
            loop = asyncio.get_running_loop()
            _, connection = await loop.create_connection(
                Connection, sock=sock, ssl=context, server_hostname=origin.host if context else None
            )
        except BaseException:
            sock.close()
            raise
    except DialError:
        raise
    except ssl.SSLCertVerificationError as error:
        raise DialError(f"the certificate of {origin.host} is not trusted: {error.verify_message}") from error
    except ssl.SSLError as error:
        raise DialError(f"TLS with {origin.host} failed: {error.reason or error}") from error
    except (OSError, ValueError, RuntimeError) as error:
        raise DialError(f"{origin.host}:{origin.port}: {via}{_words(error)}") from error
    connection.proxy = way if origin.scheme == "http" else None
    return connection


async def _connect(host: str, port: int) -> socket.socket:
    loop = asyncio.get_running_loop()
    addresses = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    sock = await aiohappyeyeballs.start_connection(
        addresses, happy_eyeballs_delay=0.25, interleave=1, loop=loop, socket_factory=_socket
    )
    return sock


def _socket(address: tuple[int, int, int, str, object]) -> socket.socket:
    family, kind, protocol, _, _ = address
    sock = socket.socket(family, kind, protocol)
    # Before the connection, or the window scale is settled without it.
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return sock


def _words(error: BaseException) -> str:
    if isinstance(error, socket.gaierror):
        again = error.errno == socket.EAI_AGAIN
        return "its name could not be looked up; the name servers do not answer" if again else "no such host"
    if isinstance(error, OSError) and error.errno and not isinstance(error, ssl.SSLError):
        # The text of the error may be that of several addresses, and is another one on every event loop.
        return os.strerror(error.errno).lower()
    return str(error) or type(error).__name__
