"""What becomes of files of bars: every row in the set, or a fault with file and line and no set at all."""

import gzip
import json
import math
import os
import signal
import subprocess
import sys
import time as clock
import zipfile
from datetime import date, time, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tbot_bot.backtest import bar_text
from tbot_bot.backtest.bar_rows import Form, SymbolIn
from tbot_bot.backtest.bar_text import bars_in
from tbot_bot.backtest.data_set import Adjustment, Faults, Manifest, data_sets_in, digest_of, manifest_of
from tbot_bot.backtest.load_historical_data import BadRows, ImportRequest, import_bars
from tbot_bot.config.error_handler import DataError
from tbot_bot.core.calendar import new_york, trading_day
from tbot_bot.core.instants import MINUTE, Instant, iso, parse_iso
from tbot_bot.marketdata.bar_files import read_minutes
from tbot_bot.marketdata.recorded_loader import load_day

HEAD = "timestamp,symbol,open,high,low,close,volume"
GOOD = "2018-03-02T14:30:00Z,AAA,10,11,9.5,10.5,1200"
NEW_YORK = Form(zone=ZoneInfo("America/New_York"))
NOW = Instant(1_700_000_000_000_000_000)


def made(tmp_path: Path, *sources: Path, form: Form | None = None, **words: object) -> Manifest:
    request = ImportRequest(
        sources=sources,
        target=tmp_path / "set",
        made_at=NOW,
        form=form or Form(),
        **words,  # type: ignore[arg-type]
    )
    return import_bars(request)


def bars_of(tmp_path: Path) -> list[tuple[Any, ...]]:
    columns = read_minutes(tmp_path / "set" / "bars.parquet", 0, 2**62)
    return [
        (
            columns.names[int(columns.codes[row])],
            iso(Instant(int(columns.ts[row]))),
            *(
                float(values[row])
                for values in (columns.open, columns.high, columns.low, columns.close, columns.volume)
            ),
        )
        for row in range(len(columns.ts))
    ]


def csv_file(path: Path, *lines: str, head: str = HEAD) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join([head, *lines, ""]))
    return path


def test_rows_in_any_order_come_out_sorted_with_a_manifest_that_says_what_they_are(tmp_path: Path):
    one = csv_file(tmp_path / "in" / "b.csv", GOOD.replace("AAA", "BBB"), GOOD.replace("14:30", "14:29"))
    other = csv_file(tmp_path / "in" / "a.csv", GOOD)
    manifest = made(tmp_path, tmp_path / "in", survivorship="names of today only", source="a vendor")
    assert [row[:2] for row in bars_of(tmp_path)] == [
        ("AAA", "2018-03-02T14:29:00Z"),
        ("AAA", "2018-03-02T14:30:00Z"),
        ("BBB", "2018-03-02T14:30:00Z"),
    ]
    assert bars_of(tmp_path)[1][2:] == (10.0, 11.0, 9.5, 10.5, 1200.0)
    assert manifest == manifest_of(tmp_path / "set")
    assert (manifest.bars, manifest.symbols, manifest.survivorship) == (3, 2, "names of today only")
    assert manifest.digest == digest_of(tmp_path / "set" / "bars.parquet")
    assert manifest.adjustment is Adjustment.NONE
    assert [place.name for place, _ in data_sets_in(tmp_path)] == ["set"]
    assert one.exists()
    assert other.exists()


FAULTY = [
    ("2018-03-02T14:30:00,AAA,10,11,9,10,5", "has no zone"),
    ("2018-03-02T14:30:30Z,AAA,10,11,9,10,5", "not on a whole minute"),
    ("yesterday,AAA,10,11,9,10,5", "write 2018-03-02T14:30:00Z"),
    ("2018-03-02T14:30:00Z,,10,11,9,10,5", "symbol is ''"),
    ("2018-03-02T14:30:00Z,AAA,ten,11,9,10,5", "open is 'ten': no number"),
    ("2018-03-02T14:30:00Z,AAA,10,nan,9,10,5", "high is 'nan': no number"),
    ("2018-03-02T14:30:00Z,AAA,10,1e999,9,10,5", "high is '1e999': not finite"),
    ("2018-03-02T14:30:00Z,AAA,10,8,9,10,5", "high 8 is below low 9"),
    ("2018-03-02T14:30:00Z,AAA,10,11,10.2,10.5,5", "lies outside low"),
    ("2018-03-02T14:30:00Z,AAA,0,11,9,10,5", "a price is not positive"),
    ("2018-03-02T14:30:00Z,AAA,10,11,9,10,-5", "volume -5 is negative"),
    ("2018-03-02T14:30:00Z,AAA,10,11,9,10,5.5", "no whole number of shares"),
    ("2018-03-02T14:30:00Z,AAA,10,11,9,10", "6 cells, but the first line has 7"),
    ("2018-03-02T14:30:00Z,AAA,10,11,9,10,", "volume is '': no number"),
    ('2018-03-02T14:30:00Z,"AAA,10,11,9,10,5', "no line of cells"),
]


