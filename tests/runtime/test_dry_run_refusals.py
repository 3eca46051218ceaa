"""What a dry run refuses: one clear error, and nothing half-written."""

import re
import shutil
from datetime import date, timedelta

import apsw
import pytest

from tbot_bot.config.error_handler import DataError, JournalError
from tbot_bot.core.calendar import NotATradingDay
from tests.support.rehearsal import (
    BELL,
    DAY,
    SENSITIVE,
    Rehearsed,
    files_below,
    random_walks,
    rehearse,
    write_csv,
    write_parquet,
    write_vix,
)

HEADER = "timestamp,symbol,open,high,low,close,volume"


def refused(home, data, day=DAY, error=DataError, **more):
    """Return the one line that a refusal says; hold that nothing but process logs was written."""
    with pytest.raises(error) as caught:
        Rehearsed(home, data, day, **more)
    assert [name for name in files_below(home) if not name.startswith("logs/")] == []
    text = str(caught.value)
    assert len(text.splitlines()) == 1
    return text


def lines(path, change):
    """Write a good day as CSV, its data lines changed by `change`."""
    write_csv(path, random_walks(1, symbols=2, minutes=60))
    head, *rows = path.read_text().splitlines()
    path.write_text("\n".join([head, *change(rows)]) + "\n")
    return path


def cell(row, column, value):
    """Return the CSV line `row` with another value in `column`."""
    cells = row.split(",")
    cells[HEADER.split(",").index(column)] = value
    return ",".join(cells)


CHANGES = {
    "is not sorted": lambda rows: [*rows[50:], *rows[:50]],
    "stands there twice": lambda rows: [rows[0], *rows],
    "low is not positive": lambda rows: [*rows[:9], cell(rows[9], "low", "0"), *rows[10:]],
    "open is not positive": lambda rows: [*rows[:9], cell(rows[9], "open", "-3.5"), *rows[10:]],
    "high is not a finite": lambda rows: [*rows[:9], cell(rows[9], "high", "inf"), *rows[10:]],
    "high is below": lambda rows: [*rows[:9], cell(rows[9], "high", "0.01"), *rows[10:]],
    "volume is negative": lambda rows: [*rows[:9], cell(rows[9], "volume", "-1"), *rows[10:]],
    "has no value": lambda rows: [*rows[:9], cell(rows[9], "close", ""), *rows[10:]],
    "cannot be read": lambda rows: [*rows[:9], cell(rows[9], "close", "ten"), *rows[10:]],
    "without a zone": lambda rows: [row.replace("Z,", ",") for row in rows],
    "not on a whole minute": lambda rows: [row.replace(":00Z", ":07Z") for row in rows],
    "no bar at all": lambda _: [],
    "zero volume": lambda rows: [cell(row, "volume", "0") for row in rows],
}


@pytest.mark.parametrize("complaint", CHANGES)
def test_a_bad_row_refuses_the_file_and_is_named(tmp_path, complaint):
    path = lines(tmp_path / "bars.csv", CHANGES[complaint])
    text = refused(tmp_path / "home", path)
    assert complaint in text
    assert "bars.csv" in text


def test_one_symbol_without_volume_is_left_out_and_the_others_trade(tmp_path):
    days = random_walks(3)
    days["SILENT"] = [(*row[:-1], 0) for row in days["S00"]]
    run = Rehearsed(tmp_path / "home", write_csv(tmp_path / "bars.csv", days), **SENSITIVE).check()
    assert run.report.trades
    assert all("SILENT" not in line.candidates for line in run.report.sessions)


@pytest.mark.parametrize("name", ["nowhere.csv", "notes.txt", "folder"])
def test_a_path_that_holds_no_bars_is_refused(tmp_path, name):
    (tmp_path / "folder").mkdir()
    (tmp_path / "notes.txt").write_text("buy low")
    assert name in refused(tmp_path / "home", tmp_path / name)


def test_other_columns_are_named_beside_the_expected_ones(tmp_path):
    path = tmp_path / "odd.csv"
    path.write_text("when,ticker,price\n2025-12-02T14:30:00Z,AAA,5\n")
    text = refused(tmp_path / "home", path)
    assert "when, ticker, price" in text
    assert "symbol, ts" in text


