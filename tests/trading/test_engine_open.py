"""OPEN from range to flat: entries, shares, trailing stop, exits, as a user would tell it."""

from dataclasses import replace
from decimal import Decimal

import pytest

from tbot_bot.core.commands import (
    CancelOrder,
    ExitDecided,
    NonDecision,
    Phase,
    PhaseEntered,
    SessionEnded,
    SharesFixed,
    SignalDropped,
    SignalRaised,
    TradeRecord,
)
from tbot_bot.core.events import ControlKind, ControlReceived, MarketOver, OrderRejected
from tbot_bot.core.orders import OrderType, Side
from tests.support.scenario import Scenario, minute, spec_of, verdict


def breakout(spec=None, **kwargs):
    """Return a session in which AAA has just broken out upward at 103.10 (range high 101)."""
    told = Scenario(spec, **kwargs)
    told.range_of()
    told.bars(20, AAA=103.10)
    return told


def entered(spec=None, price="103.10"):
    """Return a session that holds AAA under its first protective stop."""
    told = breakout(spec)
    entry = told.orders("entry")[0]
    told.acknowledge(entry)
    told.fill(entry, price)
    told.acknowledge(told.orders("stop")[0])
    return told


def phases(told):
    return [output.phase for output in told.of(PhaseEntered)]


def test_a_close_beyond_the_buffered_range_high_buys_with_a_marketable_limit_within_the_first_share():
    told = breakout()
    entry = told.orders("entry")[0]
    budget = Decimal("0.02") * 500_000

    assert (entry.side, entry.order_type) == (Side.BUY, OrderType.LIMIT)
    assert entry.limit_price == Decimal("103.41")  # 103.10 x 1.003, up to the cent
    assert told.of(SharesFixed)[0].shares == (Decimal(1),)
    assert budget - Decimal("0.001") < entry.quantity * entry.limit_price <= budget


def test_a_close_at_the_buffered_edge_itself_is_no_breakout():
    told = Scenario()
    told.range_of()
    told.bars(20, AAA=101.0 * 1.02)

    assert told.orders() == []


def test_the_first_execution_is_protected_at_once_and_the_stop_follows_partial_executions():
    told = breakout()
    entry = told.orders("entry")[0]
    told.acknowledge(entry)
    told.fill(entry, "103.10", quantity=40)
    first = told.orders("stop")[0]
    told.acknowledge(first)
    told.fill(entry, "103.20", quantity=entry.quantity - 40)
    second = told.orders("stop")[1]

    assert (first.quantity, first.stop.price, first.side) == (40, Decimal("101.04"), Side.SELL)
    assert (second.quantity, second.replaces) == (entry.quantity, first.client_order_id)


def test_the_stop_trails_the_best_price_after_a_bar_is_complete_and_never_moves_back():
    told = entered()
    told.bars(21, AAA=(103.1, 110.0, 103.0, 109.0))
    moved = told.orders("stop")[-1]
    told.acknowledge(moved)
    told.bars(22, AAA=(109.0, 109.5, 108.0, 108.0))

    assert moved.stop.price == Decimal("107.80")  # 110 x 0.98
    assert told.orders("stop")[-1] is moved


def test_a_stop_execution_ends_the_trade_with_its_result():
    told = entered()
    stop = told.orders("stop")[0]
    told.fill(stop, "101.00", fees="0.02")
    trade = told.of(TradeRecord)[0]

    assert trade.exit_reason == "trailing_stop"
    assert trade.pnl == (stop.quantity * Decimal("-2.10") - Decimal("0.02")).quantize(Decimal("0.01"))
    assert trade.error_code == ""


def test_the_monitoring_time_over_the_stop_is_cancelled_first_and_only_then_the_position_is_sold():
    told = entered()
    for number in range(21, 51):
        told.bars(number, AAA=103.10)
    before_confirmation = told.orders("exit")
    told.confirm_cancels()
    exit_order = told.orders("exit")[0]

    assert told.of(ExitDecided)[0].code == "time"
    assert before_confirmation == []
    assert (exit_order.side, exit_order.order_type) == (Side.SELL, OrderType.MARKET)
    assert exit_order.quantity == told.orders("entry")[0].quantity


