"""Editing an answer in its client's own wire: the contract, and what the editors have in common.

An editor reads frames as a client of its wire would, shows every generated text to `Texts` and writes the frames anew
with what may go out. A frame in which nothing changes keeps its very bytes; one that has lost all that it carried is
left out. What is held back comes in a frame of its own before its channel ends.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, NamedTuple, Protocol

from penstock.framing import sse
from penstock.request import StreamRequest
from penstock.usage import Usage
from penstock.wire import json
from penstock.wire.base import ClientSession
from penstock.wire.edit_arguments import ArgumentsRun
from penstock.wire.edit_forms import Form, Seen, form_of
from penstock.wire.edit_runs import ALONE, Kind, Place, Run, TextRun, Texts
from penstock.wire.edit_splice import Spot, Template, template_of

FinishKind = Literal["stop", "stop_sequence", "length", "content_filter"]


class Asked(NamedTuple):
    """Whom an editor writes for. ``drop_signed``: reasoning that a signature covers is left out, not passed on."""

    request: StreamRequest
    stream: str
    session: ClientSession
    drop_signed: bool = False


class Editor(Protocol):
    """Edits one answer."""

    @property
    def released(self) -> bool:
        """Output has gone out."""
        ...

    def edit(self, data: bytes) -> bytes:
        """Whole frames of the client wire; often they are the same afterwards, sometimes nothing is left."""
        ...

    def flush(self) -> bytes:
        """The frames of all that is held back: the answer ends here, in whatever way."""
        ...

    def due(self) -> bytes:
        """The frames of what has waited long enough."""
        ...

    def piece(self, place: Place, text: str) -> bytes:
        """A frame of a channel that has been seen, with this text."""
        ...

    def retraction(self, spans: Sequence[tuple[int, int, int]], categories: Sequence[str]) -> bytes:
        """The frames that tell the client what of its text is withdrawn and why: by choice, from and to which of its
        characters. Empty where the wire has no words for it."""
        ...

    def finish(self, kind: FinishKind, usage: Usage | None, sequence: str = "") -> bytes | None:
        """The frames that finish the answer here, at this stop ``sequence`` if it is one; None where the wire has no
        such finish."""
        ...


class FrameEditor:
    """What editors have in common. ``_runs`` are the channels that are open, in the order in which they began."""

    def __init__(self, texts: Texts, asked: Asked):
        self._texts = texts
        self._asked = asked
        self._runs: dict[Place, Run] = {}
        self._strings = 0
        self.released = False
        # Of the frame in hand:
        self._changed = False
        self._slots: dict[Place, tuple[Any, Any]] = {}
        self._before: list[bytes] = []
        self._spot: Spot | None = None
        self._form: Form | None = None
        """Of the frame before the one in hand."""

    # -- for the wires --------------------------------------------------------------------------------------------

    def _begin_frame(self) -> None:
        self._changed = False
        self._slots = {}
        self._before = []
        self._spot = None

    def _shortly(self, data: bytes) -> bytes | None:
        """A frame of the form of the one before it, edited; None for any other."""
        form = self._form
        seen = None if form is None else form.seen(data)
        if form is None or seen is None:
            return None
        spot = form.spot
        out = self._run(spot.place, arguments=spot.arguments).feed(seen.text) if seen.text else ""
        if out:
            self.released = True
        return self._alike(seen, spot, out)

    def _alike(self, seen: Seen, spot: Spot, out: str) -> bytes:
        """The frame with what of its text goes out."""
        if out == seen.text:
            return seen.frame
        self._text_changed(spot.place)
        return seen.written(out) if out else b""

    def _text_changed(self, place: Place) -> None:
        """The text of a channel is not the provider's any more."""

    def _run(self, place: Place, *, arguments: bool = False) -> Run:
        run = self._runs.get(place)
        if run is None:
            run = ArgumentsRun(self._texts, place[1], self._string) if arguments else TextRun(self._texts, place)
            self._runs[place] = run
        return run

    def _string(self) -> int:
        """A number for a string by itself: no other channel has it."""
        self._strings += 1
        return ALONE + self._strings

    def _text(self, holder: Any, key: Any, place: Place, *, arguments: bool = False) -> None:
        """The delta at ``holder[key]`` goes through its channel."""
        text = holder[key]
        if not isinstance(text, str) or not text:
            return
        self._put(holder, key, self._run(place, arguments=arguments).feed(text))
        self._slots[place] = holder, key

    def _put(self, holder: Any, key: Any, text: str) -> None:
        if text != holder[key]:
            holder[key] = text
            self._changed = True
        if text:
            self.released = True

    def _close(self, places: list[Place]) -> None:
        """Channels end with the frame in hand: what they hold goes into it, or into one before it."""
        for place in places:
            tail = self._runs.pop(place).close()
            if not tail:
                continue
            self.released = True
            slot = self._slots.get(place)
            if slot is not None:
                slot[0][slot[1]] += tail
                self._changed = True
            else:
                self._before.append(self.piece(place, tail))

    def _whole(self, holder: Any, key: Any, kind: Kind, choice: int = 0) -> None:
        """A text that stands by itself, whole."""
        text = holder[key]
        if isinstance(text, str) and text:
            place = (kind, choice, self._string())
            self._put(holder, key, self._texts.feed(place, text) + self._texts.flush(place))

    def _walk(self, holder: Any, kind: Kind, choice: int = 0, skip: frozenset[str] = frozenset()) -> None:
        """Every text in an object or a list, whole; not in fields named in ``skip``. A number that is changed becomes
        a text."""
        for key in list(holder) if isinstance(holder, dict) else range(len(holder)):
            value = holder[key]
            if key in skip:
                continue
            if isinstance(value, str):
                self._whole(holder, key, kind, choice)
            elif isinstance(value, dict | list):
                self._walk(value, kind, choice, skip)
            elif isinstance(value, int | float) and not isinstance(value, bool):
                shown = {"n": json.dumps(value).decode()}
                self._whole(shown, "n", kind, choice)
                if shown["n"] != json.dumps(value).decode():
                    holder[key] = shown["n"]

    # -- see Editor -----------------------------------------------------------------------------------------------

    def flush(self) -> bytes:
        """All channels end."""
        self._begin_frame()
        self._close(list(self._runs))
        return b"".join(self._before)

    def due(self) -> bytes:
        """See `Editor`."""
        out = []
        for place, run in self._runs.items():
            text = run.due()
            if text:
                self.released = True
                out.append(self.piece(place, text))
        return b"".join(out)

    def piece(self, place: Place, text: str) -> bytes:
        """See `Editor`."""
        raise NotImplementedError

    def retraction(self, spans: Sequence[tuple[int, int, int]], categories: Sequence[str]) -> bytes:
        """See `Editor`."""
        return b""


