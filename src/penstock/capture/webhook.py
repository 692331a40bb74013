"""A webhook that takes copies: lines of JSON, as the body of a POST."""

from __future__ import annotations

import logging
import urllib.error
import urllib.request
from email.message import Message
from http.client import HTTPException
from typing import IO

from penstock.capture.sender import Undelivered
from penstock.config.values import CaptureWebhook

logger = logging.getLogger("penstock.capture")
REFUSED = frozenset({400, 413, 415, 422})
"""Answers that say of the lines themselves that they will never be taken."""


class Webhook:
    """See `sender.Receiver`."""

    tidies: float | None = None

    def __init__(self, settings: CaptureWebhook):
        self._settings = settings
        self._opener = urllib.request.build_opener(_NoRedirects)

    def deliver(self, lines: list[bytes]) -> bool:
        """See `sender.Receiver`."""
        headers = {"content-type": "application/x-ndjson", **dict(self._settings.headers)}
        request = urllib.request.Request(self._settings.url, data=b"".join(lines), headers=headers, method="POST")
        try:
            with self._opener.open(request, timeout=self._settings.timeout) as answer:
                answer.read(1024)
                return True
        except urllib.error.HTTPError as error:
            with error:
                if error.code in REFUSED:
                    logger.warning("the capture webhook refuses copies with %d; they are dropped", error.code)
                    return False
            raise Undelivered(str(error)) from error
        except (OSError, HTTPException, ValueError) as error:
            raise Undelivered(str(error)) from error

    def tidy(self) -> None:
        """Nothing is left here."""

    def close(self) -> None:
        """Each request had a connection of its own."""


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """A redirected POST would lose its body."""

    def redirect_request(
        self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str, headers: Message, newurl: str
    ) -> None:
        """Never."""
        return
