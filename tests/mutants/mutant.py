"""What a mutant is: one small lie, and what has to notice it."""

from __future__ import annotations

from typing import NamedTuple

LAWS = "laws/test_laws.py"
METERING = "laws/test_laws_metering.py"


class Mutant(NamedTuple):
    """``old`` occurs once in ``file`` (below ``src/penstock``) and becomes ``new``."""

    name: str
    law: str
    file: str
    old: str
    new: str
    killer: str = LAWS


MACHINE, CLIENT, UPSTREAM = "stream/machine.py", "stream/client.py", "stream/upstream.py"
STAGED = "stream/staged.py"
DECODER, FRAMER = "wire/openai_chat.py", "framing/sse.py"
