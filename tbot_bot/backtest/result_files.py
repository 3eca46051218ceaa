"""The folder of one backtest: made whole beside its place, then moved there at once; there is never half of one."""

import os
import re
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from tbot_bot.backtest import outcomes
from tbot_bot.backtest.model import BacktestResult
from tbot_bot.config.error_handler import MachineError
from tbot_bot.reporting import trade_logger
from tbot_bot.reporting.report_router import BacktestPaths

_DRAFT: Final = re.compile(r"\.(.+)\.(\d+)\.draft")
CACHE: Final = "cache"
"""Folder beside the runs: decoded bars and compiled code, which may be deleted at any time."""


def record_files(result: BacktestResult) -> dict[str, bytes]:
    """Return the records of `result` by file name."""
    paths = BacktestPaths(folder=Path())
    table, listing = trade_logger.files_of(outcomes.rows_of(result))
    return {
        paths.trade_history_csv.name: table,
        paths.trade_history_json.name: listing,
        paths.daily_summary.name: outcomes.summaries_json(result),
        paths.equity_curve.name: outcomes.curve_csv(result),
    }


def require_free(folder: Path) -> None:
    """Do nothing where a run may be kept at `folder`: there is nothing, or an empty folder.

    Raises:
        MachineError: there is something.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise MachineError("is there already and not empty", where=str(folder), mend="Give another folder with --out.")


def keep(files: Mapping[str, bytes], folder: Path) -> None:
    """Put `files` at `folder`, all of them or none. What dead runs left half done beside it is taken away.

    Raises:
        MachineError: the place is taken.
        OSError: it could not be written; nothing is left.
    """
    with _drafted(files, folder) as draft:
        require_free(folder)
        draft.replace(folder)


def renew(files: Mapping[str, bytes], folder: Path) -> None:
    """Put `files` in the place of those of the same names at `folder`, one after the other.

    Raises:
        OSError: they could not be written.
    """
    with _drafted(files, folder) as draft:
        for name in files:
            (draft / name).replace(folder / name)
        draft.rmdir()
    _sync(folder)


def take_away(folder: Path) -> None:
    """Remove `folder` and what is in it, at once for everybody who looks; a kill leaves a draft of a dead run."""
    gone = _draft_of(folder)
    folder.replace(gone)
    shutil.rmtree(gone)


@contextmanager
def _drafted(files: Mapping[str, bytes], folder: Path) -> Iterator[Path]:
    """Give a folder beside `folder` that holds `files`, to be moved."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    sweep(folder.parent)
    draft = _draft_of(folder)
    try:
        draft.mkdir()
        for name, content in files.items():
            with (draft / name).open("wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
        yield draft
    except BaseException:
        with suppress(OSError):  # cleaning up; the first error is raised
            shutil.rmtree(draft)
        raise
    _sync(folder.parent)


def _draft_of(folder: Path) -> Path:
    """Return the place of our draft of `folder`, which is free then.

    In a container a run that was killed often had the number that we have now: a draft under it is nobody's.
    """
    draft = folder.parent / f".{folder.name}.{os.getpid()}.draft"
    if draft.exists():
        shutil.rmtree(draft)
    return draft


def sweep(parent: Path) -> None:
    """Remove the drafts in `parent` whose makers are dead."""
    for path in parent.iterdir():
        found = _DRAFT.fullmatch(path.name)
        if found and not _alive(int(found[2])):
            with suppress(FileNotFoundError):  # another run was faster to remove it
                shutil.rmtree(path)


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _sync(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


__all__ = ["CACHE", "keep", "record_files", "renew", "require_free", "sweep", "take_away"]
