"""Names that are derived, never drawn: the same journal gives the same ids on any machine."""

import re
from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from typing import Final, Self

from tbot_bot.core.codec import record

CLIENT_ORDER_ID_MAX: Final = 48
"""Characters; below every supported broker's limit (Alpaca 128, IBKR orderRef 60)."""


_TRADE_ID: Final = re.compile(
    r"(?P<day>[0-9]{8})-(?P<strategy>open|mid|close)-(?:r(?P<run>[1-9][0-9]{0,8})-)?(?P<broker>[^-\s]+)-(?P<symbol>\S+)"
)

_ATTEMPT: Final = re.compile("[1-9][0-9]{0,8}")


class Mode(StrEnum):
    """Which books a record belongs to; every record carries it."""

    LIVE = "live"
    PAPER = "paper"
    BACKTEST = "backtest"


class StrategyName(StrEnum):
    """The three sessions of a trading day, in the order in which they run."""

    OPEN = "open"
    MID = "mid"
    CLOSE = "close"


class Leg(StrEnum):
    """What an order is for within its trade."""

    ENTRY = "entry"
    STOP = "stop"
    EXIT = "exit"
    DEAD_MAN = "deadman"
    """An exit by the dead-man path, without an engine."""
    CANARY = "canary"
    """Far from the market, before the open, and cancelled at once: it proves the way there, and is no trade."""


OPENING: Final = frozenset({Leg.ENTRY, Leg.CANARY})
"""What would open a position."""


@record
@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class SessionId:
    """One strategy on one trading day; `run` counts rehearsals of that day (always 1 outside test mode)."""

    day: date
    strategy: StrategyName
    run: int = 1

    def __str__(self) -> str:
        """Return `2025-09-02/open`, from the second rehearsal on `2025-09-02/open#2`."""
        again = f"#{self.run}" if self.run > 1 else ""
        return f"{self.day.isoformat()}/{self.strategy}{again}"

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read what `str` writes.

        Raises:
            ValueError: not a session id.
        """
        head, _, run = text.partition("#")
        day, slash, strategy = head.partition("/")
        if not slash:
            msg = f"{text!r} is not a session id; expected the form 2025-09-02/open"
            raise ValueError(msg)
        return cls(day=date.fromisoformat(day), strategy=StrategyName(strategy), run=int(run or 1))


@dataclass(frozen=True, slots=True, kw_only=True)
class TradeName:
    """What a trade's id says."""

    session: SessionId
    broker: str
    symbol: str
    """The underlying."""

    @classmethod
    def parse(cls, trade: str) -> Self | None:
        """Read what `trade_id` writes; None where it is no such id."""
        found = _TRADE_ID.fullmatch(trade)
        if found is None:
            return None
        day, strategy, run = found["day"], found["strategy"], found["run"]
        try:
            session = SessionId(
                day=date(int(day[:4]), int(day[4:6]), int(day[6:])), strategy=StrategyName(strategy), run=int(run or 1)
            )
        except ValueError:  # a thirteenth month
            return None
        return cls(session=session, broker=found["broker"], symbol=found["symbol"])


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderName:
    """What a client order id says; whatever bears such a name at a broker is ours."""

    trade: str
    leg: Leg
    attempt: int

    @classmethod
    def parse(cls, order_id: str) -> Self | None:
        """Read what `client_order_id` writes; None where it is no such id: somebody else's order."""
        trade, _, tail = order_id.rpartition("-")
        leg = next((leg for leg in Leg if tail.startswith(leg)), None)
        if leg is None or TradeName.parse(trade) is None or not _ATTEMPT.fullmatch(tail[len(leg) :]):
            return None
        return cls(trade=trade, leg=leg, attempt=int(tail[len(leg) :]))


def trade_id(session: SessionId, broker: str, symbol: str) -> str:
    """Return the id of the one trade that `session` may make in `symbol` (the underlying) at `broker`."""
    again = f"r{session.run}-" if session.run > 1 else ""
    day = session.day.isoformat().replace("-", "")
    return f"{day}-{session.strategy}-{again}{broker}-{symbol}"


def session_of_trade(trade: str) -> SessionId | None:
    """Return the session that `trade_id` put into `trade`; None where it is no such id."""
    found = TradeName.parse(trade)
    return None if found is None else found.session


def client_order_id(trade: str, leg: Leg, attempt: int) -> str:
    """Return the id under which an order is known to us and to the broker, for ever.

    Raises:
        ValueError: the id would be longer than every broker accepts.
    """
    text = f"{trade}-{leg}{attempt}"
    if len(text) > CLIENT_ORDER_ID_MAX:
        msg = f"client order id {text!r} is longer than {CLIENT_ORDER_ID_MAX} characters"
        raise ValueError(msg)
    return text
