"""Halts of trading in a share, as the exchange tells them."""

from dataclasses import dataclass

from tbot_bot.core.codec import record
from tbot_bot.core.instants import Instant


@record
@dataclass(frozen=True, slots=True, kw_only=True)
class TradingHalt:
    """Trading in a share was stopped, or goes on again."""

    symbol: str
    at: Instant
    """As the exchange dates it."""
    halted: bool
    reason: str
    """In the exchange's or the broker's words; empty where it gave none."""


@record
@dataclass(frozen=True, slots=True, kw_only=True)
class HaltsTold:
    """Shares in which trading was stopped, or goes on, since the last time."""

    at: Instant
    halts: tuple[TradingHalt, ...]


__all__ = ["HaltsTold", "TradingHalt"]
