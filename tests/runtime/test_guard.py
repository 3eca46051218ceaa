"""The guard: over the wreck of a real bot, killed while it held positions, and as a process of its own beside one."""

import asyncio
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tbot_bot.broker.broker_sim import SimulatedBroker, VenueStore
from tbot_bot.broker.matching import Venue
from tbot_bot.config.choices import GuardPolicy
from tbot_bot.core.codec import loads
from tbot_bot.core.identity import Leg, OrderName, SessionId, StrategyName, client_order_id, trade_id
from tbot_bot.core.instants import Instant, parse_iso
from tbot_bot.core.instruments import equity
from tbot_bot.core.money import ZERO
from tbot_bot.core.orders import OrderRequest, OrderType, Side
from tbot_bot.journal.chain import Kind
from tbot_bot.journal.engaged import KillSwitchEngaged
from tbot_bot.journal.store import open_reader
from tbot_bot.journal.verify import verify
from tbot_bot.reporting.noted import DeadManReport, Noted
from tbot_bot.runtime.clock import CompressedClock
from tbot_bot.runtime.control import ControlFolder, Flag
from tbot_bot.runtime.guard import Guard, GuardRules
from tbot_bot.runtime.guard_signs import GUARD_FILE, LOOK_SECONDS_MAX, LifeSigns, Silence, last_deed
from tbot_bot.runtime.heartbeat import Heart
from tbot_bot.runtime.kill_switch import engage
from tbot_bot.runtime.locks import RUNNER_LOCK, SUPERVISOR_LOCK, Lock
from tbot_bot.runtime.supervisor_state import save, saved
from tests.runtime.test_dead_man import Bot
from tests.support.crafted_day import DAY

SESSION = SessionId(day=DAY, strategy=StrategyName.OPEN)
PATIENCE_SECONDS = 60
RULES = GuardRules(timeout_seconds=0.01, policy=GuardPolicy.FLATTEN)
CANCEL = GuardRules(timeout_seconds=0.01, policy=GuardPolicy.CANCEL)


@pytest.fixture(scope="module")
def wreck(tmp_path_factory):
    """A home whose supervisor and runner were killed while they held AAA and BBB."""
    bot = Bot(tmp_path_factory.mktemp("wreck"))
    try:
        bot.supervise()
        bot.until(lambda: len(bot.status().get("positions", [])) == 2)
    finally:
        bot.processes[0].kill()
        bot.clean_up()
    return bot.home


class Ruin:
    """A copy of the wreck, at a quarter past three by its clock."""

    def __init__(self, wreck, home):
        shutil.copytree(wreck, home)
        self.home, self.control, self.told = home, home / "control", []
        hand = saved(self.control)
        assert hand is not None
        save(self.control, hand.on(CompressedClock.starting_at(parse_iso("2025-12-02T15:15:00Z"), 2000.0)))

    def guard(self, rules=RULES):
        return Guard(self.home, rules, self.told.append)

    def once(self, rules=RULES):
        return asyncio.run(self.guard(rules).once())

    def store(self):
        (path,) = (self.home / "output" / "venue").glob("*/*.sqlite3")
        return SimulatedBroker(Venue(broker=path.stem.rpartition("_")[0], cash=ZERO), store=VenueStore(path))

    def venue(self):
        return self.store().venue

    def held(self):
        return {position.instrument.symbol: position.quantity for position in self.venue().positions()}

    def resting(self):
        return [order.client_order_id for order in self.venue().open_orders()]

    def orders(self):
        return [order.request.client_order_id for order in self.venue().snapshot().orders]

    def beat(self):
        """Let a runner beat once more."""
        Heart(self.control, str(SESSION)).beat("monitoring", Instant(0))

    def journaled(self, kind, row=Kind.ERROR):
        with open_reader(self.home / "output" / "journal" / "tbot_paper.sqlite3") as reader:
            named = f'{{"_":"{kind.__name__}"'
            return [loads(one.payload) for one in reader.rows(kind=row) if one.payload.startswith(named)]

    def plant(self, order_id, symbol, *, side=Side.BUY, limit="1"):
        """Let an order rest that was never filled."""
        broker = self.store()
        request = OrderRequest(
            client_order_id=order_id, trade_id=order_id.rpartition("-")[0], broker=broker.name,
            instrument=equity(symbol), side=side, quantity=Decimal(5), order_type=OrderType.LIMIT,
            limit_price=Decimal(limit),
        )  # fmt: skip
        asyncio.run(broker.submit(request))
        asyncio.run(broker.close())