@pytest.mark.parametrize("fraction", [0.0, 0.01, 0.5, 0.9, 0.999])
def test_a_truncated_parquet_is_refused(tmp_path, fraction):
    path = write_parquet(tmp_path / "bars.parquet", random_walks(1, symbols=2))
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * fraction)])
    text = refused(tmp_path / "home", path)
    assert "empty" in text or "cannot be read" in text


def test_a_day_that_the_file_has_not_is_refused_with_the_nearest_days(tmp_path):
    data = write_csv(tmp_path / "bars.csv", random_walks(1, symbols=1, minutes=30))
    text = refused(tmp_path / "home", data, DAY + timedelta(days=1))
    assert "no regular-session bar on 2025-12-03" in text
    assert "2025-12-02" in text


@pytest.mark.parametrize(
    ("day", "reason"),
    [(date(2025, 11, 29), "Saturday"), (date(2025, 11, 30), "Sunday"), (date(2025, 11, 27), "Thanksgiving")],
)
def test_a_day_without_trading_is_refused_with_the_reason(tmp_path, day, reason):
    data = write_csv(tmp_path / "bars.csv", random_walks(1, symbols=1, minutes=30))
    assert reason in refused(tmp_path / "home", data, day, NotATradingDay)


def test_a_vix_file_that_is_none_is_refused(tmp_path):
    data = write_csv(tmp_path / "bars.csv", random_walks(1, symbols=2, minutes=30))
    assert "bars.csv" in refused(tmp_path / "home", data, vix=data)
    assert "gone.csv" in refused(tmp_path / "home", data, vix=tmp_path / "gone.csv")


@pytest.mark.parametrize(
    ("name", "day"),
    [
        ("licensed/us_equity_daily_lean.parquet", date(2018, 3, 2)),
        ("licensed/us_equity_quotes_1m_lean.parquet", date(2013, 10, 7)),
        ("licensed/us_equity_trade_ticks_lean.parquet", date(2013, 10, 7)),
        ("licensed/crypto_spot_1m_lean.parquet", date(2018, 4, 4)),
        ("licensed/vix_1m_2019.parquet", date(2019, 2, 12)),
        ("nolicence/us_equity_daily_adjusted.parquet", date(2025, 1, 3)),
    ],
)
def test_recorded_data_that_are_no_equity_minutes_are_refused(shared, tmp_path, name, day):
    assert name.rpartition("/")[2] in refused(tmp_path / "home", shared / "data" / name, day)


def test_a_journal_cut_anywhere_is_refused_and_left_as_it_is(tmp_path):
    run = rehearse(tmp_path)
    journal = run.paths.journal
    connection = apsw.Connection(str(journal))
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    connection.close()
    whole = journal.read_bytes()
    data, vix = tmp_path / "bars_1.csv", write_vix(tmp_path / "vix.csv")
    cuts = sorted({0, 1, 99, 100, 512, 4095, 4096, 4097, *(len(whole) * part // 16 for part in range(1, 16))})
    for cut in [*cuts, len(whole) - 1]:
        home = tmp_path / f"cut_{cut}"
        shutil.copytree(run.home, home)
        cut_journal = home / journal.relative_to(run.home)
        cut_journal.write_bytes(whole[:cut])
        before = files_below(home)
        with pytest.raises(JournalError) as caught:
            Rehearsed(home, data, vix=vix, **SENSITIVE)
        assert len(str(caught.value).splitlines()) == 1
        assert re.search("cut short|not a journal|damaged", str(caught.value)), (cut, str(caught.value))
        after = {name: body for name, body in files_below(home).items() if not name.endswith(("-wal", "-shm"))}
        assert after == {name: body for name, body in before.items() if not name.endswith(("-wal", "-shm"))}


def test_an_uncut_journal_is_taken_up(tmp_path):
    """The control of the test before: only the cut is what is refused."""
    run = rehearse(tmp_path)
    again = Rehearsed(run.home, tmp_path / "bars_1.csv", vix=tmp_path / "vix.csv", **SENSITIVE).check()
    assert BELL.date() == again.day
