"""The folder of one backtest: made whole beside its place, then moved there at once; there is never half of one."""

import os
import re
import shutil
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final

from tbot_bot.backtest import outcomes
from tbot_bot.backtest.model import BacktestResult
from tbot_bot.config.error_handler import DataError, MachineError
from tbot_bot.reporting import trade_logger
from tbot_bot.reporting.report_router import BacktestPaths

_DRAFT: Final = re.compile(r"\.(.+)\.(\d+)\.draft")
CACHE: Final = "cache"
"""Folder beside the runs: decoded bars and compiled code, which may be deleted at any time."""


def record_files(result: BacktestResult) -> dict[str, bytes]:
    """Return the records of `result` by file name."""
    paths = BacktestPaths(folder=Path())
    rows = tuple(outcomes.rows_of(result))
    return {
        paths.trade_history_csv.name: trade_logger.csv_of(rows),
        paths.trade_history_json.name: trade_logger.json_of(rows),
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
    folder.parent.mkdir(parents=True, exist_ok=True)
    sweep(folder.parent)
    draft = folder.parent / f".{folder.name}.{os.getpid()}.draft"
    try:
        draft.mkdir()
        for name, content in files.items():
            with (draft / name).open("wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
        require_free(folder)
        draft.replace(folder)
    except BaseException:
        with suppress(OSError):  # cleaning up; the first error is raised
            shutil.rmtree(draft)
        raise
    _sync(folder.parent)


def sweep(parent: Path) -> None:
    """Remove the drafts in `parent` whose makers are dead."""
    for path in parent.iterdir():
        found = _DRAFT.fullmatch(path.name)
        if found and not _alive(int(found[2])):
            with suppress(FileNotFoundError):  # another run was faster to remove it
                shutil.rmtree(path)


def runs_in(parent: Path) -> list[Path]:
    """Return the folders of runs in `parent`, oldest first: their names begin with the instant of their start."""
    if not parent.is_dir():
        return []
    return sorted(path for path in parent.iterdir() if BacktestPaths(folder=path).manifest.is_file())


def run_named(parent: Path, name: str) -> Path:
    """Return the folder of the run `name`: a run's name or the beginning of only one, a path, or the latest if empty.

    Raises:
        DataError: there is no such run, or more than one.
    """
    runs = runs_in(parent)
    if not name:
        if not runs:
            raise DataError("there is no backtest yet", where=str(parent), mend="`tbot backtest run` makes one.")
        return runs[-1]
    given = Path(name)
    if BacktestPaths(folder=given).manifest.is_file():
        return given
    fitting = [path for path in runs if path.name == name] or [path for path in runs if path.name.startswith(name)]
    if len(fitting) == 1:
        return fitting[0]
    what = f"{len(fitting)} runs begin with {name!r}" if fitting else f"no run is called {name!r}"
    mend = "`tbot backtest report --list` shows which runs there are."
    raise DataError(what, where=str(parent), mend=mend)


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


__all__ = ["CACHE", "keep", "record_files", "require_free", "run_named", "runs_in", "sweep"]
