"""MID: away from VWAP and back, with its filters, its three exits and its bearish instruments."""

from decimal import Decimal

import pytest

from tbot_bot.core.commands import NonDecision, SignalDropped, SignalRaised, TradeApproved, TradeRecord
from tbot_bot.core.events import EarlierToday
from tbot_bot.core.identity import StrategyName
from tbot_bot.core.orders import Direction, ShortType, Side
from tests.support.scenario import Scenario, minute, spec_of, verdict

INVERSE = {"short_type": ShortType.INVERSE_ETF}


def morning(told, until=70, **others):
    """Tell minutes 60 to `until` at 100: VWAP stands at 100 while later bars carry no volume."""
    for number in range(60, until):
        told.bars(number, AAA=100.0, **others)
    return told


def mid(**changes):
    return morning(Scenario(spec_of(StrategyName.MID, **changes)))


def inverse(etf_price=20.0, sector="Technology", **changes):
    """Return a session with a bearish signal in AAA and, where it has a price, its inverse ETF INV."""
    spec = spec_of(StrategyName.MID, **INVERSE, **changes)
    told = Scenario(spec, verdicts=(verdict("AAA", 1, sector=sector),))
    prices = {} if etf_price is None else {"INV": etf_price}
    morning(told, **prices)
    told.bars(70, volume=0.0, AAA=102.0, **prices)
    return told


@pytest.mark.parametrize(
    ("close", "direction"),
    [(98.0, Direction.LONG), (98.01, None), (101.99, None), (102.0, Direction.BEARISH)],
)
def test_a_close_at_the_threshold_itself_signals_back_toward_vwap(close, direction):
    told = mid()
    told.bars(70, volume=0.0, AAA=close)

    assert [signal.direction for signal in told.of(SignalRaised)] == ([direction] if direction else [])
    assert len(told.orders("entry")) == (direction is not None)


def test_a_long_trade_ends_at_the_first_bar_that_touches_vwap_as_it_stands_then():
    told = mid()
    told.bars(70, volume=0.0, AAA=98.0)
    told.enter("98")
    told.bars(71, volume=100_000.0, AAA=98.2)  # so much volume that VWAP falls to about 98.36
    below = told.exits()
    told.bars(72, volume=0.0, AAA=(98.2, 98.4, 98.2, 98.4))

    assert below == []
    assert told.exits() == ["target"]


def test_a_gap_through_vwap_ends_the_trade_as_a_touch_does():
    told = mid()
    told.bars(70, volume=0.0, AAA=98.0)
    told.enter("98")
    told.bars(71, volume=0.0, AAA=101.0)

    assert told.exits() == ["target"]


def test_the_bar_in_which_the_entry_was_filled_is_not_looked_at_for_the_target():
    told = mid()
    told.bars(70, volume=0.0, AAA=98.0)
    told.at = minute(71.5)
    told.enter("98")
    told.bars(71, volume=0.0, AAA=(98.0, 100.5, 98.0, 99.0))

    assert told.exits() == []


def test_a_bearish_trade_ends_when_the_price_comes_down_to_vwap():
    told = mid()
    told.bars(70, volume=0.0, AAA=102.0)
    entry, stop = told.enter("102")
    told.bars(71, volume=0.0, AAA=100.5)
    above = told.exits()
    told.bars(72, volume=0.0, AAA=(100.5, 100.5, 100.0, 100.2))

    assert (entry.side, stop.stop.price, stop.stop.rising) == (Side.SELL_SHORT, Decimal("103.53"), True)
    assert above == []
    assert told.exits() == ["target"]


def test_the_protective_stop_stands_one_and_a_half_percent_below_the_entry_and_never_moves():
    told = mid()
    told.bars(70, volume=0.0, AAA=98.0)
    _, stop = told.enter("98")
    told.bars(71, volume=0.0, AAA=(98.0, 99.5, 98.0, 99.5))

    assert (stop.stop.price, stop.stop.rising) == (Decimal("96.53"), False)
    assert told.orders("stop") == [stop]
    told.fill(stop, "96.50")
    assert told.of(TradeRecord)[0].exit_reason == "stop"


def test_the_time_exit_comes_forty_five_minutes_after_the_entry_not_a_bar_earlier():
    told = mid()
    told.bars(70, volume=0.0, AAA=98.0)
    told.enter("98")
    for number in range(71, 115):
        told.bars(number, volume=0.0, AAA=98.5)
    before = told.exits()
    told.bars(115, volume=0.0, AAA=98.5)

    assert before == []
    assert [(exit_, told.at) for exit_ in told.exits()] == [("time", minute(116))]


def test_the_inverse_etf_is_bought_at_its_own_price_and_its_stop_watches_it():
    told = inverse()
    entry, stop = told.enter("20.01")

    assert (entry.side, entry.instrument.symbol, entry.limit_price) == (Side.BUY, "INV", Decimal("20.06"))
    assert (stop.stop.symbol, stop.stop.price, stop.stop.rising) == ("INV", Decimal("19.71"), False)
    assert told.of(TradeApproved)[0].short_type is ShortType.INVERSE_ETF


def test_the_target_of_an_inverse_etf_is_the_vwap_of_the_symbol_it_inverts():
    told = inverse()
    told.enter("20")
    told.bars(71, volume=0.0, AAA=101.0, INV=21.0)
    apart = told.exits()
    told.bars(72, volume=0.0, AAA=(101.0, 101.0, 99.9, 100.0), INV=20.5)

    assert apart == []
    assert told.exits() == ["target"]


