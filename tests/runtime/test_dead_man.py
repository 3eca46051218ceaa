"""The dead-man path: against venues of every mood, and as the process that a supervisor starts."""

import asyncio
import csv
import json
import os
import signal
import subprocess
import sys
import time
from decimal import Decimal

import pytest

from tbot_bot.broker.broker_sim import Fault, SimulatedBroker, VenueStore
from tbot_bot.broker.matching import Venue
from tbot_bot.core.codec import loads
from tbot_bot.core.errors import BrokerUnavailable
from tbot_bot.core.identity import Mode, SessionId, StrategyName
from tbot_bot.core.instants import Instant
from tbot_bot.core.instruments import equity
from tbot_bot.core.money import ZERO
from tbot_bot.core.orders import OrderRequest, OrderType, Side, StopTrigger
from tbot_bot.journal.chain import Kind
from tbot_bot.journal.store import open_reader
from tbot_bot.journal.verify import verify
from tbot_bot.reporting.noted import DeadManReport
from tbot_bot.runtime.control import ControlFolder
from tbot_bot.runtime.dead_man_run import DEAD_MAN_FILE, Pending, close_everything, pending
from tbot_bot.runtime.earlier_today import earlier_today
from tbot_bot.runtime.flattening import ATTEMPTS_MAX, Flattener
from tbot_bot.runtime.flattening_records import record_of
from tbot_bot.runtime.replay import replay_day
from tbot_bot.runtime.runner_arguments import RunnerArguments
from tbot_bot.runtime.session_progress import progress_of
from tests.support.crafted_day import DAY, breakout_up, write_day
from tests.support.street import SESSION, in_the_market

PATIENCE_SECONDS = 60


# --- the path itself -------------------------------------------------------------------------------------------------


def test_what_is_ours_is_closed_and_what_is_not_is_left_alone():
    street = in_the_market()
    path = street.flatten()

    assert all(trade.flat for trade in path.trades.values())
    assert street.held() == {"AAA": 7, "ZZZ": 30}
    assert street.resting() == ["somebody-else-3"]
    records = [record_of(trade, Mode.PAPER, street.venue.now) for trade in path.trades.values()]
    assert [(found.ticker, found.side, found.size, found.error_code) for found in records if found] == [
        ("AAA", "long", Decimal(100), "dead_man"), ("BBB", "short", Decimal(40), "dead_man"),
    ]  # fmt: skip
    assert all(found.exit_price == Decimal(50) for found in records if found)


@pytest.mark.parametrize("life", range(1, 9))
def test_a_path_that_is_killed_at_any_step_and_run_again_sells_nothing_twice(life):
    """The first path dies after `life` requests to the broker; the second begins with nothing but the broker."""
    street = in_the_market()
    first, left = street.flattener(), [life]

    def dying(name):
        real = getattr(street.broker, name)

        async def request(*words):
            if left[0] == 0:
                raise KeyboardInterrupt
            left[0] -= 1
            return await real(*words)

        return request

    for name in ("submit", "cancel"):
        setattr(street.broker, name, dying(name))
    try:
        street.flatten(first, bars=2)
    except KeyboardInterrupt:
        street.told.append("killed")
    del street.broker.submit, street.broker.cancel
    street.flatten()

    assert street.held() == {"AAA": 7, "ZZZ": 30}
    exits = [name for name in street.venue.snapshot().orders if "deadman" in name.request.client_order_id]
    assert sorted(order.request.client_order_id for order in exits) == [
        "20251202-open-sim-AAA-deadman1", "20251202-open-sim-BBB-deadman1",
    ]  # fmt: skip


class LosesAnswers:
    """Every second request takes effect without an answer, or never arrives."""

    def __init__(self, fault):
        self.fault, self.count = fault, 0

    def of_request(self, request, client_order_id):
        if not client_order_id:
            return Fault.NONE
        self.count += 1
        return self.fault if self.count % 2 else Fault.NONE

    def of_events(self, events):
        return events


@pytest.mark.parametrize("fault", [Fault.LOST_AFTER, Fault.LOST_BEFORE])
def test_lost_answers_are_looked_up_and_nothing_is_sent_twice(fault):
    street = in_the_market(LosesAnswers(fault))
    path = street.flatten(bars=30)

    assert all(trade.flat for trade in path.trades.values())
    assert street.held() == {"AAA": 7, "ZZZ": 30}


