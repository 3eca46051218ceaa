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


FORMS = {
    "manager-api": "/api2/payment-form", "manager-mapping": "[accounts]", "results": "gains_as_decided",
    "positions": "quantity", "tax-lots": "disallowed_loss", "audit-csv": "journal_row", "audit-json": '"marks"',
    "sqlite-dump": "CREATE TABLE entries",
}  # fmt: skip


@pytest.mark.parametrize("form", FORMS)
def test_each_table_is_exported(tbot, tmp_path, form):
    status, out, error = tbot("export", "--to", form, "--out", tmp_path / "out")
    assert (status, error) == (0, "")
    assert str(tmp_path / "out") in out
    assert FORMS[form] in (tmp_path / "out").read_text()


def test_managers_tabs_are_a_folder_and_a_mapping_that_lacks_accounts_is_one_error(tbot, tmp_path):
    status, out, _ = tbot("export", "--to", "manager-tsv", "--out", tmp_path / "tabs")
    assert status == 0
    assert "the ledger's own" in out
    assert {path.name for path in (tmp_path / "tabs").iterdir()} == {
        "journal-entries.tsv", "receipts.tsv", "payments.tsv", "inter-account-transfers.tsv",
    }  # fmt: skip
    tbot("export", "--to", "manager-mapping", "--out", tmp_path / "map")
    status, _, error = tbot("export", "--to", "manager-tsv", "--out", tmp_path / "tabs", "--mapping", tmp_path / "map")
    assert status == 1
    assert "no GUID for Assets:Simulated-Alpaca:Cash" in error


def test_the_end_of_a_day_leaves_a_manager_file_that_adds_up(traded, tbot, tmp_path):
    from tests.support.manager_kit import read_manager_file  # noqa: PLC0415

    totals, names, _, _ = read_manager_file(traded[0] / "output" / "ledgers" / "tbot_paper_ledger.manager")
    assert sum(totals.values()) == 0
    assert "Assets:Simulated-Alpaca:Cash" in names.values()
    status, out, _ = tbot("export", "--to", "manager-file", "--out", tmp_path / "again.manager")
    assert status == 0
    assert "experimental" in out


def test_paper_beside_live_needs_both_books(tbot, tmp_path):
    status, _, error = tbot("export", "--to", "paper-and-live", "--out", tmp_path / "match.csv")
    assert status == 1
    assert "tbot_live_ledger.sqlite3" in error


def test_a_push_needs_an_address_and_a_key_and_posts_what_is_not_there(traded, tbot, tmp_path):
    from tests.support.manager_stand_in import KEY, ManagerStandIn  # noqa: PLC0415

    tbot("export", "--to", "manager-mapping", "--out", tmp_path / "map")
    assert tbot("push", "--mapping", tmp_path / "map")[0] == 2
    filled = (tmp_path / "map").read_text()
    for number, one in enumerate(json.loads(tbot("show", "--json")[1])["accounts"]):
        filled = filled.replace(
            f"\n{one['account']}\t\n", f"\n{one['account']}\t{number:08x}-0000-4000-8000-{0:012x}\n"
        )
    (tmp_path / "map").write_text(filled)
    with ManagerStandIn() as business:
        env = traded[0] / ".env"
        env.write_text(f"MANAGER_URL={business.url}\nMANAGER_API_KEY={KEY}\n")
        env.chmod(0o600)
        first, again = (json.loads(tbot("push", "--mapping", tmp_path / "map", "--json")[1]) for _ in range(2))
        env.unlink()
    assert first["posted"] == again["there_before"] == len(set(business.references())) == len(business.references()) > 0
    assert again["posted"] == 0
