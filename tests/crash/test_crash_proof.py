"""Exactly once, proven by killing: the short form here, the long form by `make crash-test`.

The runner is the real one, its brokers are the sandbox's over real sockets, and it dies by SIGKILL.
"""

import pytest

from tests.crash.many import Orders, runs_of
from tests.crash.plan import POINTS, plan_of
from tests.crash.report import figures_of, table

SHORT = (10, 11)
"""Seeds of the short form: a stop that is decided and never sent, at one broker and at both."""
CAUGHT = {"intent-after-send": (3, 9, 12), "random-ids": (3, 9, 12), "blind-retry": (17, 60, 133)}
"""Seeds at which each broken build is caught, the next one where a busy machine was too late to trade at all."""
LONG_RUNS = 60
CAUGHT_WITHIN = {"intent-after-send": 3, "random-ids": 3, "blind-retry": 40}
"""Runs from seed 1 within which the judge must have caught a broken build."""
NEVER = frozenset({"duplicate", "orphan", "lost fill"})


def words(runs):
    return "\n".join(f"seed {run.seed}: {one.kind}: {one.text}" for run in runs for one in run.verdict.findings)


def test_killed_runners_do_it_once_and_broken_builds_are_caught(tmp_path):
    sound = Orders(folder=tmp_path / "sound")
    clean, caught = [], set()
    for chance in range(3):
        broken = [Orders(folder=tmp_path / build, broken=build) for build in CAUGHT if build not in caught]
        asked = [(CAUGHT[orders.broken][chance], orders) for orders in broken]
        asked += [(seed, sound) for seed in SHORT if not chance]
        for orders, run in runs_of(asked, jobs=4) if asked else ():
            if orders == sound:
                clean.append(run)
            elif NEVER & {one.kind for one in run.verdict.findings}:
                caught.add(orders.broken)
    assert caught == set(CAUGHT)
    assert not words(clean)
    figures = figures_of(clean)
    assert (figures.runs, figures.failed) == (len(SHORT), 0)
    assert figures.kills
    assert "recovery time" in table(figures)


def test_a_long_range_of_seeds_has_every_step_and_the_same_seed_is_the_same_plan():
    planned = {kill.point for seed in range(3 * len(POINTS)) for kill in plan_of(seed).kills}
    assert planned >= set(POINTS)
    assert plan_of(11) == plan_of(11)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_many_killed_runners_send_nothing_twice_lose_nothing_and_end_flat(tmp_path):
    orders = Orders(folder=tmp_path)
    asked = [(seed, orders) for seed in range(1, LONG_RUNS + 1)]
    assert not words([run for _, run in runs_of(asked, jobs=4)])


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("broken", CAUGHT_WITHIN)
def test_the_judge_catches_a_broken_build_soon(tmp_path, broken):
    orders = Orders(folder=tmp_path, broken=broken)
    for _, run in runs_of([(seed, orders) for seed in range(1, CAUGHT_WITHIN[broken] + 1)], jobs=4):
        if NEVER & {one.kind for one in run.verdict.findings}:
            return
    pytest.fail("not caught")
