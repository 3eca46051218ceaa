"""The ledger at the command line, over a day that was really traded."""

import json
import subprocess
import sys

import pytest

from tbot_bot.runtime.cli import main
from tests.support.crafted_day import DAY, write_day


@pytest.fixture(scope="module")
def traded(tmp_path_factory):
    home = tmp_path_factory.mktemp("home")
    write_day(home / "bars.csv")
    words = [
        sys.executable,
        "-m",
        "tbot_bot.runtime.cli",
        "dry-run",
        "--data",
        str(home / "bars.csv"),
        "--day",
        str(DAY),
    ]
    told = subprocess.run(words, env={"TBOT_HOME": str(home)}, capture_output=True, text=True, check=True, timeout=300)
    return home, told.stdout


@pytest.fixture
def tbot(traded, monkeypatch, capsys):
    monkeypatch.setenv("TBOT_HOME", str(traded[0]))

    def _tbot(*words):
        status = main(["ledger", *map(str, words)])
        told = capsys.readouterr()
        return status, told.out, told.err

    return _tbot


def test_the_end_report_names_the_ledger_and_its_trial_balance(traded):
    assert "ledger tbot_paper_ledger.sqlite3: 7 entries, trial balance 0.00" in traded[1]


def test_a_traded_day_is_booked_and_its_result_is_that_of_the_summary(tbot, traded):
    status, out, _ = tbot("show", "--json", "--day", DAY)
    shown = json.loads(out)
    assert status == 0
    assert shown["trial_balance"] == "0.00"
    summary = json.loads((traded[0] / "output" / "summaries" / "daily_summary_paper.json").read_text())[str(DAY)]
    result = -sum(float(one["amount"]) for one in shown["accounts"] if one["kind"] in {"income", "expense"})
    assert round(result, 2) == float(summary["pnl"])
    fill = next(entry for entry in shown["listed"] if entry["template"] == "buy")
    assert fill["trade_id"].startswith("20251202-open-")
    assert (fill["strategy"], fill["source"]) == ("open", "fill")
    assert fill["confirmation"]
    assert (fill["end_of_day_synced"], fill["reconciliation_passed"], fill["locked"]) == (True, False, False)


def test_verify_is_content_with_it_and_booking_again_changes_nothing(tbot):
    assert tbot("verify")[0] == 0
    assert tbot("book")[1].startswith("0 entries booked")


@pytest.mark.parametrize("form", ["beancount", "hledger"])
def test_it_is_exported(tbot, tmp_path, form):
    status, out, _ = tbot("export", "--to", form, "--out", tmp_path / "books")
    assert status == 0
    assert form in out
    assert "Assets:Simulated-Alpaca:Cash" in (tmp_path / "books").read_text()


def test_a_cost_is_posted_once_and_only_on_open_days(tbot):
    words = ("post", "infrastructure", "--amount", "45.90", "--reference", "INV-1", "--why", "server", "--day")
    assert "booked on 2025-12-03" in tbot(*words, "2025-12-03")[1]
    assert "nothing changed" in tbot(*words, "2025-12-03")[1]
    assert tbot("lock", "2025-12-04", "--why", "reconciled")[1].startswith("2025-12-04 is locked (ACTIVE)")
    status, _, error = tbot(
        "post", "infrastructure", "--amount", "1", "--reference", "X", "--why", "x", "--day", "2025-12-04"
    )
    assert status == 1
    assert "2025-12-04 is locked" in error
    assert tbot("verify")[0] == 0  # what was refused is in no journal either
    assert "open" in tbot("lock", "2025-12-04", "--reopen", "--why", "late invoice")[1]


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("dividend", "--amount", "1"), "needs its broker"),
        (("fee", "--broker", "alpaca"), "above zero"),
        (("infrastructure", "--broker", "alpaca", "--amount", "1"), "no broker"),
        (("expiry", "--broker", "alpaca", "--instrument", "AAA", "--quantity", "1"), "OCC"),
        (("expiry", "--broker", "alpaca", "--instrument", "AAA251219P00050000", "--quantity", "1"), "does not hold"),
        (("reversal",), "no entry"),
    ],
)
def test_what_cannot_be_posted_is_refused_with_a_reason(tbot, words, says):
    status, _, error = tbot("post", *words, "--reference", "R", "--why", "x")
    assert status == 1
    assert says in error


def test_a_changed_ledger_ends_with_status_one_and_the_entrys_name(traded, tbot, tmp_path):
    import shutil  # noqa: PLC0415

    import apsw  # noqa: PLC0415

    path = traded[0] / "output" / "ledgers" / "tbot_paper_ledger.sqlite3"
    kept = tmp_path / "kept"
    shutil.copy(path, kept)
    connection = apsw.Connection(str(path))
    connection.execute("DROP TRIGGER lines_keep_columns")
    connection.execute("UPDATE lines SET amount = amount + 10000000 WHERE entry = 3 AND number = 1")
    connection.close()
    status, out, _ = tbot("verify")
    shutil.copy(kept, path)
    assert status == 1
    assert "wrong: entry 3" in out
    assert "off by 0.01 dollars" in out
    assert tbot("verify")[0] == 0


def test_the_reconciliation_is_compared_where_it_is_on_file(traded, tbot):
    path = traded[0] / "output" / "summaries" / f"reconciliation_paper_{DAY}.json"
    cash = json.loads(tbot("show", "--json")[1])["accounts"][0]["amount"]
    for said, status in ((cash, 0), ("1.00", 1)):
        path.write_text(json.dumps({"day": str(DAY), "brokers": [{"broker": "alpaca", "cash": said, "positions": []}]}))
        assert tbot("verify")[0] == status
    path.write_text("{}")
    assert "cannot be read" in tbot("verify")[2]
    path.unlink()


def test_a_home_without_books_says_how_to_get_them(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("TBOT_HOME", str(tmp_path))
    assert main(["ledger", "show"]) == 1
    assert "tbot ledger book" in capsys.readouterr().err


def test_an_owner_may_keep_no_books(tmp_path):
    write_day(tmp_path / "bars.csv")
    words = ["dry-run", "--data", str(tmp_path / "bars.csv"), "--day", str(DAY), "--set", "LEDGER_EXPORT_MODE=off"]
    subprocess.run(
        [sys.executable, "-m", "tbot_bot.runtime.cli", *words],
        env={"TBOT_HOME": str(tmp_path)}, capture_output=True, check=True, timeout=300,
    )  # fmt: skip
    assert not (tmp_path / "output" / "ledgers").exists()
