"""A data set: a folder with `bars.parquet`, sorted by symbol and time, and `manifest.json`, which says what they are.

The folder is made beside its place and put there in one step. A killed writer leaves drafts whose names begin with a
dot; the next writer of the same folder removes them.
"""

import contextlib
import hashlib
import json
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from tbot_bot.config.error_handler import DataError
from tbot_bot.config.files import sync_folder, write_atomically
from tbot_bot.core.instants import MICROSECOND, Instant
from tbot_bot.reporting.shapes import from_plain, text_of, to_plain

BARS_FILE: Final = "bars.parquet"
MANIFEST_FILE: Final = "manifest.json"
FORMAT: Final = 1
ROW: Final = np.dtype(
    [
        ("ts", "i8"),
        ("open", "f8"),
        ("high", "f8"),
        ("low", "f8"),
        ("close", "f8"),
        ("volume", "f8"),
        ("file", "i4"),
        ("line", "i8"),
    ]
)
"""One bar on its way into a set: start in nanoseconds UTC, dollars, shares, and where it was read."""
Rows = NDArray[np.void]

FAULTS_LISTED: Final = 1000
_BUFFERED: Final = 400_000
"""Rows kept in memory before they go to the spool: 26 MB."""
_GROUP_ROWS: Final = 500_000
_CHUNK: Final = 1 << 20
_SPOOL: Final = "spool"


class Adjustment(StrEnum):
    """What prices of before a split or a dividend were changed for."""

    NONE = "none"
    SPLIT = "split"
    ALL = "all"
    """Splits and dividends."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One row that cannot be used."""

    file: str
    line: int
    """From 1; in Parquet, the row."""
    what: str

    def __str__(self) -> str:
        """Return it as compilers write it."""
        return f"{self.file}:{self.line}: {self.what}"


@dataclass(slots=True)
class Faults:
    """All that were met; the first ones in full."""

    total: int = 0
    listed: list[Fault] = field(default_factory=list)

    def add(self, file: str, line: int, what: str) -> None:
        """Note one."""
        self.total += 1
        if len(self.listed) < FAULTS_LISTED:
            self.listed.append(Fault(file=file, line=line, what=what))


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """What is known of a set."""

    format: int
    source: str
    """Where the bars are from, in words."""
    adjustment: Adjustment
    survivorship: str
    """Which symbols are missing because they are not traded any more, in words; empty where nobody said."""
    made_at: Instant
    digest: str
    """SHA-256 of `bars.parquet`."""
    bars: int
    symbols: int
    first: Instant
    """Start of the first bar."""
    last: Instant
    left_out: int
    """Faulty rows that were not taken."""
    notices: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class About:
    """What the writer of a set is told about it."""

    source: str
    adjustment: Adjustment
    survivorship: str
    made_at: Instant
    notices: tuple[str, ...] = ()


class BarSpool:
    """Bars in whatever order they come, kept on disk by symbol: only one symbol's are ever in memory at once."""

    def __init__(self, folder: Path) -> None:
        """Keep them in `folder`, which is made."""
        self._folder = folder
        folder.mkdir()
        self._places: dict[str, Path] = {}
        self._waiting: dict[str, list[Rows]] = {}
        self._count = 0

    def add(self, symbol: str, rows: Rows) -> None:
        """Take in `rows` of `symbol`."""
        if not len(rows):
            return
        self._waiting.setdefault(symbol, []).append(rows)
        self._count += len(rows)
        if self._count >= _BUFFERED:
            self._flush()

    def _flush(self) -> None:
        for symbol, parts in self._waiting.items():
            place = self._places.setdefault(symbol, self._folder / f"{len(self._places)}.bin")
            with place.open("ab") as file:
                for rows in parts:
                    file.write(np.ascontiguousarray(rows).tobytes())
        self._waiting.clear()
        self._count = 0

    def by_symbol(self) -> Iterator[tuple[str, Rows]]:
        """Yield symbols in their order, each with its bars, oldest first; those of one time as they came."""
        self._flush()
        for symbol in sorted(self._places):
            rows = np.fromfile(self._places[symbol], dtype=ROW)
            yield symbol, rows[np.argsort(rows["ts"], kind="stable")]


class NothingToKeep(DataError):
    """No bar was left to make a set of."""


@contextlib.contextmanager
def making(target: Path, *, replace: bool) -> Iterator[Path]:
    """Give a folder to make the set of `target` in; where the block ends well, it is put in its place.

    Raises:
        DataError: `target` is there already and is not to be replaced, or is no data set.
    """
    _sweep(target)
    if target.exists() and not replace:
        mend = "Give another folder with --into, or --replace."
        raise DataError("is there already", where=str(target), mend=mend)
    if target.exists() and not (target / MANIFEST_FILE).exists() and (not target.is_dir() or any(target.iterdir())):
        mend = "Give another folder with --into; only a data set is ever replaced."
        raise DataError("is no data set, and is left alone", where=str(target), mend=mend)
    target.parent.mkdir(parents=True, exist_ok=True)
    made = Path(tempfile.mkdtemp(prefix=f".{target.name}.making-{os.getpid()}-", dir=target.parent))
    try:
        yield made
        shutil.rmtree(made / _SPOOL, ignore_errors=True)
        made.chmod(0o755)
        _put(made, target)
    finally:
        shutil.rmtree(made, ignore_errors=True)


