"""A moderation service that flags words, over sockets or in virtual time."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from penstock.stream.commands import Ask
from penstock.stream.inputs import CheckAnswered
from penstock.testing.steps import forever, pause, st
from penstock.testing.upstream import Seen, Step
from penstock.wire import json


def service(
    flags: Sequence[str] = (), *, delay: float | None = 0.0, status: int = 200, category: str = "violence"
) -> Callable[[Seen], Sequence[Step]]:
    """The script of a `ScriptedUpstream`: it answers after ``delay`` (None: never) as OpenAI does."""

    def play(seen: Seen) -> Sequence[Step]:
        if delay is None:
            return [forever()]
        asked = json.loads(seen.body)
        texts = asked.get("input") or asked["texts"]
        bad = [any(flag in text for flag in flags) for text in texts]
        results = [{"flagged": one, "categories": {category: one, "other": False}} for one in bad]
        return [pause(delay), st(status, {"id": "modr_1", "results": results} if status == 200 else {"error": {}})]

    return play


def answers(
    flags: Sequence[str] = (), *, delay: float | None = 0.0, failed: str = "", category: str = "violence"
) -> Callable[[Ask], tuple[float, CheckAnswered] | None]:
    """The same for `penstock.testing.run`."""

    def answer(asked: Ask) -> tuple[float, CheckAnswered] | None:
        if delay is None:
            return None
        found = (category,) if any(flag in text for flag in flags for text in asked.texts) else ()
        return delay, CheckAnswered(asked.check, () if failed else found, failed)

    return answer
