"""Which inverse fund stands for a short position."""

import pytest

from tbot_bot.config.error_handler import ConfigError
from tbot_bot.config.inverse_etf import load_inverse_etf_map

HEAD = "# note\nkind,key,etf\n"


def complaints(tmp_path, data: bytes) -> list[str]:
    path = tmp_path / "map.csv"
    path.write_bytes(data)
    with pytest.raises(ConfigError) as caught:
        load_inverse_etf_map(path)
    return [str(problem).removeprefix(f"{tmp_path}/") for problem in caught.value.problems]


def test_the_packaged_map_knows_the_large_index_funds():
    packaged = load_inverse_etf_map()

    assert [packaged.etf_for(symbol) for symbol in ("SPY", "QQQ", "IWM", "DIA")] == ["SH", "PSQ", "RWM", "DOG"]


def test_the_symbol_goes_before_the_sector_and_nothing_is_none(tmp_path):
    path = tmp_path / "map.csv"
    path.write_text(HEAD + "symbol,XLF,SEF\nsector,Financials,SH\n")
    table = load_inverse_etf_map(path)

    assert table.etf_for("XLF", "Financials") == "SEF"
    assert table.etf_for("JPM", " financials ") == "SH"
    assert table.etf_for("JPM") is None


@pytest.mark.parametrize(
    ("row", "says"),
    [
        ("symbol,SPY", "three columns"),
        ("fund,SPY,SH", "kind symbol or sector"),
        ("symbol,spy,SH", "second column"),
        ("symbol,SPY,sh", "third column"),
        ("sector,,SH", "1 to 60 characters"),
        ("symbol,SH,SH", "own opposite"),
        ("symbol,QQQ,SH", "each symbol once"),
    ],
)
def test_a_row_that_cannot_be_used_is_said_with_its_line(tmp_path, row, says):
    (complaint,) = complaints(tmp_path, f"{HEAD}symbol,QQQ,PSQ\n{row}\n".encode())

    assert complaint.startswith("map.csv:4: expected ")
    assert says in complaint


def test_all_bad_rows_are_said(tmp_path):
    assert len(complaints(tmp_path, f"{HEAD}a\nb\nc\n".encode())) == 3


@pytest.mark.parametrize("data", [b"", b"symbol,SPY,SH\n", b"# only\n", b"\xff", b"#" * 1_000_001])
def test_what_is_not_such_a_table_is_said(tmp_path, data):
    assert complaints(tmp_path, data)


def test_an_absent_table_is_said(tmp_path):
    with pytest.raises(ConfigError, match="INVERSE_ETF_MAP"):
        load_inverse_etf_map(tmp_path / "none")
