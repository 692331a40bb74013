"""The official Node SDKs of the wires beside openai-chat: how each is driven, and in what words it tells endings."""

import concurrent.futures
import dataclasses
from pathlib import Path
from typing import Any

from client_fleet import Report, drive, node_command
from sdk_scenarios import MODELS

Reports = dict[tuple[str, str], Report]
WIRES = {
    "anthropic": "anthropic-messages",
    "gemini": "gemini",
    "cohere": "cohere-chat",
    "ollama": "ollama-chat",
    "responses": "openai-responses",
}
IN_ONE_PIECE = " in one piece"
SLOW_FIRST = sorted(MODELS, key=lambda name: name not in ("slow", "stall", "late-429"))


@dataclasses.dataclass(frozen=True)
class NodeClient:
    """``provider``: of ``WIRES``. ``streaming``, ``whole``: ways of using it, by how it is asked. ``finishes``: its
    words for an answer that ended by itself, by its length, by a filter, and with tools.

    ``raises``: the class of an error inside a stream; "": the AI SDK's error part, which is the error's own object.
    ``vague``: that error has no word of the provider's: a broken connection is all that it sees. ``clean``: what an
    error without a broken connection behind it becomes. ``refused``: the class of an error that came as a status.
    """

    name: str
    driver: str
    provider: str
    streaming: tuple[str, ...]
    whole: tuple[str, ...]
    finishes: tuple[str, str, str, str]
    raises: str
    limited: str
    refused: str
    vague: bool = False
    clean: str | None = None

    def jobs(self) -> list[tuple[str, bool, str]]:
        """All that is tried: the way of using it, whether it streams, and the scenario."""
        modes = [*((mode, True) for mode in self.streaming), *((mode, False) for mode in self.whole)]
        return [(mode, streams, scenario) for scenario in SLOW_FIRST for mode, streams in modes]

    def asked(self) -> list[dict[str, Any]]:
        """The same as its driver is told it."""
        return [
            {
                "id": [f"{self.name} {mode}{'' if streams else IN_ONE_PIECE}", scenario],
                "mode": mode,
                "model": f"{self.provider}-{scenario}",
                "api_key": "any",
                "stream": streams,
                "usage": True,
                "tools": scenario == "tools",
                "close_after": None,
            }
            for mode, streams, scenario in self.jobs()
        ]

    def ways(self, streams: bool) -> list[str]:
        """The first part of the ids of its jobs."""
        modes = self.streaming if streams else self.whole
        return [f"{self.name} {mode}{'' if streams else IN_ONE_PIECE}" for mode in modes]


_OPENAI = ("completed", "max_output_tokens", "content_filter", "completed")
_AI = ("stop", "length", "content-filter", "tool-calls")
_FAILED = "AI_APICallError"


def _ai_sdk(mode: str, provider: str, raises: str = "", **more: Any) -> NodeClient:
    finishes = more.pop("finishes", _AI)
    name = f"ai-sdk-{mode}"
    return NodeClient(name, "ai_sdk.mjs", provider, (mode,), (mode,), finishes, raises, _FAILED, _FAILED, **more)


NODE_CLIENTS = (
    NodeClient(
        "anthropic",
        "anthropic.mjs",
        "anthropic",
        ("iterate", "helper"),
        ("whole",),
        ("end_turn", "max_tokens", "refusal", "tool_use"),
        raises="APIError",
        limited="RateLimitError",
        refused="InternalServerError",
    ),
    NodeClient(
        "google",
        "google.mjs",
        "gemini",
        ("iterate",),
        ("whole",),
        ("STOP", "MAX_TOKENS", "SAFETY", "STOP"),
        raises="ApiError",
        limited="ApiError",
        refused="ApiError",
    ),
    NodeClient(
        "cohere",
        "cohere.mjs",
        "cohere",
        ("iterate",),
        ("whole",),
        ("COMPLETE", "MAX_TOKENS", "content_filter", "TOOL_CALL"),
        raises="TypeError",
        limited="TooManyRequestsError",
        refused="CohereError",
        vague=True,
        clean="ERROR",
    ),
    NodeClient(
        "ollama",
        "ollama.mjs",
        "ollama",
        ("iterate",),
        ("whole",),
        ("stop", "length", "content_filter", "stop"),
        raises="Error",
        limited="ResponseError",
        refused="ResponseError",
    ),
    NodeClient(
        "openai-responses",
        "responses.mjs",
        "responses",
        ("6-iterate", "6-helper", "7-iterate", "7-helper"),
        ("6-whole", "7-whole"),
        _OPENAI,
        raises="APIError",
        limited="RateLimitError",
        refused="InternalServerError",
    ),
    _ai_sdk("anthropic", "anthropic"),
    _ai_sdk("responses", "responses"),
    _ai_sdk("google", "gemini", _FAILED, vague=True),
    _ai_sdk("cohere", "cohere", _FAILED, vague=True, clean="error", finishes=("stop", "length", "other", "tool-calls")),
)


def drive_all(origin: str, folder: Path) -> dict[str, Reports | Exception]:
    """The reports of each driver, or what became of it; one process for each, three at a time."""

    def one(driver: str) -> Reports | Exception:
        own = folder / driver
        own.mkdir()
        jobs = [job for client in NODE_CLIENTS if client.driver == driver for job in client.asked()]
        try:
            return drive(node_command(driver, own), origin + "/v1" if driver == "ai_sdk.mjs" else origin, jobs)
        except Exception as error:
            return error

    drivers = sorted({client.driver for client in NODE_CLIENTS})
    with concurrent.futures.ThreadPoolExecutor(3) as pool:
        return dict(zip(drivers, pool.map(one, drivers), strict=True))
