"""`tbot screen --live`: each session's screener over the market as it is now, without running a session."""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from pathlib import Path

from tbot_bot.config.error_handler import DataError, TbotError
from tbot_bot.config.inverse_etf import load_inverse_etf_map
from tbot_bot.config.named_files import blocked_symbols, universe_symbols
from tbot_bot.config.settings import Settings, load_settings
from tbot_bot.config.vendor_errors import VendorKeysRefused
from tbot_bot.core.calendar import exchange_time, is_trading_day, next_trading_day
from tbot_bot.core.identity import StrategyName
from tbot_bot.core.instants import Duration, Instant
from tbot_bot.core.screen_sources import Listing
from tbot_bot.core.screening import Fundamentals
from tbot_bot.core.token_bucket import Turns
from tbot_bot.marketdata.fundamentals_cache import LISTINGS_AGE_MAX, FundamentalsCache, KnownFacts
from tbot_bot.runtime.clock import wall_now
from tbot_bot.runtime.fundamentals_job import first_listings
from tbot_bot.runtime.live_sources import LiveSources, live_sources, open_cache
from tbot_bot.runtime.requests import Overrides
from tbot_bot.runtime.schedule import plan_day, schedule_rules
from tbot_bot.runtime.screen_now import SessionScreen
from tbot_bot.screeners.finnhub_screener import CachedFacts, Gathered, gather, screen, worth_asking
from tbot_bot.screeners.rules import ScreenRules


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveScreens:
    """The verdicts of each session, and how they came about."""

    screens: tuple[SessionScreen, ...]
    notes: tuple[str, ...]
    """What the operator should know: sources that were switched, lists and figures that are old."""
    sources: Mapping[str, int]
    """Symbols that were priced, by source."""
    asked: Mapping[str, int]
    """Requests that were made, by interface."""


async def screen_live(
    home: Path,
    session: StrategyName | None,
    *,
    symbol: str = "",
    overrides: Overrides = (),
    progress: Callable[[int, int], None] = lambda _done, _of: None,
) -> LiveScreens:
    """Return what the screener says of every symbol now, or of `symbol` alone, for each session of the day.

    Raises:
        ConfigError: the settings cannot be used, or give no key.
        VendorKeysRefused: a vendor does not know a key.
        DataError: no such session, or no list of symbols can be had.
    """
    settings = load_settings(home, dict(overrides), defaults_if_absent=True)
    return await screen_settings(settings, session, symbol=symbol, progress=progress)


async def screen_settings(
    settings: Settings,
    session: StrategyName | None,
    *,
    symbol: str = "",
    progress: Callable[[int, int], None] = lambda _done, _of: None,
    alpaca: Turns | None = None,
) -> LiveScreens:
    """Do the same by settings that have been read: a session keeps those that it was begun with; raises the same.

    `alpaca`: the turns that a session trades by, which the screen takes as well.
    """
    with open_cache(settings.home) as cache:
        async with live_sources(settings, alpaca) as sources:
            at = await sources.now()
            rules = _rules(settings, session, symbol, market_day(at))
            gathered, notes = await _gathered(settings, sources, cache, rules, symbol, at, progress)
            asked = dict(sources.asked)
    screens = []
    for strategy, limits in rules.items():
        verdicts = screen(gathered, strategy, limits)
        candidates = sum(verdict.rank > 0 for verdict in verdicts)
        screens.append(
            SessionScreen(day=gathered.day, strategy=strategy, at=at, candidates=candidates, verdicts=verdicts)
        )
    by_source = Counter(reading.source for reading in gathered.readings.values())
    return LiveScreens(screens=tuple(screens), notes=notes, sources=by_source, asked=asked)


def _rules(
    settings: Settings, session: StrategyName | None, symbol: str, day: date
) -> Mapping[StrategyName, ScreenRules]:
    sessions = [one.strategy for one in plan_day(schedule_rules(settings.bot), day).sessions]
    chosen = [strategy for strategy in sessions if session in {None, strategy}]
    if not chosen:
        raise DataError(
            f"no such session on {day.isoformat()}: there are {', '.join(sessions) or 'none'}",
            mend="TRADING_DAYS, STRATEGY_SEQUENCE and STRAT_S_ENABLED say which sessions a day has.",
        )
    return {strategy: live_rules(settings, strategy, symbol) for strategy in chosen}


