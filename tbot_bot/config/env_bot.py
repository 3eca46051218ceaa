"""How to trade: every variable of `.env_bot`, as one frozen model."""

from dataclasses import dataclass
from datetime import time
from decimal import Decimal

from tbot_bot.config.strategy_settings import Assurance, Bearish, Close, Defense, Mid, Notices, Open
from tbot_bot.config.trade_settings import Brokers, Capital, Execution, Filters, General, Timing
from tbot_bot.core.identity import StrategyName
from tbot_bot.core.instants import Duration
from tbot_bot.core.orders import ShortType


@dataclass(frozen=True, slots=True, kw_only=True)
class StrategySettings:
    """What the three strategies have in common; the variable behind each field carries the strategy's name."""

    name: StrategyName
    enabled: bool
    start_time: time
    """UTC, as written: SESSION_ANCHOR says how it moves with daylight saving."""
    analysis_time: Duration
    breakout_time: Duration
    monitoring_time: Duration
    short_type: ShortType
    max_gap_pct: Decimal
    """Of the previous close, as a fraction."""
    min_market_cap: Decimal
    max_market_cap: Decimal

    @property
    def window(self) -> Duration:
        """Return how long the session can last: an entry at the last moment, held to the end."""
        return Duration(self.analysis_time + self.breakout_time + self.monitoring_time)


class BotSettings(
    General,
    Execution,
    Capital,
    Filters,
    Brokers,
    Timing,
    Open,
    Mid,
    Close,
    Bearish,
    Notices,
    Defense,
    Assurance,
):
    """How to trade. Build it with `load_settings`, which also makes the cross checks."""

    def strategy(self, name: StrategyName) -> StrategySettings:
        """Return the settings that every strategy has, for `name`."""
        match name:
            case StrategyName.OPEN:
                return self._open()
            case StrategyName.MID:
                return self._mid()
            case StrategyName.CLOSE:
                return self._close()

    @property
    def strategies(self) -> tuple[StrategyName, ...]:
        """Return the sessions of a day in order: the override, else the sequence, without those disabled."""
        chosen = self.strategy_override or self.strategy_sequence
        return tuple(name for name in chosen if self.strategy(name).enabled)

    @property
    def enabled_brokers(self) -> tuple[str, ...]:
        """Return the names of the enabled brokers, in order of configuration."""
        switches = {
            "alpaca": self.alpaca_enabled,
            "ibkr": self.ibkr_enabled,
            "tradier": self.tradier_enabled,
            "webull": self.webull_enabled,
            "robinhood": self.robinhood_enabled,
        }
        return tuple(name for name, on in switches.items() if on)

    def _open(self) -> StrategySettings:
        return StrategySettings(
            name=StrategyName.OPEN,
            enabled=self.strat_open_enabled,
            start_time=self.start_time_open,
            analysis_time=self.open_analysis_time,
            breakout_time=self.open_breakout_time,
            monitoring_time=self.open_monitoring_time,
            short_type=self.short_type_open,
            max_gap_pct=self.max_gap_pct_open,
            min_market_cap=self.min_market_cap_open,
            max_market_cap=self.max_market_cap_open,
        )

    def _mid(self) -> StrategySettings:
        return StrategySettings(
            name=StrategyName.MID,
            enabled=self.strat_mid_enabled,
            start_time=self.start_time_mid,
            analysis_time=self.mid_analysis_time,
            breakout_time=self.mid_breakout_time,
            monitoring_time=self.mid_monitoring_time,
            short_type=self.short_type_mid,
            max_gap_pct=self.max_gap_pct_mid,
            min_market_cap=self.min_market_cap_mid,
            max_market_cap=self.max_market_cap_mid,
        )

    def _close(self) -> StrategySettings:
        return StrategySettings(
            name=StrategyName.CLOSE,
            enabled=self.strat_close_enabled,
            start_time=self.start_time_close,
            analysis_time=self.close_analysis_time,
            breakout_time=self.close_breakout_time,
            monitoring_time=self.close_monitoring_time,
            short_type=self.short_type_close,
            max_gap_pct=self.max_gap_pct_close,
            min_market_cap=self.min_market_cap_close,
            max_market_cap=self.max_market_cap_close,
        )
