"""ollama-chat, edited. Arguments of tools are objects on this wire, and whole."""

from __future__ import annotations

from typing import Any

from penstock.framing.ndjson import NDJSONFramer, undressed
from penstock.usage import Usage
from penstock.wire import json
from penstock.wire.edit import Asked, FinishKind, FrameEditor, objects
from penstock.wire.edit_forms import Seen, form_of
from penstock.wire.edit_runs import Kind, Place, Texts
from penstock.wire.edit_splice import Spot, only
from penstock.wire.ollama_chat_writer import counters, line, timestamp

_TEXTS: dict[str, Kind] = {"content": "text", "thinking": "reasoning"}


class OllamaEditor(FrameEditor):
    """See `edit.Editor`."""

    def __init__(self, texts: Texts, asked: Asked):
        super().__init__(texts, asked)
        self._framer = NDJSONFramer(1 << 62)
        self._top: dict[str, Any] = {
            "model": asked.request.model,
            "created_at": timestamp(asked.request.accepted),
        }

    def edit(self, data: bytes) -> bytes:
        """See `edit.Editor`."""
        short = self._shortly(data)
        if short is not None:
            return short
        frames = self._framer.feed(data)
        if self._framer.pending:
            # The provider's last line may lack its end.
            frames.append(self._framer.close())
        return b"".join([self._line(frame) for frame in frames])

    def _alike(self, seen: Seen, spot: Spot, out: str) -> bytes:
        if "instant" in seen.parts.re.groupindex:
            self._top["created_at"] = seen.parts["instant"].decode()
        return super()._alike(seen, spot, out)

    def _line(self, frame: bytes) -> bytes:
        self._form = None
        data = frame.strip()
        if not data.startswith(b"{"):
            data = undressed(data) or b""
        try:
            body = json.loads(data) if data else None
        except ValueError:
            # Nobody can say what is in it.
            return b""
        if not isinstance(body, dict):
            return frame if not data else b""
        self._begin_frame()
        spot = _spot(body) if frame.startswith(b"{") else None
        shown = self._body(body)
        self._form = form_of(frame, spot) if spot is not None else None
        before = b"".join(self._before)
        return before + ((line(body) if self._changed else frame) if shown else b"")

    def _body(self, body: dict[str, Any]) -> bool:
        self._top = {name: body[name] for name in ("model", "created_at") if name in body} or self._top
        message, shown = body.get("message"), bool(body.get("done")) or "error" in body
        if isinstance(message, dict):
            for field, kind in _TEXTS.items():
                if isinstance(message.get(field), str):
                    self._text(message, field, (kind, 0, 0))
                    shown = shown or bool(message[field])
            for call in objects(message.get("tool_calls")):
                shown = self.released = True
                function = call.get("function")
                if isinstance(function, dict) and isinstance(function.get("arguments"), dict | list):
                    self._walk(function["arguments"], "arguments")
        if self._changed:
            body.pop("logprobs", None)
        if body.get("done"):
            self._close(list(self._runs))
        return shown or not self._changed

    def piece(self, place: Place, text: str) -> bytes:
        """See `edit.Editor`."""
        message = {"role": "assistant", "content": text}
        if place[0] == "reasoning":
            message = {"role": "assistant", "content": "", "thinking": text}
        return line({**self._top, "message": message, "done": False})

    def finish(self, kind: FinishKind, usage: Usage | None, sequence: str = "") -> bytes | None:
        """See `edit.Editor`. The wire has no finish for what was blocked."""
        if kind == "content_filter":
            return None
        message = {"role": "assistant", "content": ""}
        return line({**self._top, "message": message, "done": True, "done_reason": _FINISH[kind], **counters(usage)})


_FINISH: dict[FinishKind, str] = {"stop": "stop", "stop_sequence": "stop", "length": "length"}
_LINE, _MESSAGE = frozenset({"model", "created_at", "message", "done"}), frozenset({"role", *_TEXTS})


def _spot(body: dict[str, Any]) -> Spot | None:
    """The text of a line that carries one and nothing else."""
    message = body.get("message")
    if body.get("done") or not only(body, _LINE) or not isinstance(message, dict) or not only(message, _MESSAGE):
        return None
    said = [field for field in _TEXTS if message.get(field)]
    return Spot(said[0], (_TEXTS[said[0]], 0, 0), varies=True) if len(said) == 1 else None
