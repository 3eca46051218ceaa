"""Where the embedded market of a day comes from: recorded bars, or a seed."""

from datetime import date
from pathlib import Path
from typing import Final

from tbot_bot.config.choices import BrokerMode, TestModeVenue
from tbot_bot.config.env_bot import BotSettings
from tbot_bot.config.error_handler import BrokerError
from tbot_bot.core.market_day import MarketDay

DEFAULT_SEED: Final = 1
"""Of the synthetic market, where nobody has named one."""


def is_embedded(bot: BotSettings) -> bool:
    """Return whether sessions run on an embedded market; else on the market as it is, by the real clock."""
    return bot.test_mode and bot.test_mode_venue is TestModeVenue.SIMULATOR


def refuse_live_accounts(bot: BotSettings) -> None:
    """Stop whatever would trade a live account: what closes everything without a runner is not proven at one yet.

    Raises:
        BrokerError: an enabled broker is in live mode, outside test mode.
    """
    modes = {"ALPACA_MODE": (bot.alpaca_enabled, bot.alpaca_mode), "IBKR_MODE": (bot.ibkr_enabled, bot.ibkr_mode)}
    live = [name for name, (enabled, mode) in modes.items() if enabled and mode is BrokerMode.LIVE]
    if live and not bot.test_mode:
        raise BrokerError(
            "this version trades paper accounts only: the dead-man path and the guard are not proven at a live account",
            where=" and ".join(live),
            mend="Set it to paper.",
        )


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
