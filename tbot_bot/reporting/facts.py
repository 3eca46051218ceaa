"""One fact of a session's story: who, what, when, how much and why, on one line."""

from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum

from tbot_bot.core import events
from tbot_bot.core.commands import Decided
from tbot_bot.core.instants import Instant
from tbot_bot.reporting.noted import DeadManReport, ErrorRaised, Noted, SessionSkipped
from tbot_bot.trading.spec import SessionSpec

Remark = DeadManReport | ErrorRaised | Noted | SessionSkipped
Item = SessionSpec | events.Event | Decided | Remark
"""What a projection is fed with: the record of one journal row, or a step of bars from the tape."""


class Level(StrEnum):
    """How much of the story is told (`DEBUG_LOG_LEVEL`); each level tells what the ones before it tell."""

    QUIET = "quiet"
    """Trades, refusals, anomalies, errors, the end."""
    INFO = "info"
    """Also phases, candidates, signals, orders, fills, stops, non-decisions."""
    VERBOSE = "verbose"
    """Also every symbol screened, every filter and rule asked, accounts, acknowledgements."""

    def tells(self, fact: "Level") -> bool:
        """Return whether a log at this level holds facts of level `fact`."""
        order = tuple(Level)
        return order.index(fact) <= order.index(self)


class LogFormat(StrEnum):
    """The form of a session's log (`LOG_FORMAT`)."""

    JSON = "json"
    """One object on each line."""
    CSV = "csv"
    """A header once, then one row on each line; line breaks inside texts become spaces."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fact:
    """One line of a session's log. Prices and quantities as in the journal; empty where not meant."""

    timestamp: Instant
    level: Level
    event: str
    symbol: str = ""
    broker: str = ""
    trade_id: str = ""
    order_id: str = ""
    side: str = ""
    quantity: Decimal | None = None
    price: Decimal | None = None
    code: str = ""
    text: str = ""


def signed(amount: Decimal) -> str:
    """Return dollars with sign and cents: `+12.50`, `-3.00`, `0.00`."""
    return f"{amount:+.2f}" if round(amount, 2) else "0.00"


__all__ = ["Fact", "Item", "Level", "LogFormat", "Remark", "signed"]