def test_a_small_market_takes_many_bars_and_one_order():
    street = in_the_market()
    path = street.flattener()
    for _ in range(20):
        if asyncio.run(path.step()):
            break
        street.bar(volume=200.0)  # a tenth of it is ours to take
    assert street.held() == {"AAA": 7, "ZZZ": 30}
    assert all(trade.flat for trade in path.trades.values())


def test_what_somebody_else_has_closed_is_not_sold_again_and_is_said():
    street = in_the_market()
    street.order("AAA", Side.SELL, 107, order_id="by-hand-1")
    street.bar()
    path = street.flatten()

    assert street.held() == {"ZZZ": 30}
    trade = path.trades["20251202-open-sim-AAA"]
    assert trade.missing
    found = record_of(trade, Mode.PAPER, street.venue.now)
    assert found is not None
    assert found.error_code == "unclosed"
    assert any("closed by somebody else" in words for words in street.told)


def test_a_broker_that_refuses_every_exit_is_not_asked_for_ever():
    street = in_the_market()
    street.venue._is_open = lambda at: False
    path = street.flattener()
    for _ in range(ATTEMPTS_MAX + 5):
        assert not asyncio.run(path.step())
    exits = [order for order in street.venue.snapshot().orders if "AAA-deadman" in order.request.client_order_id]
    assert len(exits) == ATTEMPTS_MAX
    assert "exits were refused" in path.trades["20251202-open-sim-AAA"].words


def test_a_broker_without_an_answer_is_not_flat():
    class Gone(SimulatedBroker):
        async def orders_since(self, at):
            raise BrokerUnavailable("the line is dead")

    told: list[str] = []
    path = Flattener(
        Gone(Venue(broker="sim", cash=Decimal(1))), ours=lambda _: True, since=Instant(0), tell=told.append
    )
    assert not asyncio.run(path.step())
    assert told == ["sim gives no answer: the line is dead"]


# --- the process -----------------------------------------------------------------------------------------------------


def test_it_needs_neither_engine_nor_strategies_nor_numbers():
    check = """
import sys
import tbot_bot.runtime.dead_man, tbot_bot.runtime.embedded_market, tbot_bot.runtime.market_source
print([name for name in sys.modules if name.startswith(("tbot_bot.trading", "tbot_bot.strategy", "tbot_bot.enhance"))
       or name in ("numpy", "pandas", "pyarrow")])
"""
    told = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=True).stdout
    assert told == "[]\n"


