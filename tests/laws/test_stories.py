"""Stories that random ones have told once, when a law or the machine was wrong."""

import msgspec
from test_laws_metering import OPENED, TERMS, metered, read
from test_laws_with_stages import LETTERS, STAGES, staged

from penstock.outcome import Outcome
from penstock.stages.pipeline import StagesPlan
from penstock.stream.commands import Open
from penstock.stream.inputs import ClientLeft
from penstock.stream.plan import Resumable
from penstock.stream.settlement import settle
from penstock.testing.frames import DONE, chunk, finish, reasoning, role
from penstock.testing.laws import check_laws
from penstock.testing.playbook import plan
from penstock.testing.run import Ends, Opens, Responds, Sends, run, script
from penstock.wire.continued import Prefix


def test_a_resumable_answer_goes_on_from_its_journal_while_nobody_is_there():
    asked = plan(continues=True, targets=2, max_frame=400)
    asked = msgspec.structs.replace(asked, resumable=Resumable(ids=True))
    too_large = script(chunk("Hi"), chunk("x" * 400))
    transcript = run(asked, [too_large, script(chunk(" you"), finish() + DONE)], [(0.05, ClientLeft())])
    behind = [command.behind for command in transcript.commands if isinstance(command, Open)]
    assert (behind, transcript.body, transcript.outcome) == ([None, Prefix("Hi", 1)], b"", Outcome.COMPLETED)
    check_laws(transcript)


def test_a_token_that_a_stage_held_and_an_error_behind_it_in_one_piece():
    asked = staged(plan(targets=1), StagesPlan(stages=(LETTERS,)))
    transcript = run(asked, [script(chunk("hi") + b'error: {"message":"field","code":500}\n\n')])
    assert transcript.head is not None and (transcript.head.status, transcript.account.committed) == (500, False)
    check_laws(transcript)


def test_a_guard_cuts_an_answer_behind_a_heartbeat():
    halting = next(stages for stages in STAGES if len(stages.stages) == 3)
    asked = staged(plan(stream=False, targets=1, heartbeat=0.7), halting)
    steps = [(0.0, Opens()), (0.0, Responds()), (1.0, Sends(chunk("HI, HI, HI, HI"))), (0.0, Ends(True))]
    transcript = run(asked, [steps])
    assert transcript.outcome is Outcome.STOPPED and transcript.body.startswith(b' {"id"')
    check_laws(transcript)


def test_what_an_attempt_that_goes_on_says_and_does_not_tell_was_not_delivered():
    """It thinks, says another choice, and begins with what had been said."""
    asked = metered(plan(continues=True, targets=1))
    rest = [reasoning("hm"), chunk("Hi the"), chunk("again", choice=1), chunk("re"), finish() + finish(choice=1) + DONE]
    transcript = run(asked, [script(role(), chunk("Hi "), clean=False), script(*rest)])
    row = settle(transcript.account, OPENED, 2.0, TERMS).row
    assert transcript.outcome is Outcome.COMPLETED
    assert (row.delivered.output, row.delivered.reasoning) == (read(transcript).output, 0)
    assert row.attempts[1].counted.generated == len("hmHi theagainre")
