"""The composition root of the daemon's processes; what backtests share with it stands in `assembly`."""

from tbot_bot.assembly.session_parts import (
    broker_names,
    float_targets,
    risk_limits,
    screener_for,
    session_spec,
    simulated_brokers,
)
from tbot_bot.runtime.market_source import market_day_of

__all__ = [
    "broker_names",
    "float_targets",
    "market_day_of",
    "risk_limits",
    "screener_for",
    "session_spec",
    "simulated_brokers",
]