@pytest.mark.parametrize(("line", "what"), FAULTY)
def test_a_row_that_is_no_bar_is_named_by_file_and_line_and_nothing_is_made(tmp_path: Path, line: str, what: str):
    path = csv_file(tmp_path / "in.csv", GOOD, "", line, GOOD.replace("14:30", "14:31"))
    with pytest.raises(BadRows) as caught:
        made(tmp_path, path)
    [fault] = caught.value.faults.listed
    assert (fault.file, fault.line) == (str(path), 4)
    assert what in fault.what
    assert f"{path}:4: " in str(caught.value)
    assert [one.name for one in tmp_path.iterdir()] == ["in.csv"]


def test_bad_rows_are_left_out_and_counted_where_that_is_asked_for(tmp_path: Path):
    path = csv_file(tmp_path / "in.csv", GOOD, *(line for line, _ in FAULTY))
    assert made(tmp_path, path, skip_bad=True).left_out == len(FAULTY)
    assert len(bars_of(tmp_path)) == 1


def test_a_bar_that_stands_twice_is_refused_and_told_with_both_places(tmp_path: Path):
    one, other = csv_file(tmp_path / "a.csv", GOOD), csv_file(tmp_path / "b.csv", GOOD)
    with pytest.raises(BadRows, match=r"b\.csv:2: AAA 2018-03-02T14:30:00Z stands in .*a\.csv:2 already, the same"):
        made(tmp_path, one, other)
    assert made(tmp_path, one, other, skip_bad=True).bars == 1


def test_of_two_bars_that_contradict_each_other_neither_is_kept(tmp_path: Path):
    other = GOOD.replace("1200", "1300")
    path = csv_file(tmp_path / "a.csv", GOOD, other, GOOD.replace("14:30", "14:31"))
    with pytest.raises(BadRows, match="with other numbers"):
        made(tmp_path, path)
    made(tmp_path, path, skip_bad=True)
    assert [row[1] for row in bars_of(tmp_path)] == ["2018-03-02T14:31:00Z"]


