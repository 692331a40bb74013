"""Which providers write on from a beginning, how they are given one, and which answers can be but text."""

from __future__ import annotations

import json

import pytest

from penstock.request import StreamRequest
from penstock.wire.continued import Prefix
from penstock.wire.openai_chat_client import read_request
from penstock.wire.prefill import Prefill, is_plain, prefill_of, with_beginning

PREFIX = Prefix("The answer", 3)
SO = {"type": "text", "text": "So: "}
HELLO = {"role": "user", "content": "Hello"}
KNOWN: dict[tuple[str, str, str, str], Prefill] = {
    ("openai-chat", "api.openai.com", "/v1", "gpt-4o"): "none",
    ("openai-chat", "api.mistral.ai", "/v1", "mistral-large"): "prefix",
    ("openai-chat", "api.deepseek.com", "/beta", "deepseek-chat"): "prefix",
    ("openai-chat", "api.deepseek.com", "/v1", "deepseek-chat"): "none",
    ("openai-chat", "api.groq.com", "/openai/v1", "llama-3.3-70b"): "message",
    ("openai-chat", "openrouter.ai", "/api/v1", "meta-llama/llama-3.3-70b"): "message",
    ("openai-chat", "openrouter.ai", "/api/v1", "anthropic/claude-opus-4-6"): "none",
    ("openai-chat", "10.0.0.1", "/v1", "anything"): "none",
    ("anthropic-messages", "api.anthropic.com", "", "claude-sonnet-4-5"): "message",
    ("anthropic-messages", "api.anthropic.com", "", "claude-sonnet-4-20250514"): "message",
    ("anthropic-messages", "api.anthropic.com", "", "claude-3-5-haiku-20241022"): "message",
    ("anthropic-messages", "api.anthropic.com", "", "claude-opus-4-6"): "none",
    ("anthropic-messages", "api.anthropic.com", "", "claude-sonnet-5"): "none",
    ("bedrock-invoke", "bedrock-runtime.eu-west-3.amazonaws.com", "", "eu.anthropic.claude-opus-4-7-v1:0"): "none",
    ("bedrock-invoke", "bedrock-runtime.eu-west-3.amazonaws.com", "", "anthropic.claude-sonnet-4-5-x-v1:0"): "message",
    ("ollama-chat", "localhost", "", "llama3.2"): "message",
    ("openai-responses", "api.openai.com", "/v1", "gpt-4o"): "none",
    ("gemini", "generativelanguage.googleapis.com", "", "gemini-2.5-pro"): "none",
    ("cohere-chat", "api.cohere.com", "", "command-a"): "none",
}


@pytest.mark.parametrize("asked", KNOWN, ids=" ".join)
def test_who_is_known_to_write_on(asked):
    assert prefill_of(*asked) == KNOWN[asked]


def told(how: Prefill, **fields: object) -> dict:
    body = {"model": "m", "messages": [HELLO], "temperature": 0.50, **fields}
    return json.loads(with_beginning(json.dumps(body).encode(), PREFIX, how))


@pytest.mark.parametrize(
    ("how", "more"),
    [("message", {}), ("prefix", {"prefix": True}), ("partial", {"partial": True}), ("final", {})],
)
def test_the_beginning_is_the_last_message(how, more):
    body = told(how)
    assert body["messages"] == [HELLO, {"role": "assistant", "content": "The answer", **more}]
    final = {"continue_final_message": True, "add_generation_prompt": False} if how == "final" else {}
    assert {name: value for name, value in body.items() if name not in ("model", "messages", "temperature")} == final


@pytest.mark.parametrize(
    ("content", "wanted"),
    [
        ("So: ", "So: The answer"),
        (
            [{"type": "text", "text": "So: "}],
            [{"type": "text", "text": "So: "}, {"type": "text", "text": "The answer"}],
        ),
    ],
)
def test_a_beginning_of_the_clients_own_comes_first(content, wanted):
    body = told("message", messages=[HELLO, {"role": "assistant", "content": content}])
    assert body["messages"] == [HELLO, {"role": "assistant", "content": wanted}]


@pytest.mark.parametrize("name", ["max_tokens", "max_completion_tokens"])
def test_a_limit_holds_for_both_together(name):
    assert told("message", **{name: 10})[name] == 7
    assert told("message", **{name: 2})[name] == 1
    assert told("message", **{name: None})[name] is None


def test_ollamas_limit_too():
    assert told("message", options={"num_predict": 10, "seed": 1})["options"] == {"num_predict": 7, "seed": 1}
    assert told("message", options={"num_predict": -1})["options"] == {"num_predict": -1}


PLAIN = {
    "openai-chat": [{}, {"tools": []}, {"n": 1}, {"response_format": {"type": "text"}}, {"modalities": ["text"]}],
    "openai-responses": [{}, {"text": {"format": {"type": "text"}}}, {"tools": None}],
    "anthropic-messages": [{}, {"thinking": {"type": "disabled"}}],
    "ollama-chat": [{}, {"think": False}],
}
MORE = {
    "openai-chat": [
        {"tools": [1]}, {"functions": [1]}, {"n": 2}, {"response_format": {"type": "json_object"}}, {"logprobs": True},
        {"modalities": ["text", "audio"]}, {"audio": {"voice": "x"}}, {"reasoning_effort": "low"},
    ],
    "openai-responses": [
        {"tools": [1]}, {"text": {"format": {"type": "json_schema"}}}, {"reasoning": {"effort": "low"}},
        {"background": True}, {"previous_response_id": "resp_1"},
    ],
    "anthropic-messages": [{"tools": [1]}, {"thinking": {"type": "enabled", "budget_tokens": 1024}}],
    "ollama-chat": [{"tools": [1]}, {"format": "json"}, {"think": True}],
    "gemini": [{}],
    "cohere-chat": [{}],
}  # fmt: skip


def request(fields: dict) -> StreamRequest:
    return read_request(json.dumps({"model": "m", **fields}).encode())


@pytest.mark.parametrize(("wire", "fields"), [(wire, one) for wire, many in PLAIN.items() for one in many])
def test_an_answer_of_text(wire, fields):
    assert is_plain(wire, request(fields))


@pytest.mark.parametrize(("wire", "fields"), [(wire, one) for wire, many in MORE.items() for one in many])
def test_an_answer_that_may_be_more(wire, fields):
    assert not is_plain(wire, request(fields))
