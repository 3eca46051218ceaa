"""Asking again: how long, how often, until when, and what can never be asked twice."""

import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tbot_bot.core.backoff import Idempotent, Patience, Trouble, Watchers, pause_after, retrying
from tbot_bot.core.errors import BrokerRefused, BrokerUnavailable
from tbot_bot.core.instants import SECOND, Duration

REPOSITORY = Path(__file__).resolve().parents[2]
PATIENCE = Patience(retries=3, deadline=Duration(30 * SECOND))
DICE = st.floats(0, 1, exclude_max=True)


@given(attempt=st.integers(1, 10_000), dice=DICE)
def test_a_pause_is_never_none_and_never_too_long(attempt, dice):
    span = min(PATIENCE.pause_first * 2 ** (attempt - 1), PATIENCE.pause_longest)
    pause = pause_after(PATIENCE, attempt, lambda: dice)

    assert span // 2 <= pause <= span
    assert 0 < pause <= PATIENCE.pause_longest


def test_pauses_double_and_the_same_dice_give_the_same_pauses():
    lowest = [pause_after(PATIENCE, attempt, lambda: 0.0) / SECOND for attempt in range(1, 10)]
    highest = [pause_after(PATIENCE, attempt, lambda: 0.999_999_999_999) / SECOND for attempt in range(1, 10)]
    assert lowest == [0.25, 0.5, 1, 2, 4, 8, 15, 15, 15]
    assert highest == pytest.approx([0.5, 1, 2, 4, 8, 16, 30, 30, 30])


def test_those_that_failed_together_do_not_come_back_together():
    falls = iter(number / 100 for number in range(100))
    assert len({pause_after(PATIENCE, 3, lambda: next(falls)) for _ in range(100)}) == 100


class World:
    """A server that fails in a given way, and a clock that does not run."""

    def __init__(self, *answers, dice=0.0):
        self.answers, self.dice_value = list(answers), dice
        self.asked, self.slept = 0, []
        self.told: list[Trouble] = []
        self.lost: list[Trouble] = []
        self.watchers = Watchers(
            retryable=lambda error: isinstance(error, BrokerUnavailable | TimeoutError),
            failed=self.told.append,
            exhausted=self.lost.append,
        )

    def dice(self):
        return self.dice_value

    async def sleep(self, span):
        self.slept.append(span / SECOND)

    async def within(self, span, answer):
        assert span == PATIENCE.deadline
        return await answer

    async def positions(self):
        self.asked += 1
        answer = self.answers.pop(0)
        if isinstance(answer, BaseException):
            raise answer
        return answer

    async def ask(self, patience=PATIENCE):
        return await retrying(Idempotent("positions of sim", self.positions), patience, self, self.watchers)


async def test_an_answer_ends_the_asking():
    world = World(BrokerUnavailable("busy"), TimeoutError(), 7)
    assert await world.ask() == 7
    assert (world.asked, world.slept, world.lost) == (3, [0.25, 0.5], [])
    assert [(one.attempt, one.pause / SECOND) for one in world.told] == [(1, 0.25), (2, 0.5)]


@pytest.mark.parametrize("retries", [0, 1, 3, 20])
async def test_the_limit_holds_and_the_watchdog_hears_of_it_once(retries):
    errors = [BrokerUnavailable(f"busy {number}") for number in range(30)]
    world = World(*errors)
    patience = Patience(retries=retries, deadline=PATIENCE.deadline)
    with pytest.raises(BrokerUnavailable, match=f"busy {retries}$"):
        await world.ask(patience)

    assert world.asked == retries + 1
    assert len(world.slept) == retries
    assert [(one.attempt, one.pause, one.error) for one in world.lost] == [(retries + 1, 0, errors[retries])]
    assert len(world.told) == retries + 1


@pytest.mark.parametrize("error", [BrokerRefused("no"), KeyError("a defect")])
async def test_what_is_not_worth_it_is_told_at_once_and_is_no_lost_broker(error):
    world = World(error, 7)
    with pytest.raises(type(error)):
        await world.ask()
    assert (world.asked, world.slept, len(world.told), world.lost) == (1, [], 1, [])


@pytest.mark.parametrize(("asked", "slept"), [(0.1, 0.25), (5, 5), (30, 30)])
async def test_retry_after_is_respected_where_it_is_longer(asked, slept):
    world = World(BrokerUnavailable("429", retry_after=Duration(round(asked * SECOND))), 7)
    assert await world.ask() == 7
    assert world.slept == [slept]


async def test_nobody_waits_for_an_hour():
    world = World(BrokerUnavailable("429", retry_after=Duration(3600 * SECOND)), 7)
    with pytest.raises(BrokerUnavailable):
        await world.ask()
    assert (world.asked, world.slept, len(world.lost)) == (1, [], 1)


@pytest.mark.parametrize("wrong", [{"retries": -1}, {"deadline": Duration(0)}, {"pause_first": Duration(31 * SECOND)}])
def test_patience_without_end_or_beginning_is_refused(wrong):
    with pytest.raises(ValueError, match="no patience"):
        Patience(**{"retries": 3, "deadline": Duration(SECOND), **wrong})


@pytest.mark.slow
def test_the_type_checker_refuses_to_retry_a_submission(tmp_path):
    """What is not wrapped by somebody who vouches for it does not get in."""
    program = tmp_path / "submits.py"
    program.write_text(
        "from tbot_bot.core.backoff import Patience, Waiting, Watchers, retrying\n"
        "from tbot_bot.core.orders import OrderRequest\n"
        "from tbot_bot.core.protocols import Broker\n"
        "async def send(broker: Broker, order: OrderRequest, p: Patience, w: Waiting, x: Watchers) -> None:\n"
        "    await retrying(broker.submit(order), p, w, x)\n"
        "    await retrying(lambda: broker.submit(order), p, w, x)\n"
    )
    command = [sys.executable, "-m", "mypy", "--strict", "--cache-dir", str(tmp_path / "cache"), str(program)]
    told = subprocess.run(command, capture_output=True, text=True, cwd=REPOSITORY, check=False)
    assert told.returncode == 1, told
    assert told.stdout.count("[arg-type]") + told.stdout.count("[misc]") >= 2, told.stdout


def test_nobody_vouches_for_a_submission():
    """The type stops accidents; this stops `Idempotent(..., lambda: broker.submit(order))`."""
    vouched = [
        (path, piece[:300])
        for path in sorted((REPOSITORY / "tbot_bot").rglob("*.py"))
        for piece in path.read_text(encoding="utf-8").split("Idempotent(")[1:]
    ]
    assert [
        path for path, call in vouched if any(f".{name}(" in call for name in ("submit", "replace", "transfer"))
    ] == []