@pytest.mark.parametrize("lines", [True, False])
def test_json_arrays_and_json_lines_are_read_with_the_line_of_each_fault(tmp_path: Path, lines: bool):
    names = HEAD.split(",")
    rows = [dict(zip(names, GOOD.replace("14:30", f"14:{minute}").split(","), strict=True)) for minute in range(30, 34)]
    objects: list[dict[str, object]] = [
        {name: float(cell) if name not in {"timestamp", "symbol"} else cell for name, cell in row.items()}
        for row in rows
    ]
    text = "\n".join(map(json.dumps, objects)) if lines else "[\n" + ",\n".join(map(json.dumps, objects)) + "\n]\n"
    path = tmp_path / ("in.jsonl" if lines else "in.json")
    path.write_text(text)
    assert made(tmp_path, path).bars == 4
    path.write_text(text.replace('"high": 11.0', '"high": 1.0', 2))
    with pytest.raises(BadRows) as caught:
        made(tmp_path, path, replace=True)
    assert [fault.line for fault in caught.value.faults.listed] == ([1, 2] if lines else [2, 3])
    path.write_text(text[: len(text) * 3 // 5] if lines else text.rstrip("\n]"))
    with pytest.raises(DataError, match=r"in\.jsonl?:[0-9]: is no JSON"):
        made(tmp_path, path, replace=True)
    assert manifest_of(tmp_path / "set") is not None, "what was there stays where the new one fails"


def test_zip_and_gzip_files_are_read_and_their_members_named(tmp_path: Path):
    with zipfile.ZipFile(tmp_path / "bars.zip", "w") as archive:
        archive.writestr("x/AAA.csv", f"{HEAD}\n{GOOD}\n")
        archive.writestr("README.txt", "hello")
        archive.writestr("x/BBB.csv", f"{HEAD}\n{GOOD.replace('AAA', 'BBB').replace('9.5', '12')}\n")
    (tmp_path / "c.csv.gz").write_bytes(gzip.compress(f"{HEAD}\n{GOOD.replace('AAA', 'CCC')}\n".encode()))
    with pytest.raises(BadRows, match=r"bars\.zip!x/BBB\.csv:2: "):
        made(tmp_path, tmp_path / "bars.zip", tmp_path / "c.csv.gz")
    manifest = made(tmp_path, tmp_path / "bars.zip", tmp_path / "c.csv.gz", skip_bad=True)
    assert [row[0] for row in bars_of(tmp_path)] == ["AAA", "CCC"]
    assert any("README.txt passed over" in notice for notice in manifest.notices)


def test_lean_zips_are_new_york_milliseconds_and_ten_thousandths_of_a_dollar(tmp_path: Path):
    folder = tmp_path / "equity" / "usa" / "minute" / "aapl"
    folder.mkdir(parents=True)
    for day in ("20140306", "20140310"):  # New York changed its clocks in between
        with zipfile.ZipFile(folder / f"{day}_trade.zip", "w") as archive:
            archive.writestr(f"{day}_aapl_minute_trade.csv", "34200000,5328800,5335000,5320000,5330000,31234\r\n")
        with zipfile.ZipFile(folder / f"{day}_quote.zip", "w") as archive:
            archive.writestr(f"{day}_aapl_minute_quote.csv", "34200000,1,1,1,1,1,1,1,1,1,1\n")
    made(tmp_path, tmp_path / "equity")
    assert bars_of(tmp_path) == [
        ("AAPL", "2014-03-06T14:30:00Z", 532.88, 533.5, 532.0, 533.0, 31234.0),
        ("AAPL", "2014-03-10T13:30:00Z", 532.88, 533.5, 532.0, 533.0, 31234.0),
    ]


def test_end_stamps_of_new_york_are_moved_to_the_start_in_utc(tmp_path: Path):
    """The form in which Alpha Vantage gives its bars."""
    rows = ["2018-03-09 16:00:00,10,11,9,10,5", "2018-03-12 09:31:00,10,11,9,10,5"]
    csv_file(tmp_path / "in" / "intraday_1min_AAA.csv", *rows, head="timestamp,open,high,low,close,volume")
    form = Form(zone=NEW_YORK.zone, end_stamped=True, symbol_in=SymbolIn.NAME)
    made(tmp_path, tmp_path / "in", form=form)
    assert [row[:2] for row in bars_of(tmp_path)] == [
        ("AAA", "2018-03-09T20:59:00Z"),
        ("AAA", "2018-03-12T13:30:00Z"),
    ]


def test_the_folder_may_be_the_symbol(tmp_path: Path):
    head = "timestamp,open,high,low,close,volume"
    csv_file(tmp_path / "in" / "brk.b" / "2018-03-02.csv", GOOD.replace("AAA,", ""), head=head)
    made(tmp_path, tmp_path / "in", form=Form(symbol_in=SymbolIn.FOLDER))
    assert bars_of(tmp_path)[0][0] == "BRK.B"
    with pytest.raises(DataError, match=r"column symbol is missing.*--symbol-in"):
        made(tmp_path, tmp_path / "in", replace=True)


@pytest.mark.parametrize("text", ["2018-11-04 01:30:00", "2018-03-11 02:30:00"])
def test_a_time_that_came_twice_or_never_is_not_guessed(tmp_path: Path, text: str):
    path = csv_file(tmp_path / "in.csv", GOOD.replace("2018-03-02T14:30:00Z", text))
    with pytest.raises(BadRows, match=r"in\.csv:2: .*clock change in America/New_York"):
        made(tmp_path, path, form=NEW_YORK)


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (b"", "the file is empty"),
        (b"date,symbol,open,high,low,close,volume\n", "column timestamp is missing"),
        (b"timestamp,timestamp,symbol,open,high,low,close,volume\n", "stands there twice"),
        (b"\x00" * 5_000_000, "more than a megabyte|missing"),
    ],
)
def test_a_file_that_is_none_of_bars_is_refused_as_a_whole(tmp_path: Path, content: bytes, what: str):
    (tmp_path / "in.csv").write_bytes(content)
    with pytest.raises(DataError, match=what):
        made(tmp_path, tmp_path / "in.csv")
    assert [one.name for one in tmp_path.iterdir()] == ["in.csv"]


def test_a_broken_zip_is_named(tmp_path: Path):
    (tmp_path / "in.zip").write_bytes(b"PK\x03\x04 no more")
    with pytest.raises(DataError, match=r"in\.zip: cannot be read"):
        made(tmp_path, tmp_path / "in.zip")


