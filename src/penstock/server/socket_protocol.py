"""uvicorn's WebSocket protocol with two differences: the application can cut the connection, and when the server ends
an answer that is under way still says its last words.
"""

from __future__ import annotations

from typing import Any

from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.http11 import Request

from penstock.server.websocket import ABORT, ASKED


class SocketProtocol(WebSocketsSansIOProtocol):
    """Offers ``scope["extensions"]["penstock.abort"]``."""

    def handle_connect(self, event: Request) -> None:
        super().handle_connect(event)
        scope: dict[str, Any] | None = getattr(self, "scope", None)
        if scope is not None:
            scope["extensions"][ABORT] = self.transport.abort

    def shutdown(self) -> None:
        scope: dict[str, Any] = getattr(self, "scope", {})
        # The streams were ended before; the server waits for the tasks that tell it.
        if not scope.get(ASKED) or self.disconnected:
            super().shutdown()
