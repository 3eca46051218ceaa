"""What a worker of a sweep is sent, and what it sends back: one set of parameters over some days, and its figures.

An errand holds the settings and the small files they name, so that a worker needs nothing but this package and the
data, and so that an edit of the settings file in the middle changes nothing. No secret is in it.
"""

import hashlib
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import date
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from typing import Final

from tbot_bot.backtest.campaign import Setting
from tbot_bot.backtest.model import BacktestRequest, EngineChoice, Overrides
from tbot_bot.backtest.performance_metrics import DayOutcome, Performance, TradeOutcome
from tbot_bot.backtest.run_manifest import Digest, inputs_of, overrides_of, trading_settings
from tbot_bot.config.assignments import ENV_FILE
from tbot_bot.config.env import EnvSettings
from tbot_bot.config.error_handler import DataError
from tbot_bot.config.model import variables
from tbot_bot.config.named_files import BLOCK_LIST
from tbot_bot.core.calendar import trading_day

_NOWHERE: Final = Path("no-such-home")
_STAND_IN: Final = "changeme"
_LOGINS: Final = ("ALPACA_", "IBKR_")
"""Settings that say a login is there are checked for it; the sweep logs in nowhere."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HomeFile:
    """A file that settings name, by its path in the home."""

    path: str
    content: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Errand:
    """What every task of one sweep has in common."""

    request: BacktestRequest
    """What is common to the tasks, with every trading setting among its overrides. Its cache is used where it is a
    folder that can be written; elsewhere a worker keeps one of its own."""
    inputs: tuple[Digest, ...]
    """Every data file: a worker's own must be these."""
    files: tuple[HomeFile, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """One set of parameters over some days."""

    key: str
    """Names it among the tasks of its sweep."""
    pairs: Overrides
    first: date
    last: date
    cash: tuple[tuple[str, Decimal], ...] = ()
    """As in `BacktestRequest`."""
    with_trades: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """What one broker's account was worth after the last day."""

    broker: str
    equity: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What came of one task. Equal tasks over equal data and code give equal outcomes, wherever they run."""

    key: str
    performance: Performance
    dates: tuple[date, ...]
    worth: tuple[float, ...]
    """Dollars in all accounts: before the first day, then after each; one more than `dates`."""
    accounts: tuple[Account, ...]
    signals_dropped: int
    entries_unfilled: int
    engine: EngineChoice
    fallback: str
    trades: tuple[TradeOutcome, ...] = ()
    """Where they were asked for."""

    def days(self) -> Iterator[DayOutcome]:
        """Yield the days."""
        for day, (before, after) in zip(self.dates, pairwise(self.worth), strict=True):
            session = trading_day(day)
            yield DayOutcome(day=day, before=before, after=after, open_ns=session.close_at - session.open_at)

    def returns(self) -> list[float]:
        """Return the daily returns as fractions."""
        return [day.ret for day in self.days()]


def errand_of(request: BacktestRequest, setting: Setting, varied: Iterable[str] = ()) -> Errand:
    """Return the errand of a sweep around `request`, whose settings in force are `setting`.

    `varied`: what the grid gives to settings that may name files.

    Raises:
        DataError: a data file is gone.
    """
    bot, home = setting.settings.bot, setting.settings.home
    named = (Path(BLOCK_LIST), bot.inverse_etf_map, bot.universe.file, *map(Path, varied))
    found = dict.fromkeys(path for path in named if path is not None and (home / path).is_file())
    files = [HomeFile(path=path.as_posix(), content=(home / path).read_bytes()) for path in found]
    return Errand(
        request=replace(request, overrides=overrides_of(trading_settings(setting.lines))),
        inputs=data_inputs(request),
        files=(HomeFile(path=ENV_FILE, content=_env_of(setting)), *files),
    )


def data_inputs(request: BacktestRequest) -> tuple[Digest, ...]:
    """Return a digest of every data file that `request` names; what its home holds is not among them.

    Raises:
        DataError: one of them is not there or cannot be read.
    """
    try:
        return inputs_of(replace(request, home=_NOWHERE), ())
    except OSError as error:
        mend = "Check the path and its rights."
        raise DataError(f"cannot be read: {error.strerror}", where=str(error.filename), mend=mend) from error


def furnished(homes: Path, errand: Errand) -> Path:
    """Return the home in `homes` that holds the errand's files; made whole and at once where it is not there yet.

    Raises:
        OSError: it cannot be written.
    """
    digest = hashlib.sha256(repr(errand.files).encode()).hexdigest()[:24]
    place = homes / digest
    if place.is_dir():
        return place
    homes.mkdir(parents=True, exist_ok=True)
    made = Path(tempfile.mkdtemp(prefix=".making-", dir=homes))
    try:
        for file in errand.files:
            path = made / file.path
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(file.content)
        try:
            made.replace(place)
        except OSError:
            if not place.is_dir():  # else another process has made the same
                raise
    finally:
        shutil.rmtree(made, ignore_errors=True)
    return place


def request_of(errand: Errand, task: Task, home: Path, cache: Path | None) -> BacktestRequest:
    """Return the backtest that `task` asks for, in a home that `furnished` has made."""
    return replace(
        errand.request,
        home=home,
        first=task.first,
        last=task.last,
        overrides=tuple({**dict(errand.request.overrides), **dict(task.pairs)}.items()),
        cache=cache,
        cash=task.cash,
    )


def _env_of(setting: Setting) -> bytes:
    """Return an environment file that says which logins there are, and none of them."""
    env = setting.settings.env
    lines = [
        f"{variable.name}={_STAND_IN}\n"
        for variable in variables(EnvSettings)
        if variable.kind.secret and variable.name.startswith(_LOGINS)
        if variable.kind.render(getattr(env, variable.attribute))
    ]
    return "".join(lines).encode()


__all__ = [
    "Account", "Errand", "HomeFile", "Outcome", "Task", "data_inputs", "errand_of", "furnished", "request_of",
]  # fmt: skip
