"""What the watchdog finds, as the engine acts on it: at one of two brokers, and over all of them."""

from decimal import Decimal

import pytest

from tbot_bot.core.commands import BrokerHalted, EngageKillSwitch, ExitDecided, RaiseAlert, SignalDropped
from tbot_bot.core.events import (
    MARKET_DATA,
    BrokerLost,
    LinkImpaired,
    LinkRestored,
    LinkState,
    PositionAgrees,
    PositionDiffers,
)
from tbot_bot.core.policies import Routing
from tests.support.scenario import Scenario
from tests.trading.test_engine_brokers import two
from tests.trading.test_losses import holding


def impaired(told, link="one", state=LinkState.DEGRADED, reason="no answer"):
    return told.tell(LinkImpaired(at=told.at, link=link, state=state, reason=reason))


def watching(spec=None):
    """Stand in the entry window, nothing signaled yet."""
    told = Scenario(spec or two())
    told.range_of()
    return told


def break_out(told):
    told.bars(20, AAA=103.10)
    return told


def dropped(told):
    return {(out.broker, out.code): out.reason for out in told.of(SignalDropped)}


def test_an_impaired_broker_takes_no_entry_and_the_other_does():
    told = watching()
    impaired(told)
    break_out(told)

    assert {order.broker for order in told.orders("entry")} == {"two"}
    assert "suspended by the watchdog, degraded: no answer" in dropped(told)["one", "broker_halted"]


def test_where_the_first_broker_is_to_trade_the_next_one_does_instead():
    told = watching(two(routing=Routing.FIRST))
    impaired(told)
    break_out(told)
    assert {order.broker for order in told.orders("entry")} == {"two"}


def test_restored_it_trades_again():
    told = watching()
    impaired(told)
    told.tell(LinkRestored(at=told.at, link="one"))
    break_out(told)
    assert {order.broker for order in told.orders("entry")} == {"one", "two"}


def test_without_market_data_nobody_trades():
    told = watching()
    impaired(told, MARKET_DATA, LinkState.DEGRADED, "bars are 16 s late")
    break_out(told)
    assert told.orders("entry") == []
    assert dropped(told) == {("", "entries_off"): "market data degraded: bars are 16 s late"}


def test_a_lost_broker_is_halted_and_left_while_the_other_goes_on():
    told = holding(symbols=("AAA", "BBB"))
    told.tell(BrokerLost(at=told.at, broker="one", reason="gone"))
    told.tell(BrokerLost(at=told.at, broker="one", reason="gone again"))

    assert [(out.broker, out.code) for out in told.of(BrokerHalted)] == [("one", "watchdog")]
    assert {trade.broker for trade in told.engine.state.active_trades() if trade.exit_code} == {"one"}
    assert told.of(EngageKillSwitch) == []


def test_when_all_are_lost_the_kill_switch_is_pulled():
    told = holding()
    for broker in ("one", "two"):
        told.tell(BrokerLost(at=told.at, broker=broker, reason="gone"))
    assert len(told.of(EngageKillSwitch)) == 1


def test_each_worsening_is_told_once():
    told = holding()
    impaired(told)
    impaired(told, reason="again")
    impaired(told, state=LinkState.DOWN)
    impaired(told, state=LinkState.DOWN)
    titles = [out.title for out in told.of(RaiseAlert)]
    assert titles == ["one is degraded", "one is down"]


@pytest.mark.parametrize(("missing", "frozen"), [("1", True), ("-1", False)])
def test_where_less_is_held_nothing_is_sold_until_it_agrees_where_more_is_only_entries_stop(missing, frozen):
    told = holding()
    state = told.engine.state
    trade = next(trade for trade in state.active_trades() if trade.broker == "one")
    held = state.held(trade)
    found = held - Decimal(missing)
    told.tell(PositionDiffers(at=told.at, broker="one", symbol="AAA", expected=held, found=found))
    told.tell(BrokerLost(at=told.at, broker="one", reason="gone"))

    assert {out.trade_id for out in told.of(ExitDecided)} == {trade.trade_id}
    assert (trade.trade_id in {order_id.rpartition("-")[0] for order_id in told.cancels()}) is not frozen
    if frozen:
        told.tell(PositionAgrees(at=told.at, broker="one", symbol="AAA"))
        assert trade.trade_id in {order_id.rpartition("-")[0] for order_id in told.cancels()}


def test_a_symbol_that_differs_takes_no_entry_there():
    told = watching()
    differs = PositionDiffers(at=told.at, broker="one", symbol="AAA", expected=Decimal(0), found=Decimal(7))
    told.tell(differs)
    break_out(told)
    assert {order.broker for order in told.orders("entry")} == {"two"}
    assert "AAA is halted: one holds 7 beside what it should" in dropped(told)["one", "instrument_tradable"]
