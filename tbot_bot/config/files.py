"""Small files that other processes read at any moment: replaced whole or not at all."""

import os
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Final

_RANDOM_CHARACTERS: Final = 8
"""Of the names that `tempfile` makes."""


def write_atomically(path: Path, content: str | bytes, *, durable: bool = True) -> None:
    """Put `content` (text as UTF-8) in the place of `path`; a reader sees the old file or the new one. Made 0600.

    `durable`: still there after a power cut.

    Raises:
        OSError: it could not be written; what was there is untouched, and no draft is left.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, draft = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content.encode() if isinstance(content, str) else content)
            if durable:
                file.flush()
                os.fsync(file.fileno())
        Path(draft).replace(path)
    except BaseException:
        with suppress(FileNotFoundError):
            Path(draft).unlink()
        raise
    if durable:
        sync_folder(path.parent)


def sweep_drafts(path: Path) -> None:
    """Remove what a killed writer of `path` has left beside it. Only for files with one writer at a time."""
    for left in path.parent.glob(f".{path.name}.{'?' * _RANDOM_CHARACTERS}"):
        left.unlink(missing_ok=True)


def sync_folder(folder: Path) -> None:
    """Make a rename in `folder` survive a power cut."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
