"""Dry runs over the recorded files beside the checkout, their figures held against the raw bars."""

from datetime import UTC, date, datetime
from decimal import ROUND_CEILING, Decimal
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet as pq
import pytest

from tbot_bot.core.codec import loads
from tbot_bot.core.commands import CandidatesChosen, SignalRaised, TradeRecord
from tbot_bot.core.events import OrderFilled
from tbot_bot.core.identity import Mode
from tbot_bot.core.instants import MINUTE
from tbot_bot.journal.chain import Kind
from tbot_bot.runtime.replay import replay_day
from tests.support.rehearsal import Rehearsed

NEW_YORK = ZoneInfo("America/New_York")
EQUITY_MINUTES = (
    "csv/us_equity_1m_*.csv",
    "licensed/spy_1m_*.parquet",
    "licensed/us_equity_1m_*.parquet",
    "nolicence/spy_1m_*.parquet",
    "nolicence/thin_etf_1m_*.parquet",
    "nolicence/us_equity_1m_*.parquet",
    "nolicence/us_equity_5m_*.parquet",
)
CENT = Decimal("0.01")
BOTH_WAYS = {f"SHORT_TYPE_{name}": "ShortSell" for name in ("OPEN", "MID", "CLOSE")}
LOOSE = {**BOTH_WAYS, "STRAT_OPEN_BUFFER": "0.002", "MAX_GAP_PCT_OPEN": "0.5"}


def check(shared, folder, name, day, **settings):
    """Run a day and hold it against everything that any day promises."""
    vix = shared / "data" / "licensed" / "vix_daily.parquet"
    run = Rehearsed(folder / "home", shared / "data" / name, date.fromisoformat(day), vix, **settings).check()
    assert replay_day(run.home, run.day, Mode.PAPER).identical
    booked = sum((trade.pnl for trade in run.outputs(TradeRecord) if trade.error_code != "unclosed"), Decimal(0))
    assert run.report.pnl == booked
    return run


@pytest.mark.parametrize(
    ("name", "day"),
    [
        ("nolicence/us_equity_5m_2026.parquet", "2026-02-06"),
        ("nolicence/us_equity_5m_2026.parquet", "2025-12-24"),
        ("nolicence/spy_1m_2024_2025.parquet", "2024-11-29"),
        ("nolicence/spy_1m_2024_2025.parquet", "2024-11-01"),
        ("nolicence/spy_1m_2024_2025.parquet", "2024-11-04"),
        ("nolicence/thin_etf_1m_2023_2025.parquet", "2024-07-03"),
        ("nolicence/us_equity_1m_ibkr_2025.parquet", "2025-11-28"),
        ("csv/us_equity_1m_2018-03-09_2018-03-12.csv", "2018-03-09"),
        ("csv/us_equity_1m_2018-03-09_2018-03-12.csv", "2018-03-12"),
        ("csv/us_equity_1m_2025-01-24_2025-01-27.csv", "2025-01-27"),
        ("licensed/us_equity_1m_lean.parquet", "2023-08-03"),
        ("nolicence/us_equity_1m_2025.parquet", "2025-01-24"),
    ],
)
def test_a_day_of_any_file_ends_well(shared, tmp_path, name, day):
    run = check(shared, tmp_path, name, day, MAX_PRICE="100000", **BOTH_WAYS)
    assert len(run.report.sessions) + len(run.report.skipped) == 3


def test_daylight_saving_moves_the_session_with_new_york(shared, tmp_path):
    name = "csv/us_equity_1m_2018-03-09_2018-03-12.csv"
    starts = []
    for day in ("2018-03-09", "2018-03-12"):
        run = check(shared, tmp_path / day, name, day)
        specs: list[Any] = [loads(row.payload) for row in run.rows() if row.kind is Kind.SESSION]
        starts.append(datetime.fromtimestamp(specs[0].windows.start / 10**9, UTC).strftime("%H:%M"))
    assert starts == ["14:30", "13:30"]


