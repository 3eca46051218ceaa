"""The VIX tells what was known: yesterday's close, today's open after the bell, never today's close."""

from datetime import date, timedelta
from decimal import Decimal

import pytest

from tbot_bot.config.error_handler import DataError
from tbot_bot.core.calendar import trading_day
from tbot_bot.core.instants import MINUTE, Instant
from tbot_bot.marketdata.vix import read_vix
from tests.support.bar_kit import DAY, PREVIOUS, bar, csv_file, moment

DAILY = ("date", "open", "high", "low", "close")
ROWS = [(PREVIOUS, 20, 30, 15, 22.47), (DAY, 24.5, 26.5, 19.5, 19.59)]
BELL = trading_day(DAY).open_at


def at(minute):
    return Instant(BELL + minute * MINUTE)


def known(source, when):
    reading = source.vix_at(when)
    assert reading is not None
    return reading


def value(source, minute):
    reading = source.vix_at(at(minute))
    return None if reading is None else reading.value


def test_a_daily_file_tells_yesterdays_close_then_todays_open(tmp_path):
    vix = read_vix(csv_file(tmp_path / "vix.csv", ROWS, DAILY))
    assert value(vix, 0) == Decimal("22.47")
    assert [value(vix, minute) for minute in (1, 389, 390, 500)] == [Decimal("24.5")] * 4
    assert known(vix, at(0)).known_at < at(0)
    assert known(vix, at(390)).known_at == at(1)


def test_todays_close_changes_nothing_today(tmp_path):
    other = [ROWS[0], (*ROWS[1][:2], 99, 1, 98)]
    one, two = (read_vix(csv_file(tmp_path / "vix.csv", rows, DAILY)) for rows in (ROWS, other))
    assert all(one.vix_at(at(minute)) == two.vix_at(at(minute)) for minute in range(-60, 480, 5))


def test_older_than_a_trading_day_is_missing(tmp_path):
    old = [(PREVIOUS - timedelta(days=1), 20, 21, 19, 20)]
    assert value(read_vix(csv_file(tmp_path / "vix.csv", old, DAILY)), 0) is None
    friday = read_vix(csv_file(tmp_path / "vix.csv", [(DAY, 20, 21, 19, 20)], DAILY))
    monday = trading_day(date(2018, 3, 5)).open_at
    assert known(friday, Instant(monday)).value == 20
    assert friday.vix_at(Instant(trading_day(date(2018, 3, 6)).open_at)) is None


@pytest.mark.parametrize("step", [1, 5])
def test_a_file_of_minutes_tells_a_bar_at_its_end(tmp_path, step):
    rows = [bar("VIX", n * step, 10.0 + n, 0) for n in range(10)]
    vix = read_vix(csv_file(tmp_path / "vix.csv", rows))
    assert value(vix, 0) is None
    assert vix.vix_at(Instant(at(step) - 1)) is None
    assert value(vix, step) == 10
    assert value(vix, 3 * step) == 12


def test_a_minute_of_an_older_day_is_missing(tmp_path):
    vix = read_vix(csv_file(tmp_path / "vix.csv", [bar("VIX", n, 10.0, 0, day=PREVIOUS) for n in range(3)]))
    assert value(vix, 0) == 10
    assert vix.vix_at(Instant(trading_day(date(2018, 3, 5)).open_at)) is None


@pytest.mark.parametrize(
    ("rows", "header", "what"),
    [
        (ROWS[::-1], DAILY, "row 2 is not after"),
        ([ROWS[0], ROWS[0]], DAILY, "row 2 is not after"),
        ([(*ROWS[0][:4], 0)], DAILY, "no index value"),
        ([(*ROWS[0][:4], "nan")], DAILY, "no index value"),
        ([(*ROWS[0][:4], "high")], DAILY, "cannot be read"),
        ([], DAILY, "no row"),
        (ROWS, ("date", "open", "high", "low", "last"), "columns found"),
        ([("V", *ROWS[0]), ("W", *ROWS[1])], ("symbol", *DAILY), "more than one symbol"),
        (
            [bar("V", 0), bar("W", 1)],
            ("symbol", "ts", "open", "high", "low", "close", "volume"),
            "more than one symbol",
        ),
        ([("", moment(0).date(), 1)], ("x", "date", "open"), "columns found"),
    ],
)
def test_a_file_that_cannot_be_used_is_refused(tmp_path, rows, header, what):
    path = csv_file(tmp_path / "vix.csv", rows, header)
    with pytest.raises(DataError, match=what) as caught:
        read_vix(path)
    assert str(path) in caught.value.where
    assert caught.value.mend
