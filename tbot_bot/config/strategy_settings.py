"""The `.env_bot` variables of the three strategies, of bearish instruments, and of what surrounds trading."""

from datetime import time
from decimal import Decimal
from pathlib import Path
from typing import Annotated, ClassVar

from tbot_bot.config.choices import GuardPolicy, LedgerExportMode, VixSource
from tbot_bot.config.fields import (
    Kind,
    choice,
    clock,
    duration,
    flag,
    fraction,
    number,
    relative_path,
    whole,
    words,
)
from tbot_bot.config.model import SettingsGroup
from tbot_bot.core.instants import MINUTE, SECOND, Duration
from tbot_bot.core.orders import ShortType

_MOST_MONEY = "100000000000000"
_SHORT = choice(ShortType, "How bearish signals are traded.")
_START = clock("Start of the analysis; SESSION_ANCHOR says how it moves with daylight saving.")
_GAP = fraction("Widest gap since the previous close.", "0", "1", "of that close")  # so 10 is not taken for 10 %
_SMALLEST = number("Smallest company that is traded.", "0", _MOST_MONEY, "dollars of market cap")
_LARGEST = number("Largest company that is traded.", "0", _MOST_MONEY, "dollars of market cap")


def _stop(description: str) -> Kind:
    return fraction(description, "0.0001", "0.5", "of the price")


def _minutes(description: str) -> Kind:
    return duration(description, MINUTE, Duration(390 * MINUTE), MINUTE)


_ANALYSIS = _minutes("How long prices are watched before entries.")
_BREAKOUT = _minutes("How long entries are made after the analysis.")
_MONITORING = _minutes("How long a position is held at most, counted from its entry.")


class Open(SettingsGroup):
    """OPEN: opening range breakout."""

    title: ClassVar[str] = "Strategy OPEN: opening range breakout"

    strat_open_enabled: Annotated[bool, flag("Run the OPEN session.")] = True
    start_time_open: Annotated[time, _START] = time(14, 30)
    open_analysis_time: Annotated[Duration, _ANALYSIS] = Duration(20 * MINUTE)
    open_breakout_time: Annotated[Duration, _BREAKOUT] = Duration(10 * MINUTE)
    open_monitoring_time: Annotated[Duration, _MONITORING] = Duration(30 * MINUTE)
    short_type_open: Annotated[ShortType, _SHORT] = ShortType.LONG_PUT
    max_gap_pct_open: Annotated[Decimal, _GAP] = Decimal("0.1")
    min_market_cap_open: Annotated[Decimal, _SMALLEST] = Decimal(2_000_000_000)
    max_market_cap_open: Annotated[Decimal, _LARGEST] = Decimal(10_000_000_000)
    strat_open_buffer: Annotated[
        Decimal, fraction("How far beyond the range a price must break out.", "0", "0.5", "of the range's edge")
    ] = Decimal("0.02")
    open_trailing_stop_pct: Annotated[Decimal, _stop("Trailing stop, from the best price since entry.")] = Decimal(
        "0.02"
    )


class Mid(SettingsGroup):
    """MID: reversion to the day's volume-weighted average price."""

    title: ClassVar[str] = "Strategy MID: VWAP mean reversion"

    strat_mid_enabled: Annotated[bool, flag("Run the MID session.")] = True
    start_time_mid: Annotated[time, _START] = time(15, 30)
    mid_analysis_time: Annotated[Duration, _ANALYSIS] = Duration(10 * MINUTE)
    mid_breakout_time: Annotated[Duration, _BREAKOUT] = Duration(10 * MINUTE)
    mid_monitoring_time: Annotated[Duration, _MONITORING] = Duration(45 * MINUTE)
    short_type_mid: Annotated[ShortType, _SHORT] = ShortType.INVERSE_ETF
    max_gap_pct_mid: Annotated[Decimal, _GAP] = Decimal("0.1")
    min_market_cap_mid: Annotated[Decimal, _SMALLEST] = Decimal(2_000_000_000)
    max_market_cap_mid: Annotated[Decimal, _LARGEST] = Decimal(10_000_000_000)
    strat_mid_vwap_threshold: Annotated[
        Decimal, fraction("Distance from VWAP that is a signal.", "0.0001", "0.5", "of VWAP")
    ] = Decimal("0.02")
    mid_stop_loss_pct: Annotated[Decimal, _stop("Stop, from the entry price.")] = Decimal("0.015")
    adx_filter_enabled: Annotated[bool, flag("Block entries while the market trends.")] = True
    adx_max: Annotated[Decimal, number("Strongest trend at which entries are made.", "0", "100", "ADX points")] = (
        Decimal(25)
    )
    bollinger_filter_enabled: Annotated[bool, flag("Block entries inside the Bollinger band.")] = True
    bollinger_stddev: Annotated[Decimal, number("Half-width of the band.", "0.1", "10", "standard deviations")] = (
        Decimal(2)
    )


