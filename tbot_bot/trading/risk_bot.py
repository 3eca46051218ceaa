"""The pre-trade checks: a list of small rules, asked in this order; all objections are reported.

A rule returns its objection in words, None where it agrees, or a `Skip` where it is off in this mode or
lacks its datum by rule; a skip is recorded. Adding a rule is one function and one row.
"""

from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from tbot_bot.core.bars import Quote
from tbot_bot.core.commands import CheckAnswered, Phase
from tbot_bot.core.identity import Mode
from tbot_bot.core.instants import MINUTE, SECOND, Instant
from tbot_bot.core.money import ONE, ZERO, plain, to_cents
from tbot_bot.core.orders import Account, Capabilities, OrderRequest
from tbot_bot.enhancements import market_quality
from tbot_bot.enhancements.filters import FilterAnswer, FilterVerdict
from tbot_bot.trading.spec import RiskLimits

STALE_AFTER: Final = 5 * SECOND
"""A price older than this, beyond the length of a bar, is no basis for an order."""
PATTERN_DAY_TRADER_EQUITY: Final = Decimal(25_000)
"""Dollars; FINRA Rule 4210: below it four day trades in five days mark a margin account."""
PATTERN_DAY_TRADES: Final = 3
"""Day trades in five trading days that a small margin account may make."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Intent:
    """A sized wish, as the rules see it; prices per unit, money in dollars."""

    order: OrderRequest
    symbol: str
    """The underlying."""
    worst_price: Decimal
    notional: Decimal
    allotted: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class RiskView:
    """All that the rules may know at one instant."""

    at: Instant
    mode: Mode
    test_mode: bool
    phase: Phase
    entries_off: str
    broker_halted: str
    capabilities: Capabilities
    tradable: bool
    symbol_halt: str = ""
    """Why nothing is opened in it: trading is stopped, or this broker holds what it should not."""
    known_order_ids: frozenset[str]
    blocked: bool
    session_trades: int
    """Trades of this session at this broker."""
    session_trades_max: int
    broker_positions: int
    all_positions: int
    budget: Decimal
    committed: Decimal
    account: Account
    last_trade: Decimal
    """Last known price of the instrument; zero where unknown."""
    price_age: int
    """Nanoseconds since the end of the last bar, or since the quote where that is newer."""
    bar_span: int
    quote: Quote | None
    average_volume: Decimal | None
    orders_last_minute: int
    opposite_orders: int
    """Open orders of ours on the other side of the same instrument."""


@dataclass(frozen=True, slots=True)
class Skip:
    """The rule was not asked, for this reason."""

    reason: str


Answer = str | Skip | None
Rule = Callable[[Intent, RiskView, RiskLimits], Answer]


def _master_switch(_: Intent, __: RiskView, limits: RiskLimits) -> Answer:
    return "DISABLE_ALL_TRADES is true" if limits.disable_all_trades else None


def _kill_switch(_: Intent, __: RiskView, limits: RiskLimits) -> Answer:
    return "the kill switch is engaged" if limits.kill_switch else None


def _broker_halted(_: Intent, view: RiskView, __: RiskLimits) -> Answer:
    return f"broker halted: {view.broker_halted}" if view.broker_halted else None


def _session_phase(_: Intent, view: RiskView, __: RiskLimits) -> Answer:
    if view.entries_off:
        return f"entries are off: {view.entries_off}"
    return None if view.phase is Phase.BREAKOUT else f"phase is {view.phase}, entries need {Phase.BREAKOUT}"


def _mode_separation(_: Intent, view: RiskView, __: RiskLimits) -> Answer:
    if view.test_mode and view.capabilities.live:
        return "a live broker in test mode"
    return None


def _instrument_tradable(intent: Intent, view: RiskView, _: RiskLimits) -> Answer:
    symbol = intent.order.instrument.symbol
    if view.symbol_halt:
        return f"{symbol} is halted: {view.symbol_halt}"
    return None if view.tradable else f"{symbol} is halted or not tradable"


def _duplicate_intent(intent: Intent, view: RiskView, _: RiskLimits) -> Answer:
    known = intent.order.client_order_id in view.known_order_ids
    return f"order {intent.order.client_order_id} exists already" if known else None


def _block_list(intent: Intent, view: RiskView, _: RiskLimits) -> Answer:
    return f"{intent.symbol} is on the block list" if view.blocked else None


def _max_trades(_: Intent, view: RiskView, __: RiskLimits) -> Answer:
    return _at_limit(view.session_trades, view.session_trades_max, "trades in this session")


def _concurrent_trades(_: Intent, view: RiskView, limits: RiskLimits) -> Answer:
    return _at_limit(view.broker_positions, limits.max_concurrent_per_broker, "open trades at this broker")


def _open_positions(_: Intent, view: RiskView, limits: RiskLimits) -> Answer:
    return _at_limit(view.all_positions, limits.max_open_positions, "open positions over all brokers")


def _at_limit(count: int, limit: int, what: str) -> Answer:
    return f"{count} {what}, limit {limit}" if count >= limit else None


def _quantity(intent: Intent, view: RiskView, _: RiskLimits) -> Answer:
    instrument = intent.order.instrument
    unit = instrument.notional(intent.worst_price, ONE)
    if intent.order.quantity <= ZERO:
        step = instrument.notional(intent.worst_price, instrument.quantity_step)
        smallest = f"{plain(instrument.quantity_step)} {instrument.symbol} at {_usd(unit)} a unit = {_usd(step)}"
        return f"the share of {_usd(intent.allotted)} does not buy {smallest}"
    if intent.notional < view.capabilities.minimum_notional:
        return f"{_usd(intent.notional)} is below the broker's minimum of {_usd(view.capabilities.minimum_notional)}"
    return None


def _budget(intent: Intent, view: RiskView, _: RiskLimits) -> Answer:
    left = view.budget - view.committed
    if intent.allotted > left:
        return f"share {_usd(intent.allotted)} exceeds the {_usd(left)} left of the budget {_usd(view.budget)}"
    return None


def _risk_per_trade(intent: Intent, view: RiskView, limits: RiskLimits) -> Answer:
    cap = limits.max_risk_per_trade * view.account.equity
    if intent.notional > cap:
        return f"{_usd(intent.notional)} exceeds {plain(limits.max_risk_per_trade)} of account value = {_usd(cap)}"
    return None


def _buying_power(intent: Intent, view: RiskView, _: RiskLimits) -> Answer:
    if intent.notional > view.account.buying_power:
        return f"needs {_usd(intent.notional)}, buying power is {_usd(view.account.buying_power)}"
    return None


def _settled_cash(intent: Intent, view: RiskView, _: RiskLimits) -> Answer:
    if not view.account.is_margin and intent.notional > view.account.settled_cash:
        return f"needs {_usd(intent.notional)} settled, {_usd(view.account.settled_cash)} is (good-faith violation)"
    return None


def _pattern_day_trader(_: Intent, view: RiskView, __: RiskLimits) -> Answer:
    account = view.account
    small = account.is_margin and account.equity < PATTERN_DAY_TRADER_EQUITY
    if small and account.day_trades >= PATTERN_DAY_TRADES:
        floor = _usd(PATTERN_DAY_TRADER_EQUITY)
        return f"{account.day_trades} day trades in five days with equity {_usd(account.equity)} below {floor}"
    return None


def _order_notional(intent: Intent, _: RiskView, limits: RiskLimits) -> Answer:
    if intent.notional > limits.max_order_notional:
        return f"{_usd(intent.notional)} exceeds MAX_ORDER_NOTIONAL {_usd(limits.max_order_notional)}"
    return None


def _price_collar(intent: Intent, view: RiskView, limits: RiskLimits) -> Answer:
    if view.last_trade <= ZERO:
        return f"no price of {intent.order.instrument.symbol} to hold the limit against"
    price = intent.worst_price if intent.order.limit_price is None else intent.order.limit_price
    away = abs(price / view.last_trade - ONE)
    if away > limits.price_collar:
        last = view.last_trade
        return f"limit {price} is {away:.4f} away from the last price {last}, collar {limits.price_collar}"
    return None


def _spread(intent: Intent, view: RiskView, limits: RiskLimits) -> Answer:
    bid, ask = (None, None) if view.quote is None else (view.quote.bid, view.quote.ask)
    return _as_answer(market_quality.spread(bid, ask, intent.worst_price, limits.max_spread, test_mode=view.test_mode))


def _volume(_: Intent, view: RiskView, limits: RiskLimits) -> Answer:
    return _as_answer(market_quality.volume(view.average_volume, limits.min_volume, test_mode=view.test_mode))


def _as_answer(answer: FilterAnswer) -> Answer:
    if answer.verdict is FilterVerdict.SKIPPED:
        return Skip(answer.reason)
    return answer.reason if answer.blocks else None


def _stale_data(intent: Intent, view: RiskView, _: RiskLimits) -> Answer:
    if view.price_age > STALE_AFTER + (view.bar_span if view.test_mode else 0):
        return f"last price of {intent.order.instrument.symbol} is {view.price_age // SECOND} s old"
    if view.quote is not None and not view.test_mode and view.at - view.quote.at > STALE_AFTER:
        return f"quote of {intent.order.instrument.symbol} is {(view.at - view.quote.at) // SECOND} s old"
    return None


def _order_rate(_: Intent, view: RiskView, limits: RiskLimits) -> Answer:
    return _at_limit(view.orders_last_minute, limits.max_orders_per_minute, "orders in the last minute")


def _self_trade(_: Intent, view: RiskView, __: RiskLimits) -> Answer:
    return f"{view.opposite_orders} own orders rest on the other side" if view.opposite_orders else None


RULES: Final[tuple[tuple[str, Rule], ...]] = (
    ("master_switch", _master_switch),
    ("kill_switch", _kill_switch),
    ("broker_halted", _broker_halted),
    ("session_phase", _session_phase),
    ("mode_separation", _mode_separation),
    ("instrument_tradable", _instrument_tradable),
    ("duplicate_intent", _duplicate_intent),
    ("block_list", _block_list),
    ("max_trades", _max_trades),
    ("max_concurrent_trades", _concurrent_trades),
    ("max_open_positions", _open_positions),
    ("quantity", _quantity),
    ("budget", _budget),
    ("max_risk_per_trade", _risk_per_trade),
    ("buying_power", _buying_power),
    ("settled_cash", _settled_cash),
    ("pattern_day_trader", _pattern_day_trader),
    ("max_order_notional", _order_notional),
    ("price_collar", _price_collar),
    ("spread", _spread),
    ("volume", _volume),
    ("stale_data", _stale_data),
    ("max_orders_per_minute", _order_rate),
    ("self_trade", _self_trade),
)


def check(intent: Intent, view: RiskView, limits: RiskLimits) -> tuple[CheckAnswered, ...]:
    """Return every objection and every skipped rule, in the order of `RULES`; rules that agree are silent."""
    answers: list[CheckAnswered] = []
    for name, rule in RULES:
        answer = rule(intent, view, limits)
        if answer is None:
            continue
        if isinstance(answer, Skip):
            answers.append(CheckAnswered(rule=name, objection=False, reason=answer.reason))
        else:
            answers.append(CheckAnswered(rule=name, objection=True, reason=answer))
    return tuple(answers)


def within_a_minute(times: list[Instant], at: Instant) -> list[Instant]:
    """Return those of `times` that lie within the minute before `at`."""
    return [time for time in times if at - time < MINUTE]


def _usd(amount: Decimal) -> str:
    return f"{to_cents(amount)} USD"
