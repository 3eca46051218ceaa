"""A recorded day tells what its rows say, in any order and form, and nothing before its time."""

import sys
from datetime import date, timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tbot_bot.core.calendar import trading_day, trading_days
from tbot_bot.core.instants import MINUTE, Instant
from tbot_bot.marketdata.bar_files import all_starts
from tbot_bot.marketdata.recorded_loader import load_day
from tests.support.bar_kit import DAY, PREVIOUS, bar, csv_file, moment, parquet_file, with_value

BELL = trading_day(DAY).open_at
NOON = Instant(BELL + 150 * MINUTE)
CLOSE = trading_day(DAY).close_at
HALF_DAY = date(2018, 11, 23)
EQUITY_FILES = (
    "licensed/spy_1m_2020.parquet",
    "licensed/us_equity_1m_2019.parquet",
    "licensed/us_equity_1m_lean.parquet",
    "nolicence/spy_1m_2024.parquet",
    "nolicence/spy_1m_2024_2025.parquet",
    "nolicence/thin_etf_1m_2023_2025.parquet",
    "nolicence/us_equity_1m_2018.parquet",
    "nolicence/us_equity_1m_2025.parquet",
    "nolicence/us_equity_1m_2026.parquet",
    "nolicence/us_equity_1m_ibkr_2025.parquet",
    "nolicence/us_equity_5m_2026.parquet",
    "csv/us_equity_1m_2013-10-07_2013-10-08.csv",
    "csv/us_equity_1m_2018-03-09_2018-03-12.csv",
    "csv/us_equity_1m_2025-01-24_2025-01-27.csv",
)


def told(day):
    """Return everything a day tells, for comparing."""
    end = Instant(day.day.close_at)
    facts = {
        symbol: (
            day.previous_close(symbol),
            day.average_volume(symbol),
            day.daily_closes(symbol),
            day.bars_until(symbol, end),
            day.last_price(symbol, Instant(day.day.open_at)),
            day.realised_volatility(symbol, end),
        )
        for symbol in day.symbols
    }
    return day.span, facts, list(day.slices())


@st.composite
def rows_of_two_days(draw):
    rows = []
    for symbol in draw(st.sets(st.sampled_from(["AAA", "BRK.B", "ZZ"]), min_size=1)):
        for day in (PREVIOUS, DAY):
            minutes = draw(st.sets(st.integers(-60, 395), max_size=6)) | (set(range(20)) if day == DAY else set())
            for minute in sorted(minutes):
                prices = draw(st.lists(st.floats(0.01, 1e5), min_size=4, max_size=4))
                low, start, end, high = sorted(prices)
                volume = draw(st.integers(1, 10**9))
                rows.append((symbol, moment(minute, day), start, high, low, end, volume))
    return sorted(rows)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows_of_two_days(), st.integers(1, 7))
def test_csv_and_parquet_in_both_orders_tell_the_same(tmp_path, rows, group):
    by_time = sorted(rows, key=lambda row: (row[1], row[0]))
    days = [
        load_day(csv_file(tmp_path / "a.csv", rows), DAY),
        load_day(csv_file(tmp_path / "b.csv", by_time), DAY),
        load_day(parquet_file(tmp_path / "a.parquet", rows, group=group), DAY),
        load_day(parquet_file(tmp_path / "b.parquet", by_time, group=group), DAY),
    ]
    first = told(days[0])
    assert all(told(day) == first for day in days[1:])
    written = {(row[0], *row[2:]) for row in rows if row[1] >= moment(0) and row[1] < moment(390)}
    assert {(one.symbol, *one[3:]) for piece in days[0].slices() for one in piece.bars} == written


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows_of_two_days(), st.integers(0, 390), st.floats(1.5, 9))
def test_later_bars_change_nothing_known_earlier(tmp_path, rows, minute, factor):
    at = Instant(BELL + minute * MINUTE)
    later = [
        (row[0], row[1], *(price * factor for price in row[2:6]), row[6] + 7) if row[1] >= moment(minute) else row
        for row in rows
    ]
    one, two = (load_day(parquet_file(tmp_path / "bars.parquet", some), DAY) for some in (rows, later))
    for symbol in one.symbols:
        for ask in ("bars_until", "last_price", "realised_volatility"):
            assert getattr(one, ask)(symbol, at) == getattr(two, ask)(symbol, at)
        for ask in ("previous_close", "average_volume", "daily_closes"):
            assert getattr(one, ask)(symbol) == getattr(two, ask)(symbol)
    known = [[piece for piece in day.slices() if piece.end <= at] for day in (one, two)]
    assert known[0] == known[1]


