"""The market's bars of one session, beside the journal: an append-only file of checked frames.

A frame is, little-endian,

    magic "TF", kind u8, flags u8, body length u32, input number i64, CRC-32 of all before and the body u32, body

with the kinds
    0 opening   body: the session's id in UTF-8; always the first frame
    1 symbols   body: new symbols in UTF-8, a newline between; they get the next free numbers
    2 bars      body: at i64, count u32, zlib of the columns: symbol numbers u32 (left out where they are those of
                the frame before), starts and ends i64 (one of each where all are the same), then opens, highs,
                lows, closes, volumes f64

Doubles are stored bit for bit. The tape's digest is the SHA-256 over all its frames; a journaled decision
holds it, so that the journal's hash chain covers the tape too.
"""

import hashlib
import os
import struct
import zlib
from collections.abc import Iterator, Sequence
from contextlib import suppress
from functools import partial
from itertools import repeat
from pathlib import Path
from typing import BinaryIO, Final, NamedTuple, Self

from tbot_bot.config.error_handler import JournalError
from tbot_bot.core.bars import Bar
from tbot_bot.core.identity import Mode, SessionId
from tbot_bot.journal.files import JournalWriteFailed

MAGIC: Final = b"TF"
_HEADER: Final = struct.Struct("<2sBBIqI")
_UNCHECKED: Final = struct.Struct("<2sBBIq")
_PREFIX: Final = struct.Struct("<qI")
_BODY_MAX: Final = 1 << 28
_PENDING_MAX: Final = 1 << 20
"""Bytes held back before they are given to the operating system without being asked."""
_OPENING, _SYMBOLS, _BARS = 0, 1, 2
_BACKFILL, _SAME_TIMES, _SAME_SYMBOLS = 1, 2, 4
_PRICES: Final = 5
_RESTORE: Final = "Nothing was changed. Restore the last good backup of the tape."
_new_bar: Final = partial(tuple.__new__, Bar)


class TapeEvent(NamedTuple):
    """One grid step of the market as it was given to the engine."""

    number: int
    """Number of the input within its session."""
    at: int
    """Nanoseconds UTC."""
    bars: tuple[Bar, ...]
    backfill: bool


def tape_path(folder: Path, mode: Mode, session: SessionId) -> Path:
    """Return where the tape of `session` is, below the `output/journal` folder."""
    again = f"_r{session.run}" if session.run > 1 else ""
    return folder / f"tape_{mode}" / f"{session.day.isoformat()}_{session.strategy}{again}.tape"


