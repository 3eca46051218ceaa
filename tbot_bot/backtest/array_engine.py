"""The array engine: compiled steps find where something can happen; the live engine and venue decide what does.

A data set is prepared once; each further set of parameters costs one scan of the arrays for each strategy, and what
its trades cost.
"""

import gc
from collections.abc import Mapping
from datetime import date
from typing import Final

import numpy as np

from tbot_bot.assembly.schedule import DayPlan, PlannedSession, ScheduleRules, plan_day
from tbot_bot.assembly.session_parts import session_spec
from tbot_bot.backtest.array_day import ArrayDay
from tbot_bot.backtest.array_symbols import ArraySymbols
from tbot_bot.backtest.bar_arrays import BarArrays, NotForArrays
from tbot_bot.backtest.campaign import Accounts, DueSession, Found, Setting, run_days
from tbot_bot.backtest.event_engine import drive_densely
from tbot_bot.backtest.kernels import KERNELS, Floats, Integers, Rows
from tbot_bot.backtest.quick_screen import QuickScreen
from tbot_bot.backtest.session_driver import SessionDriver
from tbot_bot.backtest.sparse_steps import SparseMarket, SparseSteps
from tbot_bot.core.events import EarlierToday
from tbot_bot.core.identity import Mode, SessionId, StrategyName
from tbot_bot.core.instants import MINUTE, Duration
from tbot_bot.core.market_day import MarketDay
from tbot_bot.core.screening import Fundamentals
from tbot_bot.marketdata.vix import RecordedVix
from tbot_bot.strategy.strategy_meta import Params

_OBJECTS_BETWEEN: Final = 1_000_000
"""New objects after which cycles are looked for, from the first engine of a process on: what a run makes has none, and
looking through what it keeps takes a quarter of a second each time."""
_GRID: Final = 30 * MINUTE
"""Bars that divide it lie on the grid that the opening bell begins."""


class Scan:
    """One strategy's rule over all symbols and days, with everything prepared; call it as often as wanted."""

    def __init__(self, engine: "ArrayEngine", strategy: StrategyName, windows: Integers, numbers: Floats) -> None:
        """`windows` by day (bell, analysis start and end, entry end; 0: no session), `numbers` as the kernel's."""
        self.windows: Final = windows
        self.numbers: Final = numbers
        self._arrays, self._rows, self._scan = engine.arrays, engine.rows, KERNELS[strategy].scan

    def __call__(self) -> Integers:
        """Return the row of each symbol's first signal, -1 where there is none."""
        arrays = self._arrays
        return self._scan(self.windows, arrays.span, self.numbers, self._rows, arrays.bell, arrays.stop)


