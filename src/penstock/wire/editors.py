"""The editors that there are, by client wire. A wire without one cannot have stages."""

from __future__ import annotations

from collections.abc import Callable

from penstock.wire.anthropic_messages_edit import MessagesEditor
from penstock.wire.cohere_chat_edit import CohereEditor
from penstock.wire.edit import Asked, Editor
from penstock.wire.edit_runs import Texts
from penstock.wire.gemini_edit import GeminiEditor
from penstock.wire.ollama_chat_edit import OllamaEditor
from penstock.wire.openai_chat_edit import ChatEditor
from penstock.wire.openai_responses_edit import ResponsesEditor

_EDITORS: dict[str, Callable[[Texts, Asked], Editor]] = {
    "openai-chat": ChatEditor,
    "openai-responses": ResponsesEditor,
    "anthropic-messages": MessagesEditor,
    "gemini": GeminiEditor,
    "cohere-chat": CohereEditor,
    "ollama-chat": OllamaEditor,
}


def editor_of(wire: str, asked: Asked) -> Callable[[Texts], Editor] | None:
    """What makes editors for a client of that wire, one for each answer; None where there is none."""
    make = _EDITORS.get(wire)
    return None if make is None else lambda texts: make(texts, asked)
