"""The computing side of a sweep: one process with the data mapped once, and one task after another over them.

The same functions run in the asking process, in local processes and on the workers of a cluster.
"""

import fcntl
import os
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from tbot_bot.backtest import outcomes
from tbot_bot.backtest.backtest_engine import DataSet
from tbot_bot.backtest.model import BacktestResult, EngineChoice
from tbot_bot.backtest.run_manifest import Digest, changed_digests, code_digests
from tbot_bot.backtest.sweep_errand import Account, Errand, Outcome, Task, data_inputs, furnished, request_of
from tbot_bot.config.error_handler import DataError, TbotError

_COMPILING: Final = "compiling.lock"
_HOMES: Final = "homes"
"""Folder in the cache for the files that settings name, under a digest of them: many processes share one."""


class _Desk:
    """What a process keeps between the tasks of one errand."""

    def __init__(self, errand: Errand) -> None:
        """Open the data and lay out the home.

        Raises:
            DataError: the data are not there, or not those of the errand.
        """
        self.errand: Final = errand
        shared = _usable_cache(errand)
        self._own = None if shared is not None else tempfile.TemporaryDirectory(prefix="tbot-sweep-")
        self.cache: Final = shared or Path("" if self._own is None else self._own.name)
        self.home: Final = furnished(self.cache / _HOMES, errand)
        require_inputs(errand, self.cache)
        self.data: Final = DataSet(errand.request.data, vix=errand.request.vix, cache=self.cache)
        self.warm = False

    def close(self) -> None:
        """Let go of the data, and of a cache of our own."""
        if self._own is not None:
            self._own.cleanup()


@dataclass(slots=True)
class _Held:
    """The desk of this process, if it has one."""

    desk: _Desk | None = None


_HELD: Final = _Held()
_ONE_AT_A_TIME: Final = threading.Lock()


def compute(errand: Errand, task: Task, threads: int) -> Outcome:
    """Run `task` with `threads` threads for what is compiled; one at a time in each process.

    Raises:
        ConfigError, DataError: see `DataSet.run`, and where the data here are not those of the errand.
    """
    with _ONE_AT_A_TIME:
        desk = _HELD.desk
        if desk is None or desk.errand != errand:
            let_go()
            desk = _HELD.desk = _Desk(errand)
        if errand.request.engine is not EngineChoice.EVENT and not desk.data.not_for_arrays:
            desk.data.array_engine()  # says where machine code is kept, before numba is asked for anything
            _use_threads(threads)
        request = request_of(errand, task, desk.home, desk.cache)
        if desk.warm:
            return _outcome(task, desk.data.run(request))
        with _one_compiles(desk.cache):
            found = _outcome(task, desk.data.run(request))
        desk.warm = True
        return found


def let_go() -> None:
    """Close what this process keeps open."""
    if _HELD.desk is not None:
        _HELD.desk.close()
        _HELD.desk = None


def require_inputs(errand: Errand, cache: Path | None) -> None:
    """Do nothing where the data of `errand` are here.

    Raises:
        DataError: they are not, or they are others.
    """
    odd = list(changed_digests("data file", errand.inputs, data_inputs(replace(errand.request, cache=cache))))
    if odd:
        mend = "Put the same files there, then give the same command again."
        raise DataError(
            f"other data than the sweep was asked for: {'; '.join(odd)}", where=str(errand.request.data), mend=mend
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Fitness:
    """What a worker says of itself before it is given work."""

    code: tuple[Digest, ...]
    trouble: str
    """Why it cannot work on the data; empty where it can."""


def fitness(errand: Errand) -> Fitness:
    """Return this process's code, and whether it has the data."""
    try:
        require_inputs(errand, _usable_cache(errand))
    except TbotError as error:
        return Fitness(code=tuple(code_digests()), trouble=str(error))
    return Fitness(code=tuple(code_digests()), trouble="")


def _outcome(task: Task, result: BacktestResult) -> Outcome:
    worth = [outcomes.total(result.days[0].equity_before), *(outcomes.total(day.equity_after) for day in result.days)]
    accounts = tuple(Account(broker=name, equity=equity) for name, equity in result.days[-1].equity_after)
    return Outcome(
        key=task.key,
        performance=outcomes.performance(result),
        dates=tuple(day.day for day in result.days),
        worth=tuple(map(float, worth)),
        accounts=accounts,
        signals_dropped=len(result.skipped_signals),
        entries_unfilled=len(result.unfilled),
        engine=result.engine,
        fallback=result.fallback,
        trades=tuple(outcomes.trade_outcomes(result)) if task.with_trades else (),
    )


def _use_threads(threads: int) -> None:
    import numba  # noqa: PLC0415 - heavy

    most: int = getattr(numba.config, "NUMBA_NUM_THREADS")  # noqa: B009 - numba does not declare it
    numba.set_num_threads(max(1, min(threads, most)))


@contextmanager
def _one_compiles(cache: Path) -> Iterator[None]:
    """Let one process at a time through while machine code is yet to be made; the others then read it."""
    if any(cache.glob("kernels-*/**/*.nbi")) or not cache.is_dir():
        yield
        return
    with (cache / _COMPILING).open("wb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # let go with the file, also by a process that dies
        yield


def _usable_cache(errand: Errand) -> Path | None:
    cache = errand.request.cache
    return cache if cache is not None and cache.is_dir() and os.access(cache, os.W_OK) else None


__all__ = ["Fitness", "compute", "fitness", "let_go", "require_inputs"]