def test_a_bar_is_known_at_its_end(tmp_path):
    day = load_day(csv_file(tmp_path / "a.csv", [bar("AAA", 0, 10.0), bar("AAA", 1, 11.0)]), DAY)
    assert day.bars_until("AAA", Instant(BELL + MINUTE - 1)) == ()
    assert [one.close for one in day.bars_until("AAA", Instant(BELL + MINUTE))] == [10.0]
    assert day.last_price("AAA", Instant(BELL + MINUTE)) == 10.0
    assert day.last_price("AAA", Instant(BELL + 2 * MINUTE)) == 11.0
    assert day.last_price("NONE", CLOSE) is None


def test_the_last_price_before_the_bell_is_of_the_pre_market_of_the_day(tmp_path):
    rows = [bar("AAA", 389, 8.0, day=PREVIOUS), bar("AAA", -30, 9.0), bar("AAA", 0, 10.0)]
    day = load_day(csv_file(tmp_path / "a.csv", rows), DAY)
    assert day.last_price("AAA", Instant(BELL - 29 * MINUTE - 1)) is None
    assert day.last_price("AAA", Instant(BELL - 29 * MINUTE)) == 9.0
    assert [one.close for one in day.bars_until("AAA", CLOSE)] == [10.0]


@pytest.mark.parametrize(("on", "minutes"), [(DAY, 390), (HALF_DAY, 210)])
def test_bars_from_the_close_on_are_left_out(tmp_path, on, minutes):
    rows = [bar("AAA", n, day=on) for n in (0, minutes - 1, minutes, minutes + 1)]
    day = load_day(csv_file(tmp_path / "a.csv", rows), on)
    assert len(list(day.slices())) == minutes
    assert [one.start for one in day.bars_until("AAA", Instant(2**62))] == [
        day.day.open_at,
        day.day.close_at - MINUTE,
    ]


def test_missing_minutes_stay_empty_and_symbols_come_and_go(tmp_path):
    rows = [bar("AAA", 0), bar("AAA", 1), bar("AAA", 7), bar("LATE", 300), bar("LATE", 301)]
    day = load_day(csv_file(tmp_path / "a.csv", rows), DAY)
    pieces = list(day.slices())
    assert len(pieces) == 390
    assert {n: [one.symbol for one in piece.bars] for n, piece in enumerate(pieces) if piece.bars} == {
        0: ["AAA"], 1: ["AAA"], 7: ["AAA"], 300: ["LATE"], 301: ["LATE"]
    }  # fmt: skip
    assert day.last_price("LATE", NOON) is None
    assert next(iter(day.slices(NOON))).start == NOON


def test_bars_of_five_minutes(tmp_path):
    day = load_day(csv_file(tmp_path / "a.csv", [bar("AAA", n) for n in range(0, 400, 5)]), DAY)
    assert day.span == 5 * MINUTE
    assert len(list(day.slices())) == 78
    assert len(day.bars_until("AAA", CLOSE)) == 78
    assert day.last_price("AAA", Instant(BELL + 5 * MINUTE - 1)) is None


def test_history_is_of_earlier_regular_sessions_alone(tmp_path):
    rows = [
        bar("AAA", 5, 7.0, 300, day=date(2018, 2, 28)),
        bar("AAA", -5, 50.0, 10**6, day=PREVIOUS),
        bar("AAA", 1, 8.0, 100, day=PREVIOUS),
        bar("AAA", 389, 9.0, 200, day=PREVIOUS),
        bar("AAA", 390, 60.0, 10**6, day=PREVIOUS),
        bar("AAA", 0, 70.0, 10**6),
        bar("GONE", 0, 5.0, 50, day=PREVIOUS),
        bar("NEW", 0, 5.0, 50),
    ]
    rows.sort(key=lambda row: row[:2])
    day = load_day(csv_file(tmp_path / "a.csv", rows), DAY)
    assert day.previous_close("AAA") == 9.0
    assert day.daily_closes("AAA") == (7.0, 9.0)
    assert day.average_volume("AAA") == 300.0
    assert day.previous_close("NEW") is None
    assert day.average_volume("NEW") is None
    assert day.previous_close("GONE") == 5.0
    assert day.bars_until("GONE", CLOSE) == ()


