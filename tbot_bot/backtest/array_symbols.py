"""What each symbol's strategy remembers, over arrays: compiled between the bars that can matter, as it stands on them.

The engine sees the same `SymbolStates` as ever. A symbol's state stands still until somebody asks for it; then the
compiled step runs over the rows since. That no row in between signals is known from the scan, and held to be so.
"""

from typing import Final

from tbot_bot.backtest.array_day import ArrayDay
from tbot_bot.backtest.kernels import KERNELS, Rows, push_indicators
from tbot_bot.config.error_handler import LogicError
from tbot_bot.core.bars import Bar
from tbot_bot.strategy.strategy_meta import NONE
from tbot_bot.strategy.strategy_open import OpenState
from tbot_bot.trading.session_state import Signal
from tbot_bot.trading.spec import SessionSpec
from tbot_bot.trading.symbol_states import SymbolStates


class ArraySymbols(SymbolStates):
    """The kernels of one session over one day of arrays."""

    __slots__ = ("_advance", "_day", "_next", "_next_pushed", "_rows", "due", "now")

    def __init__(self, spec: SessionSpec, day: ArrayDay, rows: Rows, due: dict[str, int]) -> None:
        """`due` says in which array row each symbol signals first; symbols that never do are absent."""
        super().__init__(spec)
        self._day: Final = day
        self._rows: Final = rows
        self._advance = KERNELS[spec.strategy].advance
        self._next: dict[str, int] = {}
        """First row that a symbol's state has not seen."""
        self._next_pushed: dict[str, int] = {}
        """The same of its indicators."""
        self.due: Final = dict(due)
        self.now = 0
        """Market time up to which rows may be seen."""

    def follow(self, symbols: tuple[str, ...]) -> None:
        """Start to follow `symbols` from the bell on."""
        super().follow(symbols)
        _, bells, _ = self._day.places
        row_of = self._day.row_of
        begin = {symbol: bells[row_of[symbol]] for symbol in symbols}
        self._next.update(begin)
        self._next_pushed.update(begin)
        wanted = frozenset(symbols)
        for symbol in [one for one in self.due if one not in wanted]:
            del self.due[symbol]

    def forget(self, symbol: str) -> None:
        """Stop following `symbol`."""
        super().forget(symbol)
        self.due.pop(symbol, None)

    def step(self, bar: Bar) -> Signal | None:
        """Take a bar: nothing happens before the row that is known to signal."""
        due = self.due.get(bar.symbol)
        if due is None or self._day.start_of(due) != bar.start:
            return None
        self._catch_up(bar.symbol, due)
        self._push(bar.symbol, due)
        del self.due[bar.symbol]
        self._next[bar.symbol] = self._next_pushed[bar.symbol] = due + 1
        found = super().step(bar)
        if found is None:
            raise LogicError(f"{bar.symbol} was to signal at {bar.end} and did not", where=str(self._day.day.day))
        return found

    def rearm(self, symbol: str) -> None:
        """Let `symbol` signal again, and find out when it does."""
        super().rearm(symbol)
        state = self._states.get(symbol)
        if state is None:
            return
        begin = self._next[symbol]
        stop = self._day.row_until(self._day.row_of[symbol], self._params.entry_end)
        _, action, row = self._advance(self._params, state, self._rows, begin, stop)
        if action != NONE:
            self.due[symbol] = row

    def vwap(self, symbol: str) -> float:
        """Return the day's VWAP of `symbol` as of `now`."""
        if symbol in self._states:
            self._catch_up(symbol, self._day.row_until(self._day.row_of[symbol], self.now))
        return super().vwap(symbol)

    def is_live(self, symbol: str) -> bool:
        """Return whether `symbol` can still signal once the entry window opens."""
        if isinstance(self._states.get(symbol), OpenState):  # the others can as long as they are followed
            row = self._day.row_until(self._day.row_of[symbol], min(self.now, self._params.analysis_end))
            self._catch_up(symbol, row)
        return super().is_live(symbol)

    def non_decision(self, symbol: str) -> str:  # noqa: ARG002 - the engine asks it of every symbol
        """Return nothing: what every quiet symbol came near to is the event engine's to tell."""
        return ""

    def state_at(self, symbol: str, row: int) -> object:
        """Return the strategy's state of `symbol` before array row `row`."""
        self._catch_up(symbol, row)
        return self._states.get(symbol)

    def _catch_up(self, symbol: str, row: int) -> None:
        begin = self._next[symbol]
        if row <= begin:
            return
        state, action, at = self._advance(self._params, self._states[symbol], self._rows, begin, row)
        if action != NONE:
            raise LogicError(f"{symbol} signalled in row {at}, which the scan did not find", where=str(self._day.day))
        self._states[symbol], self._next[symbol] = state, row

    def _push(self, symbol: str, row: int) -> None:
        """Let MID's indicators see the rows before `row`."""
        if not self._indicators or row <= self._next_pushed[symbol]:
            return
        adx, bands = self._adx[symbol], self._bands[symbol]
        begin = self._next_pushed[symbol]
        self._adx[symbol], self._bands[symbol] = push_indicators(adx, bands, self._rows, begin, row)


__all__ = ["ArraySymbols"]
