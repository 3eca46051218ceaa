"""Paper beside live: what the same strategy did on the same day in the same instrument, in both books."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from typing import Final

from tbot_bot.accounting.audit_exports import csv_line
from tbot_bot.accounting.entries import Template
from tbot_bot.accounting.ledger_reader import LedgerReader
from tbot_bot.accounting.ledger_schema import Role
from tbot_bot.accounting.standing import Standing, standing
from tbot_bot.accounting.units import spelled

MATCH_COLUMNS: Final = (
    "day", "strategy", "instrument", "found_in", "paper_quantity", "live_quantity", "quantity_difference",
    "paper_fees", "live_fees", "paper_slippage", "live_slippage", "paper_result", "live_result", "result_difference",
)  # fmt: skip
Key = tuple[date, str, str]
"""(day, strategy, instrument)."""


@dataclass(slots=True, kw_only=True)
class Traded:
    """What one set of books has of one key; quantities in nano-shares, money in units."""

    bought_and_sold: int = 0
    """Without signs."""
    fees: int = 0
    slippage: int = 0
    result: int = 0
    """Gains less slippage and fees."""


def match_lines(paper: LedgerReader, live: LedgerReader) -> Iterator[str]:
    """Yield one row for each day, strategy and instrument that either has traded; differences are live less paper."""
    both = traded(paper), traded(live)
    yield csv_line(MATCH_COLUMNS)
    for key in sorted({*both[0], *both[1]}):
        mine, theirs = both[0].get(key), both[1].get(key)
        found = "both" if mine and theirs else "paper" if mine else "live"
        one, other = mine or Traded(), theirs or Traded()
        day, strategy, instrument = key
        yield csv_line(
            (
                day.isoformat(), strategy, instrument, found,
                spelled(one.bought_and_sold, 0), spelled(other.bought_and_sold, 0),
                spelled(other.bought_and_sold - one.bought_and_sold, 0), spelled(one.fees), spelled(other.fees),
                spelled(one.slippage), spelled(other.slippage), spelled(one.result), spelled(other.result),
                spelled(other.result - one.result),
            )
        )  # fmt: skip


def traded(ledger: LedgerReader) -> dict[Key, Traded]:
    """Return what the strategies of these books did; what belongs to no trade is left out."""
    roles = {one.guid: one.role for one in ledger.accounts()}
    facts = [one for one in standing(ledger.entries()) if one.entry.strategy and one.entry.trade_id]
    instruments: dict[tuple[str, str], str] = {}
    found: dict[Key, Traded] = {}
    for one in facts:
        _count(found, one, roles, instruments)
    return found


def _count(
    found: dict[Key, Traded], one: Standing, roles: dict[str, Role], instruments: dict[tuple[str, str], str]
) -> None:
    entry = one.entry
    trade = entry.session, entry.trade_id
    moved = next((line.instrument for line in entry.lines if line.instrument), "")
    instrument = instruments.setdefault(trade, moved) if moved else instruments.get(trade, "")
    place = found.setdefault((one.day, entry.strategy, instrument), Traded())
    for line in entry.lines:
        role = roles[line.account]
        if line.quantity:
            place.bought_and_sold += abs(line.quantity)
        if role is Role.FEES:
            place.fees += line.amount
        if role is Role.SLIPPAGE and entry.template is Template.SLIPPAGE:
            place.slippage += line.amount
        if role in {Role.GAINS, Role.FEES, Role.SLIPPAGE}:
            place.result -= line.amount


__all__ = ["MATCH_COLUMNS", "Traded", "match_lines", "traded"]
