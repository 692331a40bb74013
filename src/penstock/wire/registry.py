"""The wires that there are. A new one is a module beside this and a line here."""

from __future__ import annotations

from penstock.wire.anthropic_messages_wire import AnthropicMessagesClient, AnthropicMessagesUpstream
from penstock.wire.base import ClientWire, UpstreamWire
from penstock.wire.bedrock_wires import BedrockConverseUpstream, BedrockInvokeUpstream
from penstock.wire.cohere_chat_wire import CohereClientWire, CohereUpstream
from penstock.wire.cohere_v1_wire import CohereV1Upstream
from penstock.wire.gemini_wire import GeminiClientWire, GeminiUpstream
from penstock.wire.ollama_chat_wire import OllamaClientWire, OllamaUpstream
from penstock.wire.openai_chat_wire import OpenAIChatClient, OpenAIChatUpstream
from penstock.wire.openai_responses_wire import OpenAIResponsesClient, OpenAIResponsesUpstream
from penstock.wire.tgi import TGIUpstream

UPSTREAM_WIRES: dict[str, UpstreamWire] = {
    wire.name: wire
    for wire in (
        OpenAIChatUpstream(),
        OpenAIResponsesUpstream(),
        AnthropicMessagesUpstream(),
        GeminiUpstream(),
        OllamaUpstream(),
        CohereUpstream(),
        CohereV1Upstream(),
        TGIUpstream(),
        BedrockConverseUpstream(),
        BedrockInvokeUpstream(),
    )
}
CLIENT_WIRES: tuple[ClientWire, ...] = (
    OpenAIChatClient(),
    OpenAIResponsesClient(),
    AnthropicMessagesClient(),
    GeminiClientWire(),
    OllamaClientWire(),
    CohereClientWire(),
)


def client_wire_at(path: str) -> ClientWire | None:
    """The client wire that is spoken at ``path``."""
    return next((wire for wire in CLIENT_WIRES if wire.serves(path)), None)
