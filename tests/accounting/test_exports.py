"""Every export tells the same: what it adds up to, account by account, is the ledger's own trial balance."""

import csv
import json
from datetime import timedelta
from decimal import Decimal

import apsw
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from tbot_bot.accounting.exporters import EXPORTERS
from tbot_bot.accounting.ledger_reader import open_ledger_reader
from tbot_bot.accounting.manager_exporter import tab_texts
from tbot_bot.accounting.manager_file import write_manager_file
from tbot_bot.accounting.manager_mapping import OWN
from tbot_bot.accounting.paper_and_live import match_lines
from tbot_bot.accounting.tax_lots import tax_book
from tbot_bot.accounting.units import dollars_of
from tbot_bot.accounting.verify import verify
from tbot_bot.core.identity import Mode, StrategyName
from tbot_bot.core.instruments import equity
from tbot_bot.core.orders import Side
from tbot_bot.journal.ledger_posting import LedgerPosting, PostingKind
from tbot_bot.journal.store import open_reader
from tests.support.ledger_kit import DAY, D, Days, Dice
from tests.support.manager_kit import forms_in, forms_of_tabs, read_manager_file, totals_of_forms


def posted(days, kind, reference, amount, broker="one", **rest):
    days.control(
        LedgerPosting(
            at=days.clock, by="me", why="=why", kind=kind, reference=reference, amount=D(amount), broker=broker,
            day=DAY, instrument="", quantity=D(0), **rest,
        )
    )  # fmt: skip


def history(home, seed, steps):
    """Random trades over three days, with floats, costs, dividends, slippage and allocations between them."""
    days = Days(home, real=bool(seed % 2))  # a simulated account begins anew on each day
    dice = Dice(days, seed)
    dice.run(steps, days=3)
    posted(days, PostingKind.FLOAT_IN, "F1", "12345.67")
    posted(days, PostingKind.FLOAT_OUT, "F2", "345.6")
    posted(days, PostingKind.INFRASTRUCTURE, "I1", "45.90", broker="")
    posted(days, PostingKind.DIVIDEND, "D1", "1.23")
    posted(days, PostingKind.INTEREST, "D2", "-0.37")
    posted(days, PostingKind.BORROW_FEE, "D3", "0.11", broker="two")
    days.begin("one", day=DAY + timedelta(days=4))
    days.shares("one", "1000")
    days.over("one", "AAA", slippage="3.21")
    days.ended()
    days.book()
    days.close()
    return days


def text_of(ledger, name):
    return "".join(f"{line}\n" for line in EXPORTERS[name].write(ledger))


def rows_of(ledger, name):
    return list(csv.DictReader(text_of(ledger, name).splitlines()))


def total(rows, column):
    return sum((D(row[column]) for row in rows if row[column]), D(0))


def without_zeros(totals):
    return {name: amount for name, amount in totals.items() if amount}


@settings(max_examples=8, deadline=None, phases=(Phase.explicit, Phase.generate))
@given(seed=st.integers(0, 10**6), steps=st.integers(3, 60))
def test_every_export_adds_up_to_the_trial_balance(tmp_path_factory, seed, steps):
    home = tmp_path_factory.mktemp("books")
    days = history(home, seed, steps)
    with days.reader() as ledger:
        balances = ledger.balances()
        mine = {one.account.guid: dollars_of(one.amount) for one in balances if one.amount}
        by_role: dict[str, Decimal] = {}
        for one in balances:
            by_role[one.account.role] = by_role.get(one.account.role, D(0)) + dollars_of(one.amount)

        assert without_zeros(totals_of_forms(forms_in(text_of(ledger, "manager-api")))) == mine
        assert without_zeros(totals_of_forms(forms_of_tabs(tab_texts(ledger, OWN)))) == mine

        write_manager_file(home / "books.manager", ledger)
        totals, names, when, references = read_manager_file(home / "books.manager")
        assert without_zeros(totals) == mine
        assert names == {one.account.guid: one.account.name for one in balances}
        assert len(set(references)) == len(references) == len(forms_in(text_of(ledger, "manager-api")))
        assert set(when) == set(ledger.days())

        audit: dict[str, Decimal] = {}
        for row in rows_of(ledger, "audit-csv"):
            audit[row["account_guid"]] = audit.get(row["account_guid"], D(0)) + D(row["amount"])
        assert without_zeros(audit) == mine
        read = json.loads(text_of(ledger, "audit-json"))
        again: dict[str, Decimal] = {}
        for entry in read["entries"]:
            for line in entry["lines"]:
                again[line["account_guid"]] = again.get(line["account_guid"], D(0)) + D(line["amount"])
        assert without_zeros(again) == mine

        results = rows_of(ledger, "results")
        earned = -sum(dollars_of(one.amount) for one in balances if one.account.kind in {"income", "expense"})
        assert total(results, "result") == D(results[-1]["result_so_far"]) == earned

        positions = rows_of(ledger, "positions")
        last = [row for row in positions if row["day"] == max(map(str, ledger.days()))]
        assert total(last, "cost") == by_role.get("equities", D(0))
        held: dict[tuple[str, str], Decimal] = {}
        for lot in ledger.open_lots():
            key = lot.broker, lot.instrument
            held[key] = held.get(key, D(0)) + dollars_of(lot.quantity)
        assert {(row["broker"], row["instrument"]): D(row["quantity"]) for row in last} == held

        book = tax_book(ledger)
        raw = sum(one.raw_gain for one in book.disposals) + book.unassigned
        assert dollars_of(raw) == -(by_role.get("gains", D(0)) + by_role.get("slippage", D(0)))
        assert all(one.disallowed <= max(0, -one.gain) for one in book.disposals)
        if not seed % 2:
            return  # accounts that began anew: the lots of before, with their fees, are gone without a sale
        assert sum(one.disallowed for one in book.disposals) == sum(one.lot.added for one in book.disposals) + sum(
            lot.added for lot in book.lots
        )
        fees = sum(one.raw_gain - one.gain - one.lot.added for one in book.disposals)
        costs = {lot.guid: lot.cost for lot in ledger.open_lots()}
        fees += sum(-lot.money if lot.short else lot.money for lot in book.lots) - sum(costs.values())
        assert dollars_of(fees) == by_role.get("fees", D(0))


