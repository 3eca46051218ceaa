"""Every bad bar file gives one error that names the file, what is wrong with it and how to mend it."""

import math
from collections.abc import Callable
from datetime import date, datetime, timedelta
from pathlib import Path

import pytest

from tbot_bot.config.error_handler import DataError
from tbot_bot.marketdata.recorded_loader import load_day
from tests.support.bar_kit import DAY, HEADER, bar, csv_file, moment, parquet_file, with_value

GOOD = [bar("AAA", n) for n in range(5)] + [bar("BBB", n) for n in range(5)]
FORMS: dict[str, Callable[..., Path]] = {"bars.csv": csv_file, "bars.parquet": parquet_file}


def refusal(path, day=DAY):
    with pytest.raises(DataError) as caught:
        load_day(path, day)
    error = caught.value
    assert str(path) in error.where
    assert error.what
    assert error.mend
    assert str(error).count(error.where) == 1
    assert "\n" not in str(error)
    return str(error)


@pytest.fixture(params=list(FORMS))
def write(request, tmp_path):
    def one(rows, header=HEADER):
        return FORMS[request.param](tmp_path / request.param, rows, header)

    return one


def changed(row, name, value):
    return [*GOOD[:row], with_value(GOOD[row], name, value), *GOOD[row + 1 :]]


def test_the_good_rows_load(write):
    assert load_day(write(GOOD), DAY).symbols == ("AAA", "BBB")


@pytest.mark.parametrize(
    ("name", "value", "what"),
    [
        ("close", 0.0, "close is not positive"),
        ("open", -1.0, "open is not positive"),
        ("high", math.inf, "high is not a finite number"),
        ("high", 9.8, "high is below low"),
        ("high", 9.95, "high is below open or close"),
        ("low", 10.05, "low is above open or close"),
        ("volume", -5, "volume is negative"),
    ],
)
def test_a_value_that_cannot_be_is_named_with_its_row(write, name, value, what):
    message = refusal(write(changed(7, name, value)))
    assert what in message
    assert "BBB 2018-03-02T14:32:00" in message


def test_a_price_that_is_no_number(tmp_path):
    rows = changed(3, "open", math.nan)
    assert "open is not a finite number" in refusal(parquet_file(tmp_path / "bars.parquet", rows))
    assert "column open has no value" in refusal(csv_file(tmp_path / "bars.csv", rows))
    assert "cannot be read" in refusal(csv_file(tmp_path / "text.csv", changed(3, "open", "ten")))


def test_a_bad_price_of_an_earlier_day_that_counts_is_refused(write):
    assert "not positive" in refusal(write([bar("AAA", 0, day=date(2018, 3, 1), close=-3.0), *GOOD[:5]]))


def test_bars_that_stand_twice(write):
    assert "AAA 2018-03-02T14:34:00" in refusal(write([*GOOD[:5], GOOD[4], *GOOD[5:]]))
    assert "twice" in refusal(write([*GOOD[:5], *GOOD[4:]]))
    assert "2 repeated bars" in refusal(write([row for row in GOOD[:2] for _ in range(2)]))


def test_rows_out_of_order(write):
    assert "is not sorted" in refusal(write([GOOD[1], GOOD[0], *GOOD[2:]]))
    assert "is not sorted" in refusal(write(GOOD[::-1]))
    assert "is not sorted" in refusal(write([*GOOD[:2], *GOOD[5:], *GOOD[2:5][::-1]]))


@pytest.mark.parametrize(
    ("header", "what"),
    [
        (("symbol", "ts", "o", "h", "l", "c", "v"), "columns found: symbol, ts, o, h, l, c, v; expected: symbol"),
        (("symbol", "when", "open", "high", "low", "close", "volume"), "columns found"),
        (("symbol", "ts", "open", "high", "low", "close", "size"), "columns found"),
        (("symbol", "date", "open", "high", "low", "close", "volume"), "holds daily bars"),
        (("symbol", "ts", "bid", "ask", "bid_size", "ask_size", "mid"), "columns found"),
        (("symbol", "ts", "price", "size", "exchange", "conditions", "suspicious"), "columns found"),
    ],
)
def test_files_with_other_columns(write, header, what):
    assert what in refusal(write(GOOD, header))


def test_bars_of_a_venue(write):
    rows = [(*row, "binance") for row in GOOD]
    assert "columns found" in refusal(write(rows, (*HEADER, "venue")))


def test_crypto_without_a_venue(write):
    assert "not US equities" in refusal(write(changed(2, "volume", 0.25)))
    assert "04:00-20:00" in refusal(write([bar("AAA", -400), *GOOD[:5]]))