@pytest.fixture
def ruin(wreck, tmp_path):
    return Ruin(wreck, tmp_path / "home")


# --- flatten ---------------------------------------------------------------------------------------------------------


def test_what_nobody_minds_is_closed_latched_and_said(ruin):
    assert set(ruin.held()) == {"AAA", "BBB"}
    assert ruin.once() == 5

    assert ruin.held() == {}
    assert ruin.resting() == []
    assert "by guard: supervisor and runner were silent" in ControlFolder(ruin.control).killed()
    flag = json.loads((ruin.home / "output" / "shutdown_flag.json").read_text())
    assert (flag["by"], flag["summary"]) == ("guard", "everything of ours was closed")
    (report,) = ruin.journaled(DeadManReport)
    assert {trade.ticker for trade in report.trades} == {"AAA", "BBB"}
    (noted,) = (item for item in ruin.journaled(Noted, Kind.NOTE) if item.text.startswith("guard"))
    assert "everything of ours was closed" in noted.text
    assert verify(ruin.home / "output" / "journal" / "tbot_paper.sqlite3").ok


def test_it_never_acts_twice(ruin):
    ruin.once()
    (ruin.control / "killed.json").unlink()
    orders, notes = ruin.orders(), len(ruin.journaled(Noted, Kind.NOTE))

    assert ruin.once() == 0
    assert ruin.orders() == orders
    assert len(ruin.journaled(Noted, Kind.NOTE)) == notes
    assert not (ruin.control / "killed.json").exists()


@pytest.mark.parametrize("life", [0, 1])
def test_a_guard_that_is_killed_over_it_is_finished_by_the_next_and_nothing_is_sold_twice(ruin, monkeypatch, life):
    real, left = SimulatedBroker.submit, [life]

    async def dying(broker, order):
        if left[0] == 0:
            raise KeyboardInterrupt
        left[0] -= 1
        await real(broker, order)

    held = ruin.held()
    monkeypatch.setattr(SimulatedBroker, "submit", dying)
    with pytest.raises(KeyboardInterrupt):
        ruin.once()
    monkeypatch.undo()
    deed = last_deed(ruin.control)
    assert deed is not None
    assert deed.state == "acting"

    assert ruin.once() == 5
    exits = [order.request for order in ruin.venue().snapshot().orders if "-deadman" in order.request.client_order_id]
    assert {request.instrument.symbol: request.quantity for request in exits} == held
    assert len(exits) == 2
    assert ruin.held() == {}


def test_broken_settings_and_a_broken_journal_do_not_hinder_it(ruin):
    (ruin.home / ".env_bot").write_text("GUARD_TIMEOUT=soon\nnonsense\n")
    for path in (ruin.home / "output" / "journal").glob("tbot_paper.sqlite3*"):
        path.unlink()
    (ruin.home / "output" / "journal" / "tbot_paper.sqlite3").write_bytes(b"rubbish" * 1000)
    rules = GuardRules.of(ruin.home)

    assert (rules.timeout_seconds, rules.policy) == (60, GuardPolicy.FLATTEN)
    assert "the settings cannot be used" in rules.problem
    assert ruin.once() == 5
    assert ruin.held() == {}
    assert any("names decide what is ours" in words for words in ruin.told)
    assert any("not journaled" in words for words in ruin.told)


def test_what_cannot_be_closed_is_tried_again_three_times_and_then_left_to_people(ruin):
    hand = saved(ruin.control)
    assert hand is not None
    save(
        ruin.control, hand.on(CompressedClock.starting_at(parse_iso("2025-12-02T21:30:00Z"), 2000.0))
    )  # after the bell
    assert [ruin.once() for _ in range(3)] == [1, 1, 1]

    orders = ruin.orders()
    assert ruin.once() == 1
    assert ruin.orders() == orders
    deed = last_deed(ruin.control)
    assert deed is not None
    assert (deed.state, deed.tries) == ("left", 3)
    assert "LEFT" in deed.outcome
    assert ruin.held() != {}


# --- cancel ----------------------------------------------------------------------------------------------------------


def test_cancel_takes_entries_away_and_leaves_positions_under_their_stops(ruin):
    mine = client_order_id(trade_id(SESSION, ruin.store().name, "CCC"), Leg.ENTRY, 1)
    ruin.plant(mine, "CCC")
    ruin.plant("somebody-else-1", "CCC")
    held = ruin.held()

    assert ruin.once(CANCEL) == 5
    assert ruin.held() == held
    legs = [getattr(OrderName.parse(order_id), "leg", None) for order_id in ruin.resting()]
    assert sorted(legs, key=str) == [None, Leg.STOP, Leg.STOP]
    assert mine not in ruin.resting()
    assert ControlFolder(ruin.control).killed()
    assert ruin.journaled(DeadManReport) == []  # the positions are still the session's

    (ruin.control / "killed.json").unlink()
    assert ruin.once(CANCEL) == 0
    assert not (ruin.control / "killed.json").exists()


