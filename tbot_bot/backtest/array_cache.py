"""Bars decoded once: arrays on disk, memory-mapped, under the content they came from.

A folder's name is a digest over the layout's version and the bytes of every source file, so that stale arrays cannot
be found. The digest of a file is remembered with its size and time of change; where these say that nothing changed,
it is not read again.
"""

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from datetime import date
from functools import lru_cache
from pathlib import Path
from typing import Final, cast

import numpy as np

from tbot_bot.backtest.bar_arrays import BarArrays, NotForArrays, bar_files_of, read_bar_arrays
from tbot_bot.backtest.compiled_code import keep_compiled
from tbot_bot.backtest.data_check import differs_from_manifest
from tbot_bot.backtest.data_findings import DataReport
from tbot_bot.backtest.parquet_rows import Rows, swept, workers
from tbot_bot.backtest.swept_arrays import arrays_of_swept
from tbot_bot.backtest.swept_check import report_of_swept
from tbot_bot.config.error_handler import DataError
from tbot_bot.config.files import sync_folder, write_atomically

LAYOUT: Final = "1"
"""Changes with what the arrays hold, or with how they are made out of the files."""
_COLUMNS: Final = ("start", "open", "high", "low", "close", "volume")
_TABLES: Final = ("first", "bell", "stop", "last_close", "day_volume")
_ABOUT: Final = "about.json"
_DIGESTS: Final = "digests"
_CHUNK: Final = 1 << 20


def load_bar_arrays(source: Path, cache: Path | None) -> BarArrays:
    """Return the arrays of `source`: mapped from `cache` where they are there, else decoded and put there.

    Raises:
        DataError: unreadable, or rows that cannot be trusted; a cache that cannot be written.
        NotForArrays: see `read_bar_arrays`.
    """
    paths, notices = bar_files_of(source)
    if cache is None:
        found = swept(paths)
        fingerprint = fingerprint_of(paths, None)
        if found is not None and found.ordered:
            return arrays_of_swept(found, notices=tuple(notices), fingerprint=fingerprint)
        return read_bar_arrays(source, fingerprint)
    with _using(cache):
        place = cache / fingerprint_of(paths, cache)
        if not (place / _ABOUT).exists():
            _sweep_into(source, cache, place, check=False)
        if not (place / _ABOUT).exists():
            _store(read_bar_arrays(source, place.name), place)
        return _mapped(place)


def check_and_load(source: Path, cache: Path) -> DataReport | None:
    """Look at the bars of `source` while they are read into the cache; None where that has to be done step by step.

    Raises:
        DataError: a cache that cannot be written.
    """
    with _using(cache):
        place = cache / fingerprint_of(bar_files_of(source)[0], cache)
        return _sweep_into(source, cache, place, check=True)


@contextmanager
def _using(cache: Path) -> Iterator[None]:
    try:
        cache.mkdir(parents=True, exist_ok=True)
        keep_compiled(cache)
        yield
    except OSError as error:
        mend = "Make room, give another folder with --cache, or none."
        raise DataError(f"the cache of bars cannot be used: {error}", where=str(cache), mend=mend) from error


def _sweep_into(source: Path, cache: Path, place: Path, *, check: bool) -> DataReport | None:
    """Read the rows of `source` straight into the files of `place`, where they are as the loops expect."""
    paths, notices = bar_files_of(source)
    made = Path(tempfile.mkdtemp(prefix=f".making-{os.getpid()}-", dir=cache))
    try:
        found = swept(paths, room=lambda rows: _room_in(made, rows))
        if found is None:
            return None
        changed = check and differs_from_manifest(source, lambda path: digest_of(path, cache))
        report = report_of_swept(source, found, notices, changed=changed) if check else None
        if found.ordered and not (place / _ABOUT).exists():
            with suppress(NotForArrays):  # who asks for the arrays is told
                _finish(made, arrays_of_swept(found, notices=tuple(notices), fingerprint=place.name), place)
        return report
    finally:
        shutil.rmtree(made, ignore_errors=True)


def _room_in(folder: Path, rows: int) -> Rows:
    """Return columns for `rows` rows that are files of `folder`: what is put in them is on its way to the disk.

    Raises:
        OSError: the disk has no room for them. Found out later, it would end the process.
    """
    kinds = (np.int64, *(np.float64,) * 5)
    made = []
    for name, kind in zip(_COLUMNS, kinds, strict=True):
        path = folder / f"{name}.npy"
        column = np.lib.format.open_memmap(path, mode="w+", dtype=kind, shape=(rows,))
        if hasattr(os, "posix_fallocate"):
            with path.open("r+b") as file:
                os.posix_fallocate(file.fileno(), 0, path.stat().st_size)
        made.append(column.view(np.ndarray))
    return cast("Rows", tuple(made))


