"""Azure OpenAI's addresses and credentials."""

from __future__ import annotations

import pytest

from penstock.wire import azure

V = "2024-10-21"


@pytest.mark.parametrize(
    ("wire", "base", "path", "written"),
    [
        ("openai-chat", "", "/chat/completions", "/openai/deployments/gpt%204/chat/completions"),
        ("openai-chat", "/openai", "/chat/completions", "/openai/deployments/gpt%204/chat/completions"),
        ("openai-chat", "/openai/deployments/mine", "/chat/completions", "/openai/deployments/mine/chat/completions"),
        ("openai-chat", "/openai/v1", "/chat/completions", "/openai/v1/chat/completions"),
        ("openai-chat", "/openai/v1/", "/chat/completions", "/openai/v1/chat/completions"),
        ("openai-responses", "", "/responses", "/openai/responses"),
        ("openai-responses", "/openai/v1", "/responses", "/openai/v1/responses"),
        ("openai-chat", "/proxy", "/chat/completions", "/proxy/openai/deployments/gpt%204/chat/completions"),
    ],
)
def test_paths(wire: str, base: str, path: str, written: str) -> None:
    assert azure.path_of(wire, base, path, "gpt 4", V) == f"{written}?api-version={V}"


def test_a_path_with_a_query() -> None:
    assert azure.path_of("openai-chat", "/openai/v1", "/x?a=b", "m", V) == f"/openai/v1/x?a=b&api-version={V}"


def test_credentials() -> None:
    assert azure.credentials("0123abc") == [("api-key", "0123abc")]
    assert azure.credentials("eyJ0.eyJh.c2ln") == [("authorization", "Bearer eyJ0.eyJh.c2ln")]
    assert azure.credentials("eyJ0") == [("api-key", "eyJ0")]
