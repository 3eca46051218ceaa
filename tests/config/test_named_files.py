"""The files that settings name are read at the start, not at a session's bell."""

import os

import pytest

from tbot_bot.config.error_handler import ConfigError
from tbot_bot.config.named_files import blocked_symbols, universe_symbols
from tbot_bot.config.settings import load_settings


def load(home, text):
    (home / ".env").write_text("")
    (home / ".env_bot").write_text(text)
    return load_settings(home)


def said(home, text) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load(home, text)
    return str(caught.value).splitlines()


def test_a_universe_is_one_symbol_a_line_each_once_in_order(tmp_path):
    (tmp_path / "list.txt").write_bytes(b"# mine\nSPY\r\n\n  BRK.B\nSPY\n")
    universe = load(tmp_path, "UNIVERSE=list.txt\n").bot.universe

    assert universe_symbols(tmp_path, universe) == ("SPY", "BRK.B")


@pytest.mark.parametrize(("variable", "file"), [("UNIVERSE", "list.txt"), ("INVERSE_ETF_MAP", "map.csv")])
@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda path: None, "this file to exist"),
        (os.mkfifo, "not a device, pipe or socket"),
        (os.mkdir, "not a directory"),
        (lambda path: path.symlink_to(path), "circle"),
        (lambda path: path.write_bytes(b"0" * 1_000_001), "at most 1000000 bytes"),
        (lambda path: path.write_bytes(b""), "expected"),
        (lambda path: path.write_bytes(b"# nothing\n"), "expected"),
    ],
)
def test_a_named_file_that_cannot_be_used_stops_the_start_and_says_who_names_it(tmp_path, variable, file, make, says):
    make(tmp_path / file)
    (line,) = said(tmp_path, f"# head\n{variable}={file}\n")

    assert line.startswith(f"{file}: ")
    assert says in line
    assert line.endswith(f"; see .env_bot:2 ({variable})")


def test_an_empty_universe_is_not_every_symbol(tmp_path):
    (tmp_path / "list.txt").write_bytes(b"\n\n")

    assert "expected at least one symbol" in said(tmp_path, "UNIVERSE=list.txt\n")[0]


def test_each_line_that_is_no_symbol_is_told_and_a_whole_file_of_them_in_short(tmp_path):
    (tmp_path / "list.txt").write_bytes(b"SPY\nspy\nA B\n\xff\n")
    assert [line.partition(": expected")[0] for line in said(tmp_path, "UNIVERSE=list.txt\n")] == [
        "list.txt:2",
        "list.txt:3",
        "list.txt:4",
    ]

    (tmp_path / "list.txt").write_bytes(b"some text\n" * 500)
    assert len(lines := said(tmp_path, "UNIVERSE=list.txt\n")) == 21
    assert "500 lines are something else" in lines[0]


def test_a_map_with_wrong_lines_is_told_with_the_other_problems(tmp_path):
    (tmp_path / "map.csv").write_bytes(b"kind,key,etf\nsymbol,SPY,\nsector,\xff,SH\n")
    assert "map.csv:3: INVERSE_ETF_MAP: expected UTF-8 text" in said(tmp_path, "INVERSE_ETF_MAP=map.csv\n")[0]

    (tmp_path / "map.csv").write_bytes(b"kind,key,etf\nsymbol,SPY,\n")
    wrong, line = said(tmp_path, "INVERSE_ETF_MAP=map.csv\nMAX_TRADES=x\n")
    assert (wrong.partition(": ")[0], line.partition(": ")[0]) == (".env_bot:2", "map.csv:2")


def test_the_block_list_is_read_where_there_is_one(tmp_path):
    assert blocked_symbols(tmp_path) == ()
    (tmp_path / "blocklist.txt").write_text("# never these\nGME\nBRK.B\nGME\n")

    assert blocked_symbols(tmp_path) == ("GME", "BRK.B")


def test_a_block_list_that_cannot_be_read_stops_the_start(tmp_path):
    (tmp_path / "blocklist.txt").write_text("GME\nwhat is this\n")
    assert said(tmp_path, "# nothing\n")[0].startswith("blocklist.txt:2: expected one symbol a line")
    (tmp_path / "blocklist.txt").unlink()
    (tmp_path / "blocklist.txt").mkdir()
    assert "or remove blocklist.txt" in said(tmp_path, "# nothing\n")[0]
