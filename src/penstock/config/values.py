"""The effective configuration, as values. Times in seconds, sizes in bytes (interface.md §3)."""

from __future__ import annotations

from typing import Literal
from urllib.parse import urlsplit

import msgspec

from penstock.metering.charge import Billing
from penstock.metering.prices import Price
from penstock.policy.capture import Capture
from penstock.policy.choice import Balance
from penstock.policy.deadlines import Deadlines
from penstock.policy.delivery import Delivery
from penstock.policy.guards import Guards
from penstock.policy.hedge import HedgeAfter
from penstock.policy.limits import Limits
from penstock.policy.metadata import Metadata
from penstock.stages.moderate.policy import ModeratePolicy
from penstock.stages.own import OwnStage
from penstock.stages.redact.policy import RedactPolicy
from penstock.wire.prefill import Prefill, prefill_of


class Server(msgspec.Struct, frozen=True, kw_only=True):
    """The listening side."""

    host: str = "127.0.0.1"
    port: int = 8080
    workers: int = 1
    """Processes."""
    reuse_port: bool = False
    """Another gateway may listen on the same port: the next one, while this one drains."""
    drain: float = 30.0
    max_body: int = 32 * 1024 * 1024
    max_buffered: int = 256 * 1024 * 1024
    """Bytes that may wait for all clients of a process together."""


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
    fake_stream: bool = False
    """It is asked without streaming, and its answer is told as a stream."""
    max_streams: int | None = None
    """Attempts at once, over all routes; None: no limit."""
    prefill: Prefill | None = None
    """How it is given the beginning of an answer; None: by what is known of its wire, host and model."""

    def given_to(self, model: str) -> Prefill:
        """How one of its models is given that."""
        if self.prefill is not None:
            return self.prefill
        url = urlsplit(self.base_url)
        return prefill_of(self.wire, url.hostname or "", url.path, model)


class Target(msgspec.Struct, frozen=True):
    """``provider/model``; the model ``*`` passes the client's model name through."""

    provider: str
    model: str
    weight: float = 1.0
    """Its share, relative to the others of its rank."""
    tied: bool = False
    """It has the rank of the target before it; otherwise it is tried after that."""

    @property
    def name(self) -> str:
        """``provider/model``, as configured."""
        return f"{self.provider}/{self.model}"


class Route(msgspec.Struct, frozen=True, kw_only=True):
    """The model name that a client asks for, its ordered targets and its stream policy. ``*`` catches the rest."""

    name: str
    targets: tuple[Target, ...]
    balance: Balance = "least_loaded"
    """How targets of equal rank share the streams."""
    deadlines: Deadlines = Deadlines()
    delivery: Delivery = Delivery()
    health: bool = True
    """Targets that fail are left out for a while."""
    retries: int = 0
    """Further rounds over all targets."""
    fake_stream: bool = False
    """All its targets are asked without streaming."""
    tags: tuple[tuple[str, str], ...] = ()
    hedge: HedgeAfter | None = None
    mid_stream: Literal["fail", "continue"] = "fail"
    """What follows a failure after the first token."""
    guards: Guards = Guards()
    stages: tuple[RedactPolicy | ModeratePolicy | OwnStage, ...] = ()
    """What the text of its answers goes through, in order."""
    billing: Billing = Billing()
    metadata: Metadata = Metadata()
    capture: Capture | None = None
    """Whether copies are kept; None: none."""


class Journal(msgspec.Struct, frozen=True, kw_only=True):
    """Where delivered frames are kept for those who resume. ``url`` may hold a password."""

    url: str = "memory://"
    ttl: float = 600.0
    """Seconds after a stream's end; also how long a stream goes on that nobody follows."""
    per_stream: int = 8 * 1024 * 1024
    total: int = 256 * 1024 * 1024
    """Of all streams together, in this process."""
    keys: tuple[str, ...] = ()
    """Of Fernet, to encrypt what a store is given: the first writes, all read."""


class Key(msgspec.Struct, frozen=True, kw_only=True):
    """A client's key. ``models`` names routes; empty = all. An ``admin`` sees what is everybody's."""

    name: str
    key: str
    models: tuple[str, ...] = ()
    admin: bool = False
    """Sees and stops the streams of every key."""
    limits: Limits = Limits()
    billing: Billing | None = None
    """In place of that of the route."""


class Ledger(msgspec.Struct, frozen=True, kw_only=True):
    """Where rows are kept: ``sqlite:///file`` or ``postgresql://…``."""

    url: str = "sqlite:///penstock.db"
    spool: str = "penstock.db-spool"
    """The folder of the rows that are not in the database yet."""
    spool_size: int = 64 * 1024 * 1024
    """Bytes at which no stream is accepted any more."""
    abandoned: float = 900.0
    """Seconds without a sign of life after which a gateway elsewhere counts as dead."""


class SharedLimits(msgspec.Struct, frozen=True, kw_only=True):
    """Where gateways keep together what keys use. ``url`` may hold a password."""

    url: str


class OwnTokenizer(msgspec.Struct, frozen=True, kw_only=True):
    """A ``tokenizer.json`` for a model, or for those whose name begins so (``vllm/*``), as with prices."""

    model: str
    file: str
    sha256: str | None = None
    """What the file must be."""

    def fits(self, provider: str, model: str) -> bool:
        """It is that model's."""
        names = model, f"{provider}/{model}"
        if self.model.endswith("*"):
            return any(name.startswith(self.model[:-1]) for name in names)
        return self.model in names


class Metering(msgspec.Struct, frozen=True, kw_only=True):
    """Tokens are counted. ``drift``: how far a count may be from the report without a warning; 0.1 is a tenth."""

    drift: float = 0.1
    tokenizers: tuple[OwnTokenizer, ...] = ()
    """Of models that are counted by their own; the longest name that fits."""

    def tokenizer_of(self, provider: str, model: str) -> OwnTokenizer | None:
        """A model's own, if it has one."""
        fitting = [one for one in self.tokenizers if one.fits(provider, model)]
        return max(fitting, key=lambda one: (not one.model.endswith("*"), len(one.model)), default=None)


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


class CaptureDatabase(msgspec.Struct, frozen=True, kw_only=True):
    """Copies in a table of the ledger's database, which is at ``url``, by way of a spool on disk."""

    url: str
    spool: str
    max_spool: int = 1024**3
    keep: float | None = None
    """Seconds for which copies are kept. None: for ever."""


class CaptureSinks(msgspec.Struct, frozen=True, kw_only=True):
    """Where copies of streams go."""

    files: CaptureFiles | None = None
    webhook: CaptureWebhook | None = None
    database: CaptureDatabase | None = None
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
    limits: SharedLimits | None = None
    """None: each gateway keeps the limits of keys for itself."""
    ledger: Ledger | None = None
    """None: rows are only logged."""
    telemetry: Telemetry = Telemetry()
    journal: Journal | None = Journal()
    """None: streams cannot be resumed."""
    metering: Metering | None = None
    """None: nothing is counted."""
    prices: tuple[Price, ...] = ()
    """Before those that are shipped."""
    capture: CaptureSinks | None = None
    warnings: tuple[str, ...] = ()
