"""CLOSE: nothing without a high enough VIX, bearish through listed puts, flat before the bell."""

from dataclasses import replace
from datetime import date
from decimal import Decimal

import pytest

from tbot_bot.core.bars import Imbalance, Quote, VixReading
from tbot_bot.core.commands import ReadPutQuotes, ReadVix, SessionEnded, SignalDropped, TradeRecord
from tbot_bot.core.events import ImbalancesRead, PutQuotesRead, VixRead
from tbot_bot.core.identity import StrategyName
from tbot_bot.core.instants import DAY, Instant
from tbot_bot.core.instruments import put_option
from tbot_bot.core.options import PutQuote
from tbot_bot.core.orders import OrderType, ShortType, Side
from tests.support.scenario import Scenario, minute, spec_of

PUTS = {"short_type": ShortType.LONG_PUT}
NEAR, FAR = date(2025, 12, 12), date(2025, 12, 19)


def vix(told, value="20", age=0):
    """Answer the VIX question; None is no source."""
    reading = None if value is None else VixReading(Decimal(value), Instant(told.at - age), "hand")
    return told.tell(VixRead(at=told.at, reading=reading))


def afternoon(spec=None, first="20", age=0, symbols=("AAA",)):
    """Return a session at the end of its analysis: a noisy day that drifted a little, and its window with it."""
    told = Scenario(spec or spec_of(StrategyName.CLOSE), symbols=symbols)
    for number in range(310):
        asked_before = told.of(ReadVix)
        close = 100.0 - 0.005 * number + 0.1 * ((number + 1) % 2)
        told.bars(number, **dict.fromkeys(symbols, close))
        if number == 299:
            assert (len(asked_before), len(told.of(ReadVix))) == (0, 1)
            vix(told, first, age)
    return told


def breaking(spec=None, second="20", age=0, close=97.0):
    """Return a session in which AAA has just broken the window's low at `close`; VIX answered as `second`."""
    told = afternoon(spec)
    told.bars(310, AAA=close)
    vix(told, second, age)
    return told


def put(strike, expiry=NEAR, bid="1.96", ask="2.00", delta="-0.5", at=311):
    instrument = put_option("AAA", expiry, Decimal(strike))
    quote = Quote(instrument.symbol, minute(at), Decimal(bid), Decimal(ask), Decimal(10), Decimal(10), modelled=False)
    return PutQuote(instrument=instrument, quote=quote, delta=None if delta is None else Decimal(delta))


def offered(*puts, problem="", **changes):
    """Return a session whose bearish signal has been answered with `puts`."""
    told = breaking(spec_of(StrategyName.CLOSE, **PUTS, **changes))
    asked = told.of(ReadPutQuotes)[0]
    told.tell(PutQuotesRead(at=told.at, trade_id=asked.trade_id, quotes=puts, problem=problem))
    return told


def bought(told):
    return [order.instrument.strike for order in told.orders("entry")]


def test_vix_is_read_when_the_analysis_starts_and_again_at_the_entry():
    told = afternoon()
    at_start = len(told.of(ReadVix))
    told.bars(310, AAA=97.0)
    waiting = told.orders()
    vix(told, "15.01")

    assert (at_start, len(told.of(ReadVix)), waiting) == (1, 2, [])
    assert [order.side for order in told.orders("entry")] == [Side.SELL_SHORT]


@pytest.mark.parametrize(("value", "age"), [("15", 0), ("14.9", 0), (None, 0), ("40", DAY + 1), ("40", -1)])
def test_a_vix_at_or_below_the_threshold_missing_old_or_from_the_future_ends_the_session_at_its_start(value, age):
    told = afternoon(first=value, age=age)

    assert len(told.of(SessionEnded)) == 1
    assert told.engine.state.stop_code == "vix_gatekeeper"


@pytest.mark.parametrize(("value", "age"), [("15", 0), (None, 0), ("40", DAY + 1)])
def test_the_same_vix_at_the_entry_drops_the_signal_and_leaves_the_session_running(value, age):
    told = breaking(second=value, age=age)

    assert told.drops() == [("", "AAA", "vix_gatekeeper")]
    assert told.orders() == []
    assert told.of(SessionEnded) == []


def test_a_vix_of_exactly_one_day_still_counts():
    assert len(breaking(age=DAY).orders("entry")) == 1


def test_two_signals_of_one_bar_share_one_reading_and_a_second_answer_closes_nothing():
    told = afternoon(symbols=("AAA", "BBB"))
    told.bars(310, AAA=97.0, BBB=96.0)
    vix(told)
    vix(told, "10")

    assert len(told.of(ReadVix)) == 2  # one at the start, one for both
    assert len(told.orders("entry")) == 2
    assert told.exits() == []


def test_a_vix_that_never_comes_is_a_recorded_drop_soon_after_the_window():
    told = afternoon()
    for number in range(310, 319):
        told.bars(number, AAA=98.5)
    told.bars(319, AAA=97.0)
    waiting = (told.drops(), told.of(SessionEnded))
    told.bars(320, AAA=97.0)

    assert waiting == ([], [])
    assert told.drops() == [("", "AAA", "vix_gatekeeper")]
    assert len(told.of(SessionEnded)) == 1


def test_a_signal_of_the_windows_last_bar_is_traded_when_its_vix_comes_at_once():
    told = afternoon()
    for number in range(310, 319):
        told.bars(number, AAA=98.5)
    told.bars(319, AAA=97.0)
    vix(told)

    assert len(told.orders("entry")) == 1