def test_an_inverse_etf_without_a_price_is_a_recorded_drop_that_names_the_missing_price():
    told = inverse(etf_price=None)
    dropped = told.of(SignalDropped)[0]

    assert told.orders() == []
    assert {"quantity", "price_collar"} <= {answer.rule for answer in dropped.checks if answer.objection}


@pytest.mark.parametrize(
    ("by_symbol", "by_sector", "default", "expected"),
    [
        ((("AAA", "ONE"),), (("Technology", "TWO"),), "THREE", "ONE"),
        ((("BBB", "ONE"),), (("Technology", "TWO"),), "THREE", "TWO"),
        ((), (("Energy", "TWO"),), "THREE", "THREE"),
    ],
)
def test_the_inverse_etf_is_looked_up_by_symbol_then_sector_then_default(by_symbol, by_sector, default, expected):
    maps = {"inverse_by_symbol": by_symbol, "inverse_by_sector": by_sector, "inverse_default": default}
    told = morning(Scenario(spec_of(StrategyName.MID, **INVERSE, **maps)), **{expected: 20.0})
    told.bars(70, volume=0.0, AAA=102.0, **{expected: 20.0})

    assert [order.instrument.symbol for order in told.orders("entry")] == [expected]


def test_without_any_inverse_etf_the_signal_is_dropped_with_that_reason():
    told = inverse(sector="Fishing")

    assert told.drops() == [("sim", "AAA", "no_inverse_etf")]


def test_a_disabled_short_type_drops_the_bearish_signal_and_trades_the_long_one():
    bearish, long = mid(short_type=ShortType.DISABLED), mid(short_type=ShortType.DISABLED)
    bearish.bars(70, volume=0.0, AAA=102.0)
    long.bars(70, volume=0.0, AAA=98.0)

    assert bearish.drops() == [("sim", "AAA", "bearish_disabled")]
    assert len(long.orders("entry")) == 1


def filtered(**changes):
    """Return a session with forty minutes of a steady price, so that ADX and the bands are defined."""
    told = Scenario(spec_of(StrategyName.MID, **changes))
    for number in range(30, 70):
        told.bars(number, AAA=100.0 + 0.1 * (number % 2))
    return told


def falling(told, first=70):
    """Let the price fall far below VWAP, bar after bar."""
    for step in range(5):
        close = 97.0 - step
        told.bars(first + step, volume=0.0, AAA=(close + 1.0, close + 1.0, close, close))


def test_a_signal_that_adx_blocks_may_come_again_on_a_later_bar():
    told = filtered(adx_enabled=True, adx_max=-1.0)
    falling(told)

    assert told.drops() == [("", "AAA", "adx_filter")] * 5
    assert told.orders() == []


def test_the_first_bar_that_adx_lets_through_is_traded_and_only_that_one():
    told = Scenario(spec_of(StrategyName.MID, adx_enabled=True, adx_max=99.0))
    for number in range(30, 72):  # nothing but a trend: ADX 100
        close = 106.0 - 0.2 * number
        told.bars(number, AAA=(close + 0.2, close + 0.2, close, close))
    blocked = (told.drops(), told.orders())
    for number, close in ((72, 92.4), (73, 92.0)):
        told.bars(number, AAA=(close, close + 0.1, close - 0.1, close))

    assert blocked == ([("", "AAA", "adx_filter")] * 2, [])
    assert told.drops() == blocked[0]
    assert [(order.instrument.symbol, order.side) for order in told.orders("entry")] == [("AAA", Side.BUY)]
    assert told.of(TradeApproved)[0].at == minute(73)


def test_a_signal_inside_the_bollinger_bands_is_blocked_until_a_close_lies_beyond_them():
    told = Scenario(spec_of(StrategyName.MID, bollinger_enabled=True))
    for number in range(40, 70):
        told.bars(number, AAA=100.0 if number % 2 else 104.0)  # VWAP 102, bands about 98 to 106
    told.bars(70, volume=0.0, AAA=99.9)
    inside = (told.drops(), told.orders())
    told.bars(71, volume=0.0, AAA=90.0)

    assert inside == ([("", "AAA", "bollinger_confluence")], [])
    assert [order.instrument.symbol for order in told.orders("entry")] == ["AAA"]


def test_a_signal_on_the_block_list_is_spent_even_where_adx_objects_too():
    told = Scenario(
        spec_of(StrategyName.MID, adx_enabled=True, adx_max=-1.0),
        earlier=EarlierToday(at=minute(55), traded=("BBB",), open_trades=0),
        symbols=("AAA", "BBB"),
    )
    for number in range(30, 70):
        told.bars(number, AAA=100.0, BBB=100.0)
    for number in range(70, 73):
        told.bars(number, volume=0.0, AAA=100.0, BBB=97.0)

    assert told.drops() == [("", "BBB", "ticker_blocklist")]


def test_a_signal_after_a_blocked_one_ranks_by_its_own_distance_not_by_the_earlier_one():
    told = Scenario(spec_of(StrategyName.MID, adx_enabled=True, adx_max=-1.0))
    for number in range(30, 70):
        told.bars(number, AAA=100.0)
    told.bars(70, volume=0.0, AAA=90.0)
    told.bars(71, volume=0.0, AAA=97.0)

    assert [round(signal.score, 9) for signal in told.of(SignalRaised)] == [0.1, 0.03]


def test_a_candidate_without_a_signal_says_how_near_it_came():
    told = mid()
    for number in range(70, 80):
        told.bars(number, volume=0.0, AAA=98.5)

    assert [(said.symbol, "-1.5 %" in said.reason) for said in told.of(NonDecision)] == [("AAA", True)]