def trading_days(path: Path):
    """Return the New York dates with bars at noon."""
    if path.suffix == ".csv":
        table = pyarrow.csv.read_csv(path, convert_options=pyarrow.csv.ConvertOptions(include_columns=["timestamp"]))
        stamps = table.column("timestamp")
    else:
        stamps = pq.read_table(path, columns=["ts"]).column("ts")
    noon = {stamp.replace(tzinfo=UTC) for stamp in pc.unique(stamps).to_pylist() if stamp.hour == 17}
    return sorted({stamp.astimezone(NEW_YORK).date() for stamp in noon})


@pytest.mark.slow
@pytest.mark.parametrize("pattern", EQUITY_MINUTES)
@pytest.mark.timeout(600)
def test_the_first_a_middle_and_the_last_day_of_every_file_end_well(shared, tmp_path, pattern):
    files = sorted((shared / "data").glob(pattern))
    assert files
    for path in files:
        days = trading_days(path)
        for day in dict.fromkeys((days[0], days[len(days) // 2], days[-1])):
            name = str(path.relative_to(shared / "data"))
            check(shared, tmp_path / path.stem / str(day), name, str(day), MAX_PRICE="100000", **BOTH_WAYS)


class RawDay:
    """The bars of one day, read with nothing of ours."""

    def __init__(self, path, day):
        begin = datetime.combine(date.fromisoformat(day), datetime.min.time(), tzinfo=NEW_YORK)
        table = pq.read_table(path)
        stamps = table.column("ts")
        table = table.filter(pc.and_(pc.greater_equal(stamps, begin), pc.less(stamps, begin.replace(hour=16))))
        self.bars: dict[str, list[dict[str, Any]]] = {}
        for row in table.to_pylist():
            if row["ts"] >= begin.replace(hour=9, minute=30):
                row["start"] = int(row["ts"].timestamp()) * 10**9
                self.bars.setdefault(row["symbol"], []).append(row)

    def at(self, symbol, start):
        """Return the bar of `symbol` that begins at `start`."""
        return next(bar for bar in self.bars[symbol] if bar["start"] == start)

    def next(self, symbol, at):
        """Return the first bar that begins at `at` or later."""
        return next(bar for bar in self.bars[symbol] if bar["start"] >= at)


def up(value, step=CENT):
    return (value / step).to_integral_value(rounding=ROUND_CEILING) * step


def price(number):
    return Decimal(repr(number))


@pytest.fixture(
    scope="module",
    params=["2018-03-02", *(pytest.param(day, marks=pytest.mark.slow) for day in ("2018-03-22", "2018-02-27"))],
)
def loose_day(request, shared, tmp_path_factory):
    name = "nolicence/us_equity_1m_2018.parquet"
    run = check(shared, tmp_path_factory.mktemp("loose"), name, request.param, **LOOSE)
    return run, RawDay(shared / "data" / name, request.param)


def by_session(run, kind):
    found: dict[str, list[Any]] = {}
    for session, answer in run.decided():
        for output in answer.outputs:
            if isinstance(output, kind):
                found.setdefault(session.partition("/")[2], []).append(output)
    return found


def test_open_signals_are_where_the_rule_says_they_are(loose_day):
    """The first close of 09:50 to 10:00 beyond the range of 09:30 to 09:50 by 0.2 %, for every candidate."""
    run, raw = loose_day
    (chosen,) = by_session(run, CandidatesChosen)["open"]
    bell = min(bar["start"] for bars in raw.bars.values() for bar in bars)
    expected = []
    for symbol in chosen.symbols:
        bars = raw.bars.get(symbol, [])
        early = [bar for bar in bars if bar["start"] < bell + 20 * MINUTE]
        if len(early) < 16:
            continue
        high, low = max(bar["high"] for bar in early), min(bar["low"] for bar in early)
        for bar in bars:
            if bell + 20 * MINUTE <= bar["start"] < bell + 30 * MINUTE:
                side = "long" if bar["close"] > high * 1.002 else "short" if bar["close"] < low * (1 - 0.002) else ""
                if side:
                    expected.append((bar["start"] + MINUTE, symbol, side))
                    break
    told = [(one.at, one.symbol, one.direction.value) for one in by_session(run, SignalRaised).get("open", [])]
    assert sorted(told) == sorted(expected)
    assert told


def test_entries_fill_at_the_next_open_or_at_their_limit(loose_day):
    run, raw = loose_day
    trades = [trade for trade in run.outputs(TradeRecord) if trade.entered_at]
    assert trades
    signals = {(one.symbol, session): one for session, ones in by_session(run, SignalRaised).items() for one in ones}
    for trade in trades:
        signal = signals[trade.ticker, trade.strategy.value]
        bar = raw.next(trade.ticker, signal.at)
        buys = trade.side.value == "long"
        limit = price(raw.at(trade.ticker, signal.at - MINUTE)["close"]) * Decimal("1.003" if buys else "0.997")
        opened = price(bar["open"])
        if opened <= limit if buys else opened >= limit:
            assert abs(trade.entry_price - opened) < CENT
        else:
            assert abs(trade.entry_price - limit) <= CENT


def test_exits_are_at_the_stop_or_at_the_open_after_their_reason(loose_day):
    run, raw = loose_day
    for trade in [one for one in run.outputs(TradeRecord) if one.entered_at]:
        monitored = {"open": 30, "mid": 45, "close": 30}[trade.strategy.value]
        if trade.exit_reason == "time":
            bar = raw.next(trade.ticker, trade.entered_at + monitored * MINUTE)
            assert trade.at in {bar["start"], bar["start"] + MINUTE}
            opened = raw.next(trade.ticker, trade.at - trade.at % MINUTE)["open"]
            assert abs(trade.exit_price - price(opened)) < CENT
        elif "stop" in trade.exit_reason:
            fraction = Decimal("0.015") if trade.strategy.value == "mid" else Decimal("0.02")
            sign = 1 if trade.side.value == "long" else -1
            best = trade.entry_price
            for bar in raw.bars[trade.ticker]:
                if trade.entered_at <= bar["start"] and bar["start"] + MINUTE < trade.at:
                    extreme = price(bar["high"] if sign > 0 else bar["low"])
                    if trade.strategy.value == "open":
                        best = max(best, extreme) if sign > 0 else min(best, extreme)
            stop = best * (1 - sign * fraction)
            last = [bar for bar in raw.bars[trade.ticker] if bar["start"] <= trade.at][-2:]
            candidates = [stop, *(price(bar["open"]) for bar in last)]
            assert min(abs(trade.exit_price - one) for one in candidates) <= CENT
            assert sign * (trade.exit_price - stop) <= CENT, "better than the stop is no stop"


def test_fees_and_results_agree_to_the_cent_with_a_calculation_by_hand(loose_day):
    run, _ = loose_day
    fills = [event.fill for event in run.inputs(OrderFilled)]
    total = Decimal(0)
    for trade in [one for one in run.outputs(TradeRecord) if one.entered_at]:
        mine = [fill for fill in fills if fill.client_order_id.startswith(trade.trade_id + "-")]
        cash = fees = Decimal(0)
        for fill in mine:
            entry = "-entry" in fill.client_order_id
            sells = entry is not (trade.side.value == "long")
            value = fill.price * fill.quantity
            # SEC 23.10 dollars a million and FINRA 0.000119 a share, on sales only, each rounded up
            fee = Decimal(0)
            if sells:
                fee = up(value * Decimal("0.0000231")) + min(up(fill.quantity * Decimal("0.000119")), Decimal("5.95"))
            assert fill.fees == fee
            cash += (value if sells else -value) - fee
            fees += fee
        assert trade.fees == fees
        assert abs(trade.pnl - cash) <= CENT / 2
        total += trade.pnl
    assert run.report.pnl == total


def test_everything_is_out_before_the_hard_exit(loose_day):
    run, raw = loose_day
    bell = min(bar["start"] for bars in raw.bars.values() for bar in bars)
    assert all(trade.at <= bell + 382 * MINUTE for trade in run.outputs(TradeRecord))
    assert all(trade.error_code != "unclosed" for trade in run.outputs(TradeRecord))


@pytest.mark.slow
def test_trades_go_both_ways_over_these_days(shared, tmp_path):
    sides = set()
    for day in ("2018-03-02", "2018-03-22"):
        run = check(shared, tmp_path / day, "nolicence/us_equity_1m_2018.parquet", day, **LOOSE)
        sides |= {(one.strategy.value, one.side.value) for one in run.outputs(TradeRecord) if one.entered_at}
    assert {("open", "long"), ("open", "short")} <= sides
