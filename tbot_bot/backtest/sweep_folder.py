"""The folder of a finished sweep or walk-forward: put there whole, known again, and replaced only by its like."""

import hashlib
import json
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Protocol, TypeVar

from tbot_bot.backtest.result_files import keep, require_free, take_away
from tbot_bot.backtest.run_manifest import Digest
from tbot_bot.backtest.sweep_log import clear, require_same
from tbot_bot.backtest.sweep_plan import SweepPlan
from tbot_bot.config.error_handler import MachineError
from tbot_bot.reporting.shapes import from_plain


class Summary(Protocol):
    """What a finished folder says of itself."""

    @property
    def plan(self) -> SweepPlan:
        """What was asked for."""

    @property
    def files(self) -> tuple[Digest, ...]:
        """What stands beside the summary."""


S = TypeVar("S", bound=Summary)


def finished_at(
    folder: Path, name: str, kind: type[S], plan: SweepPlan, *, anew: bool, remade: Collection[str] = ()
) -> S | None:
    """Return the summary `name` of what is finished at `folder`; None where the place is free, or `anew` frees it.

    What a killed attempt at it has left is taken away. `remade`: files that may be missing or others, since they can
    be made of the rest.

    Raises:
        AnotherSweep: something else was asked for there.
        MachineError: the place is taken by other files, or a file of the result has been changed.
    """
    try:
        found = from_plain(kind, json.loads((folder / name).read_text(encoding="utf-8")))
    except (FileNotFoundError, NotADirectoryError, ValueError):
        require_free(folder)
        return None
    if anew:
        return None
    require_same(found.plan, plan, folder)
    for one in found.files:
        if one.name not in remade and not is_intact(folder, one):
            mend = "--no-resume computes it again; --out names another folder."
            raise MachineError("is not the file that was made here", where=str(folder / one.name), mend=mend)
    clear(folder, plan)
    return found


def is_intact(folder: Path, file: Digest) -> bool:
    """Return whether `file` stands in `folder` as it was made."""
    place = folder / file.name
    return place.is_file() and hashlib.sha256(place.read_bytes()).hexdigest() == file.sha256


def put(files: Mapping[str, bytes], folder: Path) -> None:
    """Put `files` at `folder` at once; what an earlier sweep left there is taken away first.

    Raises:
        MachineError: there are files of somebody else.
        OSError: it could not be written.
    """
    if folder.is_dir() and {path.name for path in folder.iterdir()} <= files.keys():
        take_away(folder)
    keep(files, folder)


def digests(files: Mapping[str, bytes]) -> tuple[Digest, ...]:
    """Return a digest of each file."""
    return tuple(Digest(name=name, sha256=hashlib.sha256(content).hexdigest()) for name, content in files.items())


__all__ = ["Summary", "digests", "finished_at", "is_intact", "put"]
