"""Choices that the owner makes and the engine follows."""

from enum import StrEnum


class SizingMode(StrEnum):
    """What a trade's share of the budget is spent on."""

    NOTIONAL = "notional"
    """The position costs the share."""
    STOP_RISK = "stop_risk"
    """A fill at the stop loses the share."""


class Routing(StrEnum):
    """Which brokers take a signal."""

    EACH = "each"
    """Every capable one, within its own float and limits."""
    FIRST = "first"
    """The first capable one, by order of configuration."""


class EntryOrder(StrEnum):
    """The form of an entry order."""

    MARKETABLE_LIMIT = "marketable_limit"
    """Beyond the last price by the allowed slippage: fills now, or not at a worse price."""
    MARKET = "market"
