"""llama.cpp behind the gateway: the same bytes, usage, errors, and a slot that is free when the client has left."""

import json
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import tiny_model
from gateway_process import GatewayProcess
from llama_server import CONTEXT, Call, LlamaServer, ask, binary

pytestmark = pytest.mark.skipif(not binary().exists(), reason=f"there is no {binary()}: run `make llama-server`")

USAGE = {"include_usage": True}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("llama") / "tiny.gguf"
    tiny_model.write(path)
    return path


@pytest.fixture(scope="module")
def llama(model: Path) -> Iterator[LlamaServer]:
    with LlamaServer(model) as server:
        yield server


@pytest.fixture(scope="module")
def gateway(llama: LlamaServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayProcess]:
    with _gateway(llama, tmp_path_factory.mktemp("gateway")) as process:
        yield process


def _gateway(server: LlamaServer, folder: Path) -> GatewayProcess:
    config = f"""
providers: {{llama: {{wire: openai-chat, base_url: "{server.base_url}"}}}}
routes: {{"*": {{targets: ["llama/*"]}}}}
"""
    return GatewayProcess(config, folder)


def _lasting(body: bytes) -> bytes:
    """A body without what differs from one request to the next: its id, the time, and how long it took."""
    body = re.sub(rb'"id":"chatcmpl-[^"]*"', b'"id":""', body)
    body = re.sub(rb'"created":\d+', b'"created":0', body)
    return re.sub(rb',"timings":\{[^}]*\}', b"", body)


def _chunks(body: bytes) -> list[dict[str, Any]]:
    payloads = [line.removeprefix(b"data: ") for line in body.split(b"\n") if line.startswith(b"data: ")]
    assert payloads[-1] == b"[DONE]"
    return [json.loads(payload) for payload in payloads[:-1]]


def _text(chunks: list[dict[str, Any]]) -> str:
    return "".join(choice["delta"].get("content") or "" for chunk in chunks for choice in chunk["choices"])


@pytest.mark.parametrize("options", [{"stream_options": USAGE}, {}], ids=["usage", "no usage"])
@pytest.mark.parametrize("tokens", [1, 50, 1000])
def test_a_stream_is_the_same_bytes(
    llama: LlamaServer, gateway: GatewayProcess, tokens: int, options: dict[str, Any]
) -> None:
    direct = ask(llama.base_url, stream=True, max_tokens=tokens, **options)
    through = ask(gateway.base_url, stream=True, max_tokens=tokens, **options)
    assert direct[0] == through[0] == 200
    assert _lasting(through[1]) == _lasting(direct[1])
    assert through[1].count(b'"content":"') == tokens


def test_usage_is_honoured(gateway: GatewayProcess) -> None:
    _, body = ask(gateway.base_url, model="with-usage", stream=True, max_tokens=20, stream_options=USAGE)
    usage = [chunk["usage"] for chunk in _chunks(body) if chunk.get("usage")]
    assert [one["completion_tokens"] for one in usage] == [20]
    _, body = ask(gateway.base_url, model="without-usage", stream=True, max_tokens=20)
    assert not any(chunk.get("usage") for chunk in _chunks(body))
    # The gateway knows it all the same.
    for name in ("with-usage", "without-usage"):
        account = gateway.account(name)
        assert account is not None and account["outcome"] == "completed"
        assert account["usage"]["output"] == account["token_events"] == 20
        assert account["usage"]["input"] == usage[0]["prompt_tokens"]


def test_a_folded_answer_is_the_joined_stream(llama: LlamaServer, gateway: GatewayProcess) -> None:
    _, streamed = ask(gateway.base_url, stream=True, max_tokens=200)
    status, folded = ask(gateway.base_url, stream=False, max_tokens=200)
    _, direct = ask(llama.base_url, stream=False, max_tokens=200)
    assert status == 200
    answer, own = json.loads(folded), json.loads(direct)
    choice = answer["choices"][0]
    assert choice["message"]["content"] == _text(_chunks(streamed)) == own["choices"][0]["message"]["content"]
    assert choice["finish_reason"] == own["choices"][0]["finish_reason"] == "length"
    assert answer["usage"]["completion_tokens"] == own["usage"]["completion_tokens"] == 200
    assert answer["object"] == own["object"]


@pytest.mark.parametrize("stream", [True, False])
def test_an_error_passes_as_it_is(llama: LlamaServer, gateway: GatewayProcess, stream: bool) -> None:
    """A prompt that does not fit into the context: the model knows no token but its bytes."""
    messages = [{"role": "user", "content": "x" * (CONTEXT + 100)}]
    direct = ask(llama.base_url, stream=stream, messages=messages)
    through = ask(gateway.base_url, stream=stream, messages=messages)
    assert through == direct
    assert through[0] == 400
    assert json.loads(through[1])["error"]["type"] == "exceed_context_size_error"


def test_a_client_that_leaves_frees_the_slot(llama: LlamaServer, gateway: GatewayProcess) -> None:
    with Call(gateway.base_url, model="leaving", stream=True, max_tokens=30_000) as call:
        call.frames(5)
        assert llama.busy() == 1
    left = time.monotonic()
    while llama.busy():
        assert time.monotonic() - left < 2
        time.sleep(0.02)
    account = gateway.account("leaving")
    assert account is not None and account["outcome"] == "client_closed"
    assert account["token_events"] < 30_000


def test_a_server_that_dies_is_an_error_in_the_stream(model: Path, tmp_path: Path) -> None:
    with LlamaServer(model) as server, _gateway(server, tmp_path) as gateway:
        with Call(gateway.base_url, stream=True, max_tokens=30_000) as call:
            call.frames(5)
            server.kill()
            *_, last, nothing = call.read().split(b"\n\n")
        error = json.loads(last.removeprefix(b"data: "))["error"]
        assert (error["code"], error["type"], nothing) == ("upstream_cut", "server_error", b"")
        status, body = ask(gateway.base_url, stream=True)
        assert (status, json.loads(body)["error"]["code"]) == (502, "connect_failed")