class TapeReader:
    """Reads one tape from its beginning; a torn last frame (a crash while writing) ends it quietly."""

    def __init__(self, path: Path) -> None:
        """Read `path` when iterated; nothing is opened yet."""
        self.path: Final = path
        self.session = ""
        """The session's id, known once iteration has begun."""
        self.frames = 0
        self.whole_bytes = 0
        """Bytes up to the end of the last whole frame read so far."""
        self.dropped_bytes = 0
        """Bytes of the torn tail, known when iteration has ended."""
        self.symbols: list[str] = []
        self.last_number = 0
        self._last_ids: tuple[int, ...] = ()
        self._last_names: tuple[str, ...] = ()
        self._digest = hashlib.sha256()

    def digest(self) -> str:
        """Return the SHA-256 (hex) over the frames read so far."""
        return self._digest.hexdigest()

    def copy_digest(self) -> "hashlib._Hash":
        """Return the running hash over the frames read so far, to be continued."""
        return self._digest.copy()

    @property
    def last_ids(self) -> tuple[int, ...]:
        """The symbol numbers of the last bars."""
        return self._last_ids

    def __iter__(self) -> Iterator[TapeEvent]:
        """Yield the events from the beginning.

        Raises:
            JournalError: no file, not a tape, or damaged before its end.
        """
        self.__init__(self.path)  # type: ignore[misc]  # begin again
        try:
            with self.path.open("rb") as file:
                yield from self._events(file)
        except FileNotFoundError:
            raise self._wrong("the tape is missing") from None
        except OSError as error:
            raise self._wrong(f"the tape cannot be read ({error.strerror})") from error

    def _events(self, file: BinaryIO) -> Iterator[TapeEvent]:
        size = os.fstat(file.fileno()).st_size
        held = b""  # new symbols count only together with the bars that brought them
        known = 0
        while True:
            header = file.read(_HEADER.size)
            if len(header) < _HEADER.size:
                break
            magic, kind, flags, length, number, crc = _HEADER.unpack(header)
            if magic != MAGIC or length > _BODY_MAX:
                break
            body = file.read(length)
            if len(body) < length or zlib.crc32(body, zlib.crc32(header[:-4])) != crc:
                break
            try:
                event = self._frame(kind, flags, number, body)
            except (ValueError, IndexError, struct.error, zlib.error) as error:
                raise self._wrong(f"frame at byte {self.whole_bytes} cannot be read: {error}") from error
            self.frames += 1
            held += header + body
            if kind == _SYMBOLS:
                continue
            self.whole_bytes += len(held)
            self._digest.update(held)
            held, known = b"", len(self.symbols)
            if event is not None:
                yield event
        del self.symbols[known:]
        self._end(file, size, len(held))

    def _frame(self, kind: int, flags: int, number: int, body: bytes) -> TapeEvent | None:
        if (kind == _OPENING) is not (self.frames == 0):
            msg = "the opening frame is not the first"
            raise ValueError(msg)
        if kind == _OPENING:
            self.session = body.decode()
            return None
        if kind == _SYMBOLS:
            self.symbols.extend(body.decode().split("\n"))
            return None
        if kind != _BARS or number <= self.last_number:
            msg = f"kind {kind}, input {number} after input {self.last_number}"
            raise ValueError(msg)
        self.last_number = number
        at, count = _PREFIX.unpack_from(body)
        if count == 0:
            return TapeEvent(number, at, (), bool(flags & _BACKFILL))
        return TapeEvent(number, at, self._bars(flags, count, body), bool(flags & _BACKFILL))

    def _bars(self, flags: int, count: int, body: bytes) -> tuple[Bar, ...]:
        ids = 0 if flags & _SAME_SYMBOLS else count
        times = 1 if flags & _SAME_TIMES else count
        columns = zlib.decompress(body[_PREFIX.size :])
        values = struct.unpack(f"<{ids}I{2 * times}q{_PRICES * count}d", columns)
        if ids:
            self._last_ids = values[:ids]
            self._last_names = tuple(map(self.symbols.__getitem__, self._last_ids))
        if len(self._last_names) != count:
            msg = f"{count} bars of {len(self._last_names)} symbols"
            raise ValueError(msg)
        starts: Iterator[int]
        ends: Iterator[int]
        if times == 1:
            starts, ends = repeat(values[ids]), repeat(values[ids + 1])
        else:
            starts, ends = iter(values[ids : ids + count]), iter(values[ids + count : ids + 2 * count])
        first = ids + 2 * times
        prices = [values[first + k * count : first + (k + 1) * count] for k in range(_PRICES)]
        return tuple(map(_new_bar, zip(self._last_names, starts, ends, *prices, strict=False)))

    def _end(self, file: BinaryIO, size: int, held: int) -> None:
        """Tell a torn tail from damage: after the place where writing was cut, no whole frame may follow."""
        file.seek(self.whole_bytes)
        rest = file.read(max(size - self.whole_bytes, 0))
        if self.frames == 0 and not MAGIC.startswith(rest[:2].rstrip(b"\0")):
            raise self._wrong("this is not a tape")
        if _whole_frame_in(rest[held:]):
            raise self._wrong(f"the tape is damaged at byte {self.whole_bytes}: whole frames follow the broken one")
        self.dropped_bytes = len(rest)

    def _wrong(self, what: str) -> JournalError:
        return JournalError(what, where=str(self.path), mend=_RESTORE)


