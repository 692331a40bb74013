"""The wires that the simulated provider speaks; a new one is a line here."""

from __future__ import annotations

from penstock.sim.anthropic_messages import AnthropicMessages
from penstock.sim.bedrock_converse import BedrockConverse
from penstock.sim.bedrock_invoke import BedrockInvoke
from penstock.sim.cohere_chat import CohereChat
from penstock.sim.cohere_v1 import CohereV1
from penstock.sim.gemini import Gemini
from penstock.sim.ollama_chat import OllamaChat
from penstock.sim.openai_chat import OpenAIChat
from penstock.sim.openai_responses import OpenAIResponses
from penstock.sim.tgi import TGI
from penstock.sim.voice import Wire

WIRES: tuple[Wire, ...] = (
    OpenAIChat(),
    OpenAIResponses(),
    AnthropicMessages(),
    Gemini(),
    OllamaChat(),
    CohereChat(),
    CohereV1(),
    TGI(),
    BedrockConverse(),
    BedrockInvoke(),
)


def wire_named(name: str) -> Wire:
    """The wire of that name. Raises KeyError."""
    return {wire.name: wire for wire in WIRES}[name]