def test_a_bearish_signal_asks_for_puts_that_live_long_enough_at_its_price():
    told = breaking(spec_of(StrategyName.CLOSE, **PUTS))
    asked = told.of(ReadPutQuotes)

    assert [(ask.underlying, ask.spot, ask.min_days, ask.broker) for ask in asked] == [("AAA", 97, 7, "sim")]
    assert told.orders() == []


@pytest.mark.parametrize(
    ("puts", "strike"),
    [
        ((put("97", FAR), put("95", NEAR)), "95"),
        ((put("95", delta="-0.40"), put("96", delta="-0.45"), put("99", delta="-0.70")), "96"),
        ((put("90", delta=None), put("96", delta=None), put("99", delta=None)), "96"),
        ((put("95"), put("97", bid="1.80")), "95"),
        ((put("96", ask="0", bid="0"), put("98")), "98"),
    ],
    ids=["nearest expiry", "delta nearest", "strike nearest without deltas", "narrow spread", "offered at all"],
)
def test_the_put_is_chosen_by(puts, strike):
    assert bought(offered(*puts)) == [Decimal(strike)]


# the middle of 1.90 and 2.00 is 1.95: a spread of 0.10 is 5.128 % of it
@pytest.mark.parametrize(("limit", "code"), [("0.0513", None), ("0.0512", "put_spread")])
def test_the_spread_limit_of_puts_bites(limit, code):
    told = offered(put("97", bid="1.90"), put_max_spread=Decimal(limit))

    assert [drop.code for drop in told.of(SignalDropped)] == ([code] if code else [])


@pytest.mark.parametrize(("puts", "problem"), [((), ""), ((), "no listed options")])
def test_no_put_on_offer_is_a_recorded_drop(puts, problem):
    assert offered(*puts, problem=problem).drops() == [("sim", "AAA", "no_put")]


def test_puts_are_bought_in_whole_contracts_within_the_share():
    told = offered(put("97"))
    entry = told.orders("entry")[0]

    assert (entry.side, entry.limit_price, entry.order_type) == (Side.BUY, Decimal("2.01"), OrderType.LIMIT)
    assert entry.quantity == 49  # 10,000 dollars buy 49.75 contracts at 201
    assert entry.instrument.multiplier == 100


def test_a_share_too_small_for_one_contract_is_a_recorded_rejection():
    told = offered(put("97"), total_allocation=Decimal("0.0004"))  # 200 dollars, a contract costs 201

    assert told.drops() == [("sim", "AAA", "quantity")]
    assert told.orders() == []


def test_the_protective_stop_of_a_put_watches_the_underlying_rising_and_sells_the_contracts():
    told = offered(put("97"))
    entry, stop = told.enter("2.00")

    assert (stop.side, stop.quantity, stop.instrument) == (Side.SELL, entry.quantity, entry.instrument)
    assert (stop.stop.symbol, stop.stop.price, stop.stop.rising) == ("AAA", Decimal("98.94"), True)


def test_the_result_of_a_put_counts_a_hundred_shares_a_contract():
    told = offered(put("97"))
    _, stop = told.enter("2.00")
    told.fill(stop, "1.50", fees="0.50")

    assert told.of(TradeRecord)[0].pnl == Decimal("-2450.50")


@pytest.mark.parametrize(("lacks", "code"), [("options", "no_options"), ("conditional_stops", "no_conditional_stops")])
def test_a_broker_that_cannot_carry_a_protected_put_skips_the_signal_with_the_reason(lacks, code):
    spec = spec_of(StrategyName.CLOSE, **PUTS)
    broker = spec.brokers[0]
    told = breaking(
        replace(spec, brokers=(replace(broker, capabilities=replace(broker.capabilities, **{lacks: False})),))
    )

    assert told.drops() == [("sim", "AAA", code)]


def test_put_quotes_that_never_come_lapse_soon_after_the_window():
    told = breaking(spec_of(StrategyName.CLOSE, **PUTS))
    for number in range(311, 321):
        told.bars(number, AAA=97.0)

    assert told.drops() == [("sim", "AAA", "no_put")]
    assert len(told.of(SessionEnded)) == 1


def test_the_hard_exit_before_the_bell_closes_what_the_monitoring_time_would_keep():
    spec = spec_of(StrategyName.CLOSE)
    told = breaking(replace(spec, windows=replace(spec.windows, hard_exit_at=minute(330))))
    told.enter("97")
    for number in range(311, 329):
        told.bars(number, AAA=97.0)
    before = told.exits()
    told.bars(329, AAA=97.0)

    assert before == []
    assert (told.exits(), told.at) == (["hard_exit"], minute(330))


@pytest.mark.parametrize(
    ("shares", "read_at", "drops"),
    [(60_000, 309, True), (-60_000, 309, False), (40_000, 309, False), (60_000, 300, False), (None, 0, False)],
    ids=["strongly against", "with it", "weakly against", "too old", "none published"],
)
def test_a_strong_auction_imbalance_against_the_signal_drops_it_where_it_goes_to_interactive_brokers(
    shares, read_at, drops
):
    usual = spec_of(StrategyName.CLOSE, short_type=ShortType.SHORT_SELL)
    brokers = tuple(replace(one, name="ibkr") for one in usual.brokers[:1])
    spec = replace(usual, brokers=brokers, windows=replace(usual.windows, market_close=minute(330)))
    told = afternoon(spec)
    if shares is not None:
        figures = Imbalance("AAA", minute(read_at), Decimal(shares), Decimal(100_000))
        told.tell(ImbalancesRead(at=told.at, imbalances=(figures,)))
    told.bars(310, AAA=97.0)
    dropped = [one.code for one in told.of(SignalDropped)]
    assert dropped == (["imbalance_scanner_ibkr"] if drops else [])
