"""The canary: what it proves at a broker over real sockets, and that nothing trades on a day on which it failed."""

import asyncio
import json
import os
import subprocess
import sys
from decimal import Decimal

import pytest

from tbot_bot.broker.broker_sim import SimulatedBroker
from tbot_bot.broker.matching import Venue
from tbot_bot.config.settings import load_settings
from tbot_bot.core.identity import Leg, Mode, OrderName, SessionId, StrategyName, client_order_id, trade_id
from tbot_bot.core.instruments import equity
from tbot_bot.core.orders import OrderRequest, OrderType, Side
from tbot_bot.journal.canary import last_canary
from tbot_bot.journal.store import Journal, open_reader
from tbot_bot.reporting.process_log import process_log
from tbot_bot.reporting.report_router import records_for
from tbot_bot.runtime import canary as module
from tbot_bot.runtime.canary_keeper import CanaryKeeper
from tbot_bot.runtime.clock import wall_now
from tbot_bot.runtime.flattening import Flattener, Keeper
from tbot_bot.runtime.guard_book import cancel_entries, read_book
from tbot_bot.runtime.locks import SUPERVISOR_LOCK, Lock
from tbot_bot.runtime.supervisor_state import DayInHand
from tests.support.reach_kit import Ground
from tests.support.sandbox import DAY, SYMBOL
from tests.support.terminal import CLI, REPOSITORY

LIVE = {
    "TEST_MODE": "false",
    "ALPACA_MODE": "live",
    "ALPACA_LIVE_API_KEY": "changeme",
    "ALPACA_LIVE_SECRET_KEY": "changeme",
}


def tbot(home, *words):
    return subprocess.run(
        [sys.executable, "-c", CLI, *words], env={**os.environ, "TBOT_HOME": str(home)}, cwd=REPOSITORY,
        capture_output=True, text=True, timeout=90, check=False,
    )  # fmt: skip


@pytest.fixture
def ground(tmp_path):
    made = []

    def _ground(broker, **settings):
        made.append(Ground(tmp_path, broker, **settings))
        return made[-1]

    yield _ground
    for one in made:
        one.close()


def proved(ground, monkeypatch):
    """Run the canary on the market's own time."""
    monkeypatch.setattr(module, "wall_now", lambda: ground.sandbox.do(ground.sandbox.exchange.now))
    settings = load_settings(ground.home, {})
    bot = settings.bot
    records = records_for(ground.home, Mode.LIVE, test_mode=bot.test_mode)
    room = module.CanaryRoom(settings=settings, records=records, day=DAY, run=1, quick=False, symbol=SYMBOL)
    return asyncio.run(module.canary(room))


@pytest.mark.parametrize("broker", ["alpaca", "ibkr"])
def test_an_order_far_from_the_market_is_placed_and_cancelled_each_time_under_a_name_of_its_own(
    ground, monkeypatch, broker
):
    one = ground(broker)
    for number in (1, 2):
        done = proved(one, monkeypatch)
        assert done.passed, done.failures
        assert [step.name for step in done.steps] == [
            "journal", "disk", "alerts", *(f"{broker} {what}" for what in ("account", "clock", "quote", "order")),
        ]  # fmt: skip
        assert len(one.ours()) == number
    names = [OrderName.parse(name) for name in one.ours()]
    assert [(name.leg, name.attempt) for name in names if name] == [(Leg.CANARY, 1), (Leg.CANARY, 2)]
    assert one.resting() == []
    assert one.held() == {}
    with open_reader(one.home / "output" / "journal" / "tbot_paper.sqlite3") as journal:
        assert last_canary(journal, DAY) == done


def test_a_clock_that_is_off_fails_before_anything_is_ordered(ground):
    one = ground("alpaca")
    told = tbot(one.home, "canary", "--symbol", SYMBOL, "--json")
    assert told.returncode == 1
    steps = {step["name"]: step for step in json.loads(told.stdout)["steps"]}
    assert steps["alpaca account"]["passed"]
    assert "s off" in steps["alpaca clock"]["text"]
    assert "alpaca order" not in steps
    assert one.orders() == ()


