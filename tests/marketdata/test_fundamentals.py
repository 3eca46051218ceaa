"""`fundamentals.csv`: what is there is exact, what is missing is not known, what is wrong is refused by line."""

from decimal import Decimal

import pytest

from tbot_bot.config.error_handler import DataError
from tbot_bot.marketdata.feed import read_fundamentals

HEAD = "symbol,market_cap,avg_volume,sector\n"


def written(tmp_path, text):
    path = tmp_path / "fundamentals.csv"
    path.write_text(text, encoding="utf-8")
    return path


def test_good_rows(tmp_path):
    text = "\ufeff" + HEAD + 'AAA,1500000000.25,2000000,"Tech, old"\nBBB,,,\n'
    facts = read_fundamentals(written(tmp_path, text))
    assert facts["AAA"].market_cap == Decimal("1500000000.25")
    assert facts["AAA"].average_volume == 2000000
    assert facts["AAA"].sector == "Tech, old"
    assert (facts["BBB"].market_cap, facts["BBB"].average_volume, facts["BBB"].sector) == (None, None, "")


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("", "missing"),
        ("symbol,market_cap\nAAA,1\n", "avg_volume, sector missing"),
        (HEAD + "AAA,1,1,x\nAAA,2,2,y\n", "fundamentals.csv:3: AAA stands here twice"),
        (HEAD + ",1,1,x\n", "fundamentals.csv:2: a row without a symbol"),
        (HEAD + "AAA,much,1,x\n", "fundamentals.csv:2: market_cap"),
        (HEAD + "AAA,nan,1,x\n", "fundamentals.csv:2: market_cap"),
        (HEAD + "AAA,1,-1,x\n", "avg_volume -1 is negative"),
    ],
)
def test_a_wrong_row_is_refused_with_its_line(tmp_path, text, what):
    with pytest.raises(DataError) as caught:
        read_fundamentals(written(tmp_path, text))
    assert what in str(caught.value)


def test_an_absent_file(tmp_path):
    with pytest.raises(DataError, match="cannot be read"):
        read_fundamentals(tmp_path / "none.csv")
