"""Every recorded stream through its own wire at random cuts: the report has nothing without an explanation, and what
it explains is exactly what stands here."""

from __future__ import annotations

from functools import cache

import pytest

from penstock.outcome import Outcome
from penstock.testing import plainly, report
from penstock.testing.corpus import MISSING, Recording, corpus, recordings
from penstock.testing.recorded import FOREIGN_MODEL, Verdict, judged, totals
from penstock.usage import Usage

pytestmark = pytest.mark.skipif(corpus() is None, reason=MISSING)

NAMED = {
    "it ends without a finish: told as a cut": {"gemini-sse/019-streaming-success-quotes-escaped.sse"},
    "it ends inside its last event: told as a cut": {"other/012-cerebras-tape-llama3-1-8b.sse"},
    "the provider's error, told with a frame": {
        "cohere-v2/025-sql-agent.sse",
        "cohere-v2/026-sql-agent.sse",
        "gemini-sse/011-streaming-failure-error-mid-stream.sse",
        "groq/025-tool-use-failed-error-streaming.sse",
        "groq/028-tool-use-failed-error-streaming-with-text.sse",
        "openrouter/044-openrouter-stream-error.sse",
        "other/038-gpustack-chat-with-extended-thinking-qwe-content-when-available.sse",
    },
    "the provider's error, told with a status": {
        "bedrock-converse-stream/050-exception-service-unavailable.bin",
        "bedrock-invoke-stream/061-exception-validation.bin",
        "huggingface-tgi/007-tape-llama-3-2-3b-error.sse",
        "huggingface-tgi/009-tape-oasst-sft-4-pythia-12b-epoch-3-5-error.sse",
        "huggingface-tgi/010-tape-oasst-sft-4-pythia-12b-epoch-3-5-error.sse",
        "huggingface-tgi/014-tape-llama-2-7b-hf-error.sse",
        "openai-responses/031-stream-rate-limited-1.sse",
        "openai-responses/052-openai-error-1.sse",
    },
    "the blank line behind its last event is missing, and is added": {
        "anthropic-messages/012-messages-stream.sse",
        "gemini-sse/009-streaming-failure-prompt-blocked-safety.sse",
        "gemini-sse/013-streaming-failure-prompt-blocked-safety-with-message.sse",
        "openai-responses/007-responses-stream.sse",
        "xai/015-responses-stream.sse",
    },
    "what follows the wire's own end is left out: [DONE]": {
        "anthropic-messages/005-streaming-gateway-message-delta-metadata.sse",
        "openai-responses/022-openai-streaming-responses-adds-genai-conventions.sse",
        "openai-responses/023-openai-streaming-responses-does-not-misb-e-with-double-iteration.sse",
        "openrouter/001-openai-responses-compat-openai-responses-st-openrouter-completes.sse",
        "openrouter/043-openai-responses-raw-cot-stream-openrouter.sse",
        "openrouter/054-image-prompt.sse",
        "openrouter/055-llm-openrouter-test-prompt.sse",
        "openrouter/056-reasoning.sse",
        "openrouter/057-tool-calls.sse",
        "openrouter/058-tool-calls.sse",
    },
    "the provider counts more cached tokens than the prompt has": {
        "azure-openai/026-chat-function-calling-azure-grok-4-1-fas-streaming-conversations.sse",
        "azure-openai/034-chat-streaming-responses-azure-grok-4-1-ning-supports-streaming.sse",
    },
    "the provider counts more reasoning than output": {
        "other/023-doubleword-streaming-streaming-smoke.sse",
        "other/070-vercel-ai-gateway-gemini-3-pro-preview-thinking-streaming.sse",
    },
}
"""Whatever is not the same bytes and a complete answer, of the wires that are Penstock's; beside what is refused."""
REFUSED = 24
"""Recordings of Bedrock's invoke that hold no Messages events."""
STRANGERS = {
    "Anthropic's text API before Messages": (3, Outcome.EMPTY),
    "Google's Interactions API": (6, Outcome.EMPTY),
    "OpenAI's Assistants API, which is shut down": (4, Outcome.COMPLETED),
    "OpenAI's transcription of speech": (2, Outcome.EMPTY),
    "Replicate's streams of plain text": (1, Outcome.EMPTY),
    "Watsonx's text generation": (2, Outcome.EMPTY),
    "Writer's text API before chat": (1, Outcome.EMPTY),
}
"""APIs that are no wire of Penstock's: how many recordings, and what openai-chat makes of them. Never a fault."""


