"""The `.env_bot` variables that hold for every strategy: general, execution, capital, filters, brokers, time."""

from decimal import Decimal
from typing import Annotated, ClassVar

from tbot_bot.config.choices import (
    BrokerMode,
    BuildMode,
    EarlyClosePolicy,
    LateStartPolicy,
    LogFormat,
    LogLevel,
    SessionAnchor,
    TestModeVenue,
    Weekday,
)
from tbot_bot.config.fields import (
    Universe,
    choice,
    duration,
    flag,
    fraction,
    number,
    numbers,
    several,
    symbols_or_file,
    whole,
    words,
)
from tbot_bot.config.model import SettingsGroup
from tbot_bot.core.identity import StrategyName
from tbot_bot.core.instants import MILLISECOND, MINUTE, SECOND, Duration
from tbot_bot.core.policies import EntryOrder, Routing, SizingMode

_MOST_MONEY = "1000000000000"


class General(SettingsGroup):
    """What kind of run this is."""

    title: ClassVar[str] = "General"

    version_tag: Annotated[
        str,
        words(
            "Which behaviour you have read about and agree to; must be the tag at the head of VERSION.md.",
            "a tag such as v1.0.0",
            r"v[0-9]{1,4}\.[0-9]{1,4}\.[0-9]{1,4}",
        ),
    ] = "v1.0.0"
    build_mode: Annotated[BuildMode, choice(BuildMode, "Debug runs check more and say more.")] = BuildMode.RELEASE
    disable_all_trades: Annotated[bool, flag("Master switch: while true, no new position is opened anywhere.")] = False
    test_mode: Annotated[bool, flag("Rehearse: no live account can be reached, outputs are marked paper.")] = True
    test_mode_venue: Annotated[
        TestModeVenue, choice(TestModeVenue, "Where orders go in test mode; the simulator needs no network.")
    ] = TestModeVenue.SIMULATOR
    time_compression: Annotated[
        int, whole("How fast the clock runs in test mode.", 1, 3600, "market seconds per real second")
    ] = 60
    force_paper_export: Annotated[
        bool, flag("Send every output to the paper files, whatever the broker; routing stays as it is.")
    ] = False
    debug_log_level: Annotated[LogLevel, choice(LogLevel, "How much the logs say.")] = LogLevel.INFO
    enable_logging: Annotated[bool, flag("Write log files; the journal is written in any case.")] = True
    log_format: Annotated[LogFormat, choice(LogFormat, "How log lines are written.")] = LogFormat.JSON


class Execution(SettingsGroup):
    """How an approved trade is sent."""

    title: ClassVar[str] = "Trade execution"

    trade_confirmation_required: Annotated[
        bool, flag("Hold each signal until somebody confirms it; it lapses with the entry window.")
    ] = False
    api_retry_limit: Annotated[int, whole("How often a failed request that is safe to repeat is repeated.", 0, 20)] = 3
    api_timeout: Annotated[
        Duration, duration("How long a broker or data source may stay silent.", SECOND, Duration(600 * SECOND), SECOND)
    ] = Duration(30 * SECOND)
    fractional: Annotated[bool, flag("Buy fractions of shares where the broker can.")] = True
    entry_order: Annotated[EntryOrder, choice(EntryOrder, "Order type of entries.")] = EntryOrder.MARKETABLE_LIMIT
    max_slippage_pct: Annotated[
        Decimal, fraction("How far beyond the quote an entry's limit may lie.", "0", "0.1", "of the price")
    ] = Decimal("0.003")
    max_spread_pct: Annotated[
        Decimal, fraction("Widest gap between bid and ask at which entries are made.", "0", "0.5", "of the entry price")
    ] = Decimal("0.015")


