"""The stage of the client tests: the simulated provider, a scripted one, and the gateway in front of both."""

import contextlib
import http.server
import json
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from gateway_process import GatewayProcess
from sim_thread import sim_thread

from penstock.sim import Record, Sim, words

CLIENT_KEY = "key-of-the-test-clients"
PROVIDER_KEY = "sk-the-providers-own-credential"
KEY_START = PROVIDER_KEY[:5]
TALKATIVE_SEED = 7

QUOTED = 300
"""Bytes of such a page that the gateway quotes: the provider's key is made to lie across that border."""

CONFIG = """
providers:
  sim: {{wire: openai-chat, base_url: "{sim}"}}
  scripted: {{wire: openai-chat, base_url: "{scripted}", api_key: {provider_key}}}
  nowhere: {{wire: openai-chat, base_url: "{nowhere}"}}
keys:
  - {{name: tests, key: {client_key}}}
defaults:
  health: off
  deadlines: {{first_token: 1s, between_tokens: 500ms}}
routes:
  "*": {{targets: ["sim/*"]}}
  html-502: {{targets: [scripted/html-502]}}
  wrong-key: {{targets: [scripted/wrong-key]}}
  talkative: {{targets: [scripted/talkative]}}
  nowhere: {{targets: [nowhere/any]}}
  patient: &patient
    targets: ["sim/sim?tokens=8&seed=7&first=600ms&gap=150ms"]
    deadlines: {{first_token: 10s, between_tokens: 10s}}
    delivery: {{keepalive: 100ms, commit_after: 100ms}}
  late-429:
    <<: *patient
    targets: ["sim/sim?status=429&headers=400ms"]
"""


class Stage:
    """What the tests look at: the gateway, and what became of the simulated provider's requests."""

    def __init__(self, gateway: GatewayProcess, sim: Sim):
        self.gateway = gateway
        self._sim = sim

    def request(self, model: str) -> Record:
        """The provider's record of the request for ``model``; its times are of the monotonic clock."""
        return next(record for record in list(self._sim.requests) if record.model == model)

    @property
    def sim_base_url(self) -> str:
        """The simulated provider itself, without a gateway."""
        return self._sim.base_url


@contextlib.contextmanager
def stage(folder: Path) -> Iterator[Stage]:
    """Everything running, with the configuration in ``folder``."""
    with sim_thread() as sim, _scripted() as scripted, socket.socket() as deaf:
        deaf.bind(("127.0.0.1", 0))  # and never listens: a connection is refused
        config = CONFIG.format(
            sim=sim.base_url,
            scripted=scripted,
            nowhere=f"http://127.0.0.1:{deaf.getsockname()[1]}/v1",
            provider_key=PROVIDER_KEY,
            client_key=CLIENT_KEY,
        )
        with GatewayProcess(config, folder) as gateway:
            yield Stage(gateway, sim)


class _Scripted(http.server.BaseHTTPRequestHandler):
    """A provider out of order, which repeats the key that it was given: in the error that it does not know it, in the
    page of a proxy in place of JSON, and in an error inside the stream."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        given = self.headers["authorization"].removeprefix("Bearer ")
        error = {"message": f"Incorrect API key provided: {given}.", "type": "invalid_request_error", "param": None}
        said = json.dumps({"error": error | {"code": "invalid_api_key"}})
        if body["model"] == "wrong-key":
            self._answer(401, "application/json", said)
        elif body["model"] == "talkative":
            delta = {"role": "assistant", "content": next(words.seeded(TALKATIVE_SEED))}
            choice = {"index": 0, "delta": delta, "finish_reason": None}
            chunk = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [choice]}
            self._answer(200, "text/event-stream", f"data: {json.dumps(chunk)}\n\ndata: {said}\n\n")
        else:
            page = "<html><h1>502 Bad Gateway</h1>".ljust(QUOTED - 5, "-") + given
            self._answer(502, "text/html", page)

    def _answer(self, status: int, content_type: str, text: str) -> None:
        body = text.encode()
        self.send_response(status)
        self.send_header("content-type", content_type)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@contextlib.contextmanager
def _scripted() -> Iterator[str]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Scripted) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/v1"
        finally:
            server.shutdown()
            thread.join()
