"""What a check finds in bars, and that a backtest does not run on what it refuses."""

import shutil
from collections.abc import Callable, Sequence
from datetime import date, time
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tbot_bot.backtest import data_verdict
from tbot_bot.backtest.data_check import KINDS, DataReport, Finding, Kind, Verdict, check_data
from tbot_bot.backtest.data_set import Adjustment
from tbot_bot.backtest.data_verdict import DataRefused, keep_report, notes_on, require_usable
from tbot_bot.backtest.load_historical_data import ImportRequest, import_bars
from tbot_bot.core.bars import Bar
from tbot_bot.core.calendar import new_york, trading_day
from tbot_bot.core.instants import MICROSECOND, MINUTE, Instant

DAY = date(2024, 7, 2)
EARLY = date(2024, 7, 3)
AFTER = date(2024, 7, 5)


def session(day: date, price: float = 50.0, symbol: str = "AAA") -> list[Bar]:
    """A session without any fault: every minute there, prices that wander by cents."""
    hours = trading_day(day)
    return [
        Bar(
            symbol, start, start + MINUTE, at := price + 0.01 * ((start // MINUTE) % 7), at + 0.02, at - 0.02, at, 100.0
        )
        for start in range(hours.open_at, hours.close_at, MINUTE)
    ]


def write(path: Path, bars: Sequence[Bar]) -> Path:
    columns = {
        "symbol": pa.array([bar.symbol for bar in bars]),
        "ts": pa.array([bar.start // MICROSECOND for bar in bars]).cast(pa.timestamp("us", tz="UTC")),
        **{name: pa.array([getattr(bar, name) for bar in bars]) for name in ("open", "high", "low", "close", "volume")},
    }
    pq.write_table(pa.table(columns), path)
    return path


def findings(report: DataReport) -> dict[Kind, Finding]:
    return {finding.kind: finding for finding in report.findings if finding.count}


def test_sound_bars_of_a_long_and_a_short_day_have_no_finding(tmp_path: Path):
    report = check_data(write(tmp_path / "bars.parquet", [*session(DAY), *session(EARLY), *session(AFTER)]))
    assert report.verdict is Verdict.FINE
    assert findings(report) == {}
    assert (report.bars, report.symbols, report.sessions) == (390 + 210 + 390, 1, 3)
    assert [finding.kind for finding in report.findings] == list(KINDS)


@pytest.mark.parametrize("day", [date(2024, 3, 8), date(2024, 3, 11), date(2024, 11, 1), date(2024, 11, 4)])
def test_sessions_around_a_clock_change_are_whole(tmp_path: Path, day: date):
    assert findings(check_data(write(tmp_path / "bars.parquet", session(day)))) == {}


def changed(**values: Any) -> Callable[[list[Bar]], list[Bar]]:
    return lambda bars: [*bars[:100], bars[100]._replace(**values), *bars[101:]]


def moved(by: int) -> Callable[[list[Bar]], list[Bar]]:
    return lambda bars: [*bars[:100], bars[100]._replace(start=bars[100].start + by), *bars[101:]]


def evening(bars: list[Bar]) -> list[Bar]:
    return [*bars, bars[-1]._replace(start=trading_day(EARLY).close_at)]


def at(day: date, clock: time) -> Callable[[list[Bar]], list[Bar]]:
    return lambda bars: [*bars, bars[-1]._replace(start=new_york(day, clock))]


FAULTS = [
    (changed(high=1.0), Kind.BAD_PRICES, 1, Verdict.NEVER),
    (changed(low=-1.0), Kind.BAD_PRICES, 1, Verdict.NEVER),
    (changed(close=float("nan")), Kind.BAD_PRICES, 1, Verdict.NEVER),
    (changed(volume=-1.0), Kind.BAD_PRICES, 1, Verdict.NEVER),
    (changed(volume=0.5), Kind.BAD_PRICES, 1, Verdict.NEVER),
    (changed(high=55.0), Kind.OUTLIERS, 1, Verdict.REFUSED),
    (changed(low=45.0), Kind.OUTLIERS, 1, Verdict.REFUSED),
    (changed(open=70.0, high=70.0, low=70.0, close=70.0), Kind.OUTLIERS, 1, Verdict.REFUSED),
    (moved(MINUTE // 2), Kind.OFF_MINUTE, 1, Verdict.NEVER),
    (moved(MINUTE), Kind.DUPLICATES, 1, Verdict.NEVER),
    (lambda bars: [*bars[:100], *bars[130:]], Kind.HOLES, 30, Verdict.NOTED),
    (lambda bars: bars[:100], Kind.HOLES, 110, Verdict.REFUSED),
    (lambda bars: [bars[1], bars[0], *bars[2:], bars[0]._replace(symbol="B")], Kind.UNSORTED, 1, Verdict.NEVER),
    (evening, Kind.EXTENDED, 1, Verdict.NOTED),
    (at(EARLY, time(20, 30)), Kind.NIGHT, 1, Verdict.NEVER),
    (at(date(2024, 7, 4), time(10, 0)), Kind.CLOSED, 1, Verdict.REFUSED),
    (at(date(2024, 7, 6), time(10, 0)), Kind.CLOSED, 1, Verdict.REFUSED),
    (lambda bars: [bar._replace(volume=0.0) for bar in bars], Kind.SILENT, 1, Verdict.NOTED),
    (lambda bars: [*bars, *session(date(2024, 7, 8))], Kind.ABSENT_DAYS, 1, Verdict.REFUSED),
]  # fmt: skip


@pytest.mark.parametrize(("break_", "kind", "count", "verdict"), FAULTS)
def test_each_fault_is_found_counted_and_judged(
    tmp_path: Path, break_: Callable[[list[Bar]], list[Bar]], kind: Kind, count: int, verdict: Verdict
):
    found = findings(check_data(write(tmp_path / "bars.parquet", break_(session(EARLY)))))
    assert (found[kind].count, found[kind].verdict) == (count, verdict)
    if kind is not Kind.EXTENDED:
        assert found[kind].examples


def test_the_worst_examples_come_first_with_symbol_time_and_prices(tmp_path: Path):
    bars = session(DAY)
    for row, high in ((50, 55.0), (100, 60.0), (200, 53.0)):
        bars[row] = bars[row]._replace(high=high)
    found = findings(check_data(write(tmp_path / "bars.parquet", bars)))[Kind.OUTLIERS]
    assert [example.what.split()[1] for example in found.examples] == ["60", "55", "53"]
    assert found.examples[0].where == "AAA 2024-07-02T15:10:00Z"


@pytest.mark.parametrize("ratio", [2, 3, 1.5, 7, 10, 0.1, 1 / 15])
def test_a_split_that_was_not_adjusted_for_is_found_and_gone_after_adjusting(tmp_path: Path, ratio: float):
    bars = [*session(DAY, 60.0), *session(EARLY, 60 / ratio * 1.02)]
    path = write(tmp_path / "bars.parquet", bars)
    found = findings(check_data(path))[Kind.SPLITS]
    assert (found.count, found.verdict) == (1, Verdict.REFUSED)
    assert "as of a split" in found.examples[0].what
    (tmp_path / "splits.csv").write_text(f"symbol,date,split,dividend\nAAA,{EARLY},{ratio},\n")
    import_bars(
        ImportRequest(
            sources=(path,),
            target=tmp_path / "set",
            made_at=Instant(0),
            adjustment=Adjustment.SPLIT,
            actions=tmp_path / "splits.csv",
        )
    )
    assert Kind.SPLITS not in findings(check_data(tmp_path / "set"))


def test_prices_years_apart_are_no_split(tmp_path: Path):
    bars = [*session(date(2014, 7, 3), 60.0), *session(EARLY, 30.0)]
    assert Kind.SPLITS not in findings(check_data(write(tmp_path / "bars.parquet", bars)))


def test_a_crash_is_no_split(tmp_path: Path):
    fallen = []
    for row, bar in enumerate(session(EARLY, 30.6)):
        by = min(row, 60) / 5
        prices = {name: getattr(bar, name) - by for name in ("open", "high", "low", "close")}
        fallen.append(bar._replace(**prices))
    for bars in ([*session(DAY, 60.0), *session(EARLY, 60 * 0.78)], [*session(DAY, 60.0), *fallen]):
        assert Kind.SPLITS not in findings(check_data(write(tmp_path / "bars.parquet", bars)))


def test_a_flash_crash_over_several_minutes_is_no_bad_print(tmp_path: Path):
    bars = session(DAY)
    for row in range(100, 110):
        bars[row] = bars[row]._replace(low=45.0)
    assert Kind.OUTLIERS not in findings(check_data(write(tmp_path / "bars.parquet", bars)))


@given(
    gaps=st.sets(st.integers(1, 388), max_size=60),
    wicks=st.sets(st.integers(1, 388), max_size=5),
)
def test_holes_and_bad_prints_are_counted_to_the_bar(
    gaps: set[int], wicks: set[int], tmp_path_factory: pytest.TempPathFactory
):
    bars = session(DAY)
    alone = {row for row in wicks if not {row - 1, row, row + 1} & (gaps | (wicks - {row}))}
    for row in alone:
        bars[row] = bars[row]._replace(high=60.0)
    path = write(tmp_path_factory.mktemp("check") / "b.parquet", [b for row, b in enumerate(bars) if row not in gaps])
    found = findings(check_data(path))
    assert (found[Kind.HOLES].count if gaps else 0) == len(gaps)
    assert (found[Kind.OUTLIERS].count if alone else 0) == len(alone)


# --- refusal ---------------------------------------------------------------------------------------------------------


def test_data_that_fail_are_refused_with_the_way_round_it_and_accepted_when_told_to(tmp_path: Path):
    path = write(tmp_path / "bars.parquet", [*session(DAY, 70.0), *session(EARLY, 10.0)])
    with pytest.raises(DataRefused, match=r"unadjusted_splits: 1 .*AAA 2024-07-03: close 70.*7 for 1") as caught:
        require_usable(path)
    assert "--accept-data" in str(caught.value)
    assert f"tbot data check {path}" in str(caught.value)
    told = require_usable(path, accept=True)
    assert told[0].startswith("accepted by --accept-data: unadjusted_splits: 1")
    assert len(told) == 1


def test_what_no_engine_can_read_is_not_accepted_by_anybody(tmp_path: Path):
    path = write(tmp_path / "bars.parquet", changed(high=1.0)(session(DAY)))
    with pytest.raises(DataRefused, match=r"bad_prices: 1 ") as caught:
        require_usable(path, accept=True)
    assert "--accept-data" not in str(caught.value)
    assert "--skip-bad" in str(caught.value)


def test_a_set_tells_its_source_adjustment_and_survivorship(tmp_path: Path):
    source = write(tmp_path / "bars.parquet", session(DAY))
    import_bars(
        ImportRequest(
            sources=(source,),
            target=tmp_path / "set",
            made_at=Instant(0),
            source="a vendor",
            survivorship="names of 2024 only",
        )
    )
    assert notes_on(tmp_path / "set") == (
        "Source: a vendor.",
        "Adjusted for: none.",
        "Survivorship: names of 2024 only.",
    )
    assert notes_on(source) == ()
    assert require_usable(tmp_path / "set") == ()


def test_bars_are_checked_once_for_each_content(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    checked: list[Path] = []

    def counted(source: Path, *_: object) -> DataReport:
        checked.append(source)
        return check_data(source)

    monkeypatch.setattr(data_verdict, "check_data", counted)
    path, cache = write(tmp_path / "bars.parquet", session(DAY)), tmp_path / "cache"
    require_usable(path, cache=cache)
    require_usable(path, cache=cache)
    assert len(checked) == 1
    write(path, changed(high=1.0)(session(DAY)))
    with pytest.raises(DataRefused):
        require_usable(path, cache=cache)
    assert len(checked) == 2


def test_a_set_whose_bars_were_changed_after_its_check_is_refused(tmp_path: Path):
    write(tmp_path / "bars.parquet", session(DAY))
    import_bars(ImportRequest(sources=(tmp_path / "bars.parquet",), target=tmp_path / "set", made_at=Instant(0)))
    keep_report(tmp_path / "set")
    assert require_usable(tmp_path / "set") == ()
    shutil.copy(write(tmp_path / "other.parquet", session(EARLY)), tmp_path / "set" / "bars.parquet")
    with pytest.raises(DataRefused, match=r"changed: 1 bars that are not those the manifest tells of"):
        require_usable(tmp_path / "set")


# --- recorded data ---------------------------------------------------------------------------------------------------


def test_the_recorded_splits_and_bad_prints_are_found(shared: Path):
    data = shared / "data"
    lean = findings(check_data(data / "licensed" / "us_equity_1m_lean.parquet"))
    assert [example.where for example in lean[Kind.SPLITS].examples] == ["AAPL 2014-06-09"]
    assert "7 for 1" in lean[Kind.SPLITS].examples[0].what
    five = findings(check_data(data / "nolicence" / "us_equity_5m_2026.parquet"))
    assert any(example.where == "NVDA 2026-02-09T20:25:00Z" for example in five[Kind.OUTLIERS].examples)
    assert five[Kind.HOLES].count == 4703
    thin = check_data(data / "nolicence" / "thin_etf_1m_2023_2025.parquet")
    assert findings(thin)[Kind.HOLES].count == 196_398
    assert thin.verdict is Verdict.REFUSED


@pytest.mark.parametrize(
    ("name", "holes"),
    [("us_equity_1m_2018", 20_482), ("us_equity_1m_2025", 56_134), ("us_equity_1m_ibkr_2025", 0), ("spy_1m_2024", 0)],
)
def test_recorded_days_full_of_gaps_and_crashes_pass_with_the_holes_that_are_known(shared: Path, name: str, holes: int):
    report = check_data(shared / "data" / "nolicence" / f"{name}.parquet")
    assert report.verdict in {Verdict.FINE, Verdict.NOTED}
    assert {finding.kind: finding.count for finding in report.findings}[Kind.HOLES] == holes


def test_crypto_is_told_to_be_no_equity(shared: Path):
    report = check_data(shared / "data" / "licensed" / "crypto_spot_1m_lean.parquet")
    assert report.verdict is Verdict.NEVER
    assert findings(report)[Kind.NIGHT].count > 0
