"""What each wire costs, and each translation: the gateway against nginx passing the same provider's stream."""

from __future__ import annotations

import msgspec

from penstock.bench.asking import CHUNK, PACE, PACED
from penstock.bench.children import Site, Target
from penstock.bench.job import BenchError, Job, Result

SSE_LIMIT = 1.5
TRANSLATED_LIMIT = 2.5


class Case(msgspec.Struct, frozen=True):
    """A client's wire and its provider's."""

    client: str
    provider: str

    @property
    def label(self) -> str:
        """Its row's name."""
        return self.client if self.client == self.provider else f"{self.client} ← {self.provider}"

    @property
    def limit(self) -> float | None:
        """At most so many times nginx. Lines of JSON on both sides were promised nothing."""
        if self.client != self.provider:
            return TRANSLATED_LIMIT
        return None if self.client == "ollama-chat" else SSE_LIMIT


CASES = (
    Case("openai-chat", "openai-chat"),
    Case("openai-responses", "openai-responses"),
    Case("anthropic-messages", "anthropic-messages"),
    Case("gemini", "gemini"),
    Case("cohere-chat", "cohere-chat"),
    Case("ollama-chat", "ollama-chat"),
    Case("openai-chat", "openai-responses"),
    Case("openai-chat", "anthropic-messages"),
    Case("openai-chat", "gemini"),
    Case("openai-chat", "cohere-chat"),
    Case("openai-chat", "ollama-chat"),
    Case("openai-chat", "bedrock-converse"),
    Case("openai-responses", "openai-chat"),
    Case("anthropic-messages", "openai-chat"),
    Case("ollama-chat", "openai-chat"),
)
_UNLIKE = 1.5


def wires_job(streams: int, *, ramp: float, settle: float, window: float) -> Job:
    """Streams that all stay open, of a wire and a model that each load puts in."""
    return Job(
        model=PACED, streams=streams, frames=200_000, ramp=ramp, settle=settle, window=window, hold=True, wire="any"
    )


TITLE = f"By wire (client ← provider): {{streams:,}} streams, a chunk of about {CHUNK} bytes every {PACE} ms on each"


def wires_round(place: Site, job: Job, number: int) -> dict[str, dict[str, float]]:
    """One round: for each provider nginx and, next to it, the gateway for each of its clients. Raises BenchError."""
    found: dict[str, dict[str, float]] = {}
    for provider in dict.fromkeys(case.provider for case in CASES):
        cases: list[Case | None] = [None, *(case for case in CASES if case.provider == provider)]
        # What is measured last in one round comes first in the next.
        order = reversed(cases) if number % 2 else cases
        results = {case: _load(place, job, case, provider) for case in order}
        nginx = results[None]
        for case in cases:
            if case is not None:
                found[case.label] = case_figures(case.label, results[case], nginx)
    return {case.label: found[case.label] for case in CASES}


def _load(place: Site, job: Job, case: Case | None, provider: str) -> Result:
    target: Target = "gateway" if case else "nginx"
    # The gateway's route of that name puts the same model in.
    wire, model = (case.client, provider) if case else (provider, PACED)
    name = case.label if case else provider
    try:
        return place.load(target, msgspec.structs.replace(job, wire=wire, model=model))
    except BenchError as error:
        raise BenchError(f"{name}: {error}") from error


def case_figures(label: str, gateway: Result, nginx: Result) -> dict[str, float]:
    """What one row tells. Raises BenchError when the two did not pass the same stream, chunk for chunk."""
    if not gateway.frames or not nginx.frames:
        raise BenchError(f"{label}: no chunk came in the measured window")
    own, other = gateway.frames / gateway.seconds, nginx.frames / nginx.seconds
    if not 1 / _UNLIKE <= own / other <= _UNLIKE:
        raise BenchError(f"{label}: {own:.0f} chunks/s came through the gateway where nginx passed {other:.0f}")
    cpu, least = gateway.cpu / gateway.frames * 1e6, nginx.cpu / nginx.frames * 1e6
    return {
        "load_busy": max(each.load_cpu / each.seconds for each in (gateway, nginx)),
        "others_busy": max(0.0, *(each.other_cpu / each.seconds for each in (gateway, nginx))),
        "chunks_per_s": own,
        "cpu_us_per_chunk": cpu,
        "nginx_us_per_chunk": least,
        "cpu_us_per_chunk_x_nginx": cpu / least,
    }
