"""The screener on demand: what a session would have chosen, and why every other symbol was not."""

import json
from datetime import UTC, date, datetime

import pytest

from tbot_bot.core.commands import CandidatesChosen
from tbot_bot.core.identity import Mode
from tbot_bot.runtime.cli import main
from tests.support.rehearsal import Rehearsed, random_walks, write_csv

DAY = date(2025, 9, 3)
BELL = datetime(2025, 9, 3, 13, 30, tzinfo=UTC)


@pytest.fixture
def tbot(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("TBOT_HOME", str(tmp_path))

    def run(*words):
        capsys.readouterr()
        status = main(list(words))
        told = capsys.readouterr()
        return status, told.out, told.err

    return run


def test_it_chooses_what_a_session_over_the_same_bars_chooses(tbot, tmp_path):
    data = write_csv(tmp_path / "bars.csv", random_walks(3, symbols=5), BELL)
    ran = Rehearsed(tmp_path / "home", data, day=DAY)
    chosen = [output.symbols for output in ran.outputs(CandidatesChosen)]
    _, out, _ = tbot("screen", "--data", str(data), "--day", DAY.isoformat(), "--json")
    screens = json.loads(out)["sessions"]
    ranked = [sorted((v["rank"], v["symbol"]) for v in found["verdicts"] if v["rank"]) for found in screens]
    assert [tuple(symbol for _, symbol in ranks) for ranks in ranked] == chosen
    assert ran.paths.mode is Mode.PAPER


def test_the_table_has_each_symbol_with_its_reason(tbot, tmp_path):
    status, out, _ = tbot("screen", "--session", "open", "--set", "MAX_PRICE=80", "--set", "SCREENER_MAX_CANDIDATES=5")
    lines = out.splitlines()
    assert status == 0
    assert lines[0].startswith("OPEN  2025-09-02, screened as of 13:25 UTC: 40 symbols, ")
    assert [line.split()[0] for line in lines[2:8]] == ["1", "2", "3", "4", "5", "-"]
    assert any("passed, but SCREENER_MAX_CANDIDATES are better" in line for line in lines)
    assert any("failed price: 86.28 outside [5, 80]" in line for line in lines)
    assert list(tmp_path.iterdir()) == [], "looking leaves nothing behind"


def test_one_symbol_is_explained_rule_by_rule_for_each_session(tbot):
    _, out, _ = tbot("screen", "--explain", "syn13")
    assert out.count("SYN13: failed, no candidate") == 3
    for part in ("price           failed   174.82 outside [5, 100]", "average_volume  skipped  test mode"):
        assert part in out


@pytest.mark.parametrize(
    ("words", "status", "says"),
    [
        (["--explain", "NOBODY"], 1, "NOBODY is not screened"),
        (["--day", "2025-09-06"], 1, "weekend (Saturday)"),
        (["--data", "bars.csv"], 2, "recorded bars need a day"),
        (["--data", "bars.csv", "--day", "2025-09-03", "--seed", "1"], 2, "give one of them"),
        (["--session", "night"], 2, "'night' is not one of"),
        (["--set", "MAX_PRICE=cheap"], 2, "MAX_PRICE"),
    ],
)
def test_what_cannot_be_screened_is_refused_in_words(tbot, words, status, says):
    ended, out, err = tbot("screen", *words)
    assert (ended, out) == (status, "")
    assert says in err
