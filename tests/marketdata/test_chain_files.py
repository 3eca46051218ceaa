"""Recorded option chains: what stands at an instant, never what comes after it, and every bad row by its line."""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tbot_bot.config.error_handler import DataError
from tbot_bot.core.instants import MINUTE, SECOND, Duration, Instant, instant
from tbot_bot.marketdata.chain_files import chain_paths, read_chains

T0 = datetime(2025, 12, 2, 15, 0, tzinfo=UTC)
EXPIRY = date(2025, 12, 12)
AGE = Duration(2 * MINUTE)
HEADER = "underlying,expiry,strike,right,ts,bid,ask"
GOOD = "AAA,2025-12-12,50,put,2025-12-02T15:00:00Z,1.00,1.10"
SYMBOL = "AAA251212P00050000"


def at(minutes, seconds=0):
    return Instant(instant(T0) + int(minutes * MINUTE) + seconds * SECOND)


def row(minute, bid, ask, strike="50", right="put", underlying="AAA", expiry=EXPIRY):
    moment = T0 + timedelta(minutes=minute)
    return f"{underlying},{expiry},{strike},{right},{moment:%Y-%m-%dT%H:%M:%SZ},{bid},{ask}"


def written(path, *rows, header=HEADER):
    path.write_text("\n".join([header, *rows]) + "\n")
    return path


def chains(tmp_path, *rows, header=HEADER):
    return read_chains(written(tmp_path / "chain.csv", *rows, header=header), AGE)


def sides(found, since, until=None, symbol=SYMBOL):
    return [tuple(map(str, one)) for one in found.sides(symbol, since, since if until is None else until)]


def test_a_quote_stands_from_its_instant_until_the_next_or_until_it_is_stale(tmp_path):
    found = chains(tmp_path, row(1, "1.20", "1.30"), row(0, "1.00", "1.10"))
    assert sides(found, Instant(at(0) - 1)) == []
    assert sides(found, at(0)) == sides(found, at(0, 59)) == [("1.0", "1.1")]
    assert sides(found, at(1)) == sides(found, at(3)) == [("1.2", "1.3")]
    assert sides(found, Instant(at(3) + 1)) == []
    assert sides(found, at(0, 30), at(1, 30)) == [("1.0", "1.1"), ("1.2", "1.3")]
    assert sides(found, at(0), symbol="AAA251212P00051000") == []


def test_puts_on_offer_are_those_that_somebody_sells_then_and_that_expire_late_enough(tmp_path):
    found = chains(
        tmp_path,
        row(0, "1.00", "1.10"),
        row(0, "", "", strike="51"),
        row(0, "", "2.50", strike="52.5"),
        row(0, "3.00", "3.10", right="C"),
        row(0, "0.90", "1.00", expiry=date(2025, 12, 5)),
        row(9, "1.00", "1.10", strike="49"),
        row(0, "4.00", "4.40", underlying="BBB"),
    )
    offered = found.offered("AAA", at(1), EXPIRY)
    assert [(one.instrument.symbol, str(one.sides.bid), str(one.sides.ask)) for one in offered] == [
        (SYMBOL, "1.0", "1.1"), ("AAA251212P00052500", "0.0", "2.5"),
    ]  # fmt: skip
    assert offered[0].instrument.strike == 50
    assert found.offered("AAA", Instant(at(0) - 1), EXPIRY) == ()
    assert found.offered("CCC", at(1), EXPIRY) == ()


def test_deltas_are_taken_where_they_stand(tmp_path):
    found = chains(
        tmp_path,
        f"{row(0, '1.00', '1.10')},-0.45",
        f"{row(0, '1.00', '1.10', strike='51')},",
        header=f"{HEADER},delta",
    )
    assert [one.delta for one in found.offered("AAA", at(0), EXPIRY)] == [Decimal("-0.45"), None]


def test_parquet_and_csv_in_a_folder_say_the_same(tmp_path):
    (tmp_path / "csv").mkdir()
    (tmp_path / "parquet").mkdir()
    rows = [row(minute, f"{1 + minute / 10:.2f}", f"{1.2 + minute / 10:.2f}") for minute in range(6)]
    written(tmp_path / "csv" / "a.csv", *rows[:3])
    written(tmp_path / "csv" / "b.csv", *rows[3:])
    (tmp_path / "csv" / "notes.txt").write_text("passed over")
    cells = list(zip(*(text.split(",") for text in rows), strict=True))
    table = pa.table(
        {
            "underlying": pa.array(cells[0]).dictionary_encode(),
            "expiry": pa.array([EXPIRY] * 6, pa.date32()),
            "strike": pa.array([Decimal(50)] * 6),
            "right": pa.array(["P"] * 6),
            "ts": pa.array([T0 + timedelta(minutes=n) for n in range(6)], pa.timestamp("us", tz="America/New_York")),
            "bid": pa.array([float(cell) for cell in cells[5]]),
            "ask": pa.array([float(cell) for cell in cells[6]], pa.float64()),
            "volume": pa.array([1] * 6),
        }
    )
    pq.write_table(table, tmp_path / "parquet" / "chain.parquet", row_group_size=2)
    ours, theirs = (read_chains(tmp_path / name, AGE) for name in ("csv", "parquet"))
    for minute in range(8):
        assert sides(ours, at(minute)) == sides(theirs, at(minute))
    assert sides(ours, at(0), at(5)) == [(f"{1 + n / 10:.1f}", f"{1.2 + n / 10:.1f}") for n in range(6)]
    assert [path.name for path in chain_paths(tmp_path / "csv")] == ["a.csv", "b.csv"]