def _finish(made: Path, arrays: BarArrays, place: Path) -> None:
    """Give the columns in `made` the length of those in `arrays`, and put them with all else at `place`."""
    for name in _COLUMNS:
        with (made / f"{name}.npy").open("r+b") as file:
            header = np.lib.format.header_data_from_array_1_0(getattr(arrays, name))
            np.lib.format.write_array_header_1_0(file, header)
            file.truncate(file.tell() + getattr(arrays, name).nbytes)
    _put(made, arrays, place, _TABLES)


def fingerprint_of(paths: Sequence[Path], cache: Path | None) -> str:
    """Return a digest (hex) over the layout and the bytes of `paths`; names count for their order only."""
    digest = hashlib.sha256(f"bars {LAYOUT}\n".encode())
    for path in paths:
        digest.update(f"{digest_of(path, cache)}\n".encode())
    return digest.hexdigest()[:40]


def digest_of(path: Path, cache: Path | None) -> str:
    """Return the SHA-256 of the file's bytes, from memory where size and time of change are what they were."""
    try:
        known = path.stat()
    except OSError as error:
        raise DataError(f"cannot be read: {error}", where=str(path), mend="Check the path and its rights.") from error
    sign = f"{path.resolve()}|{known.st_size}|{known.st_mtime_ns}|{known.st_ino}"
    if cache is None:
        return _remembered(path, sign)
    note = cache / _DIGESTS / hashlib.sha256(sign.encode()).hexdigest()[:40]
    if note.exists():
        return note.read_text(encoding="ascii").strip()
    found = _remembered(path, sign)
    note.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(note, f"{found}\n".encode())
    return found


@lru_cache(maxsize=4096)
def _remembered(path: Path, sign: str) -> str:  # noqa: ARG001 - a file that changes has another sign
    return _digest(path)


def _digest(path: Path) -> str:
    digest = hashlib.sha256()
    try:
        with path.open("rb") as file:
            while chunk := file.read(_CHUNK):
                digest.update(chunk)
    except OSError as error:
        raise DataError(f"cannot be read: {error}", where=str(path), mend="Check the path and its rights.") from error
    return digest.hexdigest()


def _store(arrays: BarArrays, place: Path) -> None:
    """Write `arrays` beside `place`, then put them there in one step: nobody ever sees a half of them."""
    made = Path(tempfile.mkdtemp(prefix=f".making-{os.getpid()}-", dir=place.parent))
    try:
        _put(made, arrays, place, (*_COLUMNS, *_TABLES))
    finally:
        shutil.rmtree(made, ignore_errors=True)


def _put(made: Path, arrays: BarArrays, place: Path, names: Sequence[str]) -> None:
    """Write what is missing in `made`, and put it at `place` once all of it is on the disk."""
    for name in names:
        np.save(made / f"{name}.npy", getattr(arrays, name))
    about = {
        "layout": LAYOUT,
        "names": arrays.names,
        "days": [day.isoformat() for day in arrays.days],
        "span": arrays.span,
        "notices": arrays.notices,
        "fingerprint": arrays.fingerprint,
    }
    (made / _ABOUT).write_text(json.dumps(about), encoding="utf-8")
    with ThreadPoolExecutor(workers()) as pool:
        for done in [pool.submit(sync_file, path) for path in made.iterdir()]:
            done.result()
    try:
        made.replace(place)
    except OSError:
        if not (place / _ABOUT).exists():  # else somebody else has made the same
            raise
    sync_folder(place.parent)


def sync_file(path: Path) -> None:
    """Wait until the file is on the disk."""
    with path.open("rb") as file:
        os.fsync(file.fileno())


def _mapped(place: Path) -> BarArrays:
    about = cast("dict[str, object]", json.loads((place / _ABOUT).read_text(encoding="utf-8")))
    found = {name: np.load(place / f"{name}.npy", mmap_mode="r") for name in (*_COLUMNS, *_TABLES)}
    # kernels are compiled for plain arrays; a read-only view of the map is one
    plain = {name: array.view(np.ndarray) for name, array in found.items()}
    days = cast("list[str]", about["days"])
    return BarArrays(
        names=tuple(cast("list[str]", about["names"])),
        days=tuple(date.fromisoformat(day) for day in days),
        span=cast("int", about["span"]),
        notices=tuple(cast("list[str]", about["notices"])),
        fingerprint=cast("str", about["fingerprint"]),
        **plain,
    )


__all__ = ["LAYOUT", "digest_of", "fingerprint_of", "load_bar_arrays"]
