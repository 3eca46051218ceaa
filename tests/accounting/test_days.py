"""Locked days, backups before writing, and bookings that are killed."""

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from datetime import timedelta

import pytest

from tbot_bot.accounting.accounting_api import book, mark_day
from tbot_bot.accounting.ledger_files import DayLocked, LedgerError
from tbot_bot.accounting.ledger_reader import Mark
from tbot_bot.config.error_handler import TbotError
from tbot_bot.core.instants import DAY as DAY_SPAN
from tbot_bot.core.instants import Instant
from tbot_bot.core.instruments import equity
from tbot_bot.core.orders import Side
from tests.support.ledger_kit import DAY, NOW, D, Days, Dice

AAA = equity("AAA")


@pytest.fixture
def days(tmp_path):
    made = Days(tmp_path)
    made.begin("one")
    made.trade("one", AAA, Side.BUY, 100, 10)
    made.book()
    yield made
    made.close()


def lock(days, mark=Mark.LOCKED):
    mark_day(days.config, DAY, mark, at=NOW, who="me", why="reconciled")


def test_nothing_is_written_into_a_locked_day(days):
    lock(days)
    days.trade("one", AAA, Side.BUY, 1, 10, attempt=2)
    with pytest.raises(DayLocked, match=r"2025-12-02 is locked; refused: buy 1 AAA at 10 .*--reopen"):
        days.book()
    with days.reader() as ledger:
        state = ledger.days()[DAY]
        assert (state.locked, state.status, state.entries) == (True, "ACTIVE", 2)
        assert state.final_at == ledger.entry(days.entries()[-1].guid).at
    lock(days, Mark.REOPENED)
    assert days.book().entries == 1
    assert days.verdict().sound


def test_a_commission_of_a_locked_day_waits_until_it_is_opened_or_is_booked_in_the_day_that_brings_it(days):
    order = days.order("one", AAA, Side.BUY, 100, attempt=3)
    first = days.fill(order, 10, fees="1.00")
    days.book()
    before = days.balances()["Expenses:Broker-Fees:One"]
    lock(days)
    days.fill(order, 10, fees="0.35", execution=first)  # on the same day, which is locked
    with pytest.raises(DayLocked, match="fees are told anew"):
        days.book()
    assert days.balances()["Expenses:Broker-Fees:One"] == before
    lock(days, Mark.REOPENED)
    assert days.book().entries == 2
    assert days.balances()["Expenses:Broker-Fees:One"] == D("0.35")
    lock(days)
    days.clock = Instant(days.clock + DAY_SPAN)
    days.fill(order, 10, fees="0.36", execution=first)  # on the next day, which is open
    assert days.book().days == (DAY + timedelta(days=1),)
    assert days.balances()["Expenses:Broker-Fees:One"] == D("0.36")
    assert days.verdict().sound
    assert days.book().entries == 0


def test_a_decommissioned_day_stays_closed(days):
    lock(days, Mark.DECOMMISSIONED)
    with pytest.raises(DayLocked, match="closed for good"):
        lock(days, Mark.REOPENED)
    days.trade("one", AAA, Side.BUY, 1, 10, attempt=2)
    with pytest.raises(DayLocked, match="closed for good"):
        days.book()


def test_a_backup_precedes_each_writing_and_none_other(days):
    seen = []

    def back_up(path):
        with days.reader() as ledger:
            seen.append((path, ledger.head()[0]))

    days.config = replace(days.config, backup=back_up)
    days.book()
    assert seen == []
    days.trade("one", AAA, Side.SELL, 1, 10, attempt=2)
    days.book()
    assert seen == [(days.config.ledger, 2)]


def test_where_the_backup_fails_nothing_is_written(days):
    def back_up(path):
        raise TbotError("no room", where=str(path))

    days.config = replace(days.config, backup=back_up)
    days.trade("one", AAA, Side.SELL, 1, 10, attempt=2)
    with pytest.raises(TbotError, match="no room"):
        days.book()
    assert len(days.entries()) == 2


def test_who_writes_keeps_others_out(days):
    from tbot_bot.accounting.ledger_store import Ledger  # noqa: PLC0415

    days.trade("one", AAA, Side.SELL, 1, 10, attempt=2)
    days.write()
    with Ledger.open(days.config.ledger, days.mode) as writer:
        writer.begin()
        with Ledger.open(days.config.ledger, days.mode, busy_seconds=0.05) as other, pytest.raises(LedgerError):
            other.begin()
        writer.roll_back()


BOOKING = """
import sys
from pathlib import Path
from tbot_bot.accounting.accounting_api import book
from tbot_bot.accounting.accounting_config import BooksConfig
from tbot_bot.core.identity import Mode
home = Path(sys.argv[1])
print("ready", flush=True)
book(BooksConfig(mode=Mode.PAPER, ledger=home / "ledger.sqlite3", journal=home / "journal.sqlite3"), at=1)
"""


def test_a_booking_that_is_killed_has_written_all_or_nothing(tmp_path):
    days = Days(tmp_path)
    Dice(days, seed=3).run(150)
    days.write()
    began = time.monotonic()
    whole = Days(tmp_path / "whole")
    Dice(whole, seed=3).run(150)
    whole.book()
    took = time.monotonic() - began
    empty = full = 0
    for number in range(6):
        process = subprocess.Popen([sys.executable, "-c", BOOKING, str(tmp_path)], stdout=subprocess.PIPE)
        assert process.stdout is not None
        process.stdout.readline()
        time.sleep(took * number / 6)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        process.stdout.close()
        if not days.config.ledger.exists():
            empty += 1
            continue
        verdict = days.verdict()
        assert verdict.sound, verdict.faults
        assert verdict.journal_seq in {0, days.journal.head().seq}
        empty += verdict.journal_seq == 0
        full += verdict.journal_seq != 0
    assert empty
    book(days.config, at=NOW, journal=days.journal)
    assert days.entries() == whole.entries()
    days.close()
    whole.close()