def test_a_dump_makes_the_same_ledger_again(tmp_path):
    days = history(tmp_path, 5, 60)
    with days.reader() as ledger:
        dump = text_of(ledger, "sqlite-dump")
        head = ledger.head()
    again = tmp_path / "again.sqlite3"
    connection = apsw.Connection(str(again))
    connection.execute(dump)
    connection.close()
    with open_ledger_reader(again) as ledger, open_reader(days.config.journal) as journal:
        assert ledger.head() == head
        verdict = verify(ledger, journal)
        assert verdict.sound, verdict.faults
    connection = apsw.Connection(str(again))
    with pytest.raises(apsw.ConstraintError, match="append-only"):
        connection.execute("DELETE FROM lines")


def test_the_audit_archive_tells_everything_of_a_fill_and_hides_no_formula(tmp_path):
    days = history(tmp_path, 1, 3)
    with days.reader() as ledger:
        rows = rows_of(ledger, "audit-csv")
        read = json.loads(text_of(ledger, "audit-json"))
    fill = next(row for row in rows if row["source"] == "fill" and row["lot"])
    assert fill["trade_id"]
    assert (fill["confirmation"], fill["strategy"], fill["broker"]) == ("x1", "open", fill["broker"])
    assert len(fill["hash"]) == 64
    assert (fill["end_of_day_synced"], fill["reconciliation_passed"], fill["locked"]) == ("true", "false", "false")
    assert all(row["text"].startswith("'=why") for row in rows if row["source"] == "operator")
    assert {mark["mark"] for mark in read["marks"]} == {"synced"}
    assert read["entries"][0]["previous_hash"] != read["entries"][1]["previous_hash"] == read["entries"][0]["hash"]


def test_results_are_told_by_day_broker_and_kind(tmp_path):
    days = Days(tmp_path)
    days.begin("one")
    days.trade("one", equity("AAA"), Side.BUY, "10", "5", fees="0.5")
    days.trade("one", equity("AAA"), Side.SELL, "10", "6", fees="0.25")
    days.over("one", "AAA", slippage="1")
    days.book()
    with days.reader() as ledger:
        (row,) = rows_of(ledger, "results")
        positions = rows_of(ledger, "positions")
    days.close()
    assert row == {
        "day": "2025-12-02", "broker": "one", "gains_as_decided": "11.00", "slippage": "-1.00",
        "broker_fees": "-0.75", "borrow_fees": "0.00", "dividends": "0.00", "interest": "0.00",
        "timeout_penalties": "0.00", "infrastructure": "0.00", "result": "9.25", "result_so_far": "9.25",
    }  # fmt: skip
    assert positions == []


def test_positions_of_each_day_follow_what_was_held(tmp_path):
    days = Days(tmp_path, real=True)
    days.begin("one")
    days.trade("one", equity("AAA"), Side.BUY, "10", "5")
    days.begin("one", day=DAY + timedelta(days=1))
    days.trade("one", equity("AAA"), Side.SELL, "4", "6")
    days.trade("one", equity("BBB"), Side.SELL_SHORT, "2", "7")
    days.book()
    with days.reader() as ledger:
        rows = [tuple(row.values()) for row in rows_of(ledger, "positions")]
    days.close()
    assert rows == [
        ("2025-12-02", "one", "AAA", "10", "50.00"),
        ("2025-12-03", "one", "AAA", "6", "30.00"),
        ("2025-12-03", "one", "BBB", "-2", "-14.00"),
    ]


def test_paper_beside_live_shows_where_they_part(tmp_path):
    books = {}
    for mode, sold, symbols in ((Mode.PAPER, "6", ("AAA", "BBB")), (Mode.LIVE, "5.5", ("AAA", "CCC"))):
        days = Days(tmp_path / mode, mode=mode, real=True)
        days.begin("one", strategy=StrategyName.MID)
        for symbol in symbols:
            days.trade("one", equity(symbol), Side.BUY, "10", "5", symbol=symbol)
            days.trade("one", equity(symbol), Side.SELL, "10", sold, fees="0.1", symbol=symbol)
        days.book()
        days.close()
        books[mode] = days
    with books[Mode.PAPER].reader() as paper, books[Mode.LIVE].reader() as live:
        rows = list(csv.DictReader(match_lines(paper, live)))
    found = [(row["instrument"], row["found_in"]) for row in rows]
    assert found == [("AAA", "both"), ("BBB", "paper"), ("CCC", "live")]
    assert (rows[0]["strategy"], rows[0]["paper_quantity"], rows[0]["quantity_difference"]) == ("mid", "20", "0")
    assert (rows[0]["paper_result"], rows[0]["live_result"], rows[0]["result_difference"]) == ("9.90", "4.90", "-5.00")