def test_a_position_without_a_stop_is_named(ruin):
    broker = ruin.store()
    stop = next(order_id for order_id in ruin.resting() if "AAA-stop" in order_id)
    asyncio.run(broker.cancel(stop))
    asyncio.run(broker.close())

    ruin.once(CANCEL)
    deed = last_deed(ruin.control)
    assert deed is not None
    assert "A PERSON HAS TO LOOK AT" in deed.outcome
    assert "AAA, no stop rests under it" in deed.outcome
    assert "BBB, no stop" not in deed.outcome


# --- leaving alone ---------------------------------------------------------------------------------------------------


def test_a_runner_that_beats_is_left_alone(ruin):
    ruin.beat()
    assert ruin.once(GuardRules(timeout_seconds=5, policy=GuardPolicy.FLATTEN)) == 0
    assert set(ruin.held()) == {"AAA", "BBB"}
    assert not (ruin.control / GUARD_FILE).exists()


def test_a_runner_that_comes_back_at_the_last_moment_is_left_alone(ruin, monkeypatch):
    real = Guard._take

    async def take(guard, lock):
        await real(guard, lock)
        ruin.beat()

    monkeypatch.setattr(Guard, "_take", take)
    assert ruin.once() == 0
    assert set(ruin.held()) == {"AAA", "BBB"}
    assert ruin.told[-1] == "not acting: somebody came back"
    assert not ControlFolder(ruin.control).killed()


def test_a_supervisor_that_turns_is_a_sign_of_life(ruin):
    with Lock(ruin.control / SUPERVISOR_LOCK) as lock:
        os.utime(lock.path)
        assert ruin.once(GuardRules(timeout_seconds=5, policy=GuardPolicy.FLATTEN)) == 0
    assert set(ruin.held()) == {"AAA", "BBB"}


def test_who_holds_the_runners_lock_without_ever_having_beaten_is_not_fought(ruin):
    """A runner that starts, or the supervisor's own dead-man path: both do the guard's work."""
    with Lock(ruin.control / RUNNER_LOCK):
        assert ruin.once() == 1
    assert set(ruin.held()) == {"AAA", "BBB"}
    assert "not acting: the runner's lock is held by process" in ruin.told[-1]
    assert ruin.once() == 5


def test_nothing_of_ours_is_nothing_to_do(ruin):
    ruin.once()
    ruin.beat()  # another runner lived since
    ruin.plant("somebody-else-1", "CCC")
    orders = ruin.orders()
    time.sleep(3 * RULES.timeout_seconds)  # and has been silent since
    assert ruin.once() == 0
    assert ruin.orders() == orders
    assert "nothing of ours is open" in ruin.told[-1]


def test_positions_that_a_person_keeps_after_a_kill_are_left_under_their_stops(ruin):
    engage(ruin.home, ruin.control, by="anna", why="prices look wrong", source="cli", keep_positions=True)
    before = (ruin.held(), ruin.resting())
    assert ruin.once() == 0
    assert (ruin.held(), ruin.resting()) == before
    assert "positions are kept under their stops, by anna: prices look wrong" in ruin.told[-1]


def test_its_latch_is_in_the_journal_too(ruin):
    ruin.once()
    (row,) = ruin.journaled(KillSwitchEngaged, Kind.CONTROL)
    assert (row.by, row.source, row.keep_positions) == ("guard", "guard", False)


def test_only_one_guard_works_here(ruin):
    with Lock(ruin.control / "guard.lock"):
        told = subprocess.run(
            [sys.executable, "-m", "tbot_bot.runtime.cli", "guard", "--once"], capture_output=True, text=True,
            check=False, env={**os.environ, "TBOT_HOME": str(ruin.home)},
        )  # fmt: skip
    assert told.returncode == 4
    assert "already running" in told.stderr