def test_a_stop_that_fires_while_its_cancel_is_under_way_wins_and_nothing_is_sold_twice():
    told = entered()
    told.tell(ControlReceived(at=told.at, kind=ControlKind.STOP, by="test", why="rehearsal"))
    told.fill(told.orders("stop")[0], "101.00")

    assert told.orders("exit") == []
    assert told.of(TradeRecord)[0].exit_reason == "stop_request"
    assert told.of(SessionEnded)[0].exited == 1


def test_one_symbol_is_traded_once_a_day_however_often_it_breaks_out():
    told = entered()
    told.fill(told.orders("stop")[0], "101.00")
    told.bars(22, AAA=109.0)

    assert len(told.orders("entry")) == 1


def test_simultaneous_signals_take_the_shares_in_order_of_their_strength():
    symbols = ("AAA", "BBB")
    told = Scenario(symbols=symbols)
    told.range_of(symbols=symbols)
    told.bars(20, AAA=103.10, BBB=106.0)
    first, second = told.orders("entry")

    assert told.of(SharesFixed)[0].shares == (Decimal("0.60"), Decimal("0.40"))
    assert [order.instrument.symbol for order in (first, second)] == ["BBB", "AAA"]
    assert first.quantity * first.limit_price <= 6000
    assert second.quantity * second.limit_price <= 4000


def test_four_live_candidates_share_by_the_weights_and_the_fourth_waits_for_a_free_place():
    symbols = ("AAA", "BBB", "CCC", "DDD", "EEE")
    told = Scenario(symbols=symbols)
    told.range_of(symbols=symbols)
    told.bars(20, AAA=104.0, BBB=105.0, CCC=106.0, DDD=107.0, EEE=100.0)
    dropped = told.of(SignalDropped)

    assert told.of(SharesFixed)[0].shares == tuple(map(Decimal, ("0.4", "0.2", "0.2", "0.2")))
    assert len(told.orders("entry")) == 3
    assert [(drop.symbol, drop.code) for drop in dropped] == [("AAA", "max_concurrent_trades")]


def test_what_is_left_of_an_entry_is_cancelled_one_bar_after_the_window():
    told = breakout()
    told.acknowledge(told.orders("entry")[0])
    for number in range(21, 30):
        told.bars(number, AAA=103.10)
    in_time = told.of(CancelOrder)
    told.bars(30, AAA=103.10)
    told.confirm_cancels()

    assert in_time == []
    assert len(told.of(CancelOrder)) == 1
    assert told.of(TradeRecord)[0].error_code == "unfilled"
    assert told.of(SessionEnded)[0].entered == 0


def test_a_refused_entry_is_a_record_and_gives_its_share_back():
    told = breakout(symbols=("AAA", "BBB"))
    entry = told.orders("entry")[0]
    told.tell(OrderRejected(at=told.at, client_order_id=entry.client_order_id, reason="not today"))

    assert told.of(TradeRecord)[0].error_code == "rejected"
    assert told.engine.state.committed("sim") == 0


def test_a_refused_protective_stop_closes_the_position_at_once_and_calls_a_person():
    told = breakout()
    entry = told.orders("entry")[0]
    told.acknowledge(entry)
    told.fill(entry, "103.10")
    told.tell(OrderRejected(at=told.at, client_order_id=told.orders("stop")[0].client_order_id, reason="not accepted"))

    assert told.of(ExitDecided)[0].code == "unprotected"
    assert told.orders("exit")[0].quantity == entry.quantity