class ArrayEngine:
    """One data set, ready for any number of parameter sets."""

    def __init__(self, arrays: BarArrays, fundamentals: Mapping[str, Fundamentals], vix: RecordedVix | None) -> None:
        """Prepare `arrays`.

        Raises:
            NotForArrays: the bars do not lie on the grid of a session.
        """
        if _GRID % arrays.span:
            what = f"bars of {arrays.span / MINUTE:g} minutes, which do not lie on the session's grid"
            raise NotForArrays(what)
        if 0 < gc.get_threshold()[0] < _OBJECTS_BETWEEN:
            gc.set_threshold(_OBJECTS_BETWEEN)
        self.arrays: Final = arrays
        self.rows: Final[Rows] = (
            arrays.start,
            arrays.open,
            arrays.high,
            arrays.low,
            arrays.close,
            arrays.volume,
        )
        self.days: Final = [ArrayDay(arrays, column, fundamentals, vix) for column in range(len(arrays.days))]
        self._plans: tuple[ScheduleRules | None, dict[date, DayPlan]] = None, {}
        self._scanned: dict[StrategyName, tuple[bytes, Integers]] = {}
        self.screen: Final = QuickScreen(arrays, self.rows, exact_only=bool(fundamentals))

    def run(self, setting: Setting, first: date, last: date) -> Found:
        """Run every session from `first` to `last`."""
        days = [day for day in self.days if first <= day.day.day <= last]
        signals = {name: self.signals(setting, name, days) for name in StrategyName}

        def drive(due: DueSession, day: MarketDay, earlier: EarlierToday, accounts: Accounts) -> SessionDriver | None:
            assert isinstance(day, ArrayDay)  # noqa: S101 - these are our own days
            if not accounts.idle():  # something is still held from the day before: nothing may be left out
                return drive_densely(due, day, earlier, accounts)
            return self._drive(due, day, earlier, accounts, signals[due.spec.strategy])

        return run_days(setting, iter(days), drive, self._bars_of, self._plan)

    def signals(self, setting: Setting, strategy: StrategyName, days: list[ArrayDay]) -> Integers:
        """Return the row of each symbol's first signal (symbols x all days), -1 where there is none.

        The last answer is kept: in a search over another strategy's parameters it is asked for again.
        """
        scan = self.scan_of(setting, strategy, days)
        if scan is None:
            return np.full(self.arrays.bell.shape, -1, np.int64)
        asked = scan.windows.tobytes() + scan.numbers.tobytes()
        known = self._scanned.get(strategy)
        if known is None or known[0] != asked:
            known = self._scanned[strategy] = asked, scan()
        return known[1]

    def scan_of(self, setting: Setting, strategy: StrategyName, days: list[ArrayDay]) -> "Scan | None":
        """Return the scan of `days` for the first signals of `strategy`; None where it has no session on any."""
        windows = np.zeros((len(self.arrays.days), 4), np.int64)
        numbers: tuple[float, ...] = ()
        kernels = KERNELS[strategy]
        for day in days:
            for planned in self._plan(setting.rules, day.day.day).sessions:
                if planned.strategy is strategy and not planned.skipped:
                    own = planned.windows
                    windows[day.column] = (own.bell, own.start, own.analysis_end, own.entry_end)
                    numbers = numbers or kernels.numbers(self._params_of(setting, planned, day))
        return Scan(self, strategy, windows, np.array(numbers)) if numbers else None

    def _plan(self, rules: ScheduleRules, day: date) -> DayPlan:
        """Return the plan of `day`; kept while nobody asks by other `rules`."""
        if self._plans[0] is not rules and self._plans[0] != rules:
            self._plans = rules, {}
        plans = self._plans[1]
        if day not in plans:
            plans[day] = plan_day(rules, day)
        return plans[day]

    def _params_of(self, setting: Setting, planned: PlannedSession, day: ArrayDay) -> Params:
        session = SessionId(day=day.day.day, strategy=planned.strategy)
        return session_spec(
            setting.settings.bot,
            planned,
            session=session,
            mode=Mode.BACKTEST,
            bar_span=Duration(day.span),
            inverse=setting.inverse,
            settings_fingerprint=setting.fingerprint,
        ).params

    def _drive(
        self, due: DueSession, day: ArrayDay, earlier: EarlierToday, accounts: Accounts, signals: Integers
    ) -> SessionDriver | None:
        """Drive one session over the steps that can matter; None where no candidate signals."""
        spec = due.spec
        found = signals[:, day.column]
        signalling = (found >= 0).nonzero()[0]
        if not len(signalling):
            return None
        screener = due.screener()
        verdicts = self.screen.verdicts(screener, spec, day, signalling)
        if verdicts is None:
            return None
        names = [self.arrays.names[row] for row in signalling.tolist()]
        rows = dict(zip(names, found[signalling].tolist(), strict=True))
        symbols = ArraySymbols(spec, day, self.rows, rows)
        driver = SessionDriver(spec, SparseMarket(day, screener), accounts.venues, symbols)
        steps = SparseSteps(spec, day, self.rows, driver, symbols, accounts.venues)
        driver.begin(earlier, verdicts)
        driver.run(steps, steps.closed)
        return driver

    def _bars_of(self, day: MarketDay) -> int:
        assert isinstance(day, ArrayDay)  # noqa: S101 - these are our own days
        return day.bars


__all__ = ["ArrayEngine", "Scan"]
