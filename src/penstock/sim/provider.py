"""The simulated provider: which script answers which request."""

from __future__ import annotations

import ssl as tls
import time
from itertools import count
from pathlib import Path
from typing import Any

import msgspec

from penstock.sim.folder import Folder, NoSuchTape
from penstock.sim.options import BadOption, Options, sim_options
from penstock.sim.plan import Call, plan
from penstock.sim.player import Record
from penstock.sim.reply import error_body, stream_head, whole
from penstock.sim.script import SILENCE, stream_script, whole_script
from penstock.sim.server import Server
from penstock.sim.steps import Play
from penstock.sim.voice import Wire
from penstock.sim.wires import WIRES


class Sim(Server):
    """A provider whose model names say how it behaves; ``folder`` holds recorded streams for ``tape:`` models.

    Tokens, pace and faults are in the model's name, as in ``sim?tokens=200&gap=20ms&stall_at=50``.
    """

    def __init__(
        self,
        host: str = "127.0.0.1",
        port: int = 0,
        *,
        folder: Path | None = None,
        ssl: tls.SSLContext | None = None,
    ):
        super().__init__(host, port, ssl=ssl)
        self._folder = Folder(folder) if folder is not None else None
        self._serial = count(1)

    @property
    def base_url(self) -> str:
        """Base URL as OpenAI's clients want it, with ``/v1``."""
        return self.origin + "/v1"

    def answer(self, record: Record) -> Play:
        path = record.path.partition("?")[0]
        wire = next((wire for wire in WIRES if wire.matches(path)), None)
        if wire is not None and record.method == "POST":
            return self._generate(wire, path, record)
        if path == "/v1/models" and record.method == "GET":
            return whole(200, self._models())
        if wire is None and path != "/v1/models":
            known = ", ".join(f"POST {wire.example_path}" for wire in WIRES)
            body = error_body(f"{record.method} {path} is not served; there are {known} and GET /v1/models", 404)
            return whole(404, body)
        return whole(405, error_body(f"{path} does not take {record.method}", 405))

    def _generate(self, wire: Wire, path: str, record: Record) -> Play:
        try:
            body = msgspec.json.decode(record.body)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            return refuse(wire, f"the body is not JSON: {error}", 400, "invalid_json")
        try:
            call = wire.read(record.path, body if isinstance(body, dict) else {})
        except ValueError as error:
            return refuse(wire, str(error), 400, "invalid_request")
        record.model = call.model
        base, _, query = call.model.partition("?")
        try:
            if base == "sim":
                return self._simulate(wire, call, sim_options(query))
            if base.startswith("tape:") and self._folder is not None:
                return self._folder.play(base.removeprefix("tape:"), query, f"req_sim{next(self._serial):08d}")
        except BadOption as error:
            return refuse(wire, f"model {call.model!r}: {error}", 400, "bad_option")
        except NoSuchTape as error:
            return refuse(wire, str(error), 404, "model_not_found")
        known = "sim, sim?OPTIONS" + ("" if self._folder is None else " and tape:PATH")
        return refuse(wire, f"model {call.model!r} does not exist here; there are {known}", 404, "model_not_found")

    def _simulate(self, wire: Wire, call: Call, options: Options) -> Play:
        serial = next(self._serial)
        ident = f"req_sim{serial:08d}"
        if options.accept == "never":
            return Play(iter((SILENCE,)))
        whole_answer = options.json or not call.stream
        status = options.status or (500 if whole_answer and options.error_at is not None else None)
        if status is not None:
            extra = [("x-request-id", ident)]
            if options.retry_after is not None:
                extra.append(("retry-after", options.retry_after))
            message = f"The simulated provider was told to answer {status}"
            return whole(status, wire.error_body(message, status, _CODES.get(status)), extra, options.headers)
        answer = plan(call, options, serial, int(time.time()))
        voice = wire.voice(answer)
        if whole_answer:
            steps = whole_script(answer, voice, options.content_type or "application/json", ident)
            return Play(steps, batch=True)
        head = stream_head(options.content_type or call.content_type or wire.content_type, ident)
        return Play(
            stream_script(answer, voice, head),
            batch=options.gap == 0 and options.split is None,
            spread=options.split is not None,
            ping=options.ping if voice.ping() else None,
            ping_frame=voice.ping(),
        )

    def _models(self) -> bytes:
        names = ["sim", *(f"tape:{name}" for name in (self._folder.names() if self._folder else ()))]
        models: list[dict[str, Any]] = [
            {"id": name, "object": "model", "created": 0, "owned_by": "penstock"} for name in names
        ]
        return msgspec.json.encode({"object": "list", "data": models})


_CODES = {401: "invalid_api_key", 404: "model_not_found", 429: "rate_limit_exceeded"}


def refuse(wire: Wire, message: str, status: int, code: str) -> Play:
    """A play that answers with an HTTP error in the wire's own form."""
    return whole(status, wire.error_body(message, status, code))
