"""Thousands of damaged settings files, none of which starts anything or goes unexplained."""

import os
import subprocess
import sys

import pytest

from tests.support.mutation_kinds import KINDS
from tests.support.mutations import TEMPLATES, Mutation, Outcome, Verdict, corpus, judged

# Proven by breaking the loader: without its look into comments it starts on 54 of the 2,500 files; without the lines
# of a cross check's other variables 186 refusals name no damaged line; with every stranger's name shown, secrets leak.


def what_is_wrong(outcome: Outcome) -> str:
    """Return what the answer to a damaged file lacks; empty: nothing."""
    mutation, said = outcome.mutation, outcome.message.splitlines()
    where = f"{mutation.kind} in {mutation.section}, line {mutation.lines}: "
    if not outcome.as_declared:
        return f"{where}not {mutation.verdict.value}; {outcome.message}"
    if outcome.tells_a_secret:
        return f"{where}tells a secret; {outcome.message}"
    if outcome.refused and mutation.lines and not outcome.names_its_line:
        return f"{where}not named; {outcome.message}"
    if not all(": expected " in line or " expected " in line for line in said):
        return f"{where}a line without what was expected; {outcome.message}"
    return ""


def check(files: int, tmp_path) -> list[Outcome]:
    outcomes = [judged(mutation, tmp_path) for mutation in corpus(files)]
    wrong = [problem for outcome in outcomes if (problem := what_is_wrong(outcome))]

    assert not wrong, "\n".join(wrong[:10])
    assert len({(one.mutation.section, one.mutation.data, one.mutation.beside) for one in outcomes}) == files
    return outcomes


def test_damaged_files_are_refused_at_their_line_and_others_accepted(tmp_path):
    outcomes = check(6 * len(KINDS), tmp_path)

    assert len({outcome.mutation.kind for outcome in outcomes}) == len(KINDS)


@pytest.mark.slow
def test_thousands_of_damaged_files_are_refused_at_their_line_and_others_accepted(tmp_path):
    outcomes = check(2500, tmp_path)
    refused = [outcome for outcome in outcomes if outcome.refused]
    named = [outcome for outcome in refused if outcome.names_its_line]

    assert len(refused) > 2200
    assert {one.mutation.kind for one in refused if one not in named} == {"required line deleted"}


def test_the_same_seed_gives_the_same_files_and_another_others():
    first, again, other = list(corpus(100)), list(corpus(100)), list(corpus(100, seed=2))

    assert first == again
    assert first != other


@pytest.mark.parametrize(
    ("message", "named"),
    [
        (".env_bot:7: X: expected a", True),
        (".env_bot:70: X: expected a", False),
        (".env:7: X: expected a", False),
        (".env_bot:9: X: expected a; see line 7 (Y)", True),
        (".env:9: X: expected a; see .env_bot:7 (Y)", True),
        (".env:9: X: expected a; see line 7 (Y)", False),
        (".env_bot: X: expected a", False),
    ],
)
def test_the_judge_takes_no_other_line_for_the_damaged_one(message, named):
    mutation = Mutation(kind="a kind", section=".env_bot", data=b"", lines=(7,))

    assert Outcome(mutation=mutation, message=message).names_its_line is named


# --- as processes


def tree(home) -> dict[str, bytes | None]:
    return {str(path.relative_to(home)): path.read_bytes() if path.is_file() else None for path in home.rglob("*")}


SAMPLE = [mutation for mutation in corpus(3 * len(KINDS), seed=7) if mutation.verdict is Verdict.REFUSED]


@pytest.mark.parametrize(
    ("command", "mutation"),
    [
        pytest.param(("run", "--once"), SAMPLE[3], id="run"),
        pytest.param(("check",), SAMPLE[40], id="check"),
        pytest.param(("run", "--once", "--rehearsal"), SAMPLE[60], id="rehearsal"),
    ],
)
def test_nothing_is_started_and_nothing_written_but_the_error(tmp_path, command, mutation):
    refused = judged(mutation, tmp_path)
    before = tree(tmp_path)
    ended = subprocess.run(
        [sys.executable, "-m", "tbot_bot.runtime.cli", *command],
        env={**os.environ, "TBOT_HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert ended.returncode == 2, ended.stdout + ended.stderr
    assert refused.message in ended.stdout + ended.stderr
    assert "Traceback" not in ended.stderr
    assert tree(tmp_path) == before
    assert set(before) == set(TEMPLATES)
