"""A backtest with everything it leaves: run, figures, page, manifest, folder; and the same again from a manifest."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from tbot_bot.backtest import outcomes
from tbot_bot.backtest.assumptions import survivors_of
from tbot_bot.backtest.backtest_engine import DataSet
from tbot_bot.backtest.candles import TradeCandles, candles_of, chosen, days_of
from tbot_bot.backtest.data_verdict import notes_on
from tbot_bot.backtest.model import BacktestRequest, BacktestResult
from tbot_bot.backtest.plot_results import Page, page_of
from tbot_bot.backtest.resampling import Figures, figures_of
from tbot_bot.backtest.result_files import keep, record_files, require_free
from tbot_bot.backtest.run_manifest import (
    Manifest,
    changes,
    inputs_of,
    manifest_of,
    read_manifest,
    request_of,
    trading_settings,
)
from tbot_bot.reporting.report_router import BacktestPaths
from tbot_bot.reporting.shapes import text_of, to_plain

SEED: Final = 20140814
"""Of the confidence intervals, where nobody chose another."""
Tell = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptRun:
    """A backtest that is over; `files` by name, nothing on disk yet."""

    result: BacktestResult
    figures: Figures
    files: dict[str, bytes]
    manifest: Manifest


@dataclass(frozen=True, slots=True, kw_only=True)
class Repeated:
    """A run made again."""

    folder: Path
    differing: tuple[str, ...]
    """Names of files whose bytes differ."""
    changed: tuple[str, ...]
    """What of data, code and libraries has changed since, in words."""

    @property
    def same(self) -> bool:
        """Return whether every result has the same bytes."""
        return not self.differing


def run_whole(request: BacktestRequest, seed: int = SEED, tell: Tell = lambda _: None) -> KeptRun:
    """Run `request` and make everything that belongs in its folder.

    Raises:
        ConfigError, DataError: see `DataSet.run`.
    """
    tell("reading the data")
    data = DataSet(request.data, vix=request.vix, cache=request.cache)
    tell("running the days")
    result = data.run(request)
    result = replace(result, notices=(*result.notices, *notes_on(request.data)))
    tell("writing the report")
    return furnished(request, data, result, seed)


def furnished(request: BacktestRequest, data: DataSet, result: BacktestResult, seed: int = SEED) -> KeptRun:
    """Return `result` with its figures, its page and its manifest."""
    paths = BacktestPaths(folder=Path())
    figures = figures_of(outcomes.day_outcomes(result), outcomes.trade_outcomes(result), seed)
    page = Page(
        request=request,
        result=result,
        figures=figures,
        candles=_candles(data, result),
        survivors=survivors_of(data.arrays, [facts.day for facts in result.days]),
    )
    files = record_files(result)
    files[paths.metrics.name] = f"{text_of(to_plain(figures), indent=1)}\n".encode()
    files[paths.report.name] = page_of(page)
    inputs = inputs_of(request, trading_settings(result.settings))
    manifest = manifest_of(request, result, seed, files, inputs=inputs)
    files[paths.manifest.name] = f"{text_of(to_plain(manifest), indent=1)}\n".encode()
    return KeptRun(result=result, figures=figures, files=files, manifest=manifest)


def _candles(data: DataSet, result: BacktestResult) -> list[TradeCandles]:
    trades = chosen(result.trades)
    days = {day: market for day in days_of(trades) for market in data.days(day, day)}
    made = (candles_of(trade, days[trade.day]) for trade in trades if trade.day in days)
    return [one for one in made if one is not None]


def run_into(request: BacktestRequest, folder: Path, seed: int = SEED, tell: Tell = lambda _: None) -> KeptRun:
    """Run `request` and keep it at `folder`.

    Raises:
        ConfigError, DataError, MachineError, OSError: nothing is left at `folder`.
    """
    require_free(folder)
    made = run_whole(request, seed, tell)
    keep(made.files, folder)
    return made


def repeat(folder: Path, home: Path, cache: Path | None, tell: Tell = lambda _: None) -> Repeated:
    """Run the backtest at `folder` again and compare; nothing is written.

    Raises:
        ConfigError, DataError: it cannot be run again; the message says why.
    """
    paths = BacktestPaths(folder=folder)
    before = read_manifest(paths.manifest)
    made = run_whole(request_of(before, home, cache), before.seed, tell)
    known = {one.name: one.sha256 for one in before.files}
    differing = [one.name for one in made.manifest.files if known.get(one.name) != one.sha256]
    return Repeated(folder=folder, differing=tuple(differing), changed=tuple(changes(before, made.manifest)))


__all__ = ["SEED", "KeptRun", "Repeated", "furnished", "repeat", "run_into", "run_whole"]
