"""Restoring a backup, and the drill that does so regularly: a backup that nobody has restored is a hope."""

import json
import shutil
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Final

from tbot_bot.config.error_handler import MachineError, TbotError
from tbot_bot.core.instants import Duration, Instant, iso, parse_iso
from tbot_bot.reporting.atomic import replace_file
from tbot_bot.reporting.auto_backup import PATIENCE_SECONDS, BackupRoom, newest_good, require_key
from tbot_bot.reporting.backup_archive import read_archive
from tbot_bot.reporting.backup_contents import emptied
from tbot_bot.reporting.backup_errors import BackupDamaged, BackupError, Damage
from tbot_bot.reporting.backup_judge import Judgement, judge, refusal
from tbot_bot.reporting.backup_keys import BackupKey
from tbot_bot.reporting.backup_manifest import Manifest
from tbot_bot.reporting.backup_names import BackupName, What
from tbot_bot.reporting.backup_remotes import Remote

HERE: Final = "this machine"
_MARK: Final = "RESTORE-IS-NOT-COMPLETE"
_KEPT: Final = 60
"""Drills that the report remembers: more than a year of weeks."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Restored:
    """What a restore came to."""

    name: str
    manifest: Manifest
    judgement: Judgement
    unpack_seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Drill:
    """One drill, good or bad."""

    at: str
    ok: bool
    backup: str
    source: str
    """The remote, or `this machine` where there is none."""
    problem: str
    rows: int = 0
    files_same: int = 0
    files_behind: int = 0
    fetch_seconds: float = 0.0
    unpack_seconds: float = 0.0
    verify_seconds: float = 0.0
    rebuild_seconds: float = 0.0

    def __str__(self) -> str:
        """Return it in words."""
        if not self.ok:
            return f"the restore drill failed: {self.problem}"
        took = self.fetch_seconds + self.unpack_seconds + self.verify_seconds + self.rebuild_seconds
        files = f"{self.files_same} files for people came out the same"
        behind = f", {self.files_behind} as of an earlier row" if self.files_behind else ""
        return f"{self.backup} from {self.source} restores: {self.rows} rows sound, {files}{behind}, in {took:.1f} s"


def restore(
    path: Path, key: BackupKey, target: Path, scratch: Path, seconds: Callable[[], float], *, name: str = ""
) -> Restored:
    """Restore the backup at `path` into the empty folder `target`, and prove what came out.

    Raises:
        BackupError: `target` is not empty or cannot be written to.
        BackupDamaged: the backup does not hold. What was restored until then is removed again.
    """
    _require_empty(target)
    begun = seconds()
    try:
        (target / _MARK).write_text("This restore was cut off. Remove the folder and restore again.\n")
        manifest = read_archive(path, key, target)
        unpacked = seconds()
        found = judge(target, manifest, emptied(scratch), seconds)
    except BaseException as error:
        for left in target.iterdir():
            shutil.rmtree(left) if left.is_dir() else left.unlink()
        if isinstance(error, OSError):
            raise BackupError(f"cannot be restored ({error.strerror})", where=str(target)) from error
        if isinstance(error, TbotError):
            raise refusal(error, name or path.name) from error
        raise
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    (target / _MARK).unlink()
    return Restored(name=name or path.name, manifest=manifest, judgement=found, unpack_seconds=unpacked - begun)


def drill(room: BackupRoom, seconds: Callable[[], float]) -> Drill:
    """Fetch the newest backup from a remote, restore it into a scratch folder, prove it, and write down how it went.

    Raises:
        BackupError: there is no key, or the folder of the backups cannot be used.
        RecordsError: the report could not be written.
    """
    key, shelf = require_key(room), room.copies
    with shelf.locked(PATIENCE_SECONDS):
        held = Drill(at=iso(room.now()), ok=False, backup="", source=HERE, problem="")
        try:
            held = _drill(room, key, held, seconds)
        except (BackupError, MachineError) as error:
            held = replace(held, problem=str(error))
        finally:
            shelf.sweep()
    _report(room, held)
    return held


def _drill(room: BackupRoom, key: BackupKey, held: Drill, seconds: Callable[[], float]) -> Drill:
    shelf = room.copies
    remote = _turn_of(room)
    begun = seconds()
    fetched = shelf.draft("drill.fetched")
    if remote is None:
        newest = newest_good(room)
        name, source = (None, shelf.folder) if newest is None else (newest.name, newest.path)
    else:
        held = replace(held, source=remote.shown)
        name, source = _newest_at(remote, room), fetched
        if name is not None:
            remote.get(str(name), fetched)
    if name is None:
        raise BackupDamaged(Damage.MISSING_FILE, "there is no backup of the records", where=held.source)
    held = replace(held, backup=str(name), fetch_seconds=seconds() - begun)
    target = emptied(shelf.draft("drill"))
    try:
        done = restore(source, key, target, shelf.draft("drill.scratch"), seconds, name=str(name))
    except BackupError as error:
        return replace(held, problem=str(error))
    found = done.judgement
    return replace(
        held,
        ok=True,
        rows=found.rows,
        files_same=len(found.same),
        files_behind=len(found.behind),
        unpack_seconds=done.unpack_seconds,
        verify_seconds=found.verify_seconds,
        rebuild_seconds=found.rebuild_seconds,
    )


def drills(room: BackupRoom) -> tuple[Drill, ...]:
    """Return the drills that were written down, oldest first; a report that cannot be read is an empty one."""
    try:
        told = json.loads(room.records.backup_drill.read_text(encoding="utf-8"))
        return tuple(Drill(**each) for each in told["drills"])
    except (OSError, ValueError, TypeError, KeyError):
        return ()


def drill_is_due(room: BackupRoom, every: Duration) -> bool:
    """Return whether the last drill is so long ago, or was a bad one, or there was none."""
    done = drills(room)
    return not done or not done[-1].ok or room.now() - _instant(done[-1].at) >= every


def _instant(text: str) -> Instant:
    try:
        return parse_iso(text)
    except ValueError:
        return Instant(0)


def _turn_of(room: BackupRoom) -> Remote | None:
    """Return the remote whose turn it is: each one is drilled."""
    last = next((each.source for each in reversed(drills(room))), "")
    others = [remote for remote in room.remotes if remote.shown != last]
    return next(iter((*others, *room.remotes)), None)


def _newest_at(remote: Remote, room: BackupRoom) -> BackupName | None:
    found = [name for text in remote.sizes() if (name := BackupName.parse(text)) is not None]
    own = [name for name in found if name.mode is room.mode and name.what is What.RECORDS]
    return max(own, key=lambda name: name.made_at, default=None)


def _report(room: BackupRoom, held: Drill) -> None:
    kept = (*drills(room), held)[-_KEPT:]
    told = {"drills": [asdict(each) for each in kept]}
    replace_file(room.records.backup_drill, f"{json.dumps(told, indent=1)}\n".encode())


def _require_empty(target: Path) -> None:
    try:
        target.mkdir(parents=True, exist_ok=True, mode=0o700)
        taken = next(target.iterdir(), None)
    except OSError as error:
        raise BackupError(f"cannot be restored into ({error.strerror})", where=str(target)) from error
    if taken is not None:
        what = f"the folder is not empty (there is {taken.name})"
        raise BackupError(what, where=str(target), mend="Name an empty or a new folder; nothing is written over.")


__all__ = ["HERE", "Drill", "Restored", "drill", "drill_is_due", "drills", "restore"]
