"""``providers:`` – the upstream endpoints."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

from penstock.config.credentials import CREDENTIALS, KEY, read_credentials
from penstock.config.reading import MASK, Field, Section
from penstock.config.values import Provider
from penstock.wire.prefill import TAKERS, WORDS, Prefill
from penstock.wire.registry import UPSTREAM_WIRES

WIRES = tuple(UPSTREAM_WIRES)
"""The wires that are built."""

KEYS = ("wire", "base_url", *CREDENTIALS, "headers", "ca", "max_idle", "max_streams", "prefill", "fake_stream")
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
NAME_ALLOWED = "letters, digits, dot, dash and underscore"

_BASE_URL = "an address such as https://api.openai.com/v1"
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_VISIBLE = re.compile(r"[\x21-\x7e]+")
_HEADER_VALUE = re.compile(r"[\x20-\x7e]*")
_OWN_HEADERS = frozenset({
    "accept", "accept-encoding", "connection", "content-encoding", "content-length", "content-type", "expect", "host",
    "keep-alive", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade",
})  # fmt: skip


def read_providers(field: Field) -> tuple[tuple[Provider, ...], frozenset[str]]:
    """The usable providers, and the names of all that were declared."""
    named = field.entries("a mapping of names to providers")
    # A value directly under a provider's name may be a misplaced credential.
    for _, one in named:
        one.secret = True
    return tuple(filter(None, (_provider(name, one) for name, one in named))), frozenset(name for name, _ in named)


def _provider(name: str, field: Field) -> Provider | None:
    if not NAME.fullmatch(name):
        field.fail("not usable as a provider's name", found="", allowed=NAME_ALLOWED)
    section = field.section(KEYS)
    wire = _wire(section)
    base_url = _base_url(section, wire)
    credentials = read_credentials(section, wire, base_url)
    signed = wire is not None and wire.startswith("bedrock-")
    headers = read_headers(section, with_key=signed or any(credentials.get(key) for key in KEY))
    ca = _optional_text(section.get("ca"), "the path of a PEM file")
    max_idle = section.count("max_idle", 64, 0, 10_000)
    places = section.limit("max_streams", None, 1_000_000)
    prefill = _prefill(section, wire)
    fake_stream = section.flag("fake_stream", False)
    if wire is None or base_url is None:
        return None
    return Provider(
        name=name,
        wire=wire,
        base_url=base_url,
        headers=headers,
        ca=ca,
        max_idle=max_idle,
        fake_stream=fake_stream,
        max_streams=places,
        prefill=prefill,
        **credentials,
    )


def _prefill(section: Section, wire: str | None) -> Prefill | None:
    """``auto`` is None: what is known of the provider decides."""
    words = WORDS if wire is None else TAKERS.get(wire, ("none",))
    word = section.choice("prefill", "auto", ("auto", *words))
    return next((known for known in words if known == word), None)


def _optional_text(field: Field | None, allowed: str) -> str | None:
    if field is None or field.null:
        return None
    text = field.text(allowed)
    if text == "":
        field.fail(allowed=allowed)
    return text


def _wire(section: Section) -> str | None:
    allowed = " or ".join(WIRES)
    field = section.require("wire", allowed)
    if field is None or (wire := field.text(allowed)) is None:
        return None
    if wire in WIRES:
        return wire
    field.fail(allowed=allowed)
    return None


def _base_url(section: Section, wire: str | None) -> str | None:
    """The address without its trailing slash. Credentials in it are refused, and never shown."""
    field = section.require("base_url", _BASE_URL)
    if field is None or (text := field.text(_BASE_URL)) is None:
        return None
    try:
        url = urlsplit(text)
        usable = url.scheme in ("http", "https") and bool(url.hostname) and url.port != 0 and url.netloc[-1] != ":"
    except ValueError:
        usable = False
    shown = MASK if "@" in text or "?" in text else None
    if not usable or not _VISIBLE.fullmatch(text):
        field.fail(allowed=_BASE_URL, found=shown)
        return None
    if "@" in url.netloc:
        field.fail("a credential does not belong in the address", found=shown, allowed=f"{_BASE_URL}, with api_key")
        return None
    if "?" in text or "#" in text:
        field.fail("a query or fragment cannot be kept", found=shown, allowed=_BASE_URL)
        return None
    path = url.path.rstrip("/")
    if (wire or "").startswith("bedrock-") and path.endswith(("/converse-stream", "/invoke-with-response-stream")):
        field.fail("the gateway adds the model's path itself", allowed="the bare host")
    if path.endswith("/chat/completions"):
        field.fail("the gateway adds /chat/completions itself", allowed=_BASE_URL)
    if wire == "gemini" and path.endswith(("/v1beta", "/v1")):
        field.fail(
            "the gateway adds the version itself", allowed="the bare host, https://generativelanguage.googleapis.com"
        )
    bare = wire is not None and (not wire.startswith("openai") or section.get("api_version") is not None)
    if not path and not bare:
        field.report.warn(field.key, "the address has no path; most providers of this wire want one that ends in /v1")
    return f"{url.scheme}://{url.netloc}{path}"


def read_headers(section: Section, *, with_key: bool) -> tuple[tuple[str, str], ...]:
    """Extra request headers, in order. Those that frame the message are the gateway's own."""
    field = section.get("headers", secret=True)
    headers: dict[str, tuple[str, str]] = {}
    for name, one in field.entries("a mapping of header names to values") if field else ():
        lower = name.lower()
        if not _TOKEN.fullmatch(name):
            one.fail("not usable as a header's name", found="", allowed="letters, digits and dashes")
        elif lower in _OWN_HEADERS:
            one.fail("the gateway sets this header itself", found="", allowed="other headers")
        elif lower == "authorization" and with_key:
            one.fail("api_key sets this header", found="", allowed="one of the two")
        elif lower in headers:
            one.fail("given twice, in different letters", found="", allowed="each header once")
        elif (value := one.text()) is not None:
            if not _HEADER_VALUE.fullmatch(value) or value != value.strip():
                one.fail(allowed="ASCII text without spaces around it")
            headers[lower] = (name, value)
    return tuple(headers.values())
