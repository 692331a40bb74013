"""What stands at the other end of a webhook, and settings that point at it."""

from __future__ import annotations

import http.server
import json
import threading
from pathlib import Path
from typing import Any, Self

from penstock.config.values import CaptureFiles, CaptureSinks, CaptureWebhook


class Collector:
    """A webhook. ``statuses`` are its next answers; when they are used up it answers 204. ``lines`` were taken."""

    def __init__(self, *statuses: int):
        self.statuses = list(statuses)
        self.requests: list[tuple[int, dict[str, str]]] = []
        self.lines: list[dict[str, Any]] = []
        self.news = threading.Condition()
        collector = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                with collector.news:
                    status = collector.statuses.pop(0) if collector.statuses else 204
                    collector.requests.append((status, {name.lower(): value for name, value in self.headers.items()}))
                    if status < 300:
                        collector.lines += [json.loads(line) for line in body.splitlines()]
                    collector.news.notify_all()
                self.send_response(status)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                """Say nothing."""

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02})

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}/in"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


def sinks(folder: Path, url: str | None = None, *, files: bool = True, **more: Any) -> CaptureSinks:
    """Files in ``folder/copies`` and a spool in ``folder/spool``."""
    return CaptureSinks(
        files=CaptureFiles(directory=str(folder / "copies")) if files else None,
        webhook=None if url is None else CaptureWebhook(url=url, spool=str(folder / "spool")),
        **more,
    )


def lines_of(directory: Path) -> list[dict[str, Any]]:
    """The copies in a directory, in order."""
    return [json.loads(line) for path in sorted(directory.glob("*.jsonl")) for line in path.read_text().splitlines()]
