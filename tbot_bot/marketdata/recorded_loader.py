"""From bar files to a `RecordedDay`: which files count, which rows, and what the rows before tell.

numpy and pyarrow are needed here (and only here and in the readers), so this module is imported late.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, time, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Final

from tbot_bot.config.error_handler import DataError
from tbot_bot.core.bars import Bar
from tbot_bot.core.calendar import NotATradingDay, TradingDay, is_trading_day, new_york, trading_day
from tbot_bot.core.screening import Fundamentals
from tbot_bot.marketdata import bar_files
from tbot_bot.marketdata.bar_checks import check_order, check_values, days_of, infer_span, sorting
from tbot_bot.marketdata.bar_files import Columns
from tbot_bot.marketdata.feed import FUNDAMENTALS_FILE, read_fundamentals
from tbot_bot.marketdata.recorded import History, RecordedDay, SymbolDay
from tbot_bot.marketdata.vix import read_vix

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from tbot_bot.marketdata.vix import RecordedVix

Reader = Callable[[Path, int, int], Columns]
HISTORY_DAYS: Final = 20
"""Trading days before the day that averages and volatility look at."""
STALE_CLOSE_DAYS: Final = 5
"""Trading days after which an earlier close no longer says where a stock stands."""
_NIGHT_ENDS: Final = time(4, 0)
_EVENING_ENDS: Final = time(20, 0)
_EPOCH: Final = date(1970, 1, 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class _FileDay:
    """What one file has for the day."""

    path: Path
    span: int
    bars: Mapping[str, SymbolDay]
    history: Mapping[str, History]
    notices: tuple[str, ...]


class _NotEquities(Exception):
    """The file holds minute bars of something else."""


def load_day(
    source: Path,
    day: date,
    *,
    vix: "Path | RecordedVix | None" = None,
    fundamentals: Path | None = None,
    read: Reader = bar_files.read_minutes,
) -> RecordedDay:
    """Return `day` out of `source`, a bar file or a folder whose equity minute files are all used.

    `vix` is a file for `read_vix`, or what it has read. `read` gives a file's bars between two instants: who loads
    many days need not have a file read for each. `fundamentals` is a `fundamentals.csv`; by default the one beside
    the data.
    Where two files of a folder have a symbol, the finest bars win, then the first file name.

    Raises:
        DataError: no such path, no trading day, no such day in the data, or rows that cannot be trusted.
    """
    try:
        session = trading_day(day)
    except NotATradingDay as error:
        raise DataError(str(error), where=str(source), mend="Choose a day on which New York trades.") from None
    _require_numpy(source)
    files, notices = _load(source, session, read)
    chosen, more = _choose(files)
    facts = _fundamentals(source, fundamentals)
    return RecordedDay(
        day=session,
        span=min(file.span for file in files),
        by_symbol={symbol: file.bars[symbol] for symbol, file in chosen.items() if symbol in file.bars},
        history={symbol: file.history[symbol] for symbol, file in chosen.items() if symbol in file.history},
        fundamentals=facts,
        vix=read_vix(vix) if isinstance(vix, Path) else vix,
        notices=(*notices, *(notice for file in files for notice in file.notices), *more),
    )


def _require_numpy(source: Path) -> None:
    try:
        import numpy  # noqa: F401, ICN001 - only whether it is there
        import pyarrow  # noqa: F401, ICN001
    except ImportError as error:
        mend = "Install the data extra: pip install 'tradebot[data]'."
        raise DataError(
            f"recorded data needs a package that is missing: {error}", where=str(source), mend=mend
        ) from None


def _fundamentals(source: Path, given: Path | None) -> Mapping[str, Fundamentals]:
    if given is not None:
        return read_fundamentals(given)
    beside = (source if source.is_dir() else source.parent) / FUNDAMENTALS_FILE
    return read_fundamentals(beside) if beside.exists() else {}


def _load(source: Path, session: TradingDay, read: Reader) -> tuple[list[_FileDay], list[str]]:
    if not source.is_dir():
        try:
            found = _load_file(source, session, read)
        except _NotEquities as error:
            raise DataError(str(error), where=str(source), mend="Give minute bars of US equities.") from None
        if found is None:
            raise _no_such_day([source], session.day)
        return [found], []
    files: list[_FileDay] = []
    notices: list[str] = []
    others: list[Path] = []
    for path in sorted(path for path in source.iterdir() if path.suffix.lower() in bar_files.SUFFIXES):
        if path.name == FUNDAMENTALS_FILE:
            continue
        layout = bar_files.layout_of(bar_files.column_names(path))
        if layout is not bar_files.Layout.MINUTES:
            notices.append(f"{path.name} skipped: {layout.value}")
            continue
        try:
            found = _load_file(path, session, read)
        except _NotEquities as error:
            notices.append(f"{path.name} skipped: {error}")
            continue
        if found is None:
            others.append(path)
        else:
            files.append(found)
    if not files:
        raise _no_such_day(others, session.day) if others else _no_bar_file(source)
    return files, notices


def _choose(files: Sequence[_FileDay]) -> tuple[dict[str, _FileDay], list[str]]:
    chosen: dict[str, _FileDay] = {}
    taken: dict[tuple[str, str], list[str]] = {}
    for file in sorted(files, key=lambda one: (one.span, one.path.name)):
        for symbol in sorted({*file.bars, *file.history}):
            first = chosen.setdefault(symbol, file)
            if symbol in file.bars and symbol not in first.bars:
                chosen[symbol] = file
            elif first is not file and symbol in file.bars:
                taken.setdefault((first.path.name, file.path.name), []).append(symbol)
    notices = [
        f"{', '.join(symbols)} of {second} not used: {first} has them too" for (first, second), symbols in taken.items()
    ]
    return chosen, notices


def _load_file(path: Path, session: TradingDay, read: Reader) -> _FileDay | None:
    """Return what `path` has, None where it has no regular bar of the day."""
    import numpy as np

    earlier = earlier_sessions(session.day)
    midnight = new_york(session.day, time(0))
    tomorrow = new_york(session.day + timedelta(days=1), time(0))
    first = earlier[0].open_at if earlier else midnight
    columns = read(path, first, tomorrow)
    today = columns.pick(columns.ts >= midnight)
    regular = (today.ts >= session.open_at) & (today.ts < session.close_at)
    if not bool(regular.any()):
        return None
    _require_equities(today, session)
    check_order(path, columns)
    check_values(path, today)
    span = infer_span(path, columns)
    notices: list[str] = []
    if bar_files.may_be_torn(path):
        notices.append(f"{path.name}: the last line has no end, so its last number may be cut short")
    silent = _without_volume(today, regular)
    if silent:
        notices.append(f"{', '.join(silent)} of {path.name} left out: volume is zero all day")
    keep = (
        ~np.isin(today.codes, [today.names.index(symbol) for symbol in silent])
        if silent
        else np.ones(len(today.ts), dtype=bool)
    )
    bars = _symbol_days(today.pick(keep), session, span)
    if not bars:
        what = "every symbol has zero volume all day: an index, not equities"
        raise _NotEquities(what)
    history = _histories(path, columns.pick(columns.ts < midnight), earlier)
    return _FileDay(
        path=path,
        span=span,
        bars=bars,
        history={symbol: one for symbol, one in history.items() if symbol not in silent},
        notices=tuple(notices),
    )


def _require_equities(today: Columns, session: TradingDay) -> None:
    import numpy as np

    night = (today.ts < new_york(session.day, _NIGHT_ENDS)) | (today.ts >= new_york(session.day, _EVENING_ENDS))
    if bool(night.any()):
        what = "bars outside 04:00-20:00 New York: not US equities"
        raise _NotEquities(what)
    finite = today.volume[np.isfinite(today.volume)]
    if bool((finite != np.floor(finite)).any()):
        what = "fractional volume: not US equities"
        raise _NotEquities(what)


def _without_volume(today: Columns, regular: "NDArray[np.bool_]") -> tuple[str, ...]:
    import numpy as np

    totals = np.bincount(today.codes[regular], weights=today.volume[regular], minlength=len(today.names))
    counts = np.bincount(today.codes[regular], minlength=len(today.names))
    return tuple(sorted(today.names[code] for code in np.flatnonzero((totals == 0) & (counts > 0))))


def _symbol_days(today: Columns, session: TradingDay, span: int) -> dict[str, SymbolDay]:
    """Split the rows by symbol; what starts or ends after the close is left out."""
    import numpy as np

    ends = today.ts + span
    rows = today.pick(ends <= session.close_at)
    rows = _sorted(rows)
    codes = rows.codes
    edges = np.flatnonzero(np.diff(codes)) + 1
    starts = [0, *edges.tolist()] if len(codes) else []
    stops = [*edges.tolist(), len(codes)]
    ts, closes = rows.ts.tolist(), rows.close.tolist()
    values = zip(
        ts,
        (rows.ts + span).tolist(),
        rows.open.tolist(),
        rows.high.tolist(),
        rows.low.tolist(),
        closes,
        rows.volume.tolist(),
        strict=True,
    )
    cells = list(values)
    found: dict[str, SymbolDay] = {}
    for begin, stop in zip(starts, stops, strict=True) if starts else ():
        symbol = today.names[int(codes[begin])]
        bars = tuple(Bar(symbol, *cell) for cell in cells[begin:stop] if cell[0] >= session.open_at)
        found[symbol] = SymbolDay(
            bars=bars,
            bar_ends=tuple(bar.end for bar in bars),
            known_ends=tuple(cell[1] for cell in cells[begin:stop]),
            known_prices=tuple(closes[begin:stop]),
        )
    return found


def _sorted(rows: Columns) -> Columns:
    order = sorting(rows)
    return rows if order is None else rows.pick(order)


def earlier_sessions(day: date) -> list[TradingDay]:
    """Return up to `HISTORY_DAYS` sessions before `day`, oldest first."""
    found: list[TradingDay] = []
    step = day
    for _ in range(HISTORY_DAYS * 2):
        step -= timedelta(days=1)
        if is_trading_day(step):
            found.append(trading_day(step))
        if len(found) == HISTORY_DAYS:
            break
    return found[::-1]


def _histories(path: Path, before: Columns, earlier: Sequence[TradingDay]) -> dict[str, History]:
    """Aggregate the regular sessions before the day, per symbol."""
    import numpy as np

    if not earlier or not len(before.ts):
        return {}
    opens = np.array([session.open_at for session in earlier])
    closes = np.array([session.close_at for session in earlier])
    which = np.searchsorted(opens, before.ts, side="right") - 1
    inside = (which >= 0) & (before.ts < closes[which])
    rows = before if bool(inside.all()) else before.pick(inside)
    if not len(rows.ts):
        return {}
    check_values(path, rows)
    rows = _sorted(rows)
    keys = rows.codes * len(earlier) + np.searchsorted(opens, rows.ts, side="right") - 1
    last = np.append(np.flatnonzero(np.diff(keys)), len(keys) - 1)
    begin = np.append(0, last[:-1] + 1)
    volumes = np.add.reduceat(rows.volume, begin)
    prices = rows.close[last]
    found: dict[str, list[tuple[int, float, float]]] = {}
    for key, price, volume in zip(keys[last].tolist(), prices.tolist(), volumes.tolist(), strict=True):
        code, number = divmod(key, len(earlier))
        found.setdefault(rows.names[code], []).append((number, price, volume))
    return {symbol: _history(days, len(earlier)) for symbol, days in found.items()}


def _history(days: Sequence[tuple[int, float, float]], count: int) -> History:
    newest, price, _ = days[-1]
    return History(
        closes=tuple(close for _, close, _ in days),
        previous_close=price if count - newest <= STALE_CLOSE_DAYS else None,
        average_volume=sum(volume for _, _, volume in days) / len(days),
    )


def _no_such_day(paths: Sequence[Path], day: date) -> DataError:
    """Say which days there are instead."""
    days: set[date] = set()
    for path in paths:
        numbers = days_of(bar_files.all_starts(path)).tolist()
        days.update(_EPOCH + timedelta(days=number) for number in numbers)
    where = str(paths[0] if len(paths) == 1 else paths[0].parent)
    if not days:
        return DataError(f"no bar at all, so none of {day.isoformat()}", where=where, mend="Give another file.")
    before = max((one for one in days if one < day), default=None)
    after = min((one for one in days if one > day), default=None)
    near = " and ".join(one.isoformat() for one in (before, after) if one is not None)
    return DataError(
        f"no regular-session bar on {day.isoformat()}; it covers {min(days).isoformat()} to {max(days).isoformat()}",
        where=where,
        mend=f"The nearest days it has are {near}." if near else "Give data of the regular session, 09:30 to 16:00.",
    )


def _no_bar_file(source: Path) -> DataError:
    inside = sorted(path.name for path in source.iterdir() if path.is_dir())
    return DataError(
        "no file of equity minute bars in this folder",
        where=str(source),
        mend=f"Give one of its folders: {', '.join(inside)}." if inside else "Give a folder of Parquet or CSV bars.",
    )
