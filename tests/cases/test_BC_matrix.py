"""B, C. Every fault in every phase, for every client wire, streamed and folded, in virtual time.

What is to come of it stands in `matrix_table`, which knows nothing of the code. Beside that table hold, for every cell:
one Done and one Record, every attempt closed, no frame of one that lost, no sign of success that the provider did not
give, errors in the client's own wire.
"""

import json
from typing import Any

import pytest
from matrix_run import LANES, REFUSAL, Lane, Promise, calm, plan, played, script
from matrix_table import AFTER_A_TOKEN, BOTH, CELLS, LIMITS, ROWS, Cell, Phase, Row, Then
from matrix_talk import TALKS, WORDS
from wire_clients import Told, whole
from wire_providers import SAID

from penstock.stream.commands import Close, End, Head, Open, Record, Send
from penstock.stream.inputs import ClientBlocked, ClientLeft
from penstock.testing.laws import (
    law_1_one_done_one_record_and_nothing_after,
    law_2_every_open_meets_one_close,
    law_5_cuts_change_nothing,
    law_6_words_of_closed_attempts_change_nothing,
    law_7_the_account_counts_each_thing_by_itself,
    law_12_memory_is_bounded,
    without_keepalives,
)
from penstock.testing.reading import readings
from penstock.testing.run import run
from penstock.testing.silence import law_9_silence_is_blamed_on_a_side
from penstock.testing.transcript import Transcript

LAWS = (
    law_1_one_done_one_record_and_nothing_after,
    law_2_every_open_meets_one_close,
    law_7_the_account_counts_each_thing_by_itself,
    law_9_silence_is_blamed_on_a_side,
    law_12_memory_is_bounded,
)
"""Those that hold for every wire."""
LANE = pytest.mark.parametrize("lane", LANES, ids=str)
STREAMED = pytest.mark.parametrize("streamed", [True, False], ids=["streamed", "folded"])


def name(row: Row) -> str:
    """Of a test's case."""
    return f"{row.case} {row.fault} {row.phases[0].name.lower()}"


ROW = pytest.mark.parametrize("row", ROWS, ids=name)


class Trial(Promise):
    """A cell that was played, and what its client was told."""

    def __init__(self, lane: Lane, cell: Cell, *, streamed: bool, targets: int, **delivery: Any):
        super().__init__(lane, cell, streamed=streamed)
        self.transcript = played(lane, cell, streamed=streamed, targets=targets, **delivery)
        self.account = self.transcript.account

    @property
    def told(self) -> Told:
        """The client's reading of its body."""
        head, body = self.transcript.head, self.transcript.body
        assert head is not None
        if head.status == 200 and self.streamed:
            return self.lane.speaker.read(body)
        return whole(json.loads(body))

    def is_sound(self) -> None:
        """What holds for every cell."""
        assert self.transcript.over, "the stream never ends"
        for law in LAWS:
            law(self.transcript)
        opened = [each.attempt for each in self.transcript.commands if isinstance(each, Open)]
        assert sorted(each.attempt for each in self.transcript.commands if isinstance(each, Close)) == opened
        (record,) = (each for each in self.transcript.commands if isinstance(each, Record))
        assert len(record.summary.attempts) == len(opened)

    def got_whole(self, letter: str) -> None:
        """The client got a target's answer, every word of it once, and its end."""
        told = self.told
        assert told.text == "".join(f"{letter}{number} " for number in range(WORDS))
        assert told.error is None and told.successes
        assert self.account.outcome == "completed"

    def got_of_the_second(self) -> None:
        """Byte for byte what it is where the first has sent nothing at all."""
        self.got_whole("k")
        expected = calm(self.lane, self.streamed)
        assert without_keepalives(self.transcript) == without_keepalives(expected)
        assert [attempt.outcome for attempt in self.account.attempts] == [self.outcome, None]

    def got_error(self, status: int) -> None:
        """A status, and an error of the client's own wire."""
        head, body = self.transcript.head, self.transcript.body
        assert head is not None and head.status == status, head
        assert dict(head.headers)[b"content-type"] == b"application/json"
        assert dict(head.headers)[b"x-penstock-stream"] == b"st_matrix"
        if self.lane.same_wire and self.cell.row.fault.startswith("status"):
            assert body == REFUSAL
        else:
            error_of(self.lane.client, json.loads(body), listed=self.streamed)
        told = self.told
        assert told.error is not None and not told.successes and not told.text

    def got_frame(self, words: str) -> None:
        """So many words, one error, no sign of success."""
        told = self.told
        assert (told.text, told.successes) == (words, [])
        assert told.error is not None
        (end,) = (each for each in self.transcript.commands if isinstance(each, End))
        assert (end.cut, end.abort) == (self.lane.speaker.cuts, False)
        said = json.dumps(told.error)
        assert (SAID if self.cell.row.fault == "error" else self.outcome) in said
        assert b"st_matrix" in self.transcript.body

    def ended_in_time(self, alone: bool) -> None:
        """The attempt ended when its deadline said so, to the instant."""
        limit = self.cell.row.limit
        if not limit or self.then is Then.WHOLE:
            return
        attempt, seconds = self.account.attempts[0], LIMITS[limit]
        if limit == "first_token" and alone:
            seconds *= 1.5  # nobody else is left to ask
        since = attempt.started
        if limit == "between_tokens":
            since = readings(self.transcript)[0].tokens[-1]
        elif limit == "slow_client":
            since = next(turn.at for turn in self.transcript.turns if isinstance(turn.cause, ClientBlocked))
        assert attempt.ended == pytest.approx(since + seconds)


