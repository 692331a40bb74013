"""A provider of OpenAI's Responses wire that holds a response and tells it again: scripts of a `ScriptedUpstream`."""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import parse_qs, urlsplit

from penstock.framing.sse import SSEFramer, parse
from penstock.testing import responses
from penstock.testing.steps import hdr, raw, st, until_closed, word
from penstock.testing.upstream import Script, Seen, Step
from penstock.wire import json


class Holding:
    """Has one response, ``name``. A POST gets its first events, ``told`` of them, and then nothing more until it has
    closed; ``GET`` with ``stream=true`` gets those after ``starting_after``, and ``until`` of them where that is said,
    before the connection ends."""

    def __init__(self, name: str, words: int = 12, told: int = 6, until: int | None = None):
        self.name = name
        self.told = told
        self.until = until
        self.status = "in_progress"
        whole = responses.answer(*map(word, range(words))).replace(b'"resp_1"', b'"%b"' % name.encode())
        bodies = [json.loads(parse(frame).data or b"") for frame in SSEFramer().feed(whole)]
        self.events = [
            responses.frame(**{"kind": body.pop("type"), **body, "sequence_number": number})
            for number, body in enumerate(bodies)
        ]

    @property
    def script(self) -> Script:
        """What it says to a request."""
        return self._steps

    def _steps(self, seen: Seen) -> Sequence[Step]:
        at = urlsplit(seen.path)
        fields = {name: values[-1] for name, values in parse_qs(at.query).items()}
        if seen.method == "POST" and at.path == "/v1/responses":
            return [hdr(), *map(raw, self.events[: self.told]), until_closed()]
        if at.path.split("/")[3] != self.name:
            message = f"Response with id '{at.path.split('/')[3]}' not found."
            return [st(404, {"error": {"message": message, "type": "invalid_request_error", "code": None}})]
        if seen.method == "DELETE":
            return [st(200, {"id": self.name, "object": "response", "deleted": True})]
        if at.path.endswith("/cancel"):
            self.status = "cancelled"
        elif fields.get("stream") == "true":
            after = int(fields.get("starting_after", "-1"))
            return [hdr(), *map(raw, self.events[after + 1 : self.until])]
        shown = responses.response(self.status, id=self.name, background=True, output=[responses.message("w0 ")])
        return [st(200, shown, [("x-request-id", "req_1")])]
