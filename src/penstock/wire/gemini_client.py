"""gemini, client side: requests read, everything written that is Penstock's own and not the provider's."""

from __future__ import annotations

import re
from typing import Any, NoReturn
from urllib.parse import parse_qsl, quote, urlencode

import msgspec

from penstock.errors import BadRequest, Fault
from penstock.request import StreamRequest
from penstock.usage import Usage
from penstock.wire import json
from penstock.wire.gemini_errors import error_object
from penstock.wire.gemini_fold import GeminiFold

_BODY = msgspec.json.Decoder(dict[str, msgspec.Raw])
_PATH = re.compile(r"/v1(?:beta|alpha)?/((?:models|tunedModels)/.+):(streamGenerateContent|generateContent)", re.DOTALL)
_SECRETS = frozenset({"key", "access_token", "oauth_token"})
_SSE = "sse"


def serves(path: str) -> bool:
    """``/v1beta/models/{model}:streamGenerateContent`` or ``:generateContent``; ``/v1/…`` too."""
    return _PATH.fullmatch(path) is not None


def read_request(path: str, query: str, body: bytes) -> StreamRequest:
    """A request; the model is in the path (decoded), the form of the stream in the query (``alt``). Raises BadRequest;
    anything that only the provider can judge is left to the provider."""
    match = _PATH.fullmatch(path)
    if match is None:
        raise BadRequest(f"{path} is no path of this wire", status=404, code="not_found")
    try:
        fields = _BODY.decode(body)
    except msgspec.ValidationError:
        raise BadRequest("the request body must be a JSON object", code="invalid_json") from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BadRequest(f"the request body is not JSON: {error}", code="invalid_json") from None
    pairs = [pair for pair in parse_qsl(query, keep_blank_values=True) if pair[0] not in _SECRETS]
    alt = next((value for name, value in pairs if name in ("alt", "$alt")), "")
    if alt.partition(";")[0] not in ("", "json", _SSE):
        raise BadRequest(f"alt={alt}: a stream comes as sse or as a json array", param="alt")
    return StreamRequest(
        model=match[1].removeprefix("models/"),
        stream=match[2] == "streamGenerateContent",
        include_usage=True,
        body=fields,
        query=urlencode(pairs, quote_via=quote, safe="$;="),
    )


def wants_sse(request: StreamRequest) -> bool:
    """The stream comes as server-sent events: as the client asked (``query``), and for all who did not ask."""
    if request.query is None or not request.stream:
        return True
    return any(name in ("alt", "$alt") and value.partition(";")[0] == _SSE for name, value in parse_qsl(request.query))


def upstream_path(request: StreamRequest, model: str) -> str:
    """The path at a provider, query included. A model may name its collection itself (``tunedModels/…``)."""
    name = model if model.startswith(("models/", "tunedModels/")) else f"models/{model}"
    query = request.query
    if query is None:
        query = "alt=sse"
    elif not request.stream:
        pairs = [pair for pair in parse_qsl(query, keep_blank_values=True) if pair[0] not in ("alt", "$alt")]
        query = urlencode([*pairs, ("alt", _SSE)], quote_via=quote)
    return f"/v1beta/{quote(name, safe='/:@')}:streamGenerateContent" + (f"?{query}" if query else "")


def unsupported() -> BadRequest:
    """The refusal of a Gemini client at a provider of another wire: a tool call comes whole on this wire, and nothing
    but blank lines keeps its connections alive (wire-formats.md §9.9)."""
    return BadRequest(
        "this model is served by a provider of another wire, and Gemini clients are served by gemini providers only; "
        "ask for a model of a gemini provider, or use an OpenAI or Anthropic client for this one",
        code="unsupported_wire",
        param="model",
    )


class GeminiClient:
    """What Penstock itself says to one client on this wire. ``stream`` is the stream's id."""

    def __init__(self, request: StreamRequest, stream: str):
        self._request = request
        self._stream = stream
        self.array = not wants_sse(request)
        self.begun = False
        self.content_type = b"application/json; charset=UTF-8" if self.array else b"text/event-stream; charset=utf-8"
        # Older google-genai takes an error frame for an empty chunk: only a broken connection is not silent there.
        # An array ends with its error and its bracket, as Google's own do.
        self.cuts_after_error = not self.array

    def fold(self) -> GeminiFold:
        """A fresh fold for ``:generateContent``."""
        return GeminiFold()

    def writer(self) -> NoReturn:
        """None: such a request is refused before any attempt (see `unsupported`)."""
        raise unsupported()

    def keepalive(self) -> bytes:
        """A blank line: Google's SDKs survive nothing else (§9.8), and in an array there is no such thing."""
        return b"" if self.array else b"\r\n"

    def skipped(self) -> bytes:
        """Nothing: the wire has no comments."""
        return b""

    def error_frame(self, fault: Fault) -> bytes:
        """The error in the stream, after the commit; as the last element of an array, which it closes."""
        error = json.dumps(error_object(fault, self._stream))
        return self._last_element(error) if self.array else b"data: " + json.one_line(error) + b"\r\n\r\n"

    def error_body(self, fault: Fault) -> bytes:
        """The error as a JSON body, before the commit; a list of one where an array was asked for, as Google has it."""
        error = json.dumps(error_object(fault, self._stream))
        return b"[" + error + b"]" if self.array else error

    def end_marker(self) -> bytes:
        """None."""
        return b""

    def stop_frames(self, name: str, model: str, usage: Usage | None) -> bytes:
        """The frames that finish an answer which was stopped on request."""
        content = {"parts": [{"text": ""}], "role": "model"}
        chunk: dict[str, Any] = {"candidates": [{"content": content, "finishReason": "STOP", "index": 0}]}
        if usage is not None:
            chunk["usageMetadata"] = usage_metadata(usage)
        chunk["modelVersion"] = model or self._request.model
        chunk["responseId"] = name or self._stream
        data = json.dumps(chunk)
        return self._last_element(data) if self.array else b"data: " + json.one_line(data) + b"\r\n\r\n"

    def _last_element(self, data: bytes) -> bytes:
        return (b",\r\n" if self.begun else b"[") + data + b"\r\n]"


def usage_metadata(usage: Usage) -> dict[str, int]:
    """Canonical usage in Google's words: cached tokens inside the prompt's, thoughts apart from the candidates'."""
    prompt = (usage.input or 0) + (usage.cache_read or 0) + (usage.cache_write or 0)
    said = {"promptTokenCount": prompt, "candidatesTokenCount": usage.output or 0}
    if usage.reasoning is not None:
        said["thoughtsTokenCount"] = usage.reasoning
    if usage.cache_read is not None:
        said["cachedContentTokenCount"] = usage.cache_read
    said["totalTokenCount"] = prompt + (usage.output or 0) + (usage.reasoning or 0)
    return said
