"""The day's losses: realised and open, per broker and over all, on both sides of the limit, over sessions of a day."""

from decimal import Decimal

import pytest

from tbot_bot.core.commands import BrokerHalted, EngageKillSwitch, ExitDecided, SessionEnded
from tbot_bot.core.events import AccountsMarked, ControlKind, EarlierToday
from tbot_bot.trading import losses
from tests.support.scenario import Scenario, account, minute, spec_of
from tests.trading.test_engine_brokers import broken_out, losing, placed, two

# account() gives each broker 500,000; the limit of a day is 5 % of it: 25,000; of two: 50,000


def holding(spec=None, symbols=("AAA",), **kwargs):
    """Hold every symbol at every broker, stops resting."""
    told = broken_out(spec or two(), symbols=symbols, **kwargs)
    for entry in told.orders("entry"):
        told.acknowledge(entry)
        told.fill(entry, entry.limit_price)
    for stop in told.orders("stop"):
        told.acknowledge(stop)
    return told


def mark(told, **equities):
    accounts = tuple(account(broker, equity) for broker, equity in equities.items())
    return told.tell(AccountsMarked(at=told.at, accounts=accounts))


# --- what is still open counts


@pytest.mark.parametrize(("equity", "halted"), [("475000.01", False), ("475000.00", True)])
def test_a_loss_that_is_still_open_halts_its_broker_at_the_limit_itself(equity, halted):
    told = holding()
    mark(told, one=equity, two="500000")

    assert ("one" in told.engine.state.halted) is halted
    assert [(out.broker, out.code) for out in told.of(BrokerHalted)] == ([("one", "daily_loss")] if halted else [])
    assert [out.code for out in told.of(ExitDecided)] == (["broker_halted"] if halted else [])
    assert told.of(EngageKillSwitch) == []


def test_the_other_broker_goes_on():
    told = holding(symbols=("AAA", "BBB"))
    mark(told, one="475000")

    assert {trade.broker for trade in told.engine.state.active_trades() if trade.exit_code} == {"one"}
    assert {trade.broker for trade in told.engine.state.active_trades() if not trade.exit_code} == {"two"}


def test_a_gain_elsewhere_does_not_save_a_broker_but_counts_in_all():
    told = holding()
    mark(told, one="470000", two="600000")

    assert list(told.engine.state.halted) == ["one"]
    assert told.of(EngageKillSwitch) == []


def test_an_account_that_is_none_of_this_session_changes_nothing():
    told = holding()
    mark(told, other="1")

    assert told.engine.state.halted == {}


def test_a_mark_from_before_the_last_exit_does_not_hide_what_is_realised():
    told = losing("24000")
    mark(told, one="500000")  # the broker has not booked it yet, and BBB is still open
    entry, stop = told.orders("entry")[2], told.orders("stop")[2]
    told.fill(stop, entry.limit_price, fees="1000")

    assert list(told.engine.state.halted) == ["one"]


# --- all together


@pytest.mark.parametrize(("one", "two_", "killed"), [("476000", "474000", True), ("476000", "474001", False)])
def test_the_sum_over_all_brokers_pulls_the_kill_switch_at_its_limit(one, two_, killed):
    told = holding()
    mark(told, one=one, two=two_)

    assert bool(told.engine.state.killed) is killed
    assert len(told.of(EngageKillSwitch)) == int(killed)
    if killed:
        assert "50000.00 USD" in told.of(EngageKillSwitch)[0].reason
        assert {trade.exit_code for trade in told.engine.state.active_trades()} == {"kill"}


def test_the_sum_can_pull_it_while_no_broker_alone_has_reached_its_own():
    told = holding(two(daily_loss_limit=Decimal("0.05")), accounts=[account("one", "900000"), account("two", "100000")])
    mark(told, one="856000", two="95000.01")  # 44,000 of 45,000 and 4,999.99 of 5,000

    assert told.engine.state.halted == {}
    assert told.engine.state.killed == ""
    mark(told, one="855001", two="95000.01")  # 44,999 and 4,999.99: together 49,998.99 of 50,000
    assert told.engine.state.killed == ""
    mark(told, one="855000.01", two="95000")
    assert list(told.engine.state.halted) == ["two"]


def test_when_every_broker_is_halted_the_kill_switch_is_pulled():
    told = holding()
    mark(told, one="475000")
    assert told.engine.state.killed == ""
    mark(told, two="475000")

    assert "all brokers are halted" in told.engine.state.killed
    assert len(told.of(EngageKillSwitch)) == 1


def test_one_brokers_halt_is_all_brokers_halt_where_there_is_one():
    told = holding(spec_of())
    mark(told, sim="475000")

    assert [out.broker for out in told.of(BrokerHalted)] == ["sim"]
    assert len(told.of(EngageKillSwitch)) == 1


def test_a_kill_closes_everything_ends_the_session_and_is_engaged_once():
    told = holding()
    told.control(ControlKind.KILL)
    told.control(ControlKind.KILL)
    told.confirm_cancels()
    for order in told.orders("exit"):
        told.fill(order, "100")

    assert told.engine.state.ended
    assert told.held() == 0
    assert len(told.of(EngageKillSwitch)) == 1
    assert len(told.of(SessionEnded)) == 1
    assert told.engine.state.killed == "test: rehearsal"


# --- over the sessions of a day


def test_a_halt_of_an_earlier_session_holds_for_the_rest_of_the_day():
    earlier = EarlierToday(at=minute(-5), traded=(), open_trades=0, halted=(("one", "it lost too much"),))
    told = broken_out(two(), earlier=earlier)

    assert placed(told) == [("two", "AAA")]
    assert told.of(BrokerHalted) == []  # told already, when it happened
    assert ("one", "AAA", "broker_halted") in told.drops()


def test_the_limit_is_measured_on_the_float_of_the_days_first_open():
    """The session opens with 480,000 after a loss of 20,000; 5,000 more are 5 % of the day's first 500,000."""
    earlier = EarlierToday(
        at=minute(-5), traded=(), open_trades=0, realized=(("one", "-20000"),), first_floats=(("one", "500000"),)
    )
    told = holding(accounts=[account("one", "480000"), account("two")], earlier=earlier)
    mark(told, one="475000.01")
    before = dict(told.engine.state.halted)
    mark(told, one="475000")

    assert before == {}
    assert list(told.engine.state.halted) == ["one"]


def test_money_paid_in_overnight_is_no_gain_of_the_day():
    told = Scenario(two())

    assert losses.result_today(told.engine.state, "one") == 0
    assert losses.first_float(told.engine.state, "one") == Decimal(500_000)


# --- buying power knows of what was just approved


def test_two_entries_at_once_cannot_spend_the_same_buying_power():
    poor = [account("sim", "500000", buying_power=Decimal(9_000), settled_cash=Decimal(9_000))]
    told = broken_out(spec_of(), symbols=("AAA", "BBB"), accounts=poor)

    assert [order.instrument.symbol for order in told.orders("entry")] == ["AAA"]
    assert told.drops() == [("sim", "BBB", "buying_power")]


def test_a_newer_account_is_what_counts():
    told = broken_out(spec_of(), symbols=("AAA",))
    mark(told, sim="500000")
    state = told.engine.state

    assert state.approved_since_mark["sim"] == 0
