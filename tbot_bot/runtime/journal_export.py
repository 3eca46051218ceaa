"""`tbot journal export`: files for people made anew, or rows as lines. The same journal gives the same bytes."""

import errno
import hashlib
import os
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from tbot_bot.config.settings import load_settings
from tbot_bot.journal.chain import Row
from tbot_bot.journal.store import JournalReader
from tbot_bot.reporting.disaster_log import write_disaster_log
from tbot_bot.reporting.facts import Level, LogFormat
from tbot_bot.reporting.projector import Projector
from tbot_bot.reporting.report_router import OutputPaths
from tbot_bot.runtime.files import sync_folder
from tbot_bot.runtime.locks import RUNNER_LOCK, Lock


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportedFile:
    """A file for people after the export."""

    path: Path
    sha256: str
    """Of its content, in hexadecimal."""
    change: str
    """`made`, `mended` or `unchanged`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WrittenLines:
    """What an export of rows came to."""

    lines: int
    sha256: str


def rebuild_files(
    home: Path, journal: JournalReader, records: OutputPaths, watched: Callable[[Iterable[Row]], Iterator[Row]]
) -> tuple[ExportedFile, ...]:
    """Write every file for people from the whole journal, in the form that the settings ask for.

    A running session appends to the same files, so this waits for none and disturbs none.

    Raises:
        AlreadyRunning: a session runs.
        ConfigError, JournalError, RecordsError: settings or journal cannot be read, a file cannot be written.
    """
    settings = load_settings(home, defaults_if_absent=True)
    bot = settings.bot
    with Lock(home / settings.env.control_dir / RUNNER_LOCK):
        before = {path: _digest(path) for path in (*records.for_people(), records.disaster_log)}
        projector = Projector(records, LogFormat(bot.log_format.value), Level(bot.debug_log_level.value))
        projector.feed_rows(watched(journal.rows()))
        write_disaster_log(journal, records)
        return tuple(
            ExportedFile(path=path, sha256=after, change=_change(then, after))
            for path, then in before.items()
            if (after := _digest(path))
        )


def write_lines(path: Path, lines: Iterable[str]) -> WrittenLines:
    """Put `lines` in the place of the file at `path`, as they come: the journal of years needs no memory.

    Raises:
        OSError: it could not be written; what was there is untouched, and no draft is left.
    """
    if not path.parent.is_dir():
        raise FileNotFoundError(errno.ENOENT, "no such folder", str(path.parent))
    count, digest = 0, hashlib.sha256()
    handle, draft = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            for line in lines:
                data = line.encode()
                digest.update(data)
                file.write(data)
                count += 1
            file.flush()
            os.fsync(file.fileno())
        Path(draft).replace(path)
    except BaseException:
        with suppress(FileNotFoundError):
            Path(draft).unlink()
        raise
    sync_folder(path.parent)
    return WrittenLines(lines=count, sha256=digest.hexdigest())


def _digest(path: Path) -> str:
    """Return the digest of the file at `path`; empty where there is none."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except FileNotFoundError:
        return ""


def _change(before: str, after: str) -> str:
    if not before:
        return "made"
    return "unchanged" if before == after else "mended"