BAD = {
    "no number": (GOOD.replace("1.10", "1,10").replace("1,10", "abc"), "ask 'abc' is no number"),
    "negative": (GOOD.replace("1.00", "-1"), "bid '-1' is no price"),
    "not finite": (GOOD.replace("1.10", "inf"), "ask 'inf' is no price"),
    "crossed": (GOOD.replace("1.00", "1.20"), "bid '1.20' is above the ask"),
    "no strike": (GOOD.replace(",50,", ",,"), "strike is empty"),
    "odd strike": (GOOD.replace(",50,", ",50.0001,"), "strike '50.0001' is no listed strike"),
    "no right": (GOOD.replace("put", "both"), "right 'both' is neither put nor call"),
    "no zone": (GOOD.replace("00Z", "00"), "ts '2025-12-02T15:00:00' is no time with a zone"),
    "no time": (GOOD.replace("2025-12-02T15:00:00Z", "noon"), "ts 'noon' is no time"),
    "no date": (GOOD.replace("2025-12-12", "12/12/2025"), "expiry '12/12/2025' is no date"),
    "expired": (GOOD.replace("2025-12-12", "2025-11-28"), "expiry '2025-11-28' is before the quote"),
    "nobody": (GOOD.replace("AAA", ""), "underlying is empty"),
    "twice": (row(0, "1.00", "1.10"), "the same contract has a quote at the same instant in line 2 of chain.csv"),
}


@pytest.mark.parametrize("case", sorted(BAD))
def test_a_row_that_cannot_be_is_named_with_its_line(tmp_path, case):
    bad, what = BAD[case]
    with pytest.raises(DataError) as told:
        chains(tmp_path, row(0, "1.00", "1.10"), row(1, "1.00", "1.10"), row(2, "1.00", "1.10"), bad)
    assert f"line 5: {what}" in told.value.what
    assert told.value.where.endswith("chain.csv")
    assert told.value.mend


@pytest.mark.parametrize(("text", "what"), [("AAA,2025-12-12,50", r"[Rr]ow #?3"), ("", "line 3: right is empty")])
def test_a_row_cut_short_is_named(tmp_path, text, what):
    with pytest.raises(DataError, match=what):
        chains(tmp_path, GOOD, text, row(1, "1.00", "1.10"))


def test_a_row_of_a_parquet_file_is_named_by_its_number(tmp_path):
    columns = {"underlying": ["A", "A"], "expiry": ["2025-12-12"] * 2, "strike": [1.0, 1.0], "right": ["P", "P"]}
    times = pa.array([T0, T0 + timedelta(1)], pa.timestamp("ns", tz="UTC"))
    path = tmp_path / "chain.parquet"
    pq.write_table(pa.table({**columns, "ts": times, "bid": [1.0, 3.0], "ask": [2.0, 2.0]}), path)
    with pytest.raises(DataError, match=r"row 2: bid '3.0' is above the ask"):
        read_chains(path, AGE)
    naive = pa.array([T0.replace(tzinfo=None)] * 2, pa.timestamp("ns"))
    pq.write_table(pa.table({**columns, "ts": naive, "bid": [1.0, 1.0], "ask": [2.0, 2.0]}), path)
    with pytest.raises(DataError, match="no time zone"):
        read_chains(path, AGE)
    pq.write_table(pa.table({**columns, "ts": [1, 2], "bid": [1.0, 1.0], "ask": [2.0, 2.0]}), path)
    with pytest.raises(DataError, match="not a time"):
        read_chains(path, AGE)


def test_what_is_no_chain_is_refused(tmp_path):
    with pytest.raises(DataError, match="no such file"):
        read_chains(tmp_path / "absent", AGE)
    with pytest.raises(DataError, match="no file of option chains"):
        read_chains(tmp_path, AGE)
    with pytest.raises(DataError, match="columns right, ts missing"):
        read_chains(written(tmp_path / "a.csv", header="underlying,expiry,strike,bid,ask"), AGE)


QUOTES = st.lists(
    st.tuples(st.integers(0, 600), st.integers(0, 400), st.integers(1, 400)), unique_by=lambda one: one[0]
)


@given(quotes=QUOTES, now=st.integers(-60, 800), length=st.integers(0, 300))
def test_nothing_later_changes_what_stood_before(tmp_path_factory, quotes, now, length):
    """The answer is that of a plain search, and of a file that ends at the instant asked for."""
    rows = [row(second / 60, f"{bid / 100}", f"{(bid + width) / 100}") for second, bid, width in sorted(quotes)]
    folder = tmp_path_factory.mktemp("chain")
    until = now + length
    known = [text for text, (second, _, _) in zip(rows, sorted(quotes), strict=True) if second <= until]
    found, cut = chains(folder, GOOD.replace("AAA", "Z"), *rows), chains(folder, GOOD.replace("AAA", "Z"), *known)
    asked = (at(0, now), at(0, until))
    assert found.sides(SYMBOL, *asked) == cut.sides(SYMBOL, *asked)
    assert found.offered("AAA", asked[1], EXPIRY) == cut.offered("AAA", asked[1], EXPIRY)
    standing = [one for one in sorted(quotes) if now - 120 <= one[0] <= now][-1:]
    expected = [*standing, *(one for one in sorted(quotes) if now < one[0] <= until)]
    assert [float(one.bid) for one in found.sides(SYMBOL, *asked)] == [bid / 100 for _, bid, _ in expected]
