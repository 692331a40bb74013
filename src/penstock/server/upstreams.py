"""Providers, ready to be asked: addresses, headers, credentials."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

import msgspec

from penstock import __version__
from penstock.config.values import Provider
from penstock.ports import Exchange, Listener
from penstock.request import StreamRequest
from penstock.stream.inputs import Headers
from penstock.upstream import keys
from penstock.upstream.admitted import AdmittedExchange
from penstock.upstream.authority import Authority, Fields, Secrets
from penstock.upstream.origin import Endpoint, endpoint
from penstock.upstream.pool import Pool
from penstock.upstream.renewing import Renewing
from penstock.upstream.signing import AwsChain, AwsKeys, Signer
from penstock.wire import azure, unstreamed
from penstock.wire.base import UpstreamWire
from penstock.wire.bedrock_wires import region_of
from penstock.wire.registry import UPSTREAM_WIRES

_TRACING = frozenset({b"traceparent", b"tracestate", b"baggage", b"x-request-id"})
_CREDENTIAL = re.compile("auth|key|token|secret|cookie", re.IGNORECASE)


class Upstream(msgspec.Struct, frozen=True):
    """A provider. ``secrets`` must never reach a client."""

    provider: Provider
    wire: UpstreamWire
    host: str
    authority: Authority[Any]
    secrets: Secrets

    def endpoint(self, request: StreamRequest, model: str, *, whole: bool) -> Endpoint:
        """Where a request goes; ``whole``: that asks for no stream."""
        path = self.wire.path(request, model)
        return self.at(unstreamed.path(path) if whole else path, model)

    def at(self, path: str, model: str, *, method: str = "POST") -> Endpoint:
        """Where a path of the wire is."""
        provider = self.provider
        at = endpoint(provider.base_url, path, provider.ca)
        if provider.api_version is not None:
            base = endpoint(provider.base_url, "").path
            full = azure.path_of(provider.wire, base, path, model, provider.api_version)
            at = msgspec.structs.replace(at, path=full)
        return at if method == at.method else msgspec.structs.replace(at, method=method)

    def headers(self, request: StreamRequest, client: Headers, *, same_wire: bool, whole: bool) -> Fields:
        """All headers but those of the connection and of the credential; the configured ones win."""
        fields = [("user-agent", f"penstock/{__version__}"), *self.wire.headers(request)]
        if whole:
            fields = unstreamed.headers(fields)
        passed = _TRACING | self.wire.passed_headers if same_wire else _TRACING
        fields += [(name.decode(), value.decode("latin-1")) for name, value in client if name in passed]
        merged = {name.lower(): value for name, value in fields}
        merged |= {name.lower(): value for name, value in self.provider.headers}
        return list(merged.items())

    def open(
        self, pool: Pool, at: Endpoint, headers: Fields, body: bytes, listener: Listener, *, fresh: bool
    ) -> Exchange:
        """Send a request, when the credential is there."""
        authority = self.authority

        def send(credential: Any, listener: Listener) -> Exchange:
            return pool.open(at, authority.sign(credential, at, headers, body), body, listener, fresh=fresh)

        if not authority.renews:
            return send(authority.at_hand(), listener)
        exchange = AdmittedExchange(authority, send, listener)
        exchange.start()
        return exchange


def upstream(provider: Provider) -> Upstream:
    """The provider of a configuration. Raises CredentialError where it cannot be asked as things are."""
    wire = UPSTREAM_WIRES[provider.wire]
    host = urlsplit(provider.base_url).hostname or ""
    secrets = Secrets(*_configured_secrets(provider))
    return Upstream(provider, wire, host, _authority(provider, wire, host, secrets), secrets)


def _configured_secrets(provider: Provider) -> list[bytes]:
    values = [provider.api_key or ""]
    for name, value in provider.headers:
        if _CREDENTIAL.search(name):
            # Of "Bearer x" the x.
            values.append(value.rpartition(" ")[2])
    return [value.encode() for value in values]


def _authority(provider: Provider, wire: UpstreamWire, host: str, secrets: Secrets) -> Authority[Any]:
    name = provider.name
    carry = _carrier(provider, wire)
    if provider.api_key_command:
        command, ttl = provider.api_key_command, provider.api_key_ttl
        renewing = Renewing(f"api_key_command of the provider {name}", lambda _: keys.from_command(name, command, ttl))
    elif provider.api_key_file:
        path = provider.api_key_file
        renewing = Renewing(f"api_key_file of the provider {name}", lambda _: keys.from_file(name, path))
    elif provider.wire.startswith("bedrock-") and not provider.api_key:
        return _aws(provider, host, secrets)
    else:
        return Authority(carry, fixed=provider.api_key or "")
    renewing.on_value = lambda key: secrets.add(key.encode())
    return Authority(carry, renewing=renewing)


def _carrier(provider: Provider, wire: UpstreamWire) -> Callable[[str, Endpoint, Fields, bytes], Fields]:
    """Puts a key where the provider looks for it. Configured headers of the same name stay."""
    credentials = wire.credentials if provider.api_version is None else azure.credentials

    def carry(key: str, at: Endpoint, headers: Fields, body: bytes) -> Fields:
        if not key:
            return headers
        names = {name for name, _ in headers}
        return [*headers, *(field for field in credentials(key) if field[0] not in names)]

    return carry


def _aws(provider: Provider, host: str, secrets: Secrets) -> Authority[AwsKeys]:
    signer = Signer(provider.region or region_of(host) or "")
    if provider.aws_access_key_id and provider.aws_secret_access_key:
        fixed = AwsKeys(provider.aws_access_key_id, provider.aws_secret_access_key, provider.aws_session_token)
        secrets.add(*fixed.secrets)
        return Authority(signer.sign, fixed=fixed)
    renewing = Renewing(f"the AWS credentials of the provider {provider.name}", AwsChain(provider.name).fetch)
    renewing.on_value = lambda found: secrets.add(*found.secrets)
    return Authority(signer.sign, renewing=renewing)
