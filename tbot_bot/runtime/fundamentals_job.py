"""The nightly refresh of the fundamentals: a process of its own, so that the supervisor stays small.

It may be killed at any time and goes on where it ended; two of them never run at once.
"""

import asyncio
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tbot_bot.config.choices import TestModeVenue
from tbot_bot.config.error_handler import ConfigError, ConfigProblem, DataError, TbotError
from tbot_bot.config.named_files import universe_symbols
from tbot_bot.config.settings import Settings
from tbot_bot.core.screen_sources import Listing, ListingSource

HOURS_UTC: Final = "5-11"
"""After New York's evening trading has ended and the vendors have counted the day; each hour after the first takes up
what the one before it left undone, and the last is before the bell."""
MINUTE_UTC: Final = 20
_LOCK: Final = "fundamentals.lock"


class UnderWay(DataError):
    """Another process refreshes already."""

    code = "UNDER_WAY"


@dataclass(frozen=True, slots=True, kw_only=True)
class RefreshReport:
    """What one refresh came to."""

    symbols: int
    """Symbols that should be known."""
    due: int
    done: int
    failed: int
    usable: int
    """Symbols whose figures are now young enough to decide by."""
    ended: str
    """Why it ended before its time; empty: it did not."""

    def __str__(self) -> str:
        """Return it in words."""
        words = f"fundamentals: {self.done} of {self.due} due symbols refreshed, {self.failed} failed and asked again"
        words += f" later, {self.usable} of {self.symbols} usable"
        return f"{words}; ended early: {self.ended}" if self.ended else words


def wanted_nightly(settings: Settings) -> bool:
    """Return whether a supervisor refreshes: there is a key, and sessions look at a real market."""
    embedded = settings.bot.test_mode and settings.bot.test_mode_venue is TestModeVenue.SIMULATOR
    return bool(settings.env.finnhub_api_key.get_secret_value()) and not embedded


def command(home: Path) -> Sequence[str]:
    """Return what the supervisor starts; the child reads the settings of `home` by itself."""
    return (sys.executable, "-m", "tbot_bot.runtime.fundamentals_job", str(home))


async def refresh_fundamentals(settings: Settings, progress: Callable[[int, int], None]) -> RefreshReport:
    """Bring the cache up to date for `UNIVERSE`, or for all that may be traded.

    Raises:
        ConfigError: there is no key of Finnhub.
        UnderWay: another refresh is.
        DataError: no list of symbols can be had, or the cache cannot be used.
        VendorKeysRefused: Finnhub or Alpaca does not know the key.
    """
    from tbot_bot.marketdata.fundamentals_refresh import refresh  # noqa: PLC0415 - the supervisor does without
    from tbot_bot.runtime.clock import wall_now  # noqa: PLC0415
    from tbot_bot.runtime.live_sources import cache_folder, live_sources, open_cache  # noqa: PLC0415
    from tbot_bot.runtime.locks import AlreadyRunning, Lock  # noqa: PLC0415

    if not settings.env.finnhub_api_key.get_secret_value():
        mend = "put the key of your Finnhub account there; the free plan is enough"
        problem = ConfigProblem(file=".env", variable="FINNHUB_API_KEY", expected="a key of Finnhub", mend=mend)
        raise ConfigError([problem])
    folder = cache_folder(settings.home)
    folder.mkdir(parents=True, exist_ok=True)
    lock = Lock(folder / _LOCK)
    try:
        lock.take()
    except AlreadyRunning as error:
        what = f"a refresh is under way already (pid {error.pid or 'unknown'})"
        raise UnderWay(what, mend="Let it end; it goes on where the one before it ended.") from None
    try:
        with open_cache(settings.home) as cache:
            async with live_sources(settings) as sources:
                universe = universe_symbols(settings.home, settings.bot.universe)
                listings = () if universe else await first_listings(sources.listings)
                if listings:
                    cache.keep_listings(listings, wall_now())
                symbols = universe or tuple(one.symbol for one in listings if one.tradable is not False)
                assert sources.finnhub is not None  # noqa: S101 - there is a key: asked above
                done = await refresh(cache, sources.finnhub, symbols, now=wall_now, progress=progress)
            known, now = cache.facts(), wall_now()
            usable = sum(1 for symbol in symbols if symbol in known and known[symbol].usable(now))
    finally:
        lock.release()
    return RefreshReport(
        symbols=len(symbols), due=done.wanted, done=done.done, failed=done.failed, usable=usable, ended=done.ended
    )


async def first_listings(sources: tuple[ListingSource, ...]) -> tuple[Listing, ...]:
    """Return the list of the first source that answers.

    Raises:
        TbotError: what the last one said; at once where keys are refused.
    """
    from tbot_bot.config.vendor_errors import VendorKeysRefused  # noqa: PLC0415 - the supervisor does without

    for number, source in enumerate(sources, start=1):
        try:
            return await source.listings()
        except VendorKeysRefused:
            raise
        except TbotError:
            if number == len(sources):
                raise
    raise DataError("nobody lists symbols", mend="Set UNIVERSE, or give the keys of a vendor in .env.")


def main(home: Path) -> int:
    """Refresh once and say on stdout what came of it; the exit status is that of the command line."""
    from tbot_bot.config.settings import load_settings  # noqa: PLC0415 - the supervisor has them already
    from tbot_bot.runtime.cli_output import DONE, FAILED, status_of  # noqa: PLC0415
    from tbot_bot.runtime.last_resort import scrubbed_output  # noqa: PLC0415

    with scrubbed_output():
        try:
            report = asyncio.run(refresh_fundamentals(load_settings(home, {}), lambda _done, _of: None))
        except UnderWay as error:  # of a supervisor before this one: it does what we would do
            sys.stdout.write(f"{error}\n")
            return DONE
        except TbotError as error:
            sys.stdout.write(f"fundamentals were not refreshed: {error}\n")
            return status_of(error)
        sys.stdout.write(f"{report}\n")
        return FAILED if report.ended else DONE


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))


__all__ = ["HOURS_UTC", "MINUTE_UTC", "RefreshReport", "UnderWay", "command", "first_listings", "main",
           "refresh_fundamentals", "wanted_nightly"]  # fmt: skip
