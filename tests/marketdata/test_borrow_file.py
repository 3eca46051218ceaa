"""What could be borrowed: known days are known whole, unknown ones say nothing, and bad rows have their line."""

from datetime import date
from decimal import Decimal

import pytest

from tbot_bot.config.error_handler import DataError
from tbot_bot.marketdata.borrow_file import read_borrow_list

DAY, NEXT = date(2025, 12, 2), date(2025, 12, 3)


def listed(tmp_path, *rows, header="date,symbol,shares,rate"):
    path = tmp_path / "borrow.csv"
    path.write_text("\n".join([header, *rows]) + "\n")
    return read_borrow_list(path)


def test_a_day_in_the_file_is_known_whole_and_another_says_nothing(tmp_path):
    found = listed(tmp_path, "2025-12-02,AAA,1500,0.25", "2025-12-02,bbb,,-1.5", "2025-12-02,CCC,0,80")
    asked = [found.shares(symbol, DAY) for symbol in ("AAA", "BBB", "CCC", "OTHER")]
    assert asked == [Decimal(1500), None, Decimal(0), Decimal(0)]
    assert found.shares("CCC", NEXT) is None
    assert found.without([DAY, NEXT]) == (NEXT,)


def test_a_row_for_all_others_speaks_for_what_is_not_named(tmp_path):
    found = listed(tmp_path, "2025-12-02,*,", "2025-12-02,HARD,0", header=" date , symbol,shares")
    assert (found.shares("EASY", DAY), found.shares("HARD", DAY)) == (None, Decimal(0))


@pytest.mark.parametrize(
    ("rows", "line", "what"),
    [
        (["2025-12-02,A,1,", "02.12.2025,B,1,"], 3, "no date"),
        (["2025-12-02,,1,"], 2, "without a symbol"),
        (["2025-12-02,A,many,"], 2, "shares: 'many' is not a number"),
        (["2025-12-02,A,-5,"], 2, "negative"),
        (["2025-12-02,A,1,x"], 2, "rate"),
        (["2025-12-02,A,1"], 2, "4 cells"),
        (["2025-12-02,A,1,,7"], 2, "4 cells"),
        (["2025-12-02,A,1,", "2025-12-02,a,2,"], 3, "A stands twice on 2025-12-02"),
    ],
)
def test_a_row_that_cannot_be_is_named_with_its_line(tmp_path, rows, line, what):
    with pytest.raises(DataError, match=what) as told:
        listed(tmp_path, *rows)
    assert told.value.where.endswith(f"borrow.csv:{line}")
    assert told.value.mend


def test_a_file_that_is_none_is_refused(tmp_path):
    with pytest.raises(DataError, match="symbol, shares missing"):
        listed(tmp_path, header="date,ticker")
    with pytest.raises(DataError, match="no row"):
        listed(tmp_path)
    with pytest.raises(DataError, match="cannot be read"):
        read_borrow_list(tmp_path / "absent.csv")
    (tmp_path / "odd.csv").write_bytes(b"date,symbol,shares\n\xff\xfe,A,1\n")
    with pytest.raises(DataError, match="cannot be read"):
        read_borrow_list(tmp_path / "odd.csv")
