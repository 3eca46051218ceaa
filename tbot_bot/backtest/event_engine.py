"""The event engine: every step of every day through the live engine and the simulated venue. The reference."""

from collections.abc import Iterator

from tbot_bot.assembly.embedded_market import EmbeddedMarket
from tbot_bot.backtest.campaign import Accounts, DueSession, Found, Setting, run_days
from tbot_bot.backtest.session_driver import SessionDriver, drive_alone
from tbot_bot.core.events import EarlierToday
from tbot_bot.core.instants import Instant, later
from tbot_bot.core.market_day import MarketDay


def run_event_engine(setting: Setting, days: Iterator[MarketDay]) -> Found:
    """Run every session of `days`, bar by bar."""
    return run_days(setting, days, drive_densely, count_bars)


def drive_densely(due: DueSession, day: MarketDay, earlier: EarlierToday, accounts: Accounts) -> SessionDriver:
    """Drive one session over all steps of its day."""
    spec = due.spec
    market = EmbeddedMarket(day, due.screener())
    driver = SessionDriver(spec, market, accounts.venues)
    at = spec.windows.screen_at
    since = min((venue.last_step or spec.windows.bell for venue in accounts.venues.values()), default=at)
    drive_alone(market.steps(max(Instant(since), spec.windows.bell)), accounts.venues.values(), at)
    driver.begin(earlier, market.screen(at))
    driver.run(market.steps(later(at, 1 - day.span)))
    return driver


def count_bars(day: MarketDay) -> int:
    """Return how many regular bars `day` holds."""
    return sum(len(piece.bars) for piece in day.slices())
