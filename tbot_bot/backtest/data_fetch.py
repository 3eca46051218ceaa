"""Downloads bars into a data set, piece by piece: what has come is kept, and the same request goes on where it ended.

Pieces lie in a folder beside the target until all have come; then the set is made of them in one step.
"""

import fcntl
import io
import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Final, Protocol

import numpy as np

from tbot_bot.backtest.bar_rows import SYMBOL, sound
from tbot_bot.backtest.data_set import (
    ROW,
    About,
    Adjustment,
    Faults,
    Manifest,
    making,
    spool_in,
    write_bars,
)
from tbot_bot.backtest.load_historical_data import unique_bars
from tbot_bot.config.error_handler import ConfigError, ConfigProblem, DataError, TbotError
from tbot_bot.config.files import write_atomically
from tbot_bot.core.bars import Bar
from tbot_bot.core.instants import Instant
from tbot_bot.reporting.shapes import text_of, to_plain

_PLAN: Final = "plan.json"
_LOCK: Final = "lock"
_NAMED: Final = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """What is asked for at once."""

    symbols: tuple[str, ...]
    first: date
    last: date
    """New York trading days, both included."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Came:
    """What came for a piece."""

    bars: tuple[Bar, ...]
    refused: Mapping[str, str]
    """Symbols that the vendor does not have, and its words."""
    unread: int = 0
    """Rows that made no sense."""


class BarVendor(Protocol):
    """Who has bars of the past."""

    name: str
    words: str
    """What goes into the manifest as the source."""
    adjustment: Adjustment
    """What the vendor has adjusted its bars for."""

    def pieces(self, symbols: Sequence[str], days: Sequence[date]) -> list[Piece]:
        """Return how the request is cut."""
        ...

    def seconds_left(self, pieces: Sequence[Piece]) -> float:
        """Return how long `pieces` take at the vendor's pace, about."""
        ...

    async def bars(self, piece: Piece) -> Came:
        """Ask for a piece.

        Raises:
            TbotError: no answer in spite of retries, or a refusal that concerns everything.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class FetchRequest:
    """What is to be downloaded."""

    symbols: tuple[str, ...]
    days: tuple[date, ...]
    """Trading days, ascending, all of them over."""
    target: Path
    made_at: Instant
    survivorship: str = ""
    replace: bool = False
    restart: bool = False
    """Forget what has come of another request for the same target."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fetched:
    """What a download came to."""

    manifest: Manifest
    refused: Mapping[str, str]
    empty: tuple[str, ...]
    """Symbols that the vendor knows and has no bars of."""
    pieces: int
    kept: int
    """Of these, what had come before."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Plan:
    vendor: str
    symbols: tuple[str, ...]
    first: date
    last: date
    pieces: int


Progress = Callable[[int, int, str], None]
"""Hears how many pieces have come, of how many, and which is next."""


async def fetch_bars(request: FetchRequest, vendor: BarVendor, progress: Progress) -> Fetched:
    """Download what has not come yet, and make the set.

    Raises:
        ConfigError: no symbol, or one that is none; no day.
        DataError: the target is taken, another fetch for it is under way or unfinished.
        TbotError: the vendor; what has come is kept.
    """
    _require_sense(request)
    pieces = vendor.pieces(request.symbols, request.days)
    if request.target.exists() and not request.replace:
        mend = "Give another folder with --into, or --replace."
        raise DataError("is there already", where=str(request.target), mend=mend)
    with _room(request, _Plan(
        vendor=vendor.words,
        symbols=request.symbols,
        first=request.days[0],
        last=request.days[-1],
        pieces=len(pieces),
    )) as room:  # fmt: skip
        kept = await _collect(room, pieces, vendor, progress)
        progress(len(pieces), len(pieces), "sorting and writing")
        fetched = _made(room, request, vendor, pieces, kept)
        shutil.rmtree(room)
    return fetched


def room_of(target: Path) -> Path:
    """Return where the pieces for `target` are kept meanwhile."""
    return target.with_name(f".{target.name}.fetch")


def _require_sense(request: FetchRequest) -> None:
    bad = [symbol for symbol in request.symbols if not SYMBOL.fullmatch(symbol)]
    if bad or not request.symbols:
        expected = "symbols such as AAPL,BRK.B" if bad else "at least one symbol"
        mend = "or list them in UNIVERSE of .env_bot"
        problem = ConfigProblem(file="--symbols", value=",".join(bad) or None, expected=expected, mend=mend)
        raise ConfigError([problem])
    if not request.days:
        problem = ConfigProblem(file="--start", expected="at least one trading day that is over, up to --end")
        raise ConfigError([problem])


@contextmanager
def _room(request: FetchRequest, plan: _Plan) -> Iterator[Path]:
    """Give the folder of pieces, held against a second fetch."""
    room = room_of(request.target)
    room.mkdir(parents=True, exist_ok=True)
    handle = os.open(room / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            mend = "Let it end, or give another folder with --into."
            raise DataError("another fetch is under way", where=str(request.target), mend=mend) from None
        _settle(room, plan, restart=request.restart)
        yield room
    finally:
        os.close(handle)


def _settle(room: Path, plan: _Plan, *, restart: bool) -> None:
    """Begin, or go on where the plan is the same."""
    path = room / _PLAN
    text = f"{text_of(to_plain(plan))}\n"
    if path.exists() and path.read_text(encoding="utf-8") != text:
        if not restart:
            what = "an unfinished fetch of other symbols, days or another vendor is kept"
            mend = "Give the same words as then to finish it, or --restart to forget it."
            raise DataError(what, where=str(room), mend=mend)
        for piece in room.glob("*.npz"):
            piece.unlink()
    write_atomically(path, text)


async def _collect(room: Path, pieces: Sequence[Piece], vendor: BarVendor, progress: Progress) -> int:
    """Ask for what is missing; return how many pieces were there."""
    missing = [number for number in range(len(pieces)) if not _place(room, number).exists()]
    kept = len(pieces) - len(missing)
    refused: set[str] = set()
    for number in range(len(pieces)):
        if number not in missing:
            refused.update(_refused(room, number))
    for done, number in enumerate(missing, start=kept):
        piece = pieces[number]
        wanted = tuple(symbol for symbol in piece.symbols if symbol not in refused)
        shown = wanted[0] if len(wanted) == 1 else f"{len(wanted)} symbols"
        progress(done, len(pieces), f"{shown} {piece.first.isoformat()}")
        try:
            ask = Piece(symbols=wanted, first=piece.first, last=piece.last)
            came = await vendor.bars(ask) if wanted else Came(bars=(), refused={})
        except TbotError as error:
            come = f"{done} of {len(pieces)} pieces have come and are kept; the same command goes on."
            error.mend = f"{error.mend} {come}".strip()
            raise
        refused.update(came.refused)
        _keep(room, number, came)
    return kept


def _place(room: Path, number: int) -> Path:
    return room / f"{number:06d}.npz"


def _keep(room: Path, number: int, came: Came) -> None:
    names = sorted({bar.symbol for bar in came.bars})
    code = {name: place for place, name in enumerate(names)}
    rows = np.array(
        [(b.start, b.open, b.high, b.low, b.close, b.volume, code[b.symbol], place)
         for place, b in enumerate(came.bars, start=1)], ROW,
    )  # fmt: skip
    about = json.dumps({"names": names, "refused": dict(came.refused), "unread": came.unread})
    buffer = io.BytesIO()
    np.savez_compressed(buffer, rows=rows, about=np.frombuffer(about.encode(), np.uint8))
    write_atomically(_place(room, number), buffer.getvalue())


@dataclass(frozen=True, slots=True)
class _KeptPiece:
    names: list[str]
    refused: dict[str, str]
    unread: int
    rows: "np.ndarray[tuple[int], np.dtype[np.void]]"


def _read(room: Path, number: int) -> _KeptPiece:
    with np.load(_place(room, number), allow_pickle=False) as found:
        about = json.loads(found["about"].tobytes())
        return _KeptPiece(about["names"], about["refused"], about["unread"], found["rows"])


def _refused(room: Path, number: int) -> dict[str, str]:
    return _read(room, number).refused


def _made(room: Path, request: FetchRequest, vendor: BarVendor, pieces: Sequence[Piece], kept: int) -> Fetched:
    refused: dict[str, str] = {}
    seen: set[str] = set()
    unread = 0
    faults = Faults()
    with making(request.target, replace=request.replace) as made:
        spool = spool_in(made)
        for number in range(len(pieces)):
            piece = _read(room, number)
            refused |= piece.refused
            unread += piece.unread
            good = sound(piece.rows)
            unread += int(np.count_nonzero(~good))
            for code, name in enumerate(piece.names):
                rows = piece.rows[good & (piece.rows["file"] == code)]
                rows["file"] = number
                seen.update([name] if len(rows) else [])
                spool.add(name, rows)
        files = [Path(f"piece {number + 1}") for number in range(len(pieces))]
        about = About(
            source=vendor.words,
            adjustment=vendor.adjustment,
            survivorship=request.survivorship,
            made_at=request.made_at,
            notices=tuple(_notices(refused, unread)),
        )
        bars = unique_bars(spool.by_symbol(), files, faults)
        manifest = write_bars(made, bars, about, left_out=lambda: unread + faults.total)
    empty = tuple(symbol for symbol in request.symbols if symbol not in seen and symbol not in refused)
    return Fetched(manifest=manifest, refused=refused, empty=empty, pieces=len(pieces), kept=kept)


def _notices(refused: Mapping[str, str], unread: int) -> Iterator[str]:
    if refused:
        names = sorted(refused)
        more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
        yield f"the vendor does not have {', '.join(names[:_NAMED])}{more}"
    if unread:
        yield f"{unread} rows that the vendor sent are no bars and were left out"


__all__ = ["BarVendor", "Came", "FetchRequest", "Fetched", "Piece", "fetch_bars", "room_of"]
