"""Where the embedded market of a day comes from: recorded bars, or a seed."""

from datetime import date
from pathlib import Path
from typing import Final

from tbot_bot.config.choices import TestModeVenue
from tbot_bot.config.env_bot import BotSettings
from tbot_bot.core.market_day import MarketDay

DEFAULT_SEED: Final = 1
"""Of the synthetic market, where nobody has named one."""


def is_embedded(bot: BotSettings) -> bool:
    """Return whether sessions run on an embedded market; else on the market as it is, by the real clock."""
    return bot.test_mode and bot.test_mode_venue is TestModeVenue.SIMULATOR


def market_day_of(day: date, *, data: Path | None, vix: Path | None, seed: int | None) -> MarketDay:
    """Return the embedded market of `day`: recorded where `data` names bars, else synthetic by `seed`.

    Raises:
        DataError: the recorded data cannot be used for this day.
    """
    if data is None:
        from tbot_bot.marketdata.synthetic import SyntheticMarket  # noqa: PLC0415 - one of the two is enough

        return SyntheticMarket(DEFAULT_SEED if seed is None else seed, day)
    from tbot_bot.marketdata.recorded_loader import load_day  # noqa: PLC0415 - needs numpy, which a daemon does without

    return load_day(data, day, vix=vix)