CELLS = st.one_of(
    st.sampled_from(["10", "9.5", " 11", "1e1", "nan", "inf", "", "-3", "0", '"7"', "1_0", "0x10", "+4", "10.", "٣"]),
    st.floats(min_value=9, max_value=11).map(repr),
    st.text(alphabet='0123456789.eE+-" ,naif', max_size=6),
)
TIME_CELLS = st.one_of(
    st.integers(0, 400).map(lambda minute: iso(Instant(parse_iso("2018-03-02T14:30:00Z") + minute * MINUTE))),
    st.sampled_from(
        ["2018-03-02 14:30:00+00:00", "2018-03-02T09:30:00-05:00", "2018-03-02T14:30Z", "2018-03-02", "", "x",
         "2018-03-02 14:30:00", "9999-12-31T23:59:00Z", "0001-01-01T00:00:00Z", "2018-03-02T14:30:00.5Z"]
    ),
)  # fmt: skip


@given(rows=st.lists(st.tuples(TIME_CELLS, st.sampled_from(["AAA", "B.B", "", "a", "C C"]), *[CELLS] * 5), max_size=4))
def test_a_block_read_at_once_gives_what_its_rows_give_one_by_one(
    rows: list[tuple[str, ...]], tmp_path_factory: pytest.TempPathFactory
):
    path = tmp_path_factory.mktemp("rows") / "in.csv"
    csv_file(path, *(",".join(row) for row in rows))
    told = []
    fast = bar_text._fast
    try:
        for way in (fast, lambda *_: None):
            bar_text._fast = way
            faults = Faults()
            found = [(symbol, *row.tolist()) for symbol, block in bars_in(path, 0, Form(), faults, []) for row in block]
            told.append((sorted(found), [(fault.line, fault.what) for fault in faults.listed]))
    finally:
        bar_text._fast = fast
    assert told[0] == told[1]
    assert len(told[1][0]) + len(told[1][1]) == len([row for row in rows if ",".join(row).strip()])


def test_splits_and_dividends_change_what_was_before_them_and_nothing_else(tmp_path: Path):
    path = csv_file(
        tmp_path / "in.csv",
        "2014-06-06T19:59:00Z,AAPL,644,647.5,643,645.61,100",
        "2014-06-06T21:00:00Z,AAPL,650,650,650,650,100",
        "2014-06-09T13:30:00Z,AAPL,92.7,93,92,92.5,700",
        "2014-06-09T13:30:00Z,KO,40,41,39,40,700",
    )
    actions = tmp_path / "actions.csv"
    actions.write_text("symbol,date,split,dividend\nAAPL,2014-06-09,7,6.4561\n")
    manifest = made(tmp_path, path, actions=actions, adjustment=Adjustment.SPLIT)
    assert bars_of(tmp_path)[0] == ("AAPL", "2014-06-06T19:59:00Z", 92.0, 92.5, 91.857143, 92.23, 700.0)
    assert bars_of(tmp_path)[2:] == [
        ("AAPL", "2014-06-09T13:30:00Z", 92.7, 93.0, 92.0, 92.5, 700.0),
        ("KO", "2014-06-09T13:30:00Z", 40.0, 41.0, 39.0, 40.0, 700.0),
    ]
    assert manifest.adjustment is Adjustment.SPLIT
    assert "adjusted by actions.csv (1 splits" in manifest.notices[0]
    made(tmp_path, path, actions=actions, adjustment=Adjustment.ALL, replace=True)
    # 1 % of the last regular close was paid out; the bar of the evening does not count as the close
    assert math.isclose(bars_of(tmp_path)[0][5], 92.23 * 0.99, abs_tol=1e-6)


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("symbol,date,split\n", ":1: the first line"),
        ("symbol,date,split,dividend\nA,2014-06-09,seven,\n", ":2: a cell is no number"),
        ("symbol,date,split,dividend\nA,2014-06-09,0,\n", ":2: a split of 0 to 1 is none"),
        ("symbol,date,split,dividend\nA,9 June,7,\n", ":2: Invalid isoformat"),
        ("symbol,date,split,dividend\nA,2014-06-09,7,\nA,2014-06-09,2,\n", ":3: A 2014-06-09 stands there twice"),
    ],
)
def test_a_file_of_splits_that_cannot_be_read_is_told_by_line(tmp_path: Path, text: str, what: str):
    (tmp_path / "actions.csv").write_text(text)
    with pytest.raises(DataError, match=what):
        made(tmp_path, csv_file(tmp_path / "in.csv", GOOD), actions=tmp_path / "actions.csv")


