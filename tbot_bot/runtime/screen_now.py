"""`tbot screen`: each session's screener over one embedded day, without running a session."""

from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path

from tbot_bot.config.error_handler import DataError
from tbot_bot.config.inverse_etf import load_inverse_etf_map
from tbot_bot.config.settings import Settings, load_settings
from tbot_bot.core.calendar import trading_day
from tbot_bot.core.identity import Mode, SessionId, StrategyName
from tbot_bot.core.instants import Duration, Instant
from tbot_bot.core.market_day import MarketDay
from tbot_bot.core.screening import Verdict
from tbot_bot.runtime.bootstrap import market_day_of, screener_for, session_spec
from tbot_bot.runtime.requests import REHEARSAL_DAY, REHEARSAL_SEED, Overrides
from tbot_bot.runtime.schedule import PlannedSession, plan_day, schedule_rules


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What to screen; without anything, what `tbot run --rehearsal` screens."""

    day: date | None = None
    data: Path | None = None
    seed: int | None = None
    session: StrategyName | None = None
    """None: each session of the day."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionScreen:
    """The verdicts of one session's screener, sorted by symbol."""

    day: date
    strategy: StrategyName
    at: Instant
    """As of when: the session's own screening time."""
    candidates: int
    verdicts: tuple[Verdict, ...]

    def ranked(self) -> tuple[Verdict, ...]:
        """Return the candidates by rank, then what was cut, then what failed."""
        return tuple(
            sorted(
                self.verdicts, key=lambda verdict: (not verdict.rank, verdict.rank, not verdict.passed, verdict.symbol)
            )
        )


def screen_day(home: Path, wanted: Wanted, *, overrides: Overrides = ()) -> tuple[SessionScreen, ...]:
    """Return what the screener says of every symbol, for each session of the day, in their order.

    Raises:
        ConfigError: the settings, or what `overrides` make of them, cannot be used.
        NotATradingDay: New York does not trade on the day.
        DataError: the data cannot be used for this day, or the session is not one of it.
    """
    settings = load_settings(home, dict(overrides), defaults_if_absent=True)
    day = wanted.day or REHEARSAL_DAY
    trading_day(day)
    sessions = plan_day(schedule_rules(settings.bot), day).sessions
    chosen = [planned for planned in sessions if wanted.session in {None, planned.strategy}]
    if not chosen:
        there = ", ".join(planned.strategy.value for planned in sessions) or "none"
        raise DataError(
            f"no such session on {day.isoformat()}: there are {there}",
            mend="TRADING_DAYS, STRATEGY_SEQUENCE and STRAT_S_ENABLED say which sessions a day has.",
        )
    seed = REHEARSAL_SEED if wanted.data is None and wanted.seed is None else wanted.seed
    market = market_day_of(day, data=wanted.data, vix=None, seed=seed)
    return tuple(_screen(settings, planned, market) for planned in chosen)


def only(found: SessionScreen, symbol: str) -> SessionScreen:
    """Return `found` with the verdict on `symbol` alone."""
    return replace(found, verdicts=tuple(verdict for verdict in found.verdicts if verdict.symbol == symbol))


def _screen(settings: Settings, planned: PlannedSession, market: MarketDay) -> SessionScreen:
    day = market.day.day
    inverse = load_inverse_etf_map(settings.bot.inverse_etf_map and settings.home / settings.bot.inverse_etf_map)
    spec = session_spec(
        settings.bot,
        planned,
        session=SessionId(day=day, strategy=planned.strategy),
        mode=Mode.PAPER,
        bar_span=Duration(market.span),
        inverse=inverse,
        settings_fingerprint="",
    )
    at = planned.windows.screen_at
    verdicts = screener_for(settings, spec).screen(market, at)
    candidates = sum(verdict.rank > 0 for verdict in verdicts)
    return SessionScreen(day=day, strategy=planned.strategy, at=at, candidates=candidates, verdicts=verdicts)
