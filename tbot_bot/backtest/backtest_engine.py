"""One backtest, from a request to its result: `--engine auto|event|array`.

`DataSet` holds the data once for any number of parameter sets: a sweep makes one and asks it again and again.
"""

import os
import sys
from collections.abc import Iterator, Mapping
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Final

from tbot_bot.assembly.fingerprint import code_fingerprint
from tbot_bot.backtest.campaign import Found, Setting, setting_of
from tbot_bot.backtest.compiled_code import keep_compiled
from tbot_bot.backtest.event_engine import run_event_engine
from tbot_bot.backtest.execution_model import ExecutionModel
from tbot_bot.backtest.market_facts import RecordedFacts, facts_of, notices_of
from tbot_bot.backtest.model import BacktestRequest, BacktestResult, EngineChoice
from tbot_bot.config.error_handler import ConfigError, ConfigProblem, DataError
from tbot_bot.core.calendar import trading_days
from tbot_bot.core.market_day import MarketDay
from tbot_bot.core.screening import Fundamentals
from tbot_bot.marketdata.feed import FUNDAMENTALS_FILE, read_fundamentals
from tbot_bot.marketdata.recorded_loader import load_day
from tbot_bot.marketdata.vix import read_vix

if TYPE_CHECKING:
    from tbot_bot.backtest.array_engine import ArrayEngine
    from tbot_bot.backtest.bar_arrays import BarArrays
    from tbot_bot.backtest.kept_bars import KeptBars
    from tbot_bot.marketdata.vix import RecordedVix