def test_a_set_is_replaced_only_when_asked_and_other_folders_never(tmp_path: Path):
    path = csv_file(tmp_path / "in.csv", GOOD)
    made(tmp_path, path)
    with pytest.raises(DataError, match=r"is there already.*--replace"):
        made(tmp_path, path)
    made(tmp_path, csv_file(path, GOOD.replace("AAA", "BBB")), replace=True)
    assert bars_of(tmp_path)[0][0] == "BBB"
    (tmp_path / "set" / "manifest.json").unlink()
    with pytest.raises(DataError, match="is no data set, and is left alone"):
        made(tmp_path, path, replace=True)
    assert (tmp_path / "set" / "bars.parquet").exists()


IMPORT = """
import sys
from pathlib import Path
from tbot_bot.backtest.load_historical_data import ImportRequest, import_bars
from tbot_bot.core.instants import Instant
def told(done, words): print(words, flush=True)
import_bars(ImportRequest(sources=(Path(sys.argv[1]),), target=Path(sys.argv[2]), made_at=Instant(0)), told)
"""


def test_a_killed_import_leaves_no_set_and_its_draft_is_removed_by_the_next(tmp_path: Path):
    lines = [GOOD.replace("AAA", f"S{number}") for number in range(200_000)]
    path = csv_file(tmp_path / "in.csv", *lines)
    child = subprocess.Popen([sys.executable, "-c", IMPORT, path, tmp_path / "set"], stdout=subprocess.PIPE)
    assert child.stdout is not None
    assert child.stdout.readline().startswith(b"reading")
    end = clock.monotonic() + 30
    while not list(tmp_path.glob(".set.making-*/spool")) and clock.monotonic() < end:
        clock.sleep(0.01)
    os.kill(child.pid, signal.SIGKILL)
    child.communicate(timeout=30)
    assert min(one.name for one in tmp_path.iterdir()).startswith(".set.making-")
    made(tmp_path, csv_file(path, GOOD))
    assert sorted(one.name for one in tmp_path.iterdir()) == ["in.csv", "set"]


def test_an_imported_set_is_a_day_of_the_engine_as_the_csv_was(tmp_path: Path):
    early, plain = date(2024, 7, 3), date(2024, 7, 2)
    lines = []
    for day in (plain, early):
        session = trading_day(day)
        starts = range(session.open_at, session.close_at, MINUTE)
        lines += [f"{iso(Instant(start))},AAA,10,10.5,9.5,10,{100 + (start // MINUTE) % 7}" for start in starts]
    path = csv_file(tmp_path / "in.csv", *lines)
    made(tmp_path, path)
    for day in (plain, early):
        ours, theirs = load_day(tmp_path / "set", day), load_day(path, day)
        at = Instant(new_york(day, time(12, 0)))
        assert ours.bars_until("AAA", at) == theirs.bars_until("AAA", at)
        assert ours.span == theirs.span
    assert len(load_day(tmp_path / "set", early).bars_until("AAA", new_york(early + timedelta(1), time(0)))) == 210


def test_recorded_parquet_comes_out_as_it_went_in(shared: Path, tmp_path: Path):
    source = shared / "data" / "licensed" / "us_equity_1m_lean.parquet"
    made(tmp_path, source)
    left = pq.read_table(source).to_pylist()
    right = pq.read_table(tmp_path / "set" / "bars.parquet").to_pylist()
    assert right == sorted(left, key=lambda row: (row["symbol"], row["ts"]))
    again = tmp_path / "again"
    again.mkdir()
    assert made(again, source).digest == digest_of(tmp_path / "set" / "bars.parquet")


def test_the_extracts_in_csv_are_the_parquet_they_were_taken_from(shared: Path, tmp_path: Path):
    made(tmp_path, shared / "data" / "csv" / "us_equity_1m_2013-10-07_2013-10-08.csv")
    rows = pq.read_table(tmp_path / "set" / "bars.parquet").to_pylist()
    days = {date(2013, 10, 7), date(2013, 10, 8)}
    source = pq.read_table(shared / "data" / "licensed" / "us_equity_1m_lean.parquet").to_pylist()
    wanted = {(row["symbol"], row["ts"]): row for row in source if (row["ts"] - timedelta(hours=5)).date() in days}
    assert len(rows) == 4563
    assert all(wanted[row["symbol"], row["ts"]] == row for row in rows)