def test_refused_keys_fail_the_canary_and_are_not_told(ground):
    one = ground("alpaca", ALPACA_PAPER_SECRET_KEY="another")
    told = tbot(one.home, "canary")
    assert told.returncode == 1
    assert "FAILED alpaca account" in told.stdout
    assert "another" not in told.stdout + told.stderr


@pytest.mark.parametrize(("allowed", "orders"), [("false", 0), ("true", 1)])
def test_a_live_account_gets_an_order_only_where_the_setting_says_so(ground, monkeypatch, allowed, orders):
    one = ground("alpaca", **LIVE, CANARY_LIVE=allowed)
    done = proved(one, monkeypatch)
    assert done.passed, done.failures
    assert len(one.ours()) == orders


def canary_order():
    trade = trade_id(SessionId(day=DAY, strategy=StrategyName.OPEN), "sim", "AAA")
    return OrderRequest(
        client_order_id=client_order_id(trade, Leg.CANARY, 1), trade_id=trade, broker="sim", instrument=equity("AAA"),
        side=Side.BUY, quantity=Decimal(1), order_type=OrderType.LIMIT, limit_price=Decimal(1),
    )  # fmt: skip


@pytest.mark.parametrize("hands", [Flattener, Keeper])
def test_a_canary_that_still_rests_is_ours_to_whoever_flattens(hands):
    broker = SimulatedBroker(Venue(broker="sim", cash=Decimal(1_000), is_open=lambda _: True))

    async def flat():
        await broker.submit(canary_order())
        (order,) = await broker.open_orders()
        assert (await read_book(broker, lambda _: True)).entries == (order.client_order_id,)
        path = hands(broker, ours=lambda _: True, since=0, tell=lambda _: None)
        while not await path.step():
            pass
        return await broker.open_orders()

    assert asyncio.run(flat()) == ()


def test_the_guard_cancels_it_as_what_would_open_a_position():
    broker = SimulatedBroker(Venue(broker="sim", cash=Decimal(1_000), is_open=lambda _: True))

    async def cancelled():
        await broker.submit(canary_order())
        return await cancel_entries(broker, lambda _: True)

    assert asyncio.run(cancelled()) == (canary_order().client_order_id,)


def test_after_a_failure_no_session_may_begin_until_a_canary_has_passed(tmp_path):
    """Alerts are asked for and nobody sends them: the way on which a person would hear of trouble is broken."""
    (tmp_path / ".env").write_text("SMTP_HOST=127.0.0.1\nALERT_EMAIL=changeme@example.com\n")
    (tmp_path / ".env").chmod(0o600)
    settings = load_settings(tmp_path, {"ALERTS_IN_TEST_MODE": "true"}, defaults_if_absent=True)
    records = records_for(tmp_path, Mode.PAPER, test_mode=True)
    records.journal.parent.mkdir(parents=True)
    told = []
    hand = DayInHand(day=DAY, run=1)

    async def told_twice(journal, log):
        keeper = CanaryKeeper(records, journal, log, lambda _, error: told.append(error))
        keeper.expect(settings, hand, wall_now())
        with Lock(tmp_path / "control" / SUPERVISOR_LOCK):
            first = await keeper.objection(settings, hand)
        again = await asyncio.to_thread(tbot, tmp_path, "canary", "--day", DAY.isoformat())
        assert again.returncode == 0, again.stdout
        return first, await keeper.objection(settings, hand)

    with (
        Journal.open(records.journal, Mode.PAPER) as journal,
        process_log(records, "supervisor", wall_now, retention_days=7) as log,
    ):
        (tmp_path / "control").mkdir(exist_ok=True)
        first, then = asyncio.run(told_twice(journal, log))
    assert "the canary failed" in first
    assert "what sends them is not at work" in first
    assert [getattr(error, "code", "") for error in told] == ["CANARY"]
    assert then == ""
