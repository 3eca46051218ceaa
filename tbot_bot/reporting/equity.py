"""What the accounts were worth, over a day and over the days before it, as the journal's rows say."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Final

from tbot_bot.core import events
from tbot_bot.core.codec import CodecError, loads
from tbot_bot.core.commands import Decided, TradeRecord
from tbot_bot.core.identity import SessionId
from tbot_bot.core.instants import Instant
from tbot_bot.core.money import ZERO
from tbot_bot.journal.chain import Kind
from tbot_bot.journal.store import JournalReader

_ACCOUNTS: Final = tuple(f'{{"_":"{event.__name__}"' for event in (events.AccountsRead, events.AccountsMarked))
_TRADE: Final = f'"{TradeRecord.__name__}"'
DAYS_SHOWN: Final = 30


@dataclass(frozen=True, slots=True, kw_only=True)
class EquityCurve:
    """Dollars over all brokers."""

    today: tuple[tuple[Instant, Decimal], ...]
    """(market time, equity), oldest first: while something was open, once a minute."""
    days: tuple[tuple[date, Decimal], ...]
    """(day, result after fees) of the last days with a session, the day itself last."""


def equity_of(journal: JournalReader, day: date) -> EquityCurve:
    """Return the curve of `day`, from the latest run of each of its sessions.

    Raises:
        JournalError: the journal is damaged.
    """
    days = sorted({found for name in journal.sessions() if (found := SessionId.parse(name).day) <= day})[-DAYS_SHOWN:]
    results = tuple((one, sum((trade.pnl for trade in _trades(journal, one)), ZERO)) for one in days)
    return EquityCurve(today=tuple(_curve(journal, day)), days=results)


def _curve(journal: JournalReader, day: date) -> Iterator[tuple[Instant, Decimal]]:
    last: dict[str, Decimal] = {}
    for session in _latest(journal, day):
        for row in journal.rows(session=session, kind=Kind.INPUT):
            if not row.payload.startswith(_ACCOUNTS):
                continue
            try:
                found = loads(row.payload)
            except CodecError:  # of a newer version
                continue
            if isinstance(found, events.AccountsRead | events.AccountsMarked):
                last |= {account.broker: account.equity for account in found.accounts}
                yield found.at, sum(last.values(), ZERO)


def _trades(journal: JournalReader, day: date) -> Iterator[TradeRecord]:
    for session in _latest(journal, day):
        for row in journal.rows(session=session, kind=Kind.COMMAND):
            if _TRADE not in row.payload:
                continue
            try:
                found = loads(row.payload)
            except CodecError:  # of a newer version
                continue
            if isinstance(found, Decided):
                yield from (output for output in found.outputs if isinstance(output, TradeRecord))


def _latest(journal: JournalReader, day: date) -> tuple[str, ...]:
    """Return the latest run of each session of `day`, in the order of the trading day."""
    runs = [SessionId.parse(name) for name in journal.sessions_of(day)]
    latest: dict[str, SessionId] = {}
    for run in sorted(runs, key=lambda one: one.run):
        latest[run.strategy.value] = run
    order = {"open": 0, "mid": 1, "close": 2}
    return tuple(str(latest[name]) for name in sorted(latest, key=lambda name: order.get(name, 9)))


__all__ = ["DAYS_SHOWN", "EquityCurve", "equity_of"]