def spool_in(made: Path) -> BarSpool:
    """Return a spool within the folder that `making` gave; it goes away with the draft."""
    return BarSpool(made / _SPOOL)


def _put(made: Path, target: Path) -> None:
    """Put the draft in its place. What it replaces stands aside meanwhile, and comes back after a crash."""
    aside = target.with_name(f".{target.name}.replaced")
    if target.exists():
        target.rename(aside)
    made.rename(target)
    sync_folder(target.parent)
    shutil.rmtree(aside, ignore_errors=True)


def _sweep(target: Path) -> None:
    aside = target.with_name(f".{target.name}.replaced")
    if aside.exists():
        if target.exists():
            shutil.rmtree(aside, ignore_errors=True)
        else:
            aside.rename(target)
    for draft in target.parent.glob(f".{target.name}.making-*"):
        found = re.fullmatch(r"making-(\d+)-\w+", draft.name.rpartition(".")[2])
        if found is not None and not _alive(int(found[1])):
            shutil.rmtree(draft, ignore_errors=True)


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def write_bars(
    made: Path,
    symbols: Iterable[tuple[str, Rows]],
    about: About,
    *,
    left_out: Callable[[], int] = lambda: 0,
    progress: Callable[[int], None] = lambda _: None,
) -> Manifest:
    """Write the set into the draft folder `made`. `left_out` is asked when all is written.

    `symbols` come in their order, the bars of each are sorted, and none stands there twice.

    Raises:
        NothingToKeep: there is no bar.
        OSError: the disk.
    """
    path = made / BARS_FILE
    bars, names = 0, 0
    first, last = 2**63 - 1, 0
    with pq.ParquetWriter(path, _schema(), compression="zstd", use_dictionary=["symbol"]) as writer:
        waiting: list[pa.Table] = []
        for symbol, rows in symbols:
            if not len(rows):
                continue
            waiting.append(_table(symbol, rows))
            bars, names = bars + len(rows), names + 1
            first, last = min(first, int(rows["ts"][0])), max(last, int(rows["ts"][-1]))
            if sum(table.num_rows for table in waiting) >= _GROUP_ROWS:
                _write(writer, waiting)
            progress(bars)
        _write(writer, waiting)
    if not bars:
        raise NothingToKeep("no bar at all", where=about.source, mend="Give files of minute bars.")
    manifest = Manifest(
        format=FORMAT,
        source=about.source,
        adjustment=about.adjustment,
        survivorship=about.survivorship,
        made_at=about.made_at,
        digest=digest_of(path),
        bars=bars,
        symbols=names,
        first=Instant(first),
        last=Instant(last),
        left_out=left_out(),
        notices=about.notices,
    )
    with path.open("rb") as file:
        os.fsync(file.fileno())
    write_atomically(made / MANIFEST_FILE, f"{text_of(to_plain(manifest), indent=1)}\n")
    return manifest


def _write(writer: pq.ParquetWriter, waiting: list[pa.Table]) -> None:
    if waiting:
        writer.write_table(pa.concat_tables(waiting).unify_dictionaries().combine_chunks())
        waiting.clear()


def _schema() -> pa.Schema:
    columns = [("symbol", pa.dictionary(pa.int32(), pa.string())), ("ts", pa.timestamp("us", tz="UTC"))]
    columns += [(name, pa.float64()) for name in ("open", "high", "low", "close")]
    return pa.schema([*columns, ("volume", pa.int64())])


def _table(symbol: str, rows: Rows) -> pa.Table:
    codes = pa.array(np.zeros(len(rows), np.int32))
    columns = [
        pa.DictionaryArray.from_arrays(codes, pa.array([symbol])),
        pa.array(rows["ts"] // MICROSECOND).cast(pa.timestamp("us", tz="UTC")),
        *(pa.array(np.ascontiguousarray(rows[name])) for name in ("open", "high", "low", "close")),
        pa.array(rows["volume"].astype(np.int64)),
    ]
    return pa.Table.from_arrays(columns, schema=_schema())


def digest_of(path: Path) -> str:
    """Return the SHA-256 of a file, hex."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def manifest_of(source: Path) -> Manifest | None:
    """Return what the set at `source` says of itself; None where it is no set but other bar files.

    Raises:
        DataError: the manifest cannot be read.
    """
    path = source / MANIFEST_FILE
    if not source.is_dir() or not (source / BARS_FILE).exists() or not path.exists():
        return None
    try:
        return from_plain(Manifest, json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError) as error:
        raise DataError(f"cannot be read: {error}", where=str(path), mend="Import or fetch the set again.") from None


def data_sets_in(folder: Path) -> list[tuple[Path, Manifest]]:
    """Return the sets in `folder` and one level below, by name.

    Raises:
        DataError: a manifest cannot be read.
    """
    places = [folder, *sorted(path for path in folder.iterdir() if path.is_dir())] if folder.is_dir() else []
    found = ((place, manifest_of(place)) for place in places if not place.name.startswith("."))
    return [(place, manifest) for place, manifest in found if manifest is not None]
