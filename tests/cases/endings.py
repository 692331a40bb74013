"""What the cases about endings share."""

from typing import Any

import pytest

from penstock.testing.client import Answer
from penstock.testing.steps import (
    cut,
    done,
    eof,
    fin,
    hdr,
    pause,
    role,
    rst,
    tok,
    usage,
)
from penstock.testing.upstream import Script, Step

STREAM = pytest.mark.parametrize("stream", [True, False], ids=["streamed", "folded"])
ANSWER: Script = [hdr(), role(), tok(3), fin(), usage(9, 3), done()]
# A reset throws away what its receiver has not read yet: first it is let read.
BREAKS: dict[str, list[Step]] = {"cut": [cut()], "rst": [pause(0.05), rst()], "eof": [eof()]}
BREAK = pytest.mark.parametrize("breaks", BREAKS.values(), ids=BREAKS)


def no_success(answer: Answer, *, text: str | None = None) -> dict[str, Any]:
    """The error of an answer that carries no sign of success."""
    assert answer.ended == "clean"
    assert answer.error is not None
    if answer.headers["content-type"].startswith("text/event-stream"):
        assert (answer.finishes, answer.marks) == ([], 0)
        assert answer.body.endswith(b"\n\n")
        assert text is None or answer.text == text
    else:
        assert answer.status >= 400
        assert "choices" not in answer.json
    return answer.error


UNFRAMED = b'{\n "error": {\n  "code": 503,\n  "message": "The model is overloaded.",\n  "status": "UNAVAILABLE"\n }\n}'
