"""Makes a data set out of files of bars, whatever their layout: `tbot data import`."""

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import numpy as np

from tbot_bot.backtest.adjustments import Action, adjusted, read_actions
from tbot_bot.backtest.bar_rows import NUMBERS, Form
from tbot_bot.backtest.bar_text import SUFFIXES, bars_in
from tbot_bot.backtest.data_set import (
    FAULTS_LISTED,
    MANIFEST_FILE,
    About,
    Adjustment,
    Faults,
    Manifest,
    Rows,
    making,
    spool_in,
    write_bars,
)
from tbot_bot.config.error_handler import DataError
from tbot_bot.core.instants import Instant, iso
from tbot_bot.marketdata.feed import FUNDAMENTALS_FILE

_NAMED: Final = 5
_SHOWN: Final = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportRequest:
    """What is to be made of which files."""

    sources: tuple[Path, ...]
    """Files, or folders of them, searched to the bottom."""
    target: Path
    made_at: Instant
    form: Form = field(default_factory=Form)
    adjustment: Adjustment = Adjustment.NONE
    """What the bars of the set shall be adjusted for."""
    actions: Path | None = None
    """Splits and dividends to adjust by; None: the sources are adjusted already."""
    survivorship: str = ""
    source: str = ""
    """Where the bars are from, in words; empty: the names of the sources."""
    skip_bad: bool = False
    """Leave out rows that cannot be used, instead of refusing all."""
    replace: bool = False


class BadRows(DataError):
    """Files hold rows that cannot be used; `faults` has them."""

    def __init__(self, faults: Faults) -> None:
        """Tell the first ones."""
        rows = "1 row" if faults.total == 1 else f"{faults.total:,} rows"
        mend = "Mend them at the source, or leave them out with --skip-bad."
        shown = [f"  {fault}" for fault in faults.listed[:_SHOWN]]
        if faults.total > len(shown):
            shown.append(f"  and {faults.total - len(shown):,} more; --json lists the first {FAULTS_LISTED:,}")
        super().__init__("\n".join([f"{rows} cannot be used, so nothing was written. {mend}", *shown]))
        self.faults = faults


def import_bars(request: ImportRequest, progress: Callable[[int, str], None] = lambda _done, _words: None) -> Manifest:
    """Make the set; `progress` hears how many bytes of the sources are read, and of which file.

    Raises:
        DataError: a source cannot be read, rows cannot be used, or the target is taken.
        OSError: the disk.
    """
    files = files_of(request.sources)
    actions = {} if request.actions is None else read_actions(request.actions)
    faults, notices = Faults(), list[str]()
    with making(request.target, replace=request.replace) as made:
        spool = spool_in(made)
        read = 0
        for number, path in enumerate(files):
            progress(read, f"reading {path.name}")
            for symbol, rows in bars_in(path, number, request.form, faults, notices):
                spool.add(symbol, rows)
            read += path.stat().st_size
        if faults.total and not request.skip_bad:
            raise BadRows(faults)
        progress(read, "sorting and writing")
        clean = unique_bars(spool.by_symbol(), files, faults)
        bars = _adjusted(clean, actions, request)
        about = About(
            source=request.source or _named(request.sources),
            adjustment=request.adjustment,
            survivorship=request.survivorship,
            made_at=request.made_at,
            notices=(*notices, *_actions_notice(request, actions)),
        )
        manifest = write_bars(made, bars, about, left_out=lambda: faults.total)
        if faults.total and not request.skip_bad:
            raise BadRows(faults)
    return manifest


def files_of(sources: Sequence[Path]) -> list[Path]:
    """Return the files of bars that `sources` name, in order.

    Raises:
        DataError: one is not there, is of another kind, or there is none.
    """
    found: list[Path] = []
    for source in sources:
        if source.is_dir():
            inside = (path for path in source.rglob("*") if path.is_file() and path.suffix.lower() in SUFFIXES)
            found += sorted(path for path in inside if path.name not in {FUNDAMENTALS_FILE, MANIFEST_FILE})
        elif not source.exists():
            raise DataError("no such file or folder", where=str(source), mend="Check the path.")
        elif source.suffix.lower() not in SUFFIXES:
            mend = "Give a file of bars, or a folder of them."
            raise DataError(f"is none of {', '.join(SUFFIXES)}", where=str(source), mend=mend)
        else:
            found.append(source)
    if not found:
        mend = f"Give a folder with files of {', '.join(SUFFIXES)}."
        raise DataError("no file of bars", where=", ".join(map(str, sources)), mend=mend)
    return found


def unique_bars(
    symbols: Iterator[tuple[str, Rows]], files: Sequence[Path], faults: Faults
) -> Iterator[tuple[str, Rows]]:
    """Yield each bar once. Of equal ones the first stays; where they differ nobody can tell which was meant."""
    for symbol, rows in symbols:
        ts = rows["ts"]
        again = np.flatnonzero(ts[1:] == ts[:-1]) + 1
        if not again.size:
            yield symbol, rows
            continue
        keep = np.ones(len(rows), dtype=bool)
        keep[again] = False
        for row in again.tolist():
            first = int(np.searchsorted(ts, ts[row]))
            same = all(rows[name][row] == rows[name][first] for name in NUMBERS)
            keep[first] &= same
            one, other = rows[row], rows[first]
            there = f"{files[other['file']]}:{other['line']}"
            how = "the same" if same else "with other numbers"
            faults.add(
                str(files[one["file"]]),
                int(one["line"]),
                f"{symbol} {iso(Instant(int(one['ts'])))} stands in {there} already, {how}",
            )
        yield symbol, rows[keep]


def _adjusted(
    symbols: Iterator[tuple[str, Rows]], actions: Mapping[str, Sequence[Action]], request: ImportRequest
) -> Iterator[tuple[str, Rows]]:
    where = "" if request.actions is None else str(request.actions)
    for symbol, rows in symbols:
        yield symbol, adjusted(rows, actions.get(symbol, ()), request.adjustment, where)


def _actions_notice(request: ImportRequest, actions: Mapping[str, Sequence[Action]]) -> list[str]:
    if request.actions is None:
        return []
    digest = hashlib.sha256(request.actions.read_bytes()).hexdigest()[:16]
    count = sum(map(len, actions.values()))
    return [f"adjusted by {request.actions.name} ({count} splits and dividends, SHA-256 {digest}...)"]


def _named(sources: Sequence[Path]) -> str:
    names = [source.name for source in sources]
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return f"imported from {', '.join(names[:_NAMED])}{more}"


__all__ = ["BadRows", "ImportRequest", "files_of", "import_bars", "unique_bars"]
