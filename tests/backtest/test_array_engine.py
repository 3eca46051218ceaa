"""Array engine and event engine find the same trades, to the last bit, whatever the tape and the settings."""

import random
from datetime import date
from decimal import Decimal
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tbot_bot.backtest.array_engine import ArrayEngine
from tbot_bot.backtest.bar_arrays import arrays_of, read_bar_arrays
from tbot_bot.backtest.campaign import setting_of
from tbot_bot.backtest.event_engine import run_event_engine
from tbot_bot.backtest.execution_model import ExecutionModel, slippage_of
from tbot_bot.backtest.market_facts import NOTHING, RecordedFacts
from tbot_bot.backtest.model import BacktestRequest
from tbot_bot.core.calendar import trading_day
from tbot_bot.core.instants import MINUTE, Duration, Instant
from tbot_bot.core.instruments import Instrument, put_option
from tbot_bot.marketdata.bar_files import Columns
from tbot_bot.marketdata.borrow_file import BorrowList
from tbot_bot.marketdata.put_chains import PutChains, Series
from tbot_bot.marketdata.puts import next_expiry, strikes_around
from tbot_bot.marketdata.vix import DailyVix, read_vix

DAYS = (date(2025, 11, 26), date(2025, 11, 28), date(2025, 12, 1))
"""The second closes early; the 27th is a holiday."""
FIRST, LAST = date(2013, 1, 1), date(2026, 6, 30)
ALERT = {
    "STRAT_OPEN_BUFFER": "0.001",
    "STRAT_MID_VWAP_THRESHOLD": "0.004",
    "CLOSE_MOMENTUM_PCT": "0.001",
    "CLOSE_FADE_Z": "1.5",
    "MAX_GAP_PCT_OPEN": "0.5",
    "MAX_GAP_PCT_MID": "0.5",
    "MAX_GAP_PCT_CLOSE": "0.5",
}
SHORT = {f"SHORT_TYPE_{name}": "ShortSell" for name in ("OPEN", "MID", "CLOSE")}
FUNDS = {f"SHORT_TYPE_{name}": "InverseETF" for name in ("OPEN", "MID", "CLOSE")}
PUTS = {f"SHORT_TYPE_{name}": "LongPut" for name in ("OPEN", "MID", "CLOSE")}
NO_FILTERS = {"ADX_FILTER_ENABLED": "false", "BOLLINGER_FILTER_ENABLED": "false"}
PARAMETERS = {
    "as they come": {},
    "alert": {**ALERT, **NO_FILTERS},
    "alert, filtered, short": {**ALERT, **SHORT},
    "large stakes": {
        **ALERT,
        **SHORT,
        **NO_FILTERS,
        "TOTAL_ALLOCATION": "1",
        "MAX_RISK_PER_TRADE": "1",
        "MAX_ORDER_NOTIONAL": "10000000",
        "DAILY_LOSS_LIMIT": "0.002",
        "OPEN_TRAILING_STOP_PCT": "0.004",
        "MID_STOP_LOSS_PCT": "0.003",
        "CLOSE_STOP_LOSS_PCT": "0.003",
    },
    "two brokers, market orders, whole shares": {
        **ALERT,
        **NO_FILTERS,
        **SHORT,
        "IBKR_ENABLED": "true",
        "ENTRY_ORDER": "market",
        "FRACTIONAL": "false",
        "SIZING_MODE": "stop_risk",
        "MAX_ORDERS_PER_MINUTE": "3",
        "OPEN_TRAILING_STOP_PCT": "0.002",
    },
    "puts": {**ALERT, **NO_FILTERS, **PUTS, "PUT_MAX_SPREAD_PCT": "0.5", "MAX_RISK_PER_TRADE": "0.5"},
    "one fund for all": {**ALERT, **NO_FILTERS, **FUNDS, "INVERSE_ETF_DEFAULT": "S00"},
    "defense mode": {**ALERT, **SHORT, **NO_FILTERS, "DEFENSE_MODE_ACTIVE": "true", "ROUTING": "first"},
    "long windows": {
        **ALERT,
        **NO_FILTERS,
        "OPEN_ANALYSIS_TIME": "7",
        "OPEN_BREAKOUT_TIME": "40",
        "OPEN_MONITORING_TIME": "60",
        "MID_BREAKOUT_TIME": "30",
        "MID_MONITORING_TIME": "120",
        "SCREENER_MAX_CANDIDATES": "4",
        "START_TIME_MID": "16:30",
    },
}