def error_of(client: str, body: Any, *, listed: bool) -> None:
    """An error body as a client wire has it (wire-formats.md), with the stream's name in it."""
    if client == "gemini array" and listed:
        assert len(body) == 1
        (body,) = body
    if client.startswith("gemini"):
        error = body["error"]
        assert isinstance(error["code"], int) and error["message"] and isinstance(error["status"], str)
    elif client == "anthropic-messages":
        assert body["type"] == "error" and body["error"]["type"] and body["error"]["message"]
    elif client == "cohere-chat":
        assert isinstance(body["message"], str) and "error" not in body
    elif client == "ollama-chat":
        assert isinstance(body["error"], str)
    else:
        assert {"message", "type", "param", "code"} <= body["error"].keys() and "choices" not in body
    assert "st_matrix" in json.dumps(body)


def each(row: Row) -> list[tuple[Cell, bool]]:
    """The row's cells, for a client that is streamed to and for a folded one."""
    return [(Cell(row, phase), streamed) for phase in row.phases for streamed in (True, False)]


@LANE
@ROW
def test_with_a_healthy_second_target(lane: Lane, row: Row) -> None:
    for cell, streamed in each(row):
        trial = Trial(lane, cell, streamed=streamed, targets=2)
        judge(trial, alone=False)


@LANE
@ROW
def test_with_no_other_target(lane: Lane, row: Row) -> None:
    for cell, streamed in each(row):
        trial = Trial(lane, cell, streamed=streamed, targets=1)
        judge(trial, alone=True)


def judge(trial: Trial, *, alone: bool) -> None:
    """Hold a trial to its cell."""
    try:
        trial.is_sound()
        trial.ended_in_time(alone)
        came_of_it(trial, alone=alone)
    except AssertionError as error:
        about = f"{trial.cell.phase.name}, {'streamed' if trial.streamed else 'folded'}"
        raise AssertionError(f"{about}: {error}\n\nThe play:\n{trial.transcript.story()}") from error


def came_of_it(trial: Trial, *, alone: bool) -> None:
    then, account = trial.then, trial.account
    if then is Then.NEXT and not alone:
        trial.got_of_the_second()
        return
    assert len(account.attempts) == 1, "another target was asked"
    assert account.outcome == trial.outcome
    if then is Then.GONE:
        left = next(n for n, turn in enumerate(trial.transcript.turns) if isinstance(turn.cause, ClientLeft))
        later = [each for turn in trial.transcript.turns[left:] for each in turn.commands]
        assert not [each for each in later if isinstance(each, Head | Send | End)]
        assert isinstance(later[0], Close) and not later[0].reuse
    elif then is Then.WHOLE:
        trial.got_whole("w")
    elif then is Then.CUT:
        (end,) = (each for each in trial.transcript.commands if isinstance(each, End))
        # Half a list cannot be read; then the sign itself is looked for.
        unread = trial.lane.client == "gemini array"
        assert end.abort and not (b"STOP" in trial.transcript.body if unread else trial.told.successes)
    elif then is Then.FRAME:
        trial.got_frame(trial.words)
    else:
        trial.got_error(trial.status)


# -- behind an early head ---------------------------------------------------------------------------------------------

EARLY = [row for row in ROWS if row.fault != "client blocks" and not set(row.phases) <= set(AFTER_A_TOKEN)]


@LANE
@pytest.mark.parametrize("row", EARLY, ids=name)
def test_B10_behind_an_early_200_it_is_the_same_but_for_the_status(lane: Lane, row: Row) -> None:
    for phase in set(row.phases) - set(AFTER_A_TOKEN):
        for targets in (1, 2):
            cell = Cell(row, phase)
            trial = Trial(lane, cell, streamed=True, targets=targets, commit_after=0.05, keepalive=5.0)
            trial.is_sound()
            head = trial.transcript.head
            assert head is not None and head.status == 200
            if trial.then is Then.NEXT and targets == 2:
                trial.got_of_the_second()
            elif trial.then is Then.WHOLE:
                trial.got_whole("w")
            elif trial.then is not Then.GONE:
                trial.got_frame("")


# -- both fail --------------------------------------------------------------------------------------------------------


@LANE
@STREAMED
@pytest.mark.parametrize(("first", "second", "status"), BOTH)
def test_C11_of_two_failures_the_more_useful_is_told(
    lane: Lane, streamed: bool, first: str, second: str, status: int
) -> None:
    def fault(which: str, wire: str) -> Any:
        phase = {"refused": Phase.CONNECT, "empty": Phase.HEAD}.get(which, Phase.SENT)
        return script(TALKS[wire], "w", which, phase)

    transcript = run(plan(lane, streamed=streamed), [fault(first, lane.first), fault(second, lane.second)])
    for law in LAWS:
        law(transcript)
    head = transcript.head
    assert head is not None and head.status == status
    assert len(transcript.account.attempts) == 2
    told = whole(json.loads(transcript.body))
    assert told.error is not None and not told.successes
    says_when = status in (429, 503, 500, 404, 422)
    assert dict(head.headers).get(b"retry-after") == (b"7" if says_when else None)


# -- cuts and late words ----------------------------------------------------------------------------------------------


@LANE
@pytest.mark.parametrize("turn", range(4))
def test_E1_however_it_is_cut_and_whoever_speaks_late(lane: Lane, turn: int) -> None:
    for number, cell in enumerate(CELLS):
        if number % 16 == 4 * turn:
            transcript: Transcript = played(lane, cell, streamed=True)
            law_5_cuts_change_nothing(transcript)
            law_6_words_of_closed_attempts_change_nothing(transcript)
