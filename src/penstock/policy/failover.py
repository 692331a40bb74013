"""What to do when an attempt has failed. One pure decision, for every phase and every fault."""

from __future__ import annotations

from enum import Enum

from penstock.outcome import ATTEMPT_FAILURES, Outcome

RETRYABLE_STATUS = frozenset({408, 409, 425, 429})
"""4xx that say something about the provider's moment, not about the caller's request."""


class Step(Enum):
    """What follows a failed attempt."""

    NEXT = "open the next target"
    RETRY = "wait, and begin again with the first target"
    CONTINUE = "let another attempt go on with what was said"
    ANSWER = "answer with the error"
    FRAME = "end with an error frame"


def decide(
    *,
    outcome: Outcome,
    status: int | None,
    released: bool,
    targets_left: int,
    retries_left: int = 0,
    continuable: bool = False,
) -> Step:
    """The next step after a failed attempt.

    ========================================================  =========================  ==============  ===========
    failure                                                   nothing released           token released  continuable
    ========================================================  =========================  ==============  ===========
    connect_failed, first_token_timeout, upstream_cut, empty  next, else retry, answer   error frame     continue
    too_slow                                                  next, else retry, answer   error frame     continue
    upstream_error: 5xx, 408, 409, 425, 429, or in a 200      next, else retry, answer   error frame     continue
    upstream_error: any other 4xx (the caller's own)          answer                     –               –
    stalled                                                   answer                     error frame     continue
    max_duration and all other endings                        answer                     error frame     –
    ========================================================  =========================  ==============  ===========

    ``status`` is the HTTP status of the failure (of an error in a 200: the status that it maps to is not the
    caller's fault to be blamed on, so give None). ``released``: a token event went to the client. ``retries_left``:
    how often all the targets may be asked once more (``retries``). ``continuable``: the answer has begun, it may go on
    elsewhere (``mid_stream: continue``) and somebody can: that stands in place of an answer with the error or a frame.
    An attempt is ``too_slow`` only while another target can be asked: without one the stream is committed to it.
    """
    callers_fault = status is not None and 400 <= status < 500 and status not in RETRYABLE_STATUS
    repairable = outcome in ATTEMPT_FAILURES and not callers_fault
    if repairable and not released:
        if targets_left > 0:
            return Step.NEXT
        if retries_left > 0:
            return Step.RETRY
    if continuable and (repairable or outcome is Outcome.STALLED):
        return Step.CONTINUE
    return Step.FRAME if released else Step.ANSWER
