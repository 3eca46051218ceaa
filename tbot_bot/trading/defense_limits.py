"""What defense mode makes of a session: a smaller budget, fewer trades, the best signals only."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Final

from tbot_bot.core.money import plain
from tbot_bot.trading.defense_state import AdjustedLimit
from tbot_bot.trading.spec import SessionSpec

DEFENSE_TAG: Final = "DEFENSE_MODE_ACTIVE"
TRADE_CAP: Final = Decimal("0.01")
"""Most that one trade may spend, of account value."""
BEST_SIGNALS: Final = Decimal("0.5")


@dataclass(frozen=True, slots=True, kw_only=True)
class DefenseRules:
    """What the owner chose."""

    total_allocation: Decimal
    """Budget of a session, as a fraction of the float."""
    trade_limit: Decimal
    """Fraction of the normal numbers of trades that remains."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NormalLimits:
    """The limits without defense mode."""

    total_allocation: Decimal
    max_risk_per_trade: Decimal
    max_trades: int
    max_concurrent_per_broker: int
    max_open_positions: int


def reduced(spec: SessionSpec, rules: DefenseRules) -> SessionSpec:
    """Return `spec` as it is in defense mode; nothing ever grows, and what is reduced already stays as it is.

    The weights stay: a session of fewer trades takes the shares of that number.
    """
    if DEFENSE_TAG in spec.tags:
        return spec
    allocation, limits = spec.allocation, spec.limits
    return replace(
        spec,
        allocation=replace(
            allocation,
            total_allocation=min(allocation.total_allocation, rules.total_allocation),
            max_trades=fewer(allocation.max_trades, rules.trade_limit),
            best_signals=min(allocation.best_signals, BEST_SIGNALS),
        ),
        limits=replace(
            limits,
            max_risk_per_trade=min(limits.max_risk_per_trade, TRADE_CAP),
            max_concurrent_per_broker=fewer(limits.max_concurrent_per_broker, rules.trade_limit),
            max_open_positions=fewer(limits.max_open_positions, rules.trade_limit),
        ),
        tags=(*spec.tags, DEFENSE_TAG),
    )


def fewer(normal: int, fraction: Decimal) -> int:
    """Return how many of `normal` trades remain: rounded down, and never none."""
    return max(1, math.floor(normal * fraction))


def adjusted(normal: NormalLimits, rules: DefenseRules) -> tuple[AdjustedLimit, ...]:
    """Return each limit that changes, in the order in which people read them."""
    share = rules.trade_limit
    cap, slots = min(normal.max_risk_per_trade, TRADE_CAP), normal.max_concurrent_per_broker
    rows = (
        ("TOTAL_ALLOCATION", normal.total_allocation, min(normal.total_allocation, rules.total_allocation)),
        ("MAX_RISK_PER_TRADE", normal.max_risk_per_trade, cap),
        ("MAX_TRADES", normal.max_trades, fewer(normal.max_trades, share)),
        ("MAX_CONCURRENT_TRADES_PER_BROKER", slots, fewer(slots, share)),
        ("MAX_OPEN_POSITIONS", normal.max_open_positions, fewer(normal.max_open_positions, share)),
    )
    return tuple(AdjustedLimit(name=name, normal=Decimal(was), adjusted=Decimal(now)) for name, was, now in rows)


def limits_text(limits: Sequence[AdjustedLimit]) -> str:
    """Return `limits` in words."""
    return ", ".join(f"{one.name} {plain(one.adjusted)} instead of {plain(one.normal)}" for one in limits)


__all__ = [
    "BEST_SIGNALS",
    "DEFENSE_TAG",
    "TRADE_CAP",
    "DefenseRules",
    "NormalLimits",
    "adjusted",
    "fewer",
    "limits_text",
    "reduced",
]
