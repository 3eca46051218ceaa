"""Brings the fundamentals cache up to date, symbol after symbol, as the vendor's limit allows.

One symbol that fails is noted and asked again later; it keeps nothing waiting. Refused keys end it at once, and so
does a vendor that answers nobody: what was done stays, and the next run goes on from there.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Final, Protocol

from tbot_bot.config.error_handler import TbotError
from tbot_bot.config.scrub import scrub
from tbot_bot.config.vendor_errors import VendorKeysRefused, VendorNotUnderstood, VendorRefused, VendorUnavailable
from tbot_bot.core.instants import Instant
from tbot_bot.marketdata.finnhub import Figures, Profile
from tbot_bot.marketdata.fundamentals_cache import FundamentalsCache, KnownFacts

SILENT_MAX: Final = 8
"""Symbols in a row without any answer after which the vendor is taken to be away."""


class FactSource(Protocol):
    """Tells slow facts; raises what `vendor_http` raises."""

    name: str

    async def figures(self, symbol: str) -> Figures:
        """Return the key figures."""
        ...

    async def profile(self, symbol: str) -> Profile:
        """Return the profile."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Refreshed:
    """What a refresh came to."""

    wanted: int
    """Symbols that were due."""
    done: int
    failed: int
    """Symbols that are noted as failed, and asked again later."""
    ended: str = ""
    """Why it ended before its time; empty: all that were due were asked."""


async def refresh(
    cache: FundamentalsCache,
    source: FactSource,
    symbols: Iterable[str],
    *,
    now: Callable[[], Instant],
    progress: Callable[[int, int], None] = lambda _done, _of: None,
) -> Refreshed:
    """Ask about every symbol that is due; `progress` hears how many of how many were asked.

    Raises:
        VendorKeysRefused: the vendor does not know the key; nothing more was asked.
        DataError: the cache cannot be written.
    """
    due = cache.due(symbols, now())
    done = failed = silent = 0
    for number, symbol in enumerate(due, start=1):
        known = cache.facts_of(symbol)
        if not known.due(now()):  # somebody else was faster
            continue
        try:
            known = await _asked(known, source, now)
        except VendorKeysRefused:
            raise
        except TbotError as error:
            failed += 1
            silent = silent + 1 if isinstance(error, VendorUnavailable) else 0
            failure = scrub(str(error))
            cache.keep(replace(known, failures=known.failures + 1, failure=failure, failed_at=now()))
            if silent >= SILENT_MAX:
                ended = f"{source.name} answers nobody: {failure}"
                return Refreshed(wanted=len(due), done=done, failed=failed, ended=ended)
        else:
            cache.keep(known)
            done, silent = done + 1, 0
        progress(number, len(due))
    return Refreshed(wanted=len(due), done=done, failed=failed)


async def _asked(known: KnownFacts, source: FactSource, now: Callable[[], Instant]) -> KnownFacts:
    """Return what is known after asking; a figure that the vendor lacks today is not known today."""
    figures = await source.figures(known.symbol)
    sector, exchange, cap, profile_at = known.sector, known.exchange, figures.market_cap, known.profile_at
    if known.profile_due(now()) or (cap is None and known.market_cap is not None):
        try:
            profile = await source.profile(known.symbol)
        except (VendorRefused, VendorNotUnderstood):  # the figures are what a screen decides by
            profile = Profile(sector="", exchange="", market_cap=None)
        sector, exchange = profile.sector or sector, profile.exchange or exchange
        cap, profile_at = cap or profile.market_cap, now()
    return replace(
        known,
        market_cap=cap,
        average_volume=figures.average_volume,
        facts_at=now(),
        facts_source=source.name,
        sector=sector,
        exchange=exchange,
        profile_at=profile_at,
        failures=0,
        failure="",
        failed_at=None,
    )


__all__ = ["SILENT_MAX", "FactSource", "Refreshed", "refresh"]
