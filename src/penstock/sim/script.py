"""From a plan to a script: which frame comes when, and how it all ends. The same for every wire."""

from __future__ import annotations

from collections.abc import Iterator

from penstock.sim.plan import Plan
from penstock.sim.reply import whole_head
from penstock.sim.steps import BODY, DATA, DONE, DROP, END, GRACE, HEAD, HOLD, RESET, Step, split_steps
from penstock.sim.voice import Usage, Voice

SILENCE: Step = (0.0, b"", HOLD, 0)


def stream_script(plan: Plan, voice: Voice, head: bytes) -> Iterator[Step]:
    """The answer as a stream, cut as ``split`` wants it."""
    steps = _stream(plan, voice, head)
    return steps if plan.options.split is None else split_steps(steps, plan.options.split)


def usage_of(plan: Plan) -> Usage:
    """What the answer costs when it is given in full."""
    reasoning = plan.reasoning_count * plan.n
    return Usage(plan.call.prompt_tokens, plan.token_count * plan.n, reasoning)


def _stream(plan: Plan, voice: Voice, head: bytes) -> Iterator[Step]:
    options = plan.options
    yield options.headers, head, HEAD, 0
    wait = max(0.0, options.first - options.headers)
    if options.error_at == 0:
        yield wait, voice.error(), DATA, 0
        yield 0.0, b"", END, 0
        return
    if options.role:
        for choice in range(plan.n):
            if frame := voice.role(choice):
                yield 0.0, frame, DATA, 0
    if options.role_only:
        yield SILENCE
        return
    fault_at, fault = _fault(plan)
    malformed_at = options.malformed_at
    sent = 0
    gap = options.gap
    for paced, frame, count in _tokens(plan, voice):
        if sent == fault_at and count:
            break
        if sent == malformed_at and count:
            yield 0.0, voice.malformed(), DATA, 0
            malformed_at = None
        yield (wait if paced else 0.0), frame, DATA, count
        sent += count
        if paced:
            wait = gap
    if sent == malformed_at:
        yield wait, voice.malformed(), DATA, 0
    if sent == fault_at:
        yield from _fall(voice, fault, wait)
    else:
        yield from _close(plan, voice, wait)


def _fault(plan: Plan) -> tuple[int | None, int]:
    """The first fault: after how many tokens, and its act (DATA = an error frame)."""
    options = plan.options
    faults = [
        (options.error_at, DATA),
        (options.cut_at, END),
        (options.drop_at, DROP),
        (options.reset_at, RESET),
        (options.stall_at, HOLD),
    ]
    return min(((at, act) for at, act in faults if at is not None), default=(None, HOLD))


def _fall(voice: Voice, fault: int, wait: float) -> Iterator[Step]:
    if fault == DATA:
        yield wait, voice.error(), DATA, 0
        yield 0.0, b"", END, 0
    elif fault == HOLD:
        yield SILENCE
    else:
        yield (wait if fault == END else max(wait, GRACE)), b"", fault, 0


def _tokens(plan: Plan, voice: Voice) -> Iterator[tuple[bool, bytes, int]]:
    """Frames in order: whether the pace applies, the frame, how many token frames it is.

    The choices go side by side: the pace applies to the first, the others follow at once.
    """
    others = range(1, plan.n)
    for token in plan.reasoning():
        yield True, voice.reasoning(0, token), 1
        for choice in others:
            yield False, voice.reasoning(choice, token), 1
    for token in plan.text():
        yield True, voice.text(0, token), 1
        for choice in others:
            yield False, voice.text(choice, token), 1
    for index, tool in enumerate(plan.tools):
        for place, fragment in enumerate(("", *tool.fragments)):
            for choice in range(plan.n):
                yield choice == 0, voice.tool(choice, index, fragment), 1 if place else 0


def _close(plan: Plan, voice: Voice, wait: float) -> Iterator[Step]:
    options = plan.options
    usage = usage_of(plan)
    late = options.late_usage is not None and options.usage != "no"
    on_finish = usage if options.usage == "finish" and not late else None
    asked = options.usage == "always" or (options.usage == "asked" and plan.call.include_usage)
    frames: list[bytes] = []
    if plan.reason is not None:
        frames += [voice.finish(choice, plan.reason, on_finish) for choice in range(plan.n)]
    if asked and not late:
        frames.append(voice.usage(usage))
    if options.done:
        frames.append(voice.end())
    for frame in frames:
        if frame:
            yield wait, frame, DATA, 0
            wait = 0.0
    if late and (frame := voice.usage(usage)):
        yield options.late_usage or 0.0, frame, DATA, 0
    yield wait + options.linger, b"", END, 0


def whole_script(plan: Plan, voice: Voice, content_type: str, request_id: str) -> Iterator[Step]:
    """The answer as one JSON document, after the time that the stream would have taken.

    Faults fit the form: ``cut_at`` and ``drop_at`` close the connection in the middle of the body, ``error_at`` is an
    HTTP 500 (see the provider), ``malformed_at`` spoils the JSON, ``stall_at`` never answers.
    """
    options = plan.options
    fault_at, fault = _fault(plan)
    wait = max(options.headers, options.first + options.gap * plan.token_count)
    body = voice.whole(plan.reason, None if options.usage == "no" else usage_of(plan))
    if options.malformed_at is not None:
        body = body[: len(body) // 2]
    head = whole_head(200, len(body), [("x-request-id", request_id)], content_type)
    if options.role_only or (fault_at is not None and fault == HOLD):
        yield SILENCE
    elif fault_at is None:
        yield wait, head, HEAD, 0
        yield 0.0, body, BODY, 0
        yield 0.0, b"", DONE, 0
    elif fault == RESET:
        yield max(wait, GRACE), b"", RESET, 0
    else:
        yield wait, head, HEAD, 0
        yield 0.0, body[: len(body) // 2], BODY, 0
        yield GRACE, b"", DROP, 0