SEED = report.fresh_seed()
"""Of the cuts; other ones each time."""


@cache
def found() -> list[Verdict]:
    return report.verdicts(SEED)


def test_nothing_is_without_an_explanation():
    assert report.unexplained(found()) == [], f"with the cuts of seed {SEED}"


def test_the_exceptions_are_exactly_these():
    explained = {reason: set(files) for reason, files in report.explained(found()).items()}
    assert len(explained.pop(FOREIGN_MODEL)) == REFUSED
    named = [reason for reason in explained if reason.startswith("no wire of Penstock's")]
    strange = {reason: explained.pop(reason) for reason in named}
    assert explained == NAMED
    outcomes = {verdict.recording.file: verdict.outcome for verdict in found()}
    assert {
        reason.removeprefix("no wire of Penstock's: "): (len(files), *{outcomes[file] for file in files})
        for reason, files in strange.items()
    } == STRANGERS


def test_the_whole_corpus_was_read():
    rows = report.counts(found())
    assert rows["all"]["files"] == len(recordings(report.is_stream)) == 916
    assert rows["all"]["wrong"] == 0
    assert sum(row["files"] for name, row in rows.items() if name != "all") == 916
    told = rows["all"]
    assert told["completed"] + told["errors"] + told["refused"] + told["truncated"] + told["empty"] == 916
    assert {verdict.wire for verdict in found()} == {None, *plainly.READERS}


def test_contradictions_are_passed_on_as_they_are():
    for verdict in found():
        if not verdict.remark.startswith("the provider counts more"):
            continue
        said = plainly.READERS[verdict.wire or ""](verdict.recording.read())
        assert verdict.identical and said.contradiction and verdict.outcome is Outcome.COMPLETED


# -- the judge itself -------------------------------------------------------------------------------------------------


def test_totals_tell_nothing_from_zero():
    assert totals(Usage()) == (None, None)
    assert totals(Usage(input=0, cache_read=3, reasoning=2)) == (3, 2)


def of(wire: str) -> Recording:
    """A long recording of a wire about which there is nothing to say."""
    plain = (one for one in found() if one.wire == wire and one.identical and not one.remark)
    return next(one.recording for one in plain if one.recording.size > 5_000)


@pytest.mark.parametrize("wire", plainly.READERS)
def test_a_body_that_was_cut_is_noticed(monkeypatch, wire):
    recording = of(wire)
    half = recording.read()[: recording.size // 2]
    monkeypatch.setattr(Recording, "read", lambda self: half)
    verdict = judged(recording)
    assert verdict.problems[0].startswith("the outcome is upstream_cut, not completed")
    assert not verdict.identical


def test_a_machine_that_changes_bytes_is_found_out(monkeypatch):
    monkeypatch.setattr("penstock.testing.transcript.Transcript.body", property(lambda self: b"data: 1\n\n"))
    assert judged(of("openai-chat")).problems == ["other bytes than the provider's"]


def test_a_reading_that_loses_words_is_found_out(monkeypatch):
    recording = of("openai-chat")
    monkeypatch.setattr("penstock.testing.recorded.text_of", lambda events: "")
    assert report.unexplained([judged(recording)])[0].startswith(f"{recording.file}: the text is ''")


def test_a_usage_that_is_not_the_providers_is_found_out(monkeypatch):
    monkeypatch.setattr("penstock.testing.recorded.totals", lambda usage: (1, 1))
    assert any(problem.startswith("tokens: (1, 1), not ") for problem in judged(of("anthropic-messages")).problems)


def test_without_recordings_it_says_so(monkeypatch, capsys):
    monkeypatch.setattr(report, "corpus", lambda: None)
    assert report.main() == 2
    assert "no recordings: set PENSTOCK_CORPUS" in capsys.readouterr().out
