"""The accountant's mapping: headers and accounts of their business, and what is said when something lacks."""

import csv
import io
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tbot_bot.accounting.ledger_files import LedgerError
from tbot_bot.accounting.manager_documents import Tab
from tbot_bot.accounting.manager_exporter import tab_texts
from tbot_bot.accounting.manager_mapping import parse, template
from tbot_bot.core.instruments import equity
from tbot_bot.core.orders import Side
from tests.support.ledger_kit import Days

GUID = "{:08x}-0000-4000-8000-000000000000"


@pytest.fixture
def ledger(tmp_path):
    days = Days(tmp_path)
    days.begin("one")
    days.trade("one", equity("AAA"), Side.BUY, "10", "5", fees="0.5")
    days.trade("one", equity("AAA"), Side.SELL, "10", "6", fees="0.25")
    days.over("one", "AAA", slippage="1")
    days.book()
    days.close()
    with days.reader() as opened:
        yield opened


def filled(ledger):
    """Return the template with a GUID for each account."""
    text = template(ledger)
    for number, one in enumerate(ledger.accounts()):
        text = text.replace(f"\n{one.name}\t\n", f"\n{one.name}\t{GUID.format(number)}\n")
    return text


def rows(text):
    return list(csv.DictReader(io.StringIO(text), dialect="excel-tab"))


def test_a_template_that_is_filled_in_gives_the_companys_guids(ledger):
    texts = tab_texts(ledger, parse(filled(ledger), "map"))
    names = [one.name for one in ledger.accounts()]
    (journal,) = rows(texts[Tab.JOURNAL])
    assert journal["Lines.Account"].split("\n") == [
        GUID.format(names.index("Expenses:Simulated-Slippage-Execution-Losses")),
        GUID.format(names.index("Income:Simulated-Realized-Gains:One")),
    ]
    assert (journal["Lines.Debit"], journal["Lines.Credit"]) == ("1.00\n", "\n1.00")
    bought = rows(texts[Tab.PAYMENT])[-1]
    assert bought["PaidFrom"] == GUID.format(names.index("Assets:Simulated-One:Cash"))
    assert bought["Lines.Amount"] == "50.00\n0.50"
    assert bought["Lines.LineDescription"] == "10 AAA\n"
    sold = rows(texts[Tab.RECEIPT])[-1]
    assert sold["Lines.Amount"] == "50.00\n10.00\n-0.25"
    assert all(row["Reference"].startswith("TB-") for row in (journal, bought, sold))


def test_a_pasted_header_keeps_its_order_and_its_unknown_columns(ledger):
    header = "IssueDate\treference\tTheme\tLINES.ACCOUNT\tLines.Debit\tLines.Credit\tLines.TaxCode\tNotes"
    default = "Date\tReference\tNarration\tLines.Account\tLines.LineDescription\tLines.Debit\tLines.Credit"
    text = filled(ledger).replace(default, header).replace("# journal-entries\tN", "journal-entries\tN")
    told = tab_texts(ledger, parse(text, "map"))[Tab.JOURNAL]
    assert told.splitlines()[0] == header
    (row,) = rows(told)
    assert (row["IssueDate"], row["Theme"], row["Lines.TaxCode"]) == ("2025-12-02", "", "")
    assert row["Notes"].startswith("AAA") or row["Notes"]


def test_a_template_that_is_not_filled_in_names_every_account(ledger):
    business = parse(template(ledger), "manager.map")
    with pytest.raises(LedgerError, match=r"manager.map: no GUID for Assets:Simulated-One:Cash, .*Gains:One"):
        tab_texts(ledger, business)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[journal-entries]\nDate\tReference\tLines.Account\tLines.Debit", "journal-entries lacks Lines.Credit"),
        ("[receipts]\nDate Reference", "receipts lacks Date, Reference"),
        ("[payments]\nDate\tIssueDate\tReference\tPaidFrom\tLines.Account\tLines.Amount", "has Date twice"),
        ("[receipt]", r"line 1: no section is called \[receipt\]"),
        ("Date\tReference", "before the first section"),
        ("[accounts]\nAssets:One:Cash\t12", "line 2: '12' is no GUID"),
        ("[accounts]\nA\t" + GUID.format(1) + "\nA\t" + GUID.format(2), "A stands twice"),
        ("[accounts]\nA\t" + GUID.format(1) + "\nB\t" + GUID.format(1), "another account's"),
        ("[columns]\nreceipts\tNarration\tNotes", "receipts have no Narration"),
        ("[columns]\nNotes", "names no column"),
        ("[receipts]\nDate\nDate", "a second header"),
    ],
)
def test_what_lacks_or_is_wrong_is_one_clear_error(text, says):
    with pytest.raises(LedgerError, match=says):
        parse(text, "map")


@given(text=st.text(alphabet="[]accountsreceipts\tDate\n# -0123456789abcdef:\x00\x85", max_size=200))
def test_no_text_breaks_the_reader(text):
    with suppress(LedgerError):
        assert set(parse(text, "map").headers) == set(Tab)
