"""Writing files so that a reader, a crash or a full disk never leaves half of one.

Whole files are replaced: written beside, synced, renamed over the old one. Logs grow by whole lines: by one write
where they fit into the page of memory that the file ends in, for such a write shows itself at once or not at all, and
else by replacing the file, since a longer write shows itself page by page and a page may end within a line. A line
that a crash has cut is taken off when the log is opened again.
"""

import errno
import os
from contextlib import suppress
from pathlib import Path
from typing import ClassVar, Final

from tbot_bot.config.error_handler import TbotError

_ROOM: Final = "Make room on the disk; the file is rebuilt from the journal at the next write."
_RIGHTS: Final = "Look at the rights of the folder; the file is rebuilt from the journal at the next write."
_FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_CHUNK: Final = 65_536
_PAGE: Final = 4096  # bytes; the smallest page of a file in memory, and larger ones are multiples of it


class RecordsError(TbotError):
    """A file for people could not be written. The journal is not concerned: nothing is lost."""

    code: ClassVar[str] = "RECORDS"
    retryable: ClassVar[bool] = True


def replace_file(path: Path, data: bytes) -> None:
    """Put `data` in the place of the file at `path`; a reader sees the old file or the new one, whole.

    Raises:
        RecordsError: it could not be written. The old file is untouched and no draft is left.
    """
    draft = path.with_name(f".{path.name}.{os.getpid()}.draft")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            _write_synced(draft, data)
            draft.replace(path)
        except BaseException:
            with suppress(OSError):
                draft.unlink(missing_ok=True)
            raise
        _sync_folder(path.parent)
    except OSError as error:
        raise _failure(path, error) from error


def append_lines(path: Path, data: bytes) -> None:
    """Add whole lines to the log at `path`, all of them at once, after taking off a last line without its end.

    Who follows the log must follow its name (`tail -F`), as for any log that is rotated.

    Raises:
        RecordsError: nothing of `data` is in the file.
        ValueError: `data` does not end a line.
    """
    if not data:
        return
    if not data.endswith(b"\n"):
        msg = "a log grows by whole lines; this text has no end of line"
        raise ValueError(msg)
    whole = b""
    try:
        handle = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CLOEXEC)
        try:
            size = _mend_end(handle)
            if size // _PAGE == (size + len(data) - 1) // _PAGE:
                _append_synced(handle, size, data)
            else:
                whole = _read_all(handle, size) + data
        finally:
            os.close(handle)
    except FileNotFoundError:
        whole = data
    except OSError as error:
        raise _failure(path, error) from error
    if whole:
        replace_file(path, whole)


def settle_log(path: Path, data: bytes) -> None:
    """Make the log at `path` hold exactly `data`: append where it holds a beginning of it, else replace it.

    A log that was edited or damaged is written anew.

    Raises:
        RecordsError: it could not be written; what was there is still there.
    """
    try:
        present = path.read_bytes()
    except FileNotFoundError:
        present = b""
    except OSError as error:
        raise _failure(path, error) from error
    whole = present[: present.rfind(b"\n") + 1]
    if not data.startswith(whole):
        replace_file(path, data)
    elif len(data) > len(whole):
        append_lines(path, data[len(whole) :])
    elif len(present) > len(whole):
        replace_file(path, data)


def _write_synced(path: Path, data: bytes) -> None:
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o644)
    try:
        _write_all(handle, data)
        os.fsync(handle)
    finally:
        os.close(handle)


def _append_synced(handle: int, size: int, data: bytes) -> None:
    try:
        _write_all(handle, data)
        os.fsync(handle)
    except BaseException:
        with suppress(OSError):
            os.ftruncate(handle, size)
        raise


def _read_all(handle: int, size: int) -> bytes:
    return b"".join(os.pread(handle, _CHUNK, start) for start in range(0, size, _CHUNK))


def _write_all(handle: int, data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(handle, rest) :]


def _mend_end(handle: int) -> int:
    """Cut the log after its last end of line and return its size."""
    size = end = os.fstat(handle).st_size
    while end > 0:
        start = max(0, end - _CHUNK)
        newline = os.pread(handle, end - start, start).rfind(b"\n")
        if newline >= 0:
            end = start + newline + 1
            break
        end = start
    if end < size:
        os.ftruncate(handle, end)
    return end


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _failure(path: Path, error: OSError) -> RecordsError:
    full = error.errno in _FULL
    what = "the disk is full" if full else f"the file cannot be written ({error.strerror})"
    return RecordsError(what, where=str(path), mend=_ROOM if full else _RIGHTS)


__all__ = ["RecordsError", "append_lines", "replace_file", "settle_log"]