class SSEEditor(FrameEditor):
    """An editor of a wire of server-sent events with JSON in them."""

    def __init__(self, texts: Texts, asked: Asked):
        super().__init__(texts, asked)
        self._framer = sse.SSEFramer(1 << 62)
        self._template: Template | None = None

    def edit(self, data: bytes) -> bytes:
        """See `Editor`."""
        template = self._template
        if template is not None and data.startswith(template.before):
            text = template.text(data)
            if text is not None:
                return self._spliced(template, text, data)
        short = self._shortly(data)
        if short is not None:
            return short
        frames = self._framer.feed(data)
        if self._framer.pending:
            # The provider's last frame may lack its blank line.
            frames.append(self._framer.close())
        return b"".join([self._frame(frame) for frame in frames])

    def _spliced(self, template: Template, text: str, frame: bytes) -> bytes:
        """A frame that is like the one before it but for its text."""
        if not text:
            return frame
        spot = template.spot
        out = self._run(spot.place, arguments=spot.arguments).feed(text)
        if out:
            self.released = True
        if out == text:
            return frame
        self._text_changed(spot.place)
        return template.frame(out) if out or spot.keeps else b""

    def _frame(self, frame: bytes) -> bytes:
        self._form = None
        data = sse.payload(frame)
        block = None
        if data is None or not data.startswith(b"{"):
            block = sse.parse(frame)
            data = block.data
        if data is None:
            # At the start of a client's stream, which this may be now, a mark there means nothing.
            return b"" if frame.startswith(sse.BOM) else frame
        if not data.lstrip(json.BLANKS).startswith(b"{"):
            return self.flush() + frame
        try:
            body = json.loads(data)
        except ValueError:
            # Nobody can say what is in it.
            return b""
        return self._object(frame, block, body)

    def _object(self, frame: bytes, block: sse.Block | None, body: dict[str, Any]) -> bytes:
        """A frame with an object: what goes out now. ``block``: where it is not of the usual form."""
        return self._edited_frame(frame, block, body)

    def _edited_frame(self, frame: bytes, block: sse.Block | None, body: dict[str, Any]) -> bytes:
        self._begin_frame()
        shown = self._body(body)
        if self._spot is not None and self._spot.varies:
            self._form = form_of(frame, self._spot)
        elif self._spot is not None:
            self._template = template_of(frame, self._spot)
        before = b"".join(self._before)
        if not shown:
            return before
        if not self._changed:
            return before + frame if before else frame
        return before + rewritten(frame, block or sse.parse(frame), body)

    def _body(self, body: dict[str, Any]) -> bool:
        """Edit the object of a frame in place. False: nothing is left of it."""
        raise NotImplementedError


def rewritten(frame: bytes, block: sse.Block, body: dict[str, Any]) -> bytes:
    """The frame with other data; its other fields and its line ends stay."""
    end = b"\r\n" if b"\r\n" in frame else b"\n"
    lines = []
    if block.event is not None:
        lines.append(b"event: " + block.event)
    if block.id is not None:
        lines.append(b"id: " + block.id)
    lines += [b"data: " + json.one_line(json.dumps(body)), b"", b""]
    return end.join(lines)


def objects(value: Any) -> list[dict[str, Any]]:
    """The objects of a list; none where it is no list."""
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


OPAQUE = frozenset(
    {"id", "type", "encrypted_content", "encrypted_index", "signature", "data", "b64_json", "status", "role", "name"}
)
"""Fields that hold no words of the model's, or none that anybody could read."""


def number(value: Any, default: int = 0) -> int:
    """An index."""
    return value if type(value) is int else default