class DataSet:
    """Bars, fundamentals and VIX of one source, decoded once."""

    def __init__(self, source: Path, *, vix: Path | None = None, cache: Path | None = None) -> None:
        """Read `source`, a bar file or a folder.

        Raises:
            DataError: it cannot be read, or not be trusted.
        """
        from tbot_bot.backtest.array_cache import fingerprint_of, load_bar_arrays  # noqa: PLC0415 - numpy
        from tbot_bot.backtest.bar_arrays import NotForArrays, bar_files_of  # noqa: PLC0415 - numpy

        self.source: Final = source
        self.vix: Final[RecordedVix | None] = None if vix is None else read_vix(vix)
        beside = (source if source.is_dir() else source.parent) / FUNDAMENTALS_FILE
        self.fundamentals: Final[Mapping[str, Fundamentals]] = read_fundamentals(beside) if beside.exists() else {}
        self.arrays: BarArrays | None = None
        self.not_for_arrays = ""
        """Why the bars cannot be held as arrays; empty where they are."""
        self._cache = cache
        self._bars: KeptBars | None = None
        self._engine: ArrayEngine | None = None
        self._facts: tuple[ExecutionModel, RecordedFacts] | None = None
        try:
            self.arrays = load_bar_arrays(source, cache)
            self.fingerprint = self.arrays.fingerprint
        except NotForArrays as error:
            self.not_for_arrays = error.what
            self.fingerprint = fingerprint_of(bar_files_of(source)[0], cache)

    def run(self, request: BacktestRequest) -> BacktestResult:
        """Run one set of parameters by the engine that `request` names; its data are these, whatever it names.

        Raises:
            ConfigError: the settings cannot be used, or `array` was asked for and cannot express them.
            DataError: no day of the range has data.
        """
        setting = setting_of(request, self.facts(request.execution))
        why_not = "" if request.engine is EngineChoice.EVENT else self.not_for_arrays or self._refusal()
        if why_not and request.engine is EngineChoice.ARRAY:
            problem = ConfigProblem(
                file="--engine", variable="array", expected=f"data that fit arrays, not {why_not}", mend="use auto"
            )
            raise ConfigError([problem])
        missing = self._missing(request.first, request.last)
        if request.engine is EngineChoice.EVENT or why_not:
            ran, found = EngineChoice.EVENT, run_event_engine(setting, self.days(request.first, request.last))
        else:
            ran, found = EngineChoice.ARRAY, self.array_engine().run(setting, request.first, request.last)
        if not found.days:
            raise DataError(
                f"no trading day with data from {request.first} to {request.last}",
                where=str(self.source),
                mend=self._coverage(),
            )
        return self._result(setting, ran, why_not, found, missing)

    def facts(self, model: ExecutionModel) -> RecordedFacts:
        """Return what the files of `model` say; read once while the same ones are asked for.

        Raises:
            DataError: one cannot be used.
        """
        if self._facts is None or self._facts[0].files != model.files:
            self._facts = (model, facts_of(model))
        return self._facts[1]

    def array_engine(self) -> "ArrayEngine":
        """Return the array engine over these bars; made once.

        Raises:
            NotForArrays: the bars do not fit.
        """
        from tbot_bot.backtest.bar_arrays import NotForArrays  # noqa: PLC0415 - numpy

        if self.arrays is None:
            raise NotForArrays(self.not_for_arrays)
        if self._engine is None:
            if self._cache is not None:
                keep_compiled(self._cache)
            from tbot_bot.backtest.array_engine import ArrayEngine  # noqa: PLC0415 - compiles its kernels

            self._engine = ArrayEngine(self.arrays, self.fundamentals, self.vix)
        return self._engine

    def days(self, first: date, last: date) -> Iterator[MarketDay]:
        """Yield the days with data from `first` to `last`."""
        if self.arrays is None:
            yield from self._loaded(first, last)
            return
        from tbot_bot.backtest.array_day import ArrayDay  # noqa: PLC0415 - numpy

        for column, day in enumerate(self.arrays.days):
            if first <= day <= last:
                yield ArrayDay(self.arrays, column, self.fundamentals, self.vix)

    def _loaded(self, first: date, last: date) -> Iterator[MarketDay]:
        """Yield days that are not held as arrays; the files are read once for all of them."""
        from tbot_bot.backtest.kept_bars import KeptBars  # noqa: PLC0415 - numpy

        if self._bars is None:
            self._bars = KeptBars()
        with_bars = self._bars.days_of(self.source)
        for day in trading_days(first, last):
            if day not in with_bars:
                continue
            try:
                yield load_day(self.source, day, vix=self.vix, read=self._bars.read)
            except DataError as error:
                if "no regular-session bar" not in str(error):
                    raise

    def _refusal(self) -> str:
        from tbot_bot.backtest.bar_arrays import NotForArrays  # noqa: PLC0415 - numpy

        try:
            self.array_engine()
        except NotForArrays as error:
            return str(error)
        return ""

    def _missing(self, first: date, last: date) -> tuple[date, ...]:
        if self.arrays is None:
            return ()
        known = frozenset(self.arrays.days)
        return tuple(day for day in trading_days(first, last) if day not in known)

    def _coverage(self) -> str:
        if self.arrays is None:
            return "Choose other days."
        return f"The data cover {self.arrays.days[0]} to {self.arrays.days[-1]}."

    def _result(
        self, setting: Setting, ran: EngineChoice, fallback: str, found: Found, missing: tuple[date, ...]
    ) -> BacktestResult:
        return BacktestResult(
            engine=ran,
            fallback=fallback,
            code_fingerprint=code_fingerprint(),
            settings_fingerprint=setting.fingerprint,
            data_fingerprint=self.fingerprint,
            settings=setting.lines,
            days=tuple(found.days),
            trades=tuple(found.trades),
            unfilled=tuple(found.unfilled),
            skipped_signals=tuple(found.skipped),
            missing_days=missing,
            notices=(
                *(() if self.arrays is None else self.arrays.notices),
                *notices_of(setting.facts, [facts.day for facts in found.days]),
            ),
        )


def run_backtest(request: BacktestRequest) -> BacktestResult:
    """Run `request` over its data.

    Raises:
        ConfigError: the settings cannot be used, or `array` was asked for and cannot express them.
        DataError: the data cannot be used, or have no day of the range.
    """
    return DataSet(request.data, vix=request.vix, cache=request.cache).run(request)


def _as_script() -> None:
    """Become `tbot backtest run`: the build document's way of asking for a backtest, with the same words."""
    os.execv(sys.executable, (sys.executable, "-m", "tbot_bot.runtime.cli", "backtest", "run", *sys.argv[1:]))  # noqa: S606


__all__ = ["DataSet", "run_backtest"]

if __name__ == "__main__":
    _as_script()