class Close(SettingsGroup):
    """CLOSE: momentum of the day's end, or its fade."""

    title: ClassVar[str] = "Strategy CLOSE: end-of-day momentum or fade"

    strat_close_enabled: Annotated[bool, flag("Run the CLOSE session.")] = True
    start_time_close: Annotated[time, _START] = time(19, 30)
    close_analysis_time: Annotated[Duration, _ANALYSIS] = Duration(10 * MINUTE)
    close_breakout_time: Annotated[Duration, _BREAKOUT] = Duration(10 * MINUTE)
    close_monitoring_time: Annotated[Duration, _MONITORING] = Duration(30 * MINUTE)
    short_type_close: Annotated[ShortType, _SHORT] = ShortType.LONG_PUT
    max_gap_pct_close: Annotated[Decimal, _GAP] = Decimal("0.1")
    min_market_cap_close: Annotated[Decimal, _SMALLEST] = Decimal(2_000_000_000)
    max_market_cap_close: Annotated[Decimal, _LARGEST] = Decimal(10_000_000_000)
    strat_close_vix_threshold: Annotated[
        Decimal, number("The session trades only while the VIX is above this.", "0", "200", "index points")
    ] = Decimal(15)
    close_stop_loss_pct: Annotated[Decimal, _stop("Stop, from the entry price.")] = Decimal("0.02")
    close_momentum_pct: Annotated[
        Decimal, fraction("Least move of the day that is followed.", "0.0001", "0.5", "of the opening price")
    ] = Decimal("0.01")
    close_fade_z: Annotated[
        Decimal, number("Move of the analysis window that is faded.", "0.1", "20", "standard deviations")
    ] = Decimal("3.0")
    vix_source: Annotated[VixSource, choice(VixSource, "Where the VIX is read.")] = VixSource.AUTO
    imbalance_filter_enabled: Annotated[
        bool, flag("Block entries against a strong closing-auction imbalance, where IBKR reports one.")
    ] = True


class Bearish(SettingsGroup):
    """What stands for a short position."""

    title: ClassVar[str] = "Bearish instruments"

    inverse_etf_map: Annotated[
        Path | None,
        relative_path("Your own table kind,key,etf; empty: the one shipped with the program.", may_be_empty=True),
    ] = None
    inverse_etf_default: Annotated[
        str,
        words(
            "Inverse ETF for what the map does not know; empty: such signals are dropped.",
            "nothing, or one symbol in upper case",
            r"|[A-Z][A-Z0-9]{0,9}",
        ),
    ] = ""
    put_min_dte: Annotated[int, whole("Least time a bought put has left.", 0, 365, "calendar days")] = 7
    put_max_spread_pct: Annotated[
        Decimal, fraction("Widest gap between a put's bid and ask.", "0.001", "1", "of its middle price")
    ] = Decimal("0.05")
    put_target_delta: Annotated[
        Decimal, number("Sensitivity of the put that is chosen, negative for puts.", "-0.95", "-0.05")
    ] = Decimal("-0.5")


class Notices(SettingsGroup):
    """Whom to tell what."""

    title: ClassVar[str] = "Notices and ledger"

    notify_on_fill: Annotated[bool, flag("Alert at each entry.")] = True
    notify_on_exit: Annotated[bool, flag("Alert at each exit.")] = True
    alerts_in_test_mode: Annotated[bool, flag("Alert in test mode too.")] = False
    ledger_export_mode: Annotated[
        LedgerExportMode, choice(LedgerExportMode, "Whether the accountant's ledger is written after each day.")
    ] = LedgerExportMode.AUTO


class Defense(SettingsGroup):
    """Smaller trading after bad weeks."""

    title: ClassVar[str] = "Defense mode"

    defense_mode_active: Annotated[bool, flag("Force defense mode on; false leaves the decision to the program.")] = (
        False
    )
    defense_mode_trade_limit_pct: Annotated[int, whole("How many of the normal trades remain.", 1, 100, "percent")] = 66
    defense_mode_total_allocation: Annotated[
        Decimal, fraction("Budget of one session in defense mode.", "0.0001", "1", "of the broker's float")
    ] = Decimal("0.01")


class Assurance(SettingsGroup):
    """How long things are kept, and who watches the watcher."""

    title: ClassVar[str] = "Retention and assurance"

    log_retention_days: Annotated[int, whole("How long logs are kept.", 1, 3650, "days")] = 7
    backup_retention_days: Annotated[int, whole("How long backups are kept.", 1, 36_500, "days")] = 365
    guard_timeout: Annotated[
        Duration,
        duration(
            "Silence of the bot, with a position open, at which the guard acts.",
            Duration(5 * SECOND),
            Duration(3600 * SECOND),
            SECOND,
        ),
    ] = Duration(60 * SECOND)
    guard_policy: Annotated[GuardPolicy, choice(GuardPolicy, "What the guard then does.")] = GuardPolicy.FLATTEN
    canary_live: Annotated[
        bool, flag("Before the open, also prove a live account with an order far from the market, cancelled at once.")
    ] = False
    metrics_port: Annotated[int, whole("Port for metrics on this machine; 0: off.", 0, 65_535)] = 0
