"""What is tried with every client, and what the client's application must see."""

import dataclasses
import itertools

from penstock.sim import words

PACE = "first=0&gap=2ms"


@dataclasses.dataclass(frozen=True)
class Expected:
    """An error as the client must report it. ``kind``: a family of classes (see ``client_fleet``). ``status``: of the
    HTTP response; None: the error came inside the stream, after its 200."""

    kind: str
    code: str | None
    type: str = "server_error"
    status: int | None = None
    message: str = ""
    retry_after: str | None = None


@dataclasses.dataclass(frozen=True)
class Scenario:
    """One request. ``options`` steer the simulated provider; ``route`` is asked for instead of it where given.

    ``tokens``: tokens of text that reach the client, before the error if there is one. ``outcome``: of the stream in
    the gateway's account; None: the request never became a stream, or cannot be told from others.
    """

    name: str
    options: str = ""
    route: str = ""
    tokens: int = 0
    stream: bool = True
    usage: bool = False
    tools: bool = False
    reasoning: int = 0
    finish: str = "stop"
    error: Expected | None = None
    outcome: str | None = "completed"
    close_after: int | None = None
    seed: int | None = None

    def model(self, seed: int) -> str:
        """The model to ask for. The seed makes it, and the text of the answer, one of a kind."""
        return self.route or f"sim?{self.options}&{PACE}&seed={seed}"

    def text(self, seed: int) -> str:
        """The text that must arrive."""
        return "".join(itertools.islice(words.seeded(self.seed or seed), self.tokens))


def _stream(code: str, kind: str = "server_error", message: str = "") -> Expected:
    return Expected("stream", code, kind, message=message)


def _http(status: int, code: str | None, kind: str = "server_error", message: str = "") -> Expected:
    return Expected("server", code, kind, status, message)


_STALLED = "sent no token for 0.5 s"
_CUT = "the stream ended before the answer was finished"
_SIM = "The simulated provider had an error"

SCENARIOS = (
    # -- answers ------------------------------------------------------------------------------------------------------
    Scenario("plain", "tokens=20", tokens=20),
    Scenario("usage", "tokens=20", tokens=20, usage=True),
    Scenario("tools", "tool=2", tools=True, finish="tool_calls"),
    Scenario("reasoning", "tokens=10&reasoning=5", tokens=10, reasoning=5),
    Scenario("content filter", "tokens=10&finish=content_filter", tokens=10, finish="content_filter"),
    Scenario("whole", "tokens=20", tokens=20, stream=False, usage=True),
    Scenario("whole tools", "tool=2", stream=False, tools=True, usage=True, finish="tool_calls"),
    # -- odd ways to say the same -------------------------------------------------------------------------------------
    Scenario("split bytes", "tokens=10&split=3&crlf=1", tokens=10),
    Scenario("pings", "tokens=20&ping=5ms", tokens=20),
    Scenario("malformed frame", "tokens=10&malformed_at=5", tokens=10),
    Scenario("no end marker", "tokens=10&done=0", tokens=10),
    Scenario("keep-alives", route="patient", tokens=8, seed=7, outcome=None),
    # -- answers that break off ---------------------------------------------------------------------------------------
    Scenario(
        "error",
        "tokens=20&error_at=5",
        tokens=5,
        error=_stream("upstream_error", message=_SIM),
        outcome="upstream_error",
    ),
    Scenario(
        "stall",
        "tokens=20&stall_at=5",
        tokens=5,
        error=_stream("stalled", "timeout_error", _STALLED),
        outcome="stalled",
    ),
    Scenario(
        "cut", "tokens=20&cut_at=5", tokens=5, error=_stream("upstream_cut", message=_CUT), outcome="upstream_cut"
    ),
    Scenario(
        "drop", "tokens=20&drop_at=5", tokens=5, error=_stream("upstream_cut", message=_CUT), outcome="upstream_cut"
    ),
    Scenario(
        "reset", "tokens=20&reset_at=5", tokens=5, error=_stream("upstream_cut", message=_CUT), outcome="upstream_cut"
    ),
    Scenario(
        "no finish",
        "tokens=5&finish=no&done=0",
        tokens=5,
        error=_stream("upstream_cut", message=_CUT),
        outcome="upstream_cut",
    ),
    Scenario(
        "talkative",
        route="talkative",
        tokens=1,
        seed=7,
        error=_stream("invalid_api_key", "invalid_request_error", "Incorrect API key provided: ***."),
        outcome=None,
    ),
    Scenario("late 429", route="late-429", error=_stream("rate_limit_exceeded", "rate_limit_error"), outcome=None),
    Scenario(
        "whole stall",
        "tokens=20&stall_at=5",
        stream=False,
        error=_http(504, "stalled", "timeout_error", _STALLED),
        outcome="stalled",
    ),
    Scenario(
        "whole cut",
        "tokens=20&cut_at=5",
        stream=False,
        error=_http(502, "upstream_cut", message=_CUT),
        outcome="upstream_cut",
    ),
    Scenario(
        "whole error",
        "tokens=20&error_at=5",
        stream=False,
        error=_http(502, "upstream_error", message=_SIM),
        outcome="upstream_error",
    ),
    # -- no answer ----------------------------------------------------------------------------------------------------
    Scenario(
        "error first",
        "tokens=20&error_at=0",
        error=_http(502, "upstream_error", message=_SIM),
        outcome="upstream_error",
    ),
    Scenario(
        "silence",
        "tokens=20&role_only=1",
        error=_http(504, "first_token_timeout", "timeout_error"),
        outcome="first_token_timeout",
    ),
    Scenario("nowhere", route="nowhere", error=_http(502, "connect_failed"), outcome=None),
    Scenario("html 502", route="html-502", error=_http(502, "upstream_error", message="502 Bad Gateway"), outcome=None),
    Scenario(
        "429",
        "status=429&retry_after=1",
        error=Expected("rate_limit", "rate_limit_exceeded", "rate_limit_error", 429, retry_after="1"),
        outcome="upstream_error",
    ),
    Scenario(
        "wrong provider key",
        route="wrong-key",
        error=Expected("auth", "invalid_api_key", "invalid_request_error", 401, "Incorrect API key"),
        outcome=None,
    ),
    Scenario(
        "wrong key",
        "tokens=20",
        error=Expected("auth", "invalid_api_key", "authentication_error", 401, "not known to this gateway"),
        outcome=None,
    ),
    # -- a client that leaves -----------------------------------------------------------------------------------------
    Scenario("leaving", "tokens=5000", tokens=5000, outcome="client_closed", close_after=3),
)