class Capital(SettingsGroup):
    """How much may be risked."""

    title: ClassVar[str] = "Capital and risk"

    total_allocation: Annotated[
        Decimal, fraction("Budget of one session at one broker.", "0.0001", "1", "of the broker's float")
    ] = Decimal("0.02")
    max_trades: Annotated[int, whole("How many positions one session may open at a broker.", 1, 20, "trades")] = 4
    weights: Annotated[
        tuple[Decimal, ...], numbers("Shares of the budget by rank, one for each of MAX_TRADES; they sum to 1.")
    ] = (Decimal("0.4"), Decimal("0.2"), Decimal("0.2"), Decimal("0.2"))
    max_risk_per_trade: Annotated[
        Decimal, fraction("Most that one trade may spend.", "0.0001", "1", "of account value")
    ] = Decimal("0.025")
    daily_loss_limit: Annotated[
        Decimal, fraction("Loss of a day at which a broker is halted.", "0.0001", "1", "of the day's first float")
    ] = Decimal("0.05")
    max_open_positions: Annotated[int, whole("Most positions at one time, over all brokers.", 1, 100, "positions")] = 5
    max_concurrent_trades_per_broker: Annotated[
        int, whole("Most positions at one time at one broker.", 1, 100, "positions")
    ] = 3
    sizing_mode: Annotated[SizingMode, choice(SizingMode, "What a trade's share of the budget pays for.")] = (
        SizingMode.NOTIONAL
    )
    reserve_fraction: Annotated[Decimal, fraction("What no broker may touch.", "0", "0.99", "of TOTAL_CAPITAL")] = (
        Decimal("0.5")
    )
    total_capital: Annotated[
        Decimal,
        number(
            "What the firm has; has to be written once TEST_MODE is false. A million lets whole option contracts fit.",
            "1",
            _MOST_MONEY,
            "dollars",
        ),
    ] = Decimal(1_000_000)
    rebalance_days: Annotated[
        tuple[Weekday, ...],
        several(Weekday, "Days on which floats are compared with their targets; none: never.", may_be_empty=True),
    ] = (Weekday.MON, Weekday.THU)
    rebalance_tolerance: Annotated[
        Decimal, fraction("Deviation of a float that yields a rebalance plan.", "0.001", "1", "of its target")
    ] = Decimal("0.10")
    max_order_notional: Annotated[
        Decimal,
        number(
            "Most that one order may move, a guard against errors of units. The default is well above any order that "
            "the other limits let through on a million.",
            "1",
            _MOST_MONEY,
            "dollars",
        ),
    ] = Decimal(100_000)
    max_orders_per_minute: Annotated[
        int, whole("Most orders sent in any minute, a guard against loops.", 1, 10_000, "orders")
    ] = 30
    price_collar_pct: Annotated[
        Decimal, fraction("Farthest a limit may lie from the last trade.", "0.001", "1", "of the last price")
    ] = Decimal("0.05")


class Filters(SettingsGroup):
    """What the screener looks at."""

    title: ClassVar[str] = "Filters"

    min_price: Annotated[Decimal, number("Cheapest share that is traded.", "0.01", "1000000", "dollars")] = Decimal(5)
    max_price: Annotated[Decimal, number("Dearest share that is traded.", "0.01", "1000000", "dollars")] = Decimal(100)
    min_volume_threshold: Annotated[
        int, whole("Least average daily volume; not looked at in test mode.", 0, 10_000_000_000, "shares")
    ] = 1_000_000
    universe: Annotated[Universe, symbols_or_file("What is screened; empty: every active tradable symbol.")] = (
        Universe()
    )
    screener_max_candidates: Annotated[int, whole("How many candidates a session keeps.", 1, 1000, "symbols")] = 50


class Brokers(SettingsGroup):
    """Who trades, and in which order."""

    title: ClassVar[str] = "Brokers and routing"

    alpaca_enabled: Annotated[bool, flag("Trade at Alpaca.")] = True
    ibkr_enabled: Annotated[bool, flag("Trade at Interactive Brokers, through IB Gateway or TWS.")] = False
    alpaca_mode: Annotated[BrokerMode, choice(BrokerMode, "Alpaca endpoint outside test mode.")] = BrokerMode.PAPER
    ibkr_mode: Annotated[BrokerMode, choice(BrokerMode, "Interactive Brokers account outside test mode.")] = (
        BrokerMode.PAPER
    )
    routing: Annotated[Routing, choice(Routing, "Which enabled brokers get a signal.")] = Routing.EACH
    alpaca_options_enabled: Annotated[bool, flag("The Alpaca account may trade options.")] = False
    tradier_enabled: Annotated[bool, flag("Keep books for Tradier; no real orders are sent there.")] = False
    webull_enabled: Annotated[bool, flag("Keep books for Webull; no real orders are sent there.")] = False
    robinhood_enabled: Annotated[bool, flag("Keep books for Robinhood; no real orders are sent there.")] = False
    strategy_sequence: Annotated[
        tuple[StrategyName, ...], several(StrategyName, "Sessions of a day, in this order.")
    ] = tuple(StrategyName)
    strategy_override: Annotated[
        tuple[StrategyName, ...],
        several(StrategyName, "Run these sessions instead of the sequence; empty: as planned.", may_be_empty=True),
    ] = ()


class Timing(SettingsGroup):
    """When sessions run."""

    title: ClassVar[str] = "Time"

    trading_days: Annotated[
        tuple[Weekday, ...], several(Weekday, "Days on which sessions run; can only narrow the exchange's calendar.")
    ] = tuple(Weekday)
    sleep_time: Annotated[Duration, duration("Pause of the polling cycle.", Duration(10 * MILLISECOND), MINUTE)] = (
        SECOND
    )
    session_anchor: Annotated[
        SessionAnchor, choice(SessionAnchor, "Whether start times follow New York's daylight saving.")
    ] = SessionAnchor.EXCHANGE
    early_close_policy: Annotated[
        EarlyClosePolicy, choice(EarlyClosePolicy, "What CLOSE does on a day that ends early.")
    ] = EarlyClosePolicy.SHIFT
    late_start_policy: Annotated[
        LateStartPolicy, choice(LateStartPolicy, "What a start inside a session's window does.")
    ] = LateStartPolicy.JOIN
    close_hard_exit_minutes: Annotated[
        int, whole("How long before the bell every position is out.", 1, 120, "minutes")
    ] = 10