def test_hourly_bars_and_bars_off_the_minute(write):
    assert "hourly" in refusal(write([bar("AAA", n * 60) for n in range(6)]))
    assert "whole minute" in refusal(write(changed(1, "ts", moment(1) + timedelta(seconds=30))))


def test_times_without_a_zone(write):
    naive = [with_value(row, "ts", row[1].replace(tzinfo=None)) for row in GOOD]
    assert "without a zone" in refusal(write(naive))


def test_times_that_are_none(tmp_path):
    assert "as 2018-03-02T14:30:00Z" in refusal(csv_file(tmp_path / "a.csv", changed(0, "ts", "yesterday")))
    assert "zone" in refusal(parquet_file(tmp_path / "a.parquet", [with_value(row, "ts", 5) for row in GOOD]))
    far = [with_value(GOOD[0], "ts", datetime.fromisoformat("9999-01-01T00:00:00+00:00"))]
    assert "centuries" in refusal(csv_file(tmp_path / "far.csv", far))


def test_a_symbol_without_volume_is_left_out_and_said(write):
    day = load_day(write([*GOOD[:5], *(with_value(row, "volume", 0) for row in GOOD[5:])]), DAY)
    assert day.symbols == ("AAA",)
    assert [notice for notice in day.notices if "BBB" in notice and "volume is zero" in notice]
    assert "zero volume" in refusal(write([with_value(row, "volume", 0) for row in GOOD]))


def test_an_empty_volume_or_symbol(tmp_path):
    assert "column volume has no value" in refusal(csv_file(tmp_path / "a.csv", changed(2, "volume", "")))
    assert "no symbol" in refusal(csv_file(tmp_path / "b.csv", changed(2, "symbol", "")))
    assert "has no value" in refusal(parquet_file(tmp_path / "b.parquet", changed(2, "symbol", None)))


def test_days_that_are_not_there(write):
    path = write(GOOD)
    assert "2018-03-02" in refusal(path, date(2018, 3, 5))
    assert "nearest days" in refusal(path, date(2018, 2, 28))
    assert "no bar at all" in refusal(write([]))
    for closed in (date(2018, 3, 3), date(2018, 3, 30), date(2018, 12, 25)):
        refusal(path, closed)


def test_a_day_with_pre_market_bars_alone(write):
    assert "no regular-session bar" in refusal(write([bar("AAA", n) for n in range(-9, 0)]))


def test_files_that_are_none(tmp_path):
    assert "no such file" in refusal(tmp_path / "absent.parquet")
    assert "neither of" in refusal(csv_file(tmp_path / "bars.txt", GOOD))
    for name in ("a.csv", "a.parquet"):
        (tmp_path / name).touch()
        assert "is empty" in refusal(tmp_path / name)
    (tmp_path / "b.parquet").write_bytes(b"PAR1 this is not Parquet PAR1")
    assert "cannot be read" in refusal(tmp_path / "b.parquet")
    (tmp_path / "b.csv").write_bytes(b"\xff\xfe\x00\x01")
    refusal(tmp_path / "b.csv")
    empty = tmp_path / "folder"
    empty.mkdir()
    assert "no file of equity minute bars" in refusal(empty)
    (tmp_path / "dir.csv").mkdir()
    refusal(tmp_path / "dir.csv")


def test_a_parquet_file_cut_off_anywhere(tmp_path):
    whole = parquet_file(tmp_path / "whole.parquet", GOOD, group=3).read_bytes()
    path = tmp_path / "cut.parquet"
    for length in sorted({*range(1, len(whole), 41), *range(len(whole) - 12, len(whole))}):
        path.write_bytes(whole[:length])
        assert "cannot be read" in refusal(path), length


def test_a_parquet_file_with_flipped_bytes_loads_or_is_refused(tmp_path):
    whole = parquet_file(tmp_path / "whole.parquet", GOOD).read_bytes()
    path = tmp_path / "flipped.parquet"
    for place in range(4, len(whole), 23):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 0x55]) + whole[place + 1 :])
        try:
            load_day(path, DAY)
        except DataError as error:
            assert str(path) in str(error)  # noqa: PT017 - it may also load


def test_a_csv_file_whose_last_line_is_torn(tmp_path):
    whole = csv_file(tmp_path / "whole.csv", GOOD).read_text()
    path = tmp_path / "torn.csv"
    last = whole.rstrip().rindex("\n") + 1
    for length in range(last + 1, len(whole.rstrip()) - 2):
        path.write_text(whole[:length])
        refusal(path)
    path.write_text(whole.rstrip()[:-1])
    assert any("may be cut short" in notice for notice in load_day(path, DAY).notices)
    assert not load_day(tmp_path / "whole.csv", DAY).notices