@pytest.mark.parametrize(("back", "known"), [(5, True), (6, False)])
def test_a_close_of_more_than_five_days_ago_is_not_the_previous_one(tmp_path, back, known):
    earlier = list(trading_days(date(2018, 2, 1), DAY - timedelta(days=1)))[-back]
    rows = [bar("AAA", 0, 9.0, day=earlier), bar("AAA", 0, 10.0), bar("AAA", 1, 10.0)]
    assert load_day(csv_file(tmp_path / "a.csv", rows), DAY).previous_close("AAA") == (9.0 if known else None)


def test_a_folder_uses_its_equity_minutes_and_says_what_it_skips(tmp_path):
    csv_file(tmp_path / "a.csv", [bar("AAA", n, 10.0) for n in range(3)])
    parquet_file(tmp_path / "b.parquet", [bar(s, n, 20.0) for s in ("AAA", "BBB") for n in range(3)])
    csv_file(tmp_path / "c.csv", [bar("AAA", n, 30.0) for n in range(0, 30, 5)])
    csv_file(tmp_path / "old.csv", [bar("OLD", 0, day=PREVIOUS)])
    csv_file(tmp_path / "coin.csv", [with_value(bar("COIN", n), "volume", 0.5) for n in range(3)])
    csv_file(
        tmp_path / "daily.csv",
        [("AAA", DAY, 1, 1, 1, 1, 1)],
        ("symbol", "date", "open", "high", "low", "close", "volume"),
    )
    (tmp_path / "notes.txt").write_text("not a bar file")
    (tmp_path / "fundamentals.csv").write_text("symbol,market_cap,avg_volume,sector\nAAA,1e9,,Tech\n")
    day = load_day(tmp_path, DAY)
    assert day.symbols == ("AAA", "BBB")
    assert {one.close for one in day.bars_until("AAA", CLOSE)} == {10.0}
    assert {one.close for one in day.bars_until("BBB", CLOSE)} == {20.0}
    facts = day.fundamentals("AAA")
    assert facts is not None
    assert facts.sector == "Tech"
    assert day.fundamentals("BBB") is None
    said = "\n".join(day.notices)
    for part in ("daily.csv skipped", "coin.csv skipped", "AAA of b.parquet not used", "AAA of c.csv not used"):
        assert part in said
    assert day.vix_at(NOON) is None


def days_in(path):
    starts = all_starts(path).tolist()
    return sorted({date.fromordinal(719163 + (start - 5 * 60 * MINUTE) // (1440 * MINUTE)) for start in starts})


def load_and_look(path, on):
    day = load_day(path, on)
    pieces = list(day.slices())
    assert pieces[0].start == day.day.open_at
    assert pieces[-1].end == day.day.close_at
    assert sum(len(piece.bars) for piece in pieces) > 0
    return day


@pytest.mark.slow
@pytest.mark.parametrize("name", EQUITY_FILES)
def test_every_recorded_equity_file_loads_on_three_of_its_days(shared, name):
    path = shared / "data" / name
    if not path.exists():
        pytest.skip("shared data absent: " + name)
    days = days_in(path)
    for on in {days[0], days[len(days) // 2], days[-1]}:
        load_and_look(path, on)


@pytest.mark.parametrize(
    ("name", "on", "span"),
    [
        ("licensed/us_equity_1m_2019.parquet", date(2019, 2, 13), 1),
        ("csv/us_equity_1m_2018-03-09_2018-03-12.csv", date(2018, 3, 12), 1),
        ("nolicence/us_equity_5m_2026.parquet", date(2025, 12, 24), 5),
        ("nolicence/us_equity_1m_ibkr_2025.parquet", date(2025, 11, 28), 1),
    ],
)
def test_recorded_days_load(shared, name, on, span):
    if not (shared / "data" / name).exists():
        pytest.skip("shared data absent: " + name)
    assert load_and_look(shared / "data" / name, on).span == span * MINUTE


def test_a_missing_package_is_told(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(Exception, match=r"tradebot\[data\]"):
        load_day(tmp_path, DAY)
