"""The effective configuration, as values. Times in seconds, sizes in bytes (interface.md §3)."""

from __future__ import annotations

from typing import Literal

import msgspec

from penstock.policy.capture import Capture
from penstock.policy.deadlines import Deadlines
from penstock.policy.delivery import Delivery
from penstock.policy.guards import Guards
from penstock.policy.hedge import HedgeAfter
from penstock.policy.metadata import Metadata
from penstock.stages.moderate.policy import ModeratePolicy
from penstock.stages.own import OwnStage
from penstock.stages.redact.policy import RedactPolicy


class Server(msgspec.Struct, frozen=True, kw_only=True):
    """The listening side."""

    host: str = "127.0.0.1"
    port: int = 8080
    drain: float = 30.0
    max_body: int = 32 * 1024 * 1024


class Provider(msgspec.Struct, frozen=True, kw_only=True):
    """An upstream endpoint: a wire, a base URL, credentials."""

    name: str
    wire: str
    base_url: str
    api_key: str | None = None
    api_key_command: tuple[str, ...] = ()
    """A program and its arguments that print the key."""
    api_key_ttl: float | None = None
    """Seconds that a printed key serves; None: as long as it says itself, else five minutes."""
    api_key_file: str | None = None
    """A file that holds the key."""
    api_version: str | None = None
    """Of Azure OpenAI, whose way of addressing it stands for."""
    region: str | None = None
    """Of AWS, where it is not in the base URL."""
    aws_access_key_id: str | None = None
    aws_secret_access_key: str | None = None
    aws_session_token: str | None = None
    headers: tuple[tuple[str, str], ...] = ()
    """Extra request headers."""
    ca: str | None = None
    """A PEM file with the authorities to trust instead of the system's."""
    max_idle: int = 64
    """Kept-alive connections."""


class Target(msgspec.Struct, frozen=True):
    """``provider/model``; the model ``*`` passes the client's model name through."""

    provider: str
    model: str


class Route(msgspec.Struct, frozen=True, kw_only=True):
    """The model name that a client asks for, its ordered targets and its stream policy. ``*`` catches the rest."""

    name: str
    targets: tuple[Target, ...]
    deadlines: Deadlines = Deadlines()
    delivery: Delivery = Delivery()
    health: bool = True
    """Targets that fail are left out for a while."""
    retries: int = 0
    """Further rounds over all targets."""
    tags: tuple[tuple[str, str], ...] = ()
    hedge: HedgeAfter | None = None
    guards: Guards = Guards()
    stages: tuple[RedactPolicy | ModeratePolicy | OwnStage, ...] = ()
    """What the text of its answers goes through, in order."""
    metadata: Metadata = Metadata()
    capture: Capture | None = None
    """Whether copies are kept; None: none."""


class Key(msgspec.Struct, frozen=True, kw_only=True):
    """A client's key. ``models`` names routes; empty = all."""

    name: str
    key: str
    models: tuple[str, ...] = ()


class Telemetry(msgspec.Struct, frozen=True, kw_only=True):
    """What the gateway tells about itself."""

    prometheus: bool = True
    log: Literal["json", "console"] = "json"


class CaptureFiles(msgspec.Struct, frozen=True, kw_only=True):
    """Copies as JSON lines in files of a directory."""

    directory: str
    rotate_size: int = 64 * 1024 * 1024
    rotate_age: float = 3600.0
    keep: int | None = None
    """Files that are kept; the oldest go. None: all."""


class CaptureWebhook(msgspec.Struct, frozen=True, kw_only=True):
    """Copies posted to an address, by way of a spool on disk."""

    url: str
    spool: str
    headers: tuple[tuple[str, str], ...] = ()
    timeout: float = 10.0
    max_spool: int = 1024**3


class CaptureSinks(msgspec.Struct, frozen=True, kw_only=True):
    """Where copies of streams go."""

    files: CaptureFiles | None = None
    webhook: CaptureWebhook | None = None
    key: str | None = None
    """Encrypts copies of what was not redacted."""
    max_copy: int = 4 * 1024 * 1024
    """Bytes of an answer's frames that a copy holds."""
    memory: int = 64 * 1024 * 1024
    """Bytes of copies that may wait to be written."""


class Config(msgspec.Struct, frozen=True, kw_only=True):
    """Everything. ``warnings`` are what a user should know that is no error."""

    server: Server = Server()
    providers: tuple[Provider, ...] = ()
    routes: tuple[Route, ...] = ()
    keys: tuple[Key, ...] = ()
    telemetry: Telemetry = Telemetry()
    capture: CaptureSinks | None = None
    warnings: tuple[str, ...] = ()