class Bot:
    """A supervisor of one OPEN session over a crafted day; its runner can be made to die at every start."""

    SPEED = 400.0
    PROGRAM = """
import sys
from pathlib import Path
from tests.support.crafted_day import DAY
from tbot_bot.runtime import supervisor
from tbot_bot.runtime.requests import RunRequest
from tbot_bot.runtime.tbot_runner_supervisor import run_supervisor
home = Path(sys.argv[1])
request = RunRequest(home=home, once=True, rehearsal=True, day=DAY, data=home / "bars.csv", speed=float(sys.argv[2]),
                     overrides=(("STRATEGY_OVERRIDE", "open"),))
real = supervisor.Supervisor._command
def poisoned(self, hand, session):
    _, *rest = real(self, hand, session)
    return (str(home / "python"), *rest)  # the test's own interpreter: it may refuse to start
supervisor.Supervisor._command = poisoned
sys.exit(run_supervisor(request))
"""

    def __init__(self, home):
        self.home = home
        write_day(home / "bars.csv", {"AAA": breakout_up(), "BBB": breakout_up()})
        self.interpreter(f'exec "{sys.executable}" "$@"')
        self.processes = []

    def interpreter(self, body):
        path = self.home / "python"
        draft = self.home / "python.draft"
        draft.write_text(f"#!/bin/sh\n{body}\n")
        draft.chmod(0o755)
        draft.replace(path)

    def supervise(self):
        with (self.home / "stderr.txt").open("ab") as errors:
            command = [sys.executable, "-c", self.PROGRAM, str(self.home), str(self.SPEED)]
            process = subprocess.Popen(command, stderr=errors)
        self.processes.append(process)
        return process

    def status(self):
        try:
            return json.loads((self.home / "output" / "status_bot.json").read_text())
        except (FileNotFoundError, ValueError):
            return {}

    def until(self, condition):
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not condition():
            assert time.monotonic() < deadline, (self.home / "stderr.txt").read_text()
            time.sleep(0.01)

    def runner(self):
        try:
            return json.loads((self.home / "control" / "runner.json").read_text())["pid"]
        except (FileNotFoundError, ValueError):
            return 0

    def venue(self):
        (path,) = (self.home / "output" / "venue").glob("*/*.sqlite3")
        return SimulatedBroker(Venue(broker=path.stem.rpartition("_")[0], cash=ZERO), store=VenueStore(path)).venue

    def plant_a_stranger(self):
        """Give the account a position and an order that are not the bot's, while nobody else is at it."""
        (path,) = (self.home / "output" / "venue").glob("*/*.sqlite3")
        name = path.stem.rpartition("_")[0]
        broker = SimulatedBroker(Venue(broker=name, cash=ZERO), store=VenueStore(path))
        stop = StopTrigger(symbol="BBB", price=Decimal(1), rising=False)
        request = OrderRequest(
            client_order_id="by-hand-1", trade_id="by-hand", broker=name, instrument=equity("BBB"), side=Side.BUY,
            quantity=Decimal(3), order_type=OrderType.MARKET,
        )  # fmt: skip
        asyncio.run(broker.submit(request))
        held = next(position for position in broker.venue.positions() if position.instrument.symbol == "BBB")
        rest = OrderRequest(
            client_order_id="by-hand-2", trade_id="by-hand", broker=name, instrument=equity("BBB"), side=Side.SELL,
            quantity=min(held.quantity, Decimal(3)), order_type=OrderType.STOP, stop=stop,
        )  # fmt: skip
        asyncio.run(broker.submit(rest))
        asyncio.run(broker.close())

    def clean_up(self):
        pids = [self.runner()]
        for process in self.processes:
            process.kill()
            process.wait()
        for pid in filter(None, pids):
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue


@pytest.fixture
def bot(tmp_path):
    made = Bot(tmp_path)
    yield made
    made.clean_up()


def hold_positions_without_a_runner(bot, *, stranger=True):
    """Let the bot trade, then kill its runner and let no other one start."""
    supervisor = bot.supervise()
    bot.until(lambda: len(bot.status().get("positions", [])) == 2)
    bot.interpreter("exit 9")
    os.kill(bot.runner(), signal.SIGKILL)
    if stranger:
        bot.plant_a_stranger()
    return supervisor


def test_a_session_whose_runner_cannot_be_started_is_closed_by_the_supervisor(bot):
    supervisor = hold_positions_without_a_runner(bot)
    status = supervisor.wait(timeout=PATIENCE_SECONDS)
    venue = bot.venue()

    assert status == 5
    assert "the runner ended 4 times" in ControlFolder(bot.home / "control").killed()
    assert {position.instrument.symbol: position.quantity for position in venue.positions()} == {"BBB": Decimal(3)}
    assert [order.client_order_id for order in venue.open_orders()] == ["by-hand-2"]
    assert pending(bot.home / "control") is None
    with (bot.home / "output" / "trades" / "trade_history_paper.csv").open(encoding="utf-8") as file:
        rows = {row["ticker"]: row for row in csv.DictReader(file)}
    assert {name: (row["exit_reason"], row["error_code"]) for name, row in rows.items()} == {
        "AAA": ("dead_man", "dead_man"), "BBB": ("dead_man", "dead_man"),
    }  # fmt: skip
    assert all(row["exit_price"] for row in rows.values())
    unresolved = (bot.home / "output" / "logs" / "unresolved_orders_paper.log").read_text()
    assert all(row["trade_id"] in unresolved for row in rows.values())
    journal = bot.home / "output" / "journal" / "tbot_paper.sqlite3"
    with open_reader(journal) as reader:
        found = [loads(row.payload) for row in reader.rows(kind=Kind.ERROR)]
        (report,) = (item for item in found if isinstance(item, DeadManReport))
        assert progress_of(reader, SessionId.parse(f"{SESSION}")).ended_at == report.at
        later_today = SessionId(day=DAY, strategy=StrategyName.MID)
        earlier = earlier_today(reader, later_today, report.at)
    assert (earlier.traded, earlier.open_trades) == (("AAA", "BBB"), 0)
    assert sum(Decimal(result) for _, result in earlier.realized) == sum(trade.pnl for trade in report.trades) != 0
    assert len(report.cancelled) == 2
    assert report.left == ()
    assert any("closed without a runner: nothing of ours rests" in getattr(item, "text", "") for item in found)
    assert verify(journal).ok
    assert replay_day(bot.home, DAY, Mode.PAPER).identical


