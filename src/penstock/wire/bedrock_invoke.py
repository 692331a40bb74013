"""bedrock-invoke, upstream side: Claude on InvokeModelWithResponseStream (wire-formats.md §7.3).

A frame holds one event of Anthropic's Messages stream. It is put back into the server-sent event that it is, which the
Anthropic decoder reads and an Anthropic client gets, with that decoder's mendings.
"""

from __future__ import annotations

from penstock.events import ErrorReport, Malformed, Opaque
from penstock.framing import eventstream
from penstock.wire.anthropic_invoke import chunk_event, sse_frame
from penstock.wire.anthropic_messages import MessagesDecoder
from penstock.wire.base import Decoded
from penstock.wire.bedrock_errors import in_headers

_FOREIGN = (
    "the model does not answer in Anthropic's format, which is all that bedrock-invoke reads; use a provider with the "
    "wire bedrock-converse for it"
)


class InvokeDecoder(MessagesDecoder):
    """A `MessagesDecoder` whose frames come in another envelope."""

    def __init__(self) -> None:
        super().__init__()
        self._read = False
        self._torn = False

    def decode(self, frame: bytes) -> Decoded:
        """The server-sent event in a frame, mended as `MessagesDecoder.decode` says, and its events. Frames that hold
        none are not handed on."""
        try:
            headers, payload = eventstream.open_frame(frame)
        except ValueError as error:
            return self._dies(ErrorReport(f"a frame of the provider's stream is corrupt: {error}"))
        report = in_headers(headers, payload)
        if report is not None:
            return self._dies(report)
        if eventstream.text(headers, ":event-type") != "chunk":
            return None, (Opaque(),)
        try:
            event = chunk_event(payload)
        except ValueError as error:
            return None, (Malformed(str(error)),)
        try:
            written = sse_frame(event)
        except ValueError as error:
            if not self._read:
                return self._dies(ErrorReport(_FOREIGN))
            return None, (Malformed(str(error)),)
        if not self._read and event.find(b'"completion"', 0, 32) > 0:
            return self._dies(ErrorReport(_FOREIGN))
        self._read = True
        return super().decode(written)

    def _dies(self, report: ErrorReport) -> Decoded:
        self.failed = True
        return None, (report,)

    def close(self, rest: bytes) -> Decoded:
        """The end of the stream with ``rest``, the bytes of a frame that was not finished: nothing in it can be told
        from noise without its checksum."""
        self._torn = bool(rest)
        return None, (Malformed("the stream ends inside a frame"),) if rest else ()

    def incomplete(self, *, clean: bool) -> str | None:
        """Why the answer is not complete at this end of the stream, or None when it is."""
        missing = super().incomplete(clean=clean)
        return "the stream ended inside a frame" if missing is None and self._torn and not self.marked else missing