class TapeWriter:
    """Appends to one tape. Frames are held in memory until `sync` (or a mebibyte) and lost with the process."""

    def __init__(self, path: Path, session: str) -> None:
        """Open the tape of `session` at `path`, new or after a crash; a torn tail is cut off first.

        Raises:
            JournalWriteFailed: the file cannot be written.
            JournalError: the file is damaged before its end or is another session's; nothing was changed.
        """
        self.path: Final = path
        self.dropped_bytes = 0
        """Bytes of a torn tail that were cut off at opening."""
        self._ids: dict[str, int] = {}
        self._last_names: tuple[str, ...] = ()
        self.last_number = 0
        self._pending: list[bytes] = []
        self._pending_bytes = 0
        self._digest = hashlib.sha256()
        self._failed = False
        kept = self._resume(session) if path.exists() else 0
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
            os.ftruncate(self._file, kept)
            self._written = kept
            if kept == 0:
                self._add(_OPENING, 0, 0, session.encode())
                self.sync()
                _sync_folder(path.parent)
        except OSError as error:
            raise self._failure(error) from error

    def __enter__(self) -> Self:
        """Return itself; the end of the block syncs and closes."""
        return self

    def __exit__(self, *_: object) -> None:
        """Sync and close."""
        self.close()

    def append(self, number: int, at: int, bars: Sequence[Bar], *, backfill: bool = False) -> None:
        """Add input `number`, the `bars` known at `at`; durable only after `sync`.

        Raises:
            JournalError: `number` is not above the last one, or a bar cannot be stored.
            JournalWriteFailed: see `sync`.
        """
        if number <= self.last_number:
            raise JournalError(f"input {number} after input {self.last_number}", where=str(self.path))
        flags = _BACKFILL if backfill else 0
        if bars:
            flags, body = self._pack(flags, number, bars)
        else:
            body = b""
        self._add(_BARS, flags, number, _PREFIX.pack(at, len(bars)) + body)
        self.last_number = number
        if self._pending_bytes > _PENDING_MAX:
            self._flush()

    def sync(self) -> None:
        """Make everything appended so far durable.

        Raises:
            JournalWriteFailed: the disk is full or failing. After a failed write the frames are kept in
                memory for the next `sync`; after a failed fsync the tape must be opened anew, because
                nobody knows what the disk has.
        """
        self._flush()
        try:
            os.fsync(self._file)
        except OSError as error:
            self._failed = True
            raise self._failure(error) from error

    def digest(self) -> str:
        """Return the SHA-256 (hex) over all frames appended so far; sync before you journal it."""
        return self._digest.hexdigest()

    def close(self) -> None:
        """Sync and close; closing twice does no harm."""
        if self._file < 0:
            return
        try:
            self.sync()
        finally:
            os.close(self._file)
            self._file = -1

    def _resume(self, session: str) -> int:
        """Take over what is on the file; return how many of its bytes are whole."""
        reader = TapeReader(self.path)
        for _ in reader:
            pass
        if reader.frames and reader.session != session:
            what = f"this is the tape of {reader.session}, not of {session}"
            raise JournalError(what, where=str(self.path), mend=_RESTORE)
        self._ids = {symbol: number for number, symbol in enumerate(reader.symbols)}
        self._last_names = tuple(reader.symbols[number] for number in reader.last_ids)
        self.last_number = reader.last_number
        self.dropped_bytes = reader.dropped_bytes
        self._digest = reader.copy_digest()
        return reader.whole_bytes

    def _pack(self, flags: int, number: int, bars: Sequence[Bar]) -> tuple[int, bytes]:
        names, starts, ends, *prices = zip(*bars, strict=True)
        count = len(names)
        try:
            times = [*starts, *ends]
            if starts.count(starts[0]) == count == ends.count(ends[0]):
                flags, times = flags | _SAME_TIMES, [starts[0], ends[0]]
            opens, highs, lows, closes, volumes = prices
            form = f"{len(times)}q{_PRICES * count}d"
            if names == self._last_names:
                flags |= _SAME_SYMBOLS
                columns = struct.pack(f"<{form}", *times, *opens, *highs, *lows, *closes, *volumes)
            else:
                ids, added = self._numbers(names)
                columns = struct.pack(f"<{count}I{form}", *ids, *times, *opens, *highs, *lows, *closes, *volumes)
                if added:
                    self._add(_SYMBOLS, 0, number, "\n".join(added).encode())
                    first = len(self._ids)  # taken once: the dictionary grows while it is updated
                    self._ids.update((symbol, first + k) for k, symbol in enumerate(added))
                self._last_names = names
        except (struct.error, ValueError, TypeError, OverflowError) as error:
            raise JournalError(f"a bar of input {number} cannot be stored: {error}", where=str(self.path)) from error
        return flags, zlib.compress(columns, 1)

    def _numbers(self, names: tuple[str, ...]) -> tuple[list[int], list[str]]:
        """Return the numbers of `names` and which of them are new; nothing is remembered yet."""
        known = self._ids
        added = [name for name in dict.fromkeys(names) if name not in known]
        if not added:
            return list(map(known.__getitem__, names)), added
        if not all(name and "\n" not in name for name in added):
            msg = "a symbol is empty or has a line break"
            raise ValueError(msg)
        fresh = {name: len(known) + k for k, name in enumerate(added)}
        return [fresh[name] if name in fresh else known[name] for name in names], added

    def _add(self, kind: int, flags: int, number: int, body: bytes) -> None:
        head = _UNCHECKED.pack(MAGIC, kind, flags, len(body), number)
        frame = b"".join((head, struct.pack("<I", zlib.crc32(body, zlib.crc32(head))), body))
        self._digest.update(frame)
        self._pending.append(frame)
        self._pending_bytes += len(frame)

    def _flush(self) -> None:
        """Give what is pending to the operating system, whole or not at all."""
        if self._failed:
            raise JournalWriteFailed("the tape failed before", where=str(self.path), mend="Open it anew.")
        data = memoryview(b"".join(self._pending))
        done = 0
        try:
            while done < len(data):
                done += os.pwrite(self._file, data[done:], self._written + done)
        except OSError as error:
            with suppress(OSError):
                os.ftruncate(self._file, self._written)
            raise self._failure(error) from error
        self._written += done
        self._pending.clear()
        self._pending_bytes = 0

    def _failure(self, error: OSError) -> JournalWriteFailed:
        what = f"the tape could not be written ({error.strerror})"
        return JournalWriteFailed(what, where=str(self.path), mend="Make room, look at the disk and the rights.")


def _whole_frame_in(data: bytes) -> bool:
    """Return whether a whole frame begins anywhere in `data`."""
    at = data.find(MAGIC)
    while 0 <= at <= len(data) - _HEADER.size:
        _, _, _, length, _, crc = _HEADER.unpack_from(data, at)
        body = at + _HEADER.size
        if body + length <= len(data):
            head = zlib.crc32(data[at : body - 4])
            if zlib.crc32(data[body : body + length], head) == crc:
                return True
        at = data.find(MAGIC, at + 1)
    return False


def _sync_folder(folder: Path) -> None:
    number = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)


__all__ = ["TapeEvent", "TapeReader", "TapeWriter", "tape_path"]
