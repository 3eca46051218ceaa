"""Random histories of trades: sums, FIFO, repetition, and the outside judges beancount and hledger."""

import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tbot_bot.accounting.units import DECIMALS
from tests.support.ledger_kit import (
    D,
    Days,
    Dice,
    bean_totals,
    beancount_own,
    exported,
    hledger,
    hledger_or_skip,
    hledger_totals,
)

BEAN_CHECK = Path(sys.executable).with_name("bean-check")
NANO = D(10) ** -DECIMALS


@pytest.fixture(scope="module")
def big(tmp_path_factory):
    """Two thousand orders at two brokers over five days, long, short and puts, with undone executions."""
    days = Days(tmp_path_factory.mktemp("books"))
    dice = Dice(days, seed=7)
    dice.run(2000, days=1)
    days.book()
    yield days, dice
    days.close()


@pytest.fixture
def small(tmp_path):
    """Return the books of two hundred orders."""
    days = Days(tmp_path / "small")
    Dice(days, seed=11).run(200, days=1)
    days.book()
    yield days
    days.close()


def test_thousands_of_trades_add_up_and_are_what_the_journal_gives(big):
    days, _ = big
    verdict = days.verdict()
    assert verdict.sound, verdict.faults
    assert verdict.entries > 2000
    assert not verdict.not_booked
    assert sum(days.balances().values()) == 0


def test_lots_and_gains_are_those_of_beancounts_own_fifo_booking(big):
    days, dice = big
    gains, positions, words = beancount_own(dice.moves)
    mine = days.balances()
    rounding = NANO * len(dice.moves)
    for broker in dice.brokers:
        account = f"Assets:{broker.title()}"
        assert abs(-mine.get(f"Income:Realized-Gains:{broker.title()}", D(0)) - gains[account]) <= rounding
        lots = [(lot.units.currency, lot.units.number, lot.cost.number) for lot in positions[account]]
        held = [(words[name], quantity, cost) for at, name, quantity, cost in days.lots() if at == broker]
        assert sorted((name, quantity) for name, quantity, _ in lots) == sorted(
            (name, quantity) for name, quantity, _ in held
        )
        worth = sum(quantity * each for _, quantity, each in lots)
        assert abs(worth - sum(cost for _, _, cost in held)) <= rounding


def test_beancount_accepts_the_books_and_finds_the_same_totals(big, tmp_path):
    mine, beans, _ = exported(big[0], tmp_path)
    told = subprocess.run([BEAN_CHECK, beans], capture_output=True, text=True, check=False, timeout=300)
    assert told.returncode == 0, told.stderr[:2000]
    totals, errors = bean_totals(beans)
    assert not errors
    assert totals == mine


def test_hledger_accepts_the_books_and_finds_the_same_totals(big, tmp_path):
    hledger_or_skip()
    mine, _, journal = exported(big[0], tmp_path)
    told = hledger("-f", str(journal), "check", "--strict")
    assert told.returncode == 0, told.stderr[:2000]
    assert hledger_totals(journal) == mine


@pytest.mark.parametrize("wrong", ["amount", "line"])
def test_broken_books_are_refused_by_both(small, tmp_path, wrong):
    _, beans, journal = exported(small, tmp_path)
    for path, mark in ((beans, '    guid: "'), (journal, "")):
        lines = path.read_text().splitlines()
        number = next(
            number
            for number, line in enumerate(lines)
            if number > len(lines) // 2 and line.strip().startswith("Assets:") and line.split()[1].endswith("1")
        )
        if wrong == "amount":
            lines[number] = lines[number].replace("1 USD", "2 USD", 1)
        else:
            del lines[number : number + (5 if mark and "instrument" in lines[number + 2] else 2 if mark else 1)]
        path.write_text("\n".join(lines) + "\n")
    told = subprocess.run([BEAN_CHECK, beans], capture_output=True, text=True, check=False, timeout=300)
    assert "does not balance" in told.stderr + told.stdout
    hledger_or_skip()
    assert "could not balance" in hledger("-f", str(journal), "check", "--strict").stderr


@settings(max_examples=15)
@given(seed=st.integers(0, 10**6), steps=st.integers(1, 40), pieces=st.integers(1, 6))
def test_booking_in_pieces_and_again_gives_the_same_books(tmp_path_factory, seed, steps, pieces):
    home = tmp_path_factory.mktemp("pieces")
    whole, parts = Days(home / "whole"), Days(home / "parts")
    Dice(whole, seed).run(steps)
    whole.book()
    Dice(parts, seed).run(steps)
    rows, parts.rows = parts.rows, []
    size = len(rows) // pieces + 1
    for start in range(0, len(rows), size):
        parts.rows = rows[start : start + size]
        parts.book()
    with whole.reader() as one, parts.reader() as other:
        assert list(one.entries()) == list(other.entries())
        assert one.open_lots() == other.open_lots()
        assert one.head() == other.head()
    assert parts.book().entries == 0
    assert parts.verdict().sound
    whole.close()
    parts.close()


@settings(max_examples=10)
@given(seed=st.integers(0, 10**6))
def test_an_undone_execution_leaves_the_result_of_a_history_without_it(tmp_path_factory, seed):
    home = tmp_path_factory.mktemp("undone")
    with_it, without = Days(home / "with"), Days(home / "without")
    dice = Dice(with_it, seed, brokers=("one",))
    with_it.begin("one")
    for _ in range(12):
        dice.step()
    dice.undo(seed % len(dice.moves))
    with_it.book()
    assert with_it.verdict().sound
    without.begin("one")
    fees = {fill.execution_id: fill.fees for fill in fills_in(with_it)}
    for number, (broker, instrument, signed, price, execution, order) in enumerate(dice.moves):
        again = without.order(broker, instrument, order.side, abs(signed), attempt=number + 1)
        without.fill(again, price, fees=fees[execution])
    without.book()
    assert with_it.balances() == without.balances()
    by_name = [sorted((lot[1:] for lot in one.lots()), key=lambda lot: lot[0]) for one in (with_it, without)]  # stable
    assert by_name[0] == by_name[1]
    with_it.close()
    without.close()


def fills_in(days):
    from tbot_bot.core.codec import loads  # noqa: PLC0415
    from tbot_bot.core.events import OrderFilled  # noqa: PLC0415

    found = (loads(row.payload) for row in days.journal.rows() if '"OrderFilled"' in row.payload[:20])
    return [event.fill for event in found if isinstance(event, OrderFilled)]