EXECUTIONS = {
    "the default": ExecutionModel(),
    "basis points": ExecutionModel(slippage=slippage_of("bps:7"), volume_cap=Decimal("0.02")),
    "spread and impact": ExecutionModel(slippage=slippage_of("spread:0.5,volume:0.3"), volume_cap=Decimal("0.3")),
    "a trickle": ExecutionModel(slippage=slippage_of("bps:1,spread:2,volume:10"), volume_cap=Decimal("0.001")),
}


def tape(seed, *, symbols, jumps, holes, silence, flat, span=1):
    """Return random bars: `jumps`, `holes`, `silence` (no volume) and `flat` (unchanged prices) are chances per bar."""
    dice = random.Random(seed)
    rows = []
    for code in range(symbols):
        price = dice.uniform(4, 95)
        thin = dice.random() < 0.3
        for day in DAYS:
            session = trading_day(day)
            early = session.open_at - 60 * MINUTE if dice.random() < 0.4 else session.open_at
            price = max(price * (1 + dice.gauss(0, 0.02)), 1.0)
            for start in range(early, session.close_at, span * MINUTE):
                if dice.random() < (0.5 if thin else holes):
                    continue
                opened = round(price * (1 + dice.gauss(0, 0.0005)), 2)
                if dice.random() < jumps:
                    opened = round(opened * dice.choice((0.9, 0.95, 1.05, 1.1)), 2)
                closed = opened if dice.random() < flat else round(opened * (1 + dice.gauss(0, 0.002)), 2)
                high = round(max(opened, closed) * (1 + abs(dice.gauss(0, 0.0007))), 2)
                low = round(min(opened, closed) * (1 - abs(dice.gauss(0, 0.0007))), 2)
                volume = 0 if dice.random() < silence else dice.randrange(1, 20_000)
                rows.append((code, start, opened, max(high, opened, closed), min(low, opened, closed), closed, volume))
                price = closed
    columns = [np.array(column) for column in zip(*rows, strict=True)]
    prices = [column.astype(np.float64) for column in columns[2:]]
    names = tuple(f"S{code:02}" for code in range(symbols))
    return arrays_of(
        Columns(
            names=names,
            codes=columns[0],
            ts=columns[1],
            open=prices[0],
            high=prices[1],
            low=prices[2],
            close=prices[3],
            volume=prices[4],
        ),
        span * MINUTE,
    )


def recorded_facts(engine, seed):
    """Return shares to borrow, and puts round the prices of the tape quoted at moments of their own."""
    dice = random.Random(seed)
    series, names = [], engine.arrays.names
    rules = {name: dice.choice((None, Decimal(0), Decimal(dice.randrange(1, 400)))) for name in names}
    for name in names:
        quotes: dict[str, tuple[Instrument, list[tuple[int, float, float]]]] = {}
        for day in engine.days:
            closing = Decimal(repr(day.bars_today(name)[-1].close)) if day.bars_today(name) else Decimal(20)
            for strike in strikes_around(closing)[4:-4]:
                put = put_option(name, next_expiry(Instant(day.day.open_at), 7), strike)
                rows = quotes.setdefault(put.symbol, (put, []))[1]
                for second in sorted(dice.sample(range(390 * 60), 150)):
                    bid = dice.choice((0.0, round(dice.uniform(0.5, 2.0), 2)))
                    rows.append((day.day.open_at + second * 10**9, bid, round(bid + dice.uniform(0.01, 0.3), 2)))
        for put, rows in quotes.values():
            columns = [np.array(column) for column in zip(*rows, strict=True)]
            series.append(Series(instrument=put, at=columns[0], bid=columns[1], ask=columns[2], delta=None))
    borrow = BorrowList(days=dict.fromkeys(DAYS[:2], rules))
    return RecordedFacts(borrow=borrow, chains=PutChains(series, Duration(2 * MINUTE)))


def setting(overrides, execution=EXECUTIONS["the default"], facts=NOTHING):
    nowhere = Path("no-such-home")
    request = BacktestRequest(
        home=nowhere, data=nowhere, first=FIRST, last=LAST, overrides=tuple(overrides.items()), execution=execution
    )
    return setting_of(request, facts)