@given(st.lists(st.tuples(st.floats(0, 600), st.booleans()), max_size=60))
def test_silence_counts_only_what_somebody_looked_at_and_ends_with_any_sign(looks):
    now, count, silence = 0.0, 0, Silence(looked_at=0.0)
    allowed = 0.0
    for passed, lives in looks:
        now, count = now + passed, count + lives
        before = silence.signs
        signs = LifeSigns(supervisor="", runner=f"1:{count}", supervisor_at=Instant(0), runner_at=Instant(0))
        silence = silence.look(signs, now)
        allowed = 0.0 if signs != before else allowed + min(passed, LOOK_SECONDS_MAX)
        assert silence.seconds == pytest.approx(allowed)


# --- as a process ----------------------------------------------------------------------------------------------------


class Guarded(Bot):
    """A bot with a guard beside it."""

    def __init__(self, home, policy="flatten"):
        super().__init__(home)
        (home / ".env_bot").write_text(f"GUARD_TIMEOUT=5\nGUARD_POLICY={policy}\n")

    def guard(self):
        with (self.home / "guard.txt").open("ab") as out:
            process = subprocess.Popen(
                [sys.executable, "-m", "tbot_bot.runtime.cli", "guard"], stdout=out, stderr=out,
                env={**os.environ, "TBOT_HOME": str(self.home)},
            )  # fmt: skip
        self.processes.append(process)
        return process

    def deed(self):
        return last_deed(self.home / "control")


@pytest.mark.slow
def test_killed_together_their_positions_are_closed_after_the_timeout_and_no_second_guard_acts_again(tmp_path):
    bot = Guarded(tmp_path)
    try:
        supervisor, guard = bot.supervise(), bot.guard()
        bot.until(lambda: len(bot.status().get("positions", [])) == 2)
        runner = bot.runner()
        supervisor.kill()
        os.kill(runner, signal.SIGKILL)
        killed_at = time.monotonic()
        supervisor.wait()
        bot.until(lambda: bot.deed() is not None)
        assert time.monotonic() - killed_at >= 4.5
        guard.kill()  # over its work
        guard.wait()
        bot.guard()
        bot.until(lambda: bot.deed().state == "done")

        venue = bot.venue()
        assert venue.positions() == ()
        assert venue.open_orders() == ()
        exits = [o.request.client_order_id for o in venue.snapshot().orders if "deadman" in o.request.client_order_id]
        assert len(exits) <= 2  # a stop may have been quicker
        assert bot.supervise().wait(timeout=PATIENCE_SECONDS) == 5  # latched
    finally:
        bot.clean_up()


@pytest.mark.slow
def test_frozen_together_the_runner_is_ended_and_its_stops_stay_by_the_policy(tmp_path):
    bot = Guarded(tmp_path, "cancel")
    try:
        supervisor = bot.supervise()
        bot.guard()
        bot.until(lambda: len(bot.status().get("positions", [])) == 2)
        runner = bot.runner()
        for pid in (supervisor.pid, runner):
            os.kill(pid, signal.SIGSTOP)
        bot.until(lambda: bot.deed() is not None and bot.deed().state == "done")

        assert {position.instrument.symbol for position in bot.venue().positions()} == {"AAA", "BBB"}
        assert sum("-stop" in order.client_order_id for order in bot.venue().open_orders()) == 2
        assert ControlFolder(tmp_path / "control").peek(Flag.KILL) is not None  # should the supervisor wake
        assert "is silent: ending it" in (tmp_path / "guard.txt").read_text()
    finally:
        bot.clean_up()


@pytest.mark.slow
def test_a_runner_that_the_supervisor_brings_back_is_none_of_its_business(tmp_path):
    bot = Guarded(tmp_path)
    try:
        supervisor = bot.supervise()
        guard = bot.guard()
        bot.until(lambda: len(bot.status().get("positions", [])) == 2)
        os.kill(bot.runner(), signal.SIGKILL)
        assert supervisor.wait(timeout=PATIENCE_SECONDS) == 0
        time.sleep(7)  # the timeout, and more
        assert bot.deed() is None
        assert bot.venue().positions() == ()
        guard.send_signal(signal.SIGTERM)
        assert guard.wait(timeout=10) == 0
    finally:
        bot.clean_up()


def test_its_status_is_for_programs_too(ruin):
    told = subprocess.run(
        [sys.executable, "-m", "tbot_bot.runtime.cli", "guard", "--status", "--json"], capture_output=True,
        text=True, check=True, env={**os.environ, "TBOT_HOME": str(ruin.home)},
    )  # fmt: skip
    found = json.loads(told.stdout)
    assert {row["symbol"]: row["protected"] for row in found["held"]} == {"AAA": True, "BBB": True}
    assert found["silent_seconds"] > 0
    assert found["last_deed"] is None
    assert set(ruin.held()) == {"AAA", "BBB"}
