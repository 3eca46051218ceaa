"""What verification finds in books that somebody changed, and that such changes are refused to begin with."""

import apsw
import pytest

from tbot_bot.accounting.entries import hash_of
from tbot_bot.accounting.ledger_files import LedgerError
from tbot_bot.accounting.ledger_reader import Mark
from tbot_bot.accounting.ledger_store import Ledger
from tbot_bot.accounting.verify import Reconciled
from tbot_bot.core.identity import Leg, Mode
from tbot_bot.core.instruments import equity
from tbot_bot.core.orders import Side
from tests.support.ledger_kit import DAY, NOW, D, Days

AAA = equity("AAA")


@pytest.fixture
def days(tmp_path):
    made = Days(tmp_path)
    made.begin("one")
    made.trade("one", AAA, Side.BUY, 100, "10.50", "0.35")
    made.trade("one", AAA, Side.SELL, 40, "11", "0.35", leg=Leg.EXIT)
    made.book()
    assert made.verdict().sound
    yield made
    made.close()


def tamper(days, *statements):
    """Change the file as somebody with the rights would: without its triggers."""
    connection = apsw.Connection(str(days.config.ledger))
    triggers = [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'")]
    for name in triggers:
        connection.execute(f"DROP TRIGGER {name}")
    for statement in statements:
        connection.execute(statement)
    connection.close()


@pytest.mark.parametrize(
    ("statement", "names"),
    [
        ("UPDATE lines SET amount = amount + 1 WHERE entry = 2 AND number = 1", "entry 2"),
        ("DELETE FROM lines WHERE entry = 2 AND number = 2", "entry 2"),
        ("DELETE FROM lines WHERE entry = 3", "entry 3"),
        ("UPDATE entries SET text = 'another' WHERE number = 3", "entry 3"),
        ("UPDATE entries SET day = '2025-12-03' WHERE number = 3", "entry 3"),
        ("UPDATE lines SET quantity = quantity * 2 WHERE entry = 2 AND number = 1", "entry 2"),
        ("UPDATE lines SET amount = -amount WHERE entry = 2", "entry 2"),
        ("DELETE FROM entries WHERE number = 2", "entry 2"),
        ("DELETE FROM entries WHERE number = 3", "is missing"),
        ("UPDATE marks SET why = 'another'", "mark 1"),
    ],
)
def test_a_change_is_found_and_the_entry_named(days, statement, names):
    tamper(days, statement)
    verdict = days.verdict()
    assert not verdict.sound
    assert any(names in fault for fault in verdict.faults), verdict.faults


def test_a_forged_entry_with_a_sound_chain_is_not_in_the_journal(days):
    with days.reader() as ledger:
        last = list(ledger.entries())[-1]
    forged = last.entry.__class__(
        **{name: getattr(last.entry, name) for name in last.entry.__slots__} | {"guid": "forged", "text": "forged"}
    )
    with Ledger.open(days.config.ledger, days.mode) as ledger:
        ledger.begin()
        ledger.write([forged], journal_seq=ledger.booked_to(), at=NOW)
        ledger.commit()
    assert hash_of(4, forged, last.hash) != last.hash
    assert any("not in the journal" in fault for fault in days.verdict().faults)


@pytest.mark.parametrize("table", ["about", "accounts", "bookings", "chart", "entries", "lines", "marks"])
def test_nothing_that_was_written_is_changed_or_taken_away(days, table):
    connection = apsw.Connection(str(days.config.ledger))
    if table == "marks":
        assert next(iter(connection.execute("SELECT count(*) FROM marks")))[0]
    column = next(iter(connection.execute(f"SELECT name FROM pragma_table_info('{table}')")))[0]  # noqa: S608 - a test's own words
    for statement in (f"DELETE FROM {table}", f"UPDATE {table} SET {column} = {column}"):  # noqa: S608 - the same
        with pytest.raises(apsw.ConstraintError, match="append-only"):
            connection.execute(statement)
    connection.close()


def reconciled(cash, **positions):
    units = {name: int(D(held) * 10**9) for name, held in positions.items()}
    return Reconciled(day=DAY, broker="one", cash=int(D(cash) * 10**9), positions=units)


def test_books_are_held_against_what_the_broker_said(days):
    assert days.verdict(reconciled("99389.30", AAA=60)).sound
    assert days.verdict(reconciled("99389.304", AAA=60)).sound  # to the cent
    wrong = days.verdict(reconciled("99389.31", AAA=59, BBB=1))
    assert len(wrong.faults) == 3
    assert "99389.30" in wrong.faults[0]


def test_a_ledger_that_is_ahead_of_its_journal_is_not_sound(days, tmp_path):
    other = Days(tmp_path / "other")
    other.begin("one")
    other.write()
    with days.reader() as ledger:
        from tbot_bot.accounting.verify import verify  # noqa: PLC0415

        assert "journal ends at" in " ".join(verify(ledger, other.journal).faults)
    other.close()


def test_books_of_another_mode_or_no_books_at_all_are_refused(days, tmp_path):
    with pytest.raises(LedgerError, match="never share"):
        Ledger.open(days.config.ledger, Mode.LIVE)
    with pytest.raises(LedgerError, match="keeps no ledger"):
        Ledger.open(tmp_path / "backtest", Mode.BACKTEST)
    (tmp_path / "text").write_text("no ledger " * 100)
    with pytest.raises(LedgerError):
        Ledger.open(tmp_path / "text", Mode.PAPER)


def test_an_entry_that_is_off_is_refused_and_nothing_of_its_booking_stays(days):
    from dataclasses import replace  # noqa: PLC0415

    from tbot_bot.accounting.units import EntryRefused  # noqa: PLC0415

    good = days.entries()[-1]
    bad = replace(good, guid="bad", lines=(replace(good.lines[0], amount=1), *good.lines[1:]))
    with Ledger.open(days.config.ledger, days.mode) as ledger:
        ledger.begin()
        with pytest.raises(EntryRefused, match="off by"):
            ledger.write([replace(good, guid="good"), bad], journal_seq=99, at=NOW)
        ledger.roll_back()
        assert not ledger.has("good")
    assert days.verdict().sound


def test_a_mark_follows_its_day(days):
    with days.reader() as ledger:
        assert [mark.mark for mark in ledger.marks()] == [Mark.SYNCED]
        assert ledger.days()[DAY].synced_to == 3