def both(engine, overrides, **executed):
    """Run both engines, hold their results against each other, and return the trades."""
    chosen = setting(overrides, **executed)
    fast = engine.run(chosen, FIRST, LAST)
    slow = run_event_engine(chosen, iter(engine.days))
    for ours, theirs in zip(fast.trades, slow.trades, strict=False):
        assert ours == theirs
    assert len(fast.trades) == len(slow.trades)
    assert fast.unfilled == slow.unfilled
    assert fast.skipped == slow.skipped
    facts = [[(day.equity_before, day.equity_after, day.bars) for day in found.days] for found in (fast, slow)]
    assert facts[0] == facts[1]
    return fast.trades


def known_vix():
    days = (date(2025, 11, 25), *DAYS)
    return DailyVix(days=days, opens=(21.0,) * len(days), closes=(20.0,) * len(days), source="made up")


TAPES = {
    "seed": st.integers(0, 2**20),
    "symbols": st.integers(2, 7),
    "jumps": st.sampled_from((0.0, 0.002, 0.02)),
    "holes": st.sampled_from((0.0, 0.02, 0.3)),
    "silence": st.sampled_from((0.0, 0.05, 0.5)),
    "flat": st.sampled_from((0.0, 0.3)),
    "span": st.sampled_from((1, 1, 1, 2, 5)),
    "name": st.sampled_from(sorted(PARAMETERS)),
    "execution": st.sampled_from(sorted(EXECUTIONS)),
    "recorded": st.booleans(),
}


def random_tapes_agree(name, execution, recorded, **shape):
    engine = ArrayEngine(tape(**shape), {}, known_vix())
    facts = recorded_facts(engine, shape["seed"]) if recorded else NOTHING
    both(engine, PARAMETERS[name], execution=EXECUTIONS[execution], facts=facts)


@settings(max_examples=10, deadline=None)
@given(**TAPES)
def test_random_tapes(**drawn):
    random_tapes_agree(**drawn)


@pytest.mark.slow
@settings(max_examples=400, deadline=None)
@given(**TAPES)
def test_many_random_tapes(**drawn):
    random_tapes_agree(**drawn)


@pytest.mark.parametrize("name", sorted(PARAMETERS))
def test_each_parameter_set_trades_on_a_plain_tape(name):
    """So that the equality is one of trades, not of their absence."""
    engine = ArrayEngine(tape(7, symbols=9, jumps=0.001, holes=0.01, silence=0.0, flat=0.05), {}, known_vix())
    trades = both(engine, PARAMETERS[name])
    assert trades or name == "as they come"


@pytest.mark.parametrize("execution", sorted(EXECUTIONS))
def test_each_execution_trades_on_a_plain_tape(execution):
    """Shares and puts, with a borrow list and recorded quotes: fills of both sources, and refusals, in both engines."""
    engine = ArrayEngine(tape(7, symbols=9, jumps=0.001, holes=0.01, silence=0.0, flat=0.05), {}, known_vix())
    known = {"execution": EXECUTIONS[execution], "facts": recorded_facts(engine, 5)}
    assert both(engine, PARAMETERS["alert, filtered, short"], **known)
    trades = both(engine, PARAMETERS["puts"], **known)
    if execution == "the default":
        assert {(trade.modelled, trade.recorded) for trade in trades} >= {(True, False), (False, True)}


EQUITIES = (
    ("csv/us_equity_1m_2018-03-09_2018-03-12.csv", "alert"),
    ("csv/us_equity_1m_2025-01-24_2025-01-27.csv", "large stakes"),
    ("nolicence/us_equity_1m_ibkr_2025.parquet", "alert, filtered, short"),
)


def recorded(shared, name, parameters):
    vix = read_vix(shared / "data" / "licensed" / "vix_daily.parquet")
    arrays = read_bar_arrays(shared / "data" / name)
    return both(ArrayEngine(arrays, {}, vix), {"MAX_PRICE": "100000", **PARAMETERS[parameters]})


@pytest.mark.parametrize(("name", "parameters"), EQUITIES)
def test_recorded_days(shared, name, parameters):
    recorded(shared, name, parameters)


@pytest.mark.slow
@pytest.mark.parametrize("parameters", sorted(PARAMETERS))
@pytest.mark.parametrize(
    "pattern",
    ["csv/us_equity_1m_*.csv", "licensed/spy_1m_*", "licensed/us_equity_1m_*", "nolicence/spy_1m_*",
     "nolicence/thin_etf_1m_*", "nolicence/us_equity_1m_*", "nolicence/us_equity_5m_*"],
)  # fmt: skip
def test_every_recorded_equity_file(shared, pattern, parameters):
    found = sorted((shared / "data").glob(pattern))
    assert found
    for path in found:
        recorded(shared, path, parameters)
