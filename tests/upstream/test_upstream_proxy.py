"""Proxies from the environment."""

import asyncio
import base64
import ssl
from pathlib import Path

import pytest
import trustme
from upstream_peers import Peer, Wire, answer, ask

from penstock.upstream.origin import Origin, endpoint
from penstock.upstream.pool import Pool
from penstock.upstream.proxy import Proxy, proxy_for


async def obedient(wire: Wire) -> None:
    while True:
        await wire.request()
        await wire.write(answer())


async def tunnelling(wire: Wire) -> None:
    """A proxy that connects where it is told to."""
    request = await wire.request()
    host, _, port = request.line.split(" ")[1].rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    await wire.write(b"HTTP/1.1 200 Connection established\r\nproxy-agent: test\r\n\r\n")

    async def copy(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        try:
            while data := await source.read(65536):
                sink.write(data)
                await sink.drain()
        except ConnectionError:
            pass
        sink.close()

    try:
        await asyncio.gather(copy(wire.reader, writer), copy(reader, wire.writer))
    finally:
        writer.transport.abort()


@pytest.fixture
def tls(tmp_path: Path) -> tuple[ssl.SSLContext, str]:
    """A server's context and the authority to trust."""
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    path = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(str(path))
    return context, str(path)


async def test_plain_http_goes_to_the_proxy_in_absolute_form(pool: Pool, monkeypatch: pytest.MonkeyPatch) -> None:
    async with Peer(obedient) as proxy:
        monkeypatch.setenv("HTTP_PROXY", f"http://user:p%40ss@127.0.0.1:{proxy.port}")
        for _ in range(2):
            ear, exchange = await ask(pool, endpoint("http://provider.example:8000/v1", "/chat/completions"))
            exchange.close(reuse=True)
            assert ear.clean
        assert proxy.connections == 1
        for request in proxy.requests:
            assert request.line == "POST http://provider.example:8000/v1/chat/completions HTTP/1.1"
            assert request.headers["host"] == "provider.example:8000"
            assert request.headers["proxy-authorization"] == "Basic " + base64.b64encode(b"user:p@ss").decode()


async def test_https_goes_through_a_tunnel_and_is_verified_at_its_end(
    pool: Pool, monkeypatch: pytest.MonkeyPatch, tls: tuple[ssl.SSLContext, str]
) -> None:
    context, ca = tls
    async with Peer(obedient, context) as peer, Peer(tunnelling) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", f"http://user:secret@127.0.0.1:{proxy.port}")
        for _ in range(2):
            ear, exchange = await ask(pool, peer.at("localhost", "https", ca))
            exchange.close(reuse=True)
            assert ear.clean
        assert proxy.connections == peer.connections == 1
        connect, request = proxy.requests[0], peer.requests[0]
        assert connect.line == f"CONNECT localhost:{peer.port} HTTP/1.1"
        assert connect.headers["proxy-authorization"] == "Basic " + base64.b64encode(b"user:secret").decode()
        assert request.line == "POST /v1/chat/completions HTTP/1.1"
        assert "proxy-authorization" not in request.headers
        ear, exchange = await ask(pool, peer.at("localhost", "https"), fresh=True)
        exchange.close(reuse=False)
        assert ear.message and "the certificate of localhost is not trusted" in ear.message


@pytest.mark.parametrize("status", ["403 Blocked by policy", "407 Proxy Authentication Required", "502 Bad Gateway"])
async def test_a_refused_tunnel_is_told_in_the_proxys_words(
    pool: Pool, monkeypatch: pytest.MonkeyPatch, status: str
) -> None:
    async def refusing(wire: Wire) -> None:
        await wire.request()
        await wire.write(f"HTTP/1.1 {status}\r\ncontent-length: 2\r\n\r\nno".encode())
        await wire.gone()

    async with Peer(refusing) as proxy:
        monkeypatch.setenv("https_proxy", f"http://user:secret@127.0.0.1:{proxy.port}")
        ear, exchange = await ask(pool, endpoint("https://provider.example", "/"))
        exchange.close(reuse=False)
        assert ear.message == f"provider.example:443: the proxy refused: HTTP/1.1 {status}"


NO_PROXY_AT_ALL = [b"", b"HTTP/1.1 200", b"SSH-2.0-x\r\n\r\n", b"HTTP/1.1 200 OK\r\n" + b"x: y\r\n" * 4000]


@pytest.mark.parametrize("words", NO_PROXY_AT_ALL)
async def test_a_proxy_that_is_none_is_a_failure_with_words(
    pool: Pool, monkeypatch: pytest.MonkeyPatch, words: bytes
) -> None:
    async def odd(wire: Wire) -> None:
        await wire.request()
        await wire.write(words)

    async with Peer(odd) as proxy:
        monkeypatch.setenv("https_proxy", f"http://127.0.0.1:{proxy.port}")
        ear, exchange = await ask(pool, endpoint("https://provider.example", "/"))
        exchange.close(reuse=False)
        assert ear.message and ear.message.startswith("provider.example:443: the proxy ")


async def test_a_proxy_that_is_not_there_is_named(pool: Pool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Or its refusal would be taken for the provider's."""
    async with Peer(obedient) as gone:
        port = gone.port
    for scheme in ("http", "https"):
        monkeypatch.setenv(f"{scheme}_proxy", f"http://user:secret@127.0.0.1:{port}")
        ear, exchange = await ask(pool, endpoint(f"{scheme}://provider.example", "/"))
        exchange.close(reuse=False)
        assert ear.message and f"the proxy 127.0.0.1:{port}" in ear.message and "secret" not in ear.message


async def test_no_proxy_is_honoured(pool: Pool, monkeypatch: pytest.MonkeyPatch) -> None:
    async with Peer(obedient) as peer, Peer(obedient) as proxy:
        monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{proxy.port}")
        monkeypatch.setenv("NO_PROXY", "localhost,.internal,127.0.0.1")
        ear, exchange = await ask(pool, peer.at())
        exchange.close(reuse=True)
        assert ear.clean and (peer.connections, proxy.connections) == (1, 0)


@pytest.mark.parametrize(
    ("environment", "origin", "expected"),
    [
        ({}, ("http", "a.example", 80), None),
        ({"HTTP_PROXY": "http://p:1"}, ("http", "a.example", 80), Proxy("p", 1)),
        ({"HTTP_PROXY": "http://p:1"}, ("https", "a.example", 443), None),
        ({"ALL_PROXY": "http://p:1"}, ("https", "a.example", 443), Proxy("p", 1)),
        ({"HTTP_PROXY": "http://p:1", "http_proxy": "http://q:2"}, ("http", "a.example", 80), Proxy("q", 2)),
        ({"HTTP_PROXY": "p:3128"}, ("http", "a.example", 80), Proxy("p", 3128)),
        ({"HTTP_PROXY": "http://p"}, ("http", "a.example", 80), Proxy("p", 80)),
        ({"HTTP_PROXY": "http://p:1", "NO_PROXY": "*"}, ("http", "a.example", 80), None),
        ({"HTTP_PROXY": "http://p:1", "NO_PROXY": ".example"}, ("http", "a.example", 80), None),
        ({"HTTP_PROXY": "http://p:1", "NO_PROXY": "example"}, ("http", "b.a.example", 80), None),
        ({"HTTP_PROXY": "http://p:1", "NO_PROXY": "a.example:81"}, ("http", "a.example", 80), Proxy("p", 1)),
        ({"HTTP_PROXY": "http://p:1", "NO_PROXY": "a.example:80"}, ("http", "a.example", 80), None),
        ({"HTTP_PROXY": "http://u@p:1"}, ("http", "a.example", 80), Proxy("p", 1, "Basic dTo=")),
    ],
)
def test_the_usual_rules_choose_the_proxy(
    monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], origin: tuple[str, str, int], expected: Proxy | None
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert proxy_for(Origin(*origin)) == expected


async def test_a_proxy_of_another_kind_is_refused_with_words(pool: Pool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALL_PROXY", "socks5://user:secret@127.0.0.1:1080")
    ear, exchange = await ask(pool, endpoint("http://provider.example", "/"))
    exchange.close(reuse=False)
    assert ear.message and "must be http://host:port, not socks5" in ear.message and "secret" not in ear.message
