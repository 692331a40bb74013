"""Lies about bytes, memory and success."""

from __future__ import annotations

from mutant import CLIENT, DECODER, FRAMER, UPSTREAM, Mutant

TRUTH = [
    # 10. Output bytes are input bytes.
    Mutant(
        "frames from before the first token are lost",
        "10",
        CLIENT,
        "        for frame in attempt.held:\n            self.put(frame)\n",
        "",
    ),
    Mutant(
        "the usage frame leaks",
        "10",
        DECODER,
        "if alone and not self._expose_usage:",
        "if not alone and self._expose_usage is None:",
        "wire/test_chat_decoder.py",
    ),
    Mutant(
        "every frame is written anew",
        "10",
        DECODER,
        "        bytes_on: bytes | None = frame\n",
        '        bytes_on: bytes | None = b"data: " + payload + b"\\n\\n"\n',
        "wire/test_chat_decoder.py",
    ),
    # 12. Memory is bounded.
    Mutant(
        "frames are held without end",
        "12",
        UPSTREAM,
        "        if attempt.held_size <= self._plan.delivery.max_frame:\n",
        "        if True:\n",
        "stream/test_plays_failed.py",
    ),
    Mutant(
        "a frame may grow without end",
        "12",
        FRAMER,
        "        if len(self._buffer) > self._limit:\n",
        "        if False:\n",
        "framing/test_sse_framer.py",
    ),
    # 13. Success is said only by the provider.
    Mutant(
        "the end of a connection is success",
        "13",
        DECODER,
        '            return "the stream ended before the answer was finished"\n',
        "            return None\n",
    ),
    Mutant(
        "a broken connection is a clean end",
        "13",
        DECODER,
        'return None if clean else "the connection broke before the end marker"',
        "return None",
        "wire/test_chat_decoder.py",
    ),
    Mutant(
        "an error is followed by the end marker",
        "13",
        CLIENT,
        "frame + client.end_marker() if marked else frame",
        "frame + client.end_marker()",
    ),
    Mutant(
        "an empty answer is complete",
        "13",
        UPSTREAM,
        "and not attempt.decoder.empty_is_right",
        "and False",
        "stream/test_plays_failed.py",
    ),
]
