"""Asking a strategy's filters about a signal.

Spread and volume belong to the instrument that is bought, which is not yet chosen here: the pre-trade checks ask them.
"""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Final

from tbot_bot.core.instants import MINUTE
from tbot_bot.enhancements.adx_filter import adx_filter
from tbot_bot.enhancements.bollinger_confluence import bollinger_confluence
from tbot_bot.enhancements.filters import FILTERS, FilterAnswer, FilterName, ask, filters_for
from tbot_bot.enhancements.imbalance_scanner_ibkr import imbalance_scanner_ibkr
from tbot_bot.enhancements.ticker_blocklist import ticker_blocklist
from tbot_bot.enhancements.vix_gatekeeper import vix_gatekeeper
from tbot_bot.trading.session_state import SessionState, Signal
from tbot_bot.trading.spec import FilterRules
from tbot_bot.trading.symbol_states import FilterInputs

IBKR: Final = "ibkr"
_IMBALANCE_AGE_MAX: Final = 5 * MINUTE
"""Nanoseconds; exchanges publish anew every second or every few, near the auction."""

Question = Callable[[SessionState, Signal, FilterInputs], FilterAnswer]


def ask_filters(state: SessionState, signal: Signal, inputs: FilterInputs) -> list[FilterAnswer]:
    """Return the answers of all filters that apply to `signal`, in asking order; VIX has a question of its own."""
    spec = state.spec
    ibkr = IBKR in [broker.name for broker in spec.brokers]
    answers = []
    for name in filters_for(spec.strategy, ibkr=ibkr):
        question = _QUESTIONS.get(name)
        if question is not None and _is_on(name, spec.filters):
            answers.append(ask(partial(question, state, signal, inputs), name, FILTERS[name].on_missing))
    return answers


def _is_on(name: FilterName, rules: FilterRules) -> bool:
    match name:
        case FilterName.ADX:
            return rules.adx_enabled
        case FilterName.BOLLINGER_CONFLUENCE:
            return rules.bollinger_enabled
        case FilterName.IMBALANCE:
            return rules.imbalance_enabled
        case _:
            return True


def vix_answer(state: SessionState) -> FilterAnswer:
    """Return the gatekeeper's answer to the VIX as last read."""
    name = FilterName.VIX_GATEKEEPER
    threshold = state.spec.filters.vix_threshold
    return ask(lambda: vix_gatekeeper(state.vix, threshold, state.at), name, FILTERS[name].on_missing)


def _blocklist(state: SessionState, signal: Signal, _: FilterInputs) -> FilterAnswer:
    today = (*state.traded_earlier, *(trade.symbol for trade in state.trades.values()))
    return ticker_blocklist(signal.symbol, today, state.spec.limits.blocked_symbols)


def _adx(state: SessionState, _: Signal, inputs: FilterInputs) -> FilterAnswer:
    return adx_filter(inputs.adx, state.spec.filters.adx_max)


def _bollinger(_: SessionState, signal: Signal, inputs: FilterInputs) -> FilterAnswer:
    return bollinger_confluence(signal.direction, float(signal.price), inputs.lower_band, inputs.upper_band)


def _imbalance(state: SessionState, signal: Signal, _: FilterInputs) -> FilterAnswer:
    told = state.imbalances.get(signal.symbol)
    if told is not None and state.at - told.at > _IMBALANCE_AGE_MAX:
        told = None
    return imbalance_scanner_ibkr(
        direction=signal.direction,
        imbalance=None if told is None else float(told.shares),
        auction_volume=None if told is None else float(told.paired),
        at=state.at,
        closing_bell=state.spec.windows.market_close,
    )


_QUESTIONS: Final[Mapping[FilterName, Question]] = {
    FilterName.TICKER_BLOCKLIST: _blocklist,
    FilterName.ADX: _adx,
    FilterName.BOLLINGER_CONFLUENCE: _bollinger,
    FilterName.IMBALANCE: _imbalance,
}
