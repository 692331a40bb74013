"""uvicorn's WebSocket protocol with one addition: the application can cut the connection."""

from __future__ import annotations

from typing import Any

from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.http11 import Request

from penstock.server.websocket import ABORT


class SocketProtocol(WebSocketsSansIOProtocol):
    """Offers ``scope["extensions"]["penstock.abort"]``."""

    def handle_connect(self, event: Request) -> None:
        super().handle_connect(event)
        scope: dict[str, Any] | None = getattr(self, "scope", None)
        if scope is not None:
            scope["extensions"][ABORT] = self.transport.abort