@pytest.mark.slow
def test_a_supervisor_killed_over_it_leaves_it_to_the_next_start(bot):
    supervisor = hold_positions_without_a_runner(bot, stranger=False)
    bot.until(lambda: pending(bot.home / "control") is not None)
    for pid in children_of(supervisor.pid):
        os.kill(pid, signal.SIGKILL)
    supervisor.kill()
    supervisor.wait()
    again = bot.supervise().wait(timeout=PATIENCE_SECONDS)

    assert again == 5
    assert bot.venue().positions() == ()
    assert bot.venue().open_orders() == ()
    assert "closed without a runner: nothing of ours rests" in (bot.home / "stderr.txt").read_text()
    assert pending(bot.home / "control") is None


def children_of(pid):
    told = subprocess.run(["ps", "-A", "-o", "pid=,ppid="], capture_output=True, text=True, check=True).stdout
    pairs = [line.split() for line in told.splitlines()]
    return [int(child) for child, parent in pairs if int(parent) == pid]


@pytest.mark.slow
def test_it_works_where_the_journal_cannot_be_read(bot):
    supervisor = hold_positions_without_a_runner(bot)
    supervisor.kill()
    supervisor.wait()
    control = json.loads((bot.home / "control" / "supervisor.json").read_text())
    for path in (bot.home / "output" / "journal").glob("tbot_paper.sqlite3*"):
        path.unlink()
    (bot.home / "output" / "journal" / "tbot_paper.sqlite3").write_bytes(b"rubbish" * 1000)
    request = RunnerArguments(
        session=SESSION, home=bot.home, anchor=control["anchor"], speed=bot.SPEED, data=bot.home / "bars.csv",
        rehearsal=True,
    )  # fmt: skip
    told = subprocess.run(
        [sys.executable, "-m", "tbot_bot.runtime.dead_man", *request.argv()],
        capture_output=True,
        text=True,
        check=False,
    )

    assert told.returncode == 0, told
    assert "the journal cannot be read, so names decide what is ours" in told.stdout
    assert "not journaled" in told.stdout
    assert told.stdout.endswith("nothing of ours rests or is held any more\n")
    venue = bot.venue()
    assert {position.instrument.symbol: position.quantity for position in venue.positions()} == {"BBB": Decimal(3)}
    assert [order.client_order_id for order in venue.open_orders()] == ["by-hand-2"]


# --- the supervisor's side -------------------------------------------------------------------------------------------


def what():
    return Pending(session=str(SESSION), why="a test", argv=("--session", str(SESSION)))


async def test_a_path_that_dies_is_started_again_and_one_that_fails_is_not(tmp_path, monkeypatch):
    script = (
        "import sys, os; n = len(open('runs').read()) if os.path.exists('runs') else 0; open('runs', 'a').write('x')"
    )
    dying = (
        sys.executable,
        "-c",
        f"{script}; print('done' if n else 'dying'); os.kill(os.getpid(), 9) if not n else 0",
    )
    monkeypatch.chdir(tmp_path)
    outcome = await close_everything(what(), tmp_path, tmp_path / "out", command=dying)
    assert (outcome.flat, outcome.words) == (True, "done")
    assert not (tmp_path / DEAD_MAN_FILE).exists()

    failing = (sys.executable, "-c", "print('LEFT: AAA'); raise SystemExit(1)")
    outcome = await close_everything(what(), tmp_path, tmp_path / "out", command=failing)
    assert (outcome.flat, outcome.words) == (False, "LEFT: AAA")
    assert pending(tmp_path) == what()


async def test_a_path_that_hangs_is_killed_at_its_deadline(tmp_path, monkeypatch):
    monkeypatch.setattr("tbot_bot.runtime.dead_man_run._GRACE_SECONDS", 0.1)
    hanging = (sys.executable, "-c", "import time; time.sleep(60)")
    outcome = await close_everything(what(), tmp_path, tmp_path / "out", command=hanging, seconds=0.1)
    assert (outcome.flat, outcome.words) == (False, "the dead-man path ended with status -9, see out")
