"""What each watched symbol's strategy and indicators remember, and the signals that a step of the market gives."""

from dataclasses import dataclass
from functools import partial
from math import isnan

from tbot_bot.core.bars import Bar
from tbot_bot.core.identity import StrategyName
from tbot_bot.core.instants import Instant
from tbot_bot.core.instruments import equity
from tbot_bot.strategy import indicators, strategy_mid
from tbot_bot.strategy.strategy_meta import DIRECTIONS, NONE, Tick
from tbot_bot.strategy.strategy_mid import MidState
from tbot_bot.strategy.strategy_open import OpenState
from tbot_bot.strategy.strategy_router import STRATEGIES, State
from tbot_bot.trading.session_state import Signal
from tbot_bot.trading.spec import SessionSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class FilterInputs:
    """The numbers that MID's filters look at; None where there is not enough history yet."""

    adx: float | None
    lower_band: float | None
    upper_band: float | None


class SymbolStates:
    """The strategy kernels of one session, run symbol by symbol."""

    __slots__ = ("_adx", "_bands", "_indicators", "_params", "_states", "_step", "strategy")

    def __init__(self, spec: SessionSpec) -> None:
        """Prepare for `spec`; no symbol is followed yet."""
        self.strategy = STRATEGIES[spec.strategy]
        self._params = spec.params
        self._step = self.strategy.step
        self._states: dict[str, State] = {}
        self._indicators = spec.strategy is StrategyName.MID
        self._adx: dict[str, indicators.AdxState] = {}
        self._bands: dict[str, indicators.BollingerState] = {}

    def follow(self, symbols: tuple[str, ...]) -> None:
        """Start to follow `symbols`."""
        self._states.update(dict.fromkeys(symbols, self.strategy.initial_state(self._params)))
        if self._indicators:
            self._adx.update(dict.fromkeys(symbols, indicators.ADX_START))
            self._bands.update(dict.fromkeys(symbols, indicators.BOLLINGER_START))

    def forget(self, symbol: str) -> None:
        """Stop following `symbol`."""
        self._states.pop(symbol, None)

    def __contains__(self, symbol: str) -> bool:
        return symbol in self._states

    def step(self, bar: Bar) -> Signal | None:
        """Take one completed bar; return the signal that it gives, None of a symbol that is not followed."""
        symbol, start, end, open_, high, low, close, volume = bar
        before = self._states.get(symbol)
        if before is None:
            return None
        tick = Tick(start, end, open_, high, low, close, volume)
        state, action = self._step(self._params, before, tick)
        self._states[symbol] = state
        if self._indicators and start >= self._params.bell:
            self._adx[symbol] = indicators.adx_push(self._adx[symbol], high, low, close)
            self._bands[symbol] = indicators.bollinger_push(self._bands[symbol], close)
        if action == NONE:
            return None
        return Signal(
            at=Instant(end),
            symbol=symbol,
            direction=DIRECTIONS[action],
            price=equity(symbol).round_price(close),
            score=self._score(state, close),
            why=partial(self.strategy.explain, self._params, state, tick, action),
        )

    def _score(self, state: State, close: float) -> float:
        if isinstance(state, MidState):  # its extremes may be those of an earlier signal that was blocked
            return abs(close / strategy_mid.vwap(state) - 1.0)
        return self.strategy.score(self._params, state)

    def rearm(self, symbol: str) -> None:
        """Let `symbol` signal again: a filter would not have its signal at this moment."""
        state = self._states.get(symbol)
        if state is not None:
            self._states[symbol] = state._replace(signal=NONE)

    def filter_inputs(self, symbol: str, deviations: float) -> FilterInputs:
        """Return what MID's filters need to know of `symbol` now; `deviations` is the bands' half width."""
        if not self._indicators or symbol not in self._adx:
            return FilterInputs(adx=None, lower_band=None, upper_band=None)
        adx = indicators.adx_value(self._adx[symbol])
        lower, _, upper = indicators.bollinger_bands(self._bands[symbol], deviations)
        return FilterInputs(adx=_number(adx), lower_band=_number(lower), upper_band=_number(upper))

    def vwap(self, symbol: str) -> float:
        """Return the day's VWAP of `symbol`; NaN where this session does not compute it."""
        state = self._states.get(symbol)
        return strategy_mid.vwap(state) if isinstance(state, MidState) else float("nan")

    def is_live(self, symbol: str) -> bool:
        """Return whether `symbol` can still signal once the entry window opens."""
        state = self._states.get(symbol)
        if isinstance(state, OpenState):
            params = self._params
            window = params.analysis_end - params.analysis_start
            return state.covered > 0 and state.covered >= float(getattr(params, "min_coverage", 0.0)) * window
        return state is not None

    def non_decision(self, symbol: str) -> str:
        """Return why `symbol` gave no signal, and how near it came."""
        return self.strategy.non_decision(self._params, self._states[symbol])


def _number(value: float) -> float | None:
    return None if isnan(value) else value
