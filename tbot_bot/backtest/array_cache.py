"""Bars decoded once: arrays on disk, memory-mapped, under the content they came from.

A folder's name is a digest over the layout's version and the bytes of every source file, so that stale arrays cannot
be found. The digest of a file is remembered with its size and time of change; where these say that nothing changed,
it is not read again.
"""

import hashlib
import json
import shutil
import tempfile
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import Final, cast

import numpy as np

from tbot_bot.backtest.bar_arrays import BarArrays, bar_files_of, read_bar_arrays
from tbot_bot.config.error_handler import DataError
from tbot_bot.config.files import write_atomically

LAYOUT: Final = "1"
"""Changes with what the arrays hold, or with how they are made out of the files."""
_ARRAYS: Final = (
    "start",
    "open",
    "high",
    "low",
    "close",
    "volume",
    "first",
    "bell",
    "stop",
    "last_close",
    "day_volume",
)
_ABOUT: Final = "about.json"
_DIGESTS: Final = "digests"
_CHUNK: Final = 1 << 20


def load_bar_arrays(source: Path, cache: Path | None) -> BarArrays:
    """Return the arrays of `source`: mapped from `cache` where they are there, else decoded and put there.

    Raises:
        DataError: unreadable, or rows that cannot be trusted; a cache that cannot be written.
        NotForArrays: see `read_bar_arrays`.
    """
    paths, _ = bar_files_of(source)
    if cache is None:
        return read_bar_arrays(source, fingerprint_of(paths, None))
    try:
        cache.mkdir(parents=True, exist_ok=True)
        fingerprint = fingerprint_of(paths, cache)
        place = cache / fingerprint
        if not (place / _ABOUT).exists():
            _store(read_bar_arrays(source, fingerprint), place)
        return _mapped(place)
    except OSError as error:
        mend = "Make room, give another folder with --cache, or none."
        raise DataError(f"the cache of bars cannot be used: {error}", where=str(cache), mend=mend) from error


def fingerprint_of(paths: Sequence[Path], cache: Path | None) -> str:
    """Return a digest (hex) over the layout and the bytes of `paths`; names count for their order only."""
    digest = hashlib.sha256(f"bars {LAYOUT}\n".encode())
    for path in paths:
        digest.update(f"{digest_of(path, cache)}\n".encode())
    return digest.hexdigest()[:40]


def digest_of(path: Path, cache: Path | None) -> str:
    """Return the SHA-256 of the file's bytes, from memory where size and time of change are what they were."""
    if cache is None:
        return _digest(path)
    known = path.stat()
    sign = f"{path.resolve()}|{known.st_size}|{known.st_mtime_ns}|{known.st_ino}"
    note = cache / _DIGESTS / hashlib.sha256(sign.encode()).hexdigest()[:40]
    if note.exists():
        return note.read_text(encoding="ascii").strip()
    found = _digest(path)
    note.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(note, f"{found}\n".encode())
    return found


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
    made = Path(tempfile.mkdtemp(prefix=".making-", dir=place.parent))
    try:
        for name in _ARRAYS:
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
        try:
            made.replace(place)
        except OSError:
            if not (place / _ABOUT).exists():  # else somebody else has made the same
                raise
    finally:
        shutil.rmtree(made, ignore_errors=True)


def _mapped(place: Path) -> BarArrays:
    about = cast("dict[str, object]", json.loads((place / _ABOUT).read_text(encoding="utf-8")))
    found = {name: np.load(place / f"{name}.npy", mmap_mode="r") for name in _ARRAYS}
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
