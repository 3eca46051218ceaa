"""Halts of trading as the engine acts on them: no entry, entries taken off, protection left where it is."""

from tbot_bot.core.commands import CancelOrder, RaiseAlert, SignalDropped
from tbot_bot.core.halts import HaltsTold, TradingHalt
from tests.support.scenario import Scenario


def tells(told, *, halted=True, symbol="AAA", reason="Trading Halt"):
    halt = TradingHalt(symbol=symbol, at=told.at, halted=halted, reason=reason)
    return told.tell(HaltsTold(at=told.at, halts=(halt,)))


def watching():
    told = Scenario()
    told.range_of()
    return told


def test_a_halted_share_is_not_entered_and_the_reason_is_told():
    told = watching()
    tells(told)
    told.bars(20, AAA=103.10)
    assert told.orders("entry") == []
    (dropped,) = told.of(SignalDropped)
    assert dropped.code == "instrument_tradable"
    assert "AAA is halted: trading in AAA stopped at" in dropped.reason
    assert "(Trading Halt)" in dropped.reason


def test_where_trading_goes_on_it_is_entered_again():
    told = watching()
    tells(told)
    tells(told, halted=False)
    told.bars(20, AAA=103.10)
    assert len(told.orders("entry")) == 1


def test_a_bar_that_began_after_the_halt_proves_that_trading_goes_on():
    told = watching()
    tells(told)
    told.bars(20, AAA=100.0)
    told.bars(21, AAA=103.10)
    assert len(told.orders("entry")) == 1


def test_what_is_left_of_an_entry_is_taken_off_and_the_stop_stays():
    told = watching()
    told.bars(20, AAA=103.10)
    (entry,) = told.orders("entry")
    told.acknowledge(entry)
    told.fill(entry, "103.10", "3")
    (stop,) = told.orders("stop")
    told.acknowledge(stop)
    outputs = tells(told)
    assert [out.client_order_id for out in outputs if isinstance(out, CancelOrder)] == [entry.client_order_id]
    (alert,) = told.of(RaiseAlert)
    assert alert.title == "AAA: trading stopped"
    assert told.engine.state.orders[stop.client_order_id].is_open


def test_another_share_and_a_repeated_word_change_nothing():
    told = watching()
    told.bars(20, AAA=103.10)
    tells(told, symbol="BBB")
    assert tells(told, symbol="BBB") == []
    assert told.of(RaiseAlert) == []