def market_day(at: Instant) -> date:
    """Return the trading day that a screen at `at` is for: today's in New York, or the next one."""
    today = exchange_time(at).date()
    return today if is_trading_day(today) else next_trading_day(today)


def live_rules(settings: Settings, strategy: StrategyName, symbol: str = "") -> ScreenRules:
    """Return the limits of one session's live screen, of `symbol` alone where one is given.

    Raises:
        ConfigError: a file that the settings name cannot be used.
    """
    bot, home = settings.bot, settings.home
    own = bot.strategy(strategy)
    inverse = load_inverse_etf_map(bot.inverse_etf_map and home / bot.inverse_etf_map)
    funds = {*inverse.by_symbol.values(), *inverse.by_sector.values()}
    funds |= {bot.inverse_etf_default} if bot.inverse_etf_default else set()
    return ScreenRules(
        min_price=bot.min_price,
        max_price=bot.max_price,
        min_volume=Decimal(bot.min_volume_threshold),
        max_gap=own.max_gap_pct,
        min_market_cap=own.min_market_cap,
        max_market_cap=own.max_market_cap,
        max_candidates=bot.screener_max_candidates,
        universe=(symbol,) if symbol else universe_symbols(home, bot.universe),
        excluded=frozenset(funds),
        blocked=frozenset(blocked_symbols(home)),
        fractions=bot.fractional,
        test_mode=bot.test_mode,
    )


async def _gathered(
    settings: Settings,
    sources: LiveSources,
    cache: FundamentalsCache,
    rules: Mapping[StrategyName, ScreenRules],
    symbol: str,
    at: Instant,
    progress: Callable[[int, int], None],
) -> tuple[Gathered, tuple[str, ...]]:
    universe = (symbol,) if symbol else universe_symbols(settings.home, settings.bot.universe)
    listed, notes = await _listed(sources, cache)
    listings = {one.symbol: one for one in listed if not universe or one.symbol in frozenset(universe)}
    now = wall_now()
    cached = (_cached(known, now) for known in cache.facts().values())
    facts = {one.facts.symbol: one for one in cached if one is not None}
    done = 0

    def told(count: int) -> None:
        nonlocal done
        done += count
        progress(done, len(listings))

    worth = worth_asking(facts, rules.values())
    gathered = await gather(listings, facts, sources.prices, day=market_day(at), at=at, worth=worth, progress=told)
    usable = sum(1 for one in listings if one in facts and facts[one].usable)
    if usable < len(listings):
        lacking = f"{len(listings) - usable} of {len(listings)} symbols have no usable fundamentals"
        notes.append(f"{lacking}: `tbot fundamentals refresh` fetches them, and so does the supervisor every night")
    return gathered, (*map(str, gathered.switches), *notes)


async def _listed(sources: LiveSources, cache: FundamentalsCache) -> tuple[tuple[Listing, ...], list[str]]:
    """Return which symbols there are; where nobody answers, as it was known a short while ago."""
    now = wall_now()
    try:
        found = await first_listings(sources.listings)
    except VendorKeysRefused:
        raise
    except TbotError as error:
        kept, at = cache.listings()
        if at is None or now - at > LISTINGS_AGE_MAX:
            raise
        return kept, [f"the list of symbols is of an earlier day, since nobody answers: {error}"]
    cache.keep_listings(found, now)
    first, told = sources.listings[0].name, found[0].source if found else ""
    return found, [f"{first} does not list its symbols; {told} does"] if told not in {"", first} else []


def _cached(known: KnownFacts, now: Instant) -> CachedFacts | None:
    if known.facts_at is None:
        return None
    facts = Fundamentals(
        symbol=known.symbol, market_cap=known.market_cap, average_volume=known.average_volume, sector=known.sector
    )
    age = Duration(max(now - known.facts_at, 0))
    return CachedFacts(facts=facts, source=known.facts_source, age=age, usable=known.usable(now))


__all__ = ["LiveScreens", "live_rules", "market_day", "screen_live", "screen_settings"]