def test_a_late_execution_after_the_exit_is_sold_too():
    told = breakout()
    entry = told.orders("entry")[0]
    told.acknowledge(entry)
    told.fill(entry, "103.10", quantity=40)
    told.acknowledge(told.orders("stop")[0])
    told.tell(ControlReceived(at=told.at, kind=ControlKind.STOP, by="test", why="rehearsal"))
    told.confirm_cancels()
    told.fill(told.orders("exit")[0], "103.00")
    told.fill(entry, "103.10", quantity=5)

    assert [order.quantity for order in told.orders("exit")] == [40, 5]


def test_a_gap_beyond_the_limit_seen_at_the_first_price_drops_the_candidate():
    told = Scenario(verdicts=(verdict("AAA", 1, previous_close="100"),))
    told.bars(0, AAA=(110.01, 111.0, 110.0, 110.0))

    assert "+10.01%" in told.of(NonDecision)[0].reason


def test_a_gap_at_the_limit_itself_stays():
    told = Scenario(verdicts=(verdict("AAA", 1, previous_close="100"),))
    told.bars(0, AAA=(110.0, 111.0, 110.0, 110.0))

    assert told.of(NonDecision) == []


def test_a_bearish_breakout_sells_short_in_whole_shares_with_a_rising_stop():
    told = Scenario()
    told.range_of()
    told.bars(20, AAA=96.90)
    entry = told.orders("entry")[0]
    told.acknowledge(entry)
    told.fill(entry, "96.90")
    stop = told.orders("stop")[0]

    assert (entry.side, entry.quantity) == (Side.SELL_SHORT, 103)
    assert (stop.side, stop.stop.rising, stop.stop.price) == (Side.BUY_TO_COVER, True, Decimal("98.83"))


def test_phases_follow_the_clock_and_the_session_ends_when_flat_after_the_entry_window():
    told = Scenario()
    told.range_of()
    for number in range(20, 30):
        told.bars(number, AAA=100.0)

    assert phases(told) == [Phase.ANALYSIS, Phase.BREAKOUT, Phase.MONITORING, Phase.REPORT]
    assert told.of(SessionEnded)[0].reason == "flat after the entry window"
    assert "AAA" in [output.symbol for output in told.of(NonDecision)]


def test_a_range_covered_too_thinly_leaves_no_live_candidate():
    told = Scenario()
    for number in range(15):
        told.bars(number, AAA=100.0)
    told.bars(20, AAA=103.1)

    assert told.orders() == []
    assert told.of(SessionEnded)[0].reason.startswith("no live candidate")


def test_a_bar_that_comes_as_history_opens_nothing():
    told = Scenario()
    told.range_of()
    told.bars(20, backfill=True, AAA=103.10)

    assert len(told.of(SignalRaised)) == 1
    assert told.of(SignalDropped)[0].code == "late"
    assert told.orders() == []


def test_the_hard_exit_leaves_whatever_the_monitoring_time_says():
    windows = replace(spec_of().windows, hard_exit_at=minute(25))
    told = entered(spec_of(windows=windows))
    for number in range(21, 25):
        told.bars(number, AAA=103.10)

    assert [(exit_.code, exit_.at) for exit_ in told.of(ExitDecided)] == [("hard_exit", minute(25))]


def test_a_position_that_the_data_leave_behind_is_said_so():
    told = entered()
    told.tell(MarketOver(at=minute(60)))
    record = told.of(TradeRecord)[0]

    assert (record.error_code, record.exit_price) == ("unclosed", None)


@pytest.mark.parametrize(("limit", "code"), [("3999.99", "max_order_notional"), ("20000", None)])
def test_the_order_notional_limit_bites(limit, code):
    told = breakout(spec_of(max_order_notional=Decimal(limit)))

    assert [drop.code for drop in told.of(SignalDropped)] == ([code] if code else [])


def test_the_same_events_give_the_same_story():
    assert entered().story == entered().story


def test_disabled_trading_drops_every_signal_with_its_code():
    told = breakout(spec_of(disable_all_trades=True))

    assert told.orders() == []
    assert told.of(SignalDropped)[0].code == "master_switch"
