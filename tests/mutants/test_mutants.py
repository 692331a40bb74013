"""Every mutant dies: a law or a play that no mutant can break says little."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from form_mutants import FORMS
from matrix_mutants import MATRIX
from mutant import Mutant
from pace_mutants import PACE
from path_mutants import ON_THE_PATH
from resume_mutants import RESUMING

import penstock
from mutants import MUTANTS as OF_LAWS

MUTANTS = [*OF_LAWS, *MATRIX, *ON_THE_PATH, *PACE, *RESUMING, *(Mutant(*lie) for lie in FORMS)]
SOURCE = Path(penstock.__file__).parent
TESTS = Path(__file__).parents[1]
ENVIRONMENT = {"HYPOTHESIS_PROFILE": "mutants", "PYTHONDONTWRITEBYTECODE": "1"}
ALIVE, DEAD = 0, 1
JUDGED = MUTANTS if os.environ.get("HYPOTHESIS_PROFILE") == "thorough" else MUTANTS[::10]
"""A tenth of them, or the suite would take too long; `make thorough` judges all."""
PARTS = 4
"""The truth is told in parts, so that no processor waits for another."""


def copy_with(mutant: Mutant | None, to: Path) -> Path:
    """The package beside itself: links to everything, but for the one file that is changed."""
    package = to / "penstock"
    changed = SOURCE / mutant.file if mutant else None
    package.mkdir(parents=True)
    for entry in SOURCE.iterdir():
        if entry == changed or (changed is not None and entry in changed.parents):
            continue
        (package / entry.name).symlink_to(entry)
    if mutant is not None and changed is not None:
        if changed.parent != SOURCE:
            folder = changed.relative_to(SOURCE).parts[0]
            shutil.copytree(SOURCE / folder, package / folder, ignore=shutil.ignore_patterns("__pycache__"))
        text = changed.read_text(encoding="utf-8")
        (package / mutant.file).write_text(text.replace(mutant.old, mutant.new), encoding="utf-8")
    return to


@pytest.fixture(scope="module")
def verdicts(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[int, str]]:
    """The verdict on every mutant, and on the package as it is: pytest's exit code and its words."""
    home = tmp_path_factory.mktemp("mutants")
    named = {mutant.killer for mutant in JUDGED}
    killers = sorted(
        str(TESTS / killer) for killer in named if "::" not in killer or killer.split("::")[0] not in named
    )
    none = str(copy_with(None, home / "none"))
    jobs = [[none, *killers[part::PARTS]] for part in range(PARTS)]
    for number, mutant in enumerate(JUDGED):
        jobs.append([str(copy_with(mutant, home / str(number))), str(TESTS / mutant.killer)])
    done = subprocess.run(
        [sys.executable, str(TESTS / "mutants" / "judge.py")],
        input=json.dumps(jobs),
        capture_output=True,
        text=True,
        env={name: value for name, value in os.environ.items() if name != "PYTHONPATH"} | ENVIRONMENT,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    names = [*map(str, range(PARTS)), *(mutant.name for mutant in JUDGED)]
    return dict(zip(names, json.loads(done.stdout), strict=True))


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_the_lie_is_one_that_the_source_could_tell(mutant):
    text = (SOURCE / mutant.file).read_text(encoding="utf-8")
    assert text.count(mutant.old) == 1, f"{mutant.old!r} is not in {mutant.file} once: bring the mutant up to date"
    compile(text.replace(mutant.old, mutant.new), mutant.file, "exec")


@pytest.mark.parametrize("part", range(PARTS))
def test_the_tests_that_kill_let_the_truth_live(verdicts, part):
    code, words = verdicts[str(part)]
    assert code == ALIVE, words


@pytest.mark.parametrize("mutant", JUDGED, ids=lambda mutant: mutant.name)
def test_a_mutant_dies(mutant, verdicts):
    code, words = verdicts[mutant.name]
    assert code == DEAD, f"{mutant.killer} does not notice that {mutant.name} (law {mutant.law}):\n{words}"
