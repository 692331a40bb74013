"""What can go wrong, as values. Nothing here decides anything."""

from __future__ import annotations

import msgspec


class PenstockError(Exception):
    """Base of every error that Penstock raises on purpose."""


class BadRequest(PenstockError):
    """The client's request cannot be served as it stands.

    ``param`` names the offending field of the request body (JSON path without ``$.``), ``code`` is a stable word;
    ``headers`` are further ones of the answer.
    """

    def __init__(
        self,
        message: str,
        *,
        status: int = 400,
        code: str = "invalid_request",
        param: str | None = None,
        headers: tuple[tuple[bytes, bytes], ...] = (),
    ):
        super().__init__(message)
        self.message = message
        self.status = status
        self.code = code
        self.param = param
        self.headers = headers


class FrameTooLarge(PenstockError):
    """A frame grew over the configured cap before it ended. ``frames`` came whole before it, by the same feed."""

    def __init__(self, limit: int, frames: list[bytes] | None = None):
        super().__init__(f"a frame of the provider's stream is over {limit} bytes")
        self.limit = limit
        self.frames = frames or []


class CorruptFrame(PenstockError, ValueError):
    """Bytes of a provider's stream are no frame. ``frames`` came whole before them, by the same feed."""

    def __init__(self, what: str, frames: list[bytes] | None = None):
        super().__init__(f"a frame of the provider's stream is corrupt: {what}")
        self.frames = frames or []


class Fault(msgspec.Struct, frozen=True, gc=False):
    """An error as the client is told of it, before it takes the shape of a wire.

    ``code`` is the outcome's word, or the provider's own code when the provider spoke; ``status`` the HTTP status
    that the error has before the commit (also named in the frame after it, 0 = none); ``type`` follows the field's
    vocabulary (``server_error``, ``rate_limit_error``, …); ``fields`` is what else the provider said of its error.
    """

    message: str
    code: str
    type: str = "server_error"
    status: int = 502
    param: str | None = None
    outcome: str = ""
    fields: dict[str, object] | None = None
