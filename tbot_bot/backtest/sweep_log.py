"""The finished tasks of a sweep, one line each, in a folder beside the result's: what a kill cannot undo.

A line counts where its digest says that it is whole. The plan beside the lines says what they are of: other
outcomes are never taken for these. One process at a time; the kernel lets the lock go when its holder dies.
"""

import fcntl
import hashlib
import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Final

from tbot_bot.backtest import result_files
from tbot_bot.backtest.sweep_errand import Outcome
from tbot_bot.backtest.sweep_plan import SweepPlan, differences
from tbot_bot.config.error_handler import TbotError
from tbot_bot.config.files import write_atomically
from tbot_bot.core.instants import Instant
from tbot_bot.reporting.shapes import from_plain, text_of, to_plain

_PLAN: Final = "plan.json"
_DONE: Final = "done.jsonl"
_LOCK: Final = "lock"
_ENDING: Final = ".sweep"
_DIGEST: Final = 16


class SweepUnderWay(TbotError):
    """Another process works at the same result."""

    code: ClassVar[str] = "ALREADY_RUNNING"


class AnotherSweep(TbotError):
    """What was begun or finished at a place is not what is asked for now; exit status 2."""

    code: ClassVar[str] = "CONFIG"

    def __init__(self, odd: Sequence[str], folder: Path) -> None:
        """Tell every difference, and what can be done."""
        way = "--no-resume forgets it and begins anew; --out names another folder."
        what = f"what is there was computed from something else. {way}"
        super().__init__("\n".join([what, *(f"  {one}" for one in odd)]), where=str(folder))


class SweepLog:
    """The finished tasks of one sweep."""

    def __init__(self, place: Path, plan: SweepPlan) -> None:
        """Take up `place`, which `opened` has prepared; a line that a kill has cut is taken off."""
        self._path: Final = place / _DONE
        self.plan: Final = plan
        self._path.touch()
        data = self._path.read_bytes()
        whole = data[: data.rfind(b"\n") + 1]
        if len(whole) < len(data):
            os.truncate(self._path, len(whole))
        self.known: Final[dict[str, Outcome]] = dict(_read(whole))

    def add(self, outcome: Outcome) -> None:
        """Keep `outcome` for good."""
        text = text_of(to_plain(outcome))
        with self._path.open("ab") as file:
            file.write(f"{_sign(text)} {text}\n".encode())
            file.flush()
            os.fsync(file.fileno())
        self.known[outcome.key] = outcome


@contextmanager
def opened(folder: Path, plan: SweepPlan, *, anew: bool) -> Iterator[SweepLog]:
    """Give the log of what will be at `folder`; it stays where not all went well and something is in it.

    `anew`: forget what an earlier attempt has left.

    Raises:
        AnotherSweep: what was begun there is something else; the message says in what.
        SweepUnderWay: another process works at it.
    """
    place = _place_of(folder)
    with _held(place, folder):
        done = place / _DONE
        begun = _plan_at(place) if not anew and done.exists() and done.stat().st_size else None
        if begun is None:
            done.unlink(missing_ok=True)
            write_atomically(place / _PLAN, f"{text_of(to_plain(plan), indent=1)}\n")
        else:
            require_same(begun, plan, folder)
        log = SweepLog(place, plan)
        try:
            yield log
        except BaseException:
            if not log.known:  # nothing that anybody would go on with
                result_files.take_away(place)
            raise
        result_files.take_away(place)


@dataclass(frozen=True, slots=True, kw_only=True)
class Begun:
    """A sweep or a walk-forward that is not finished: at work, or waiting for its command."""

    folder: Path
    """Where its result will be."""
    place: Path
    """Where its finished tasks are."""
    plan: SweepPlan
    done: int
    """Tasks."""
    at: Instant
    """When the last one was done."""


def begun_in(parent: Path) -> Iterator[Begun]:
    """Yield what was begun in `parent` and is not finished, by name; what other versions began is passed over."""
    for place in sorted(parent.glob(f".*{_ENDING}")):
        plan = _plan_at(place)
        if plan is None:
            continue
        done = place / _DONE
        try:
            data, at = done.read_bytes(), done.stat().st_mtime_ns
        except FileNotFoundError:  # finished just now
            continue
        folder = parent / place.name[1 : -len(_ENDING)]
        yield Begun(folder=folder, place=place, plan=plan, done=sum(1 for _ in _read(data)), at=Instant(at))


def clear(folder: Path, plan: SweepPlan) -> None:
    """Take away what killed attempts at `plan`, which is finished at `folder`, have left beside it.

    What somebody works at, and what was begun as something else, stays; a folder that cannot be written is as it is.
    """
    place = _place_of(folder)
    with suppress(SweepUnderWay, OSError):  # the result is whole all the same
        result_files.sweep(folder.parent)
        if place.is_dir():
            with _held(place, folder):
                begun = _plan_at(place)
                if begun is None or not differences(begun, plan):
                    result_files.take_away(place)


def _place_of(folder: Path) -> Path:
    return folder.parent / f".{folder.name}{_ENDING}"


@contextmanager
def _held(place: Path, folder: Path) -> Iterator[None]:
    """Hold the lock of `place`, which is made where it is not there.

    Raises:
        SweepUnderWay: another process holds it.
    """
    while True:
        place.mkdir(parents=True, exist_ok=True)
        try:
            lock = (place / _LOCK).open("ab")
        except FileNotFoundError:  # just taken away by the one who held it
            continue
        with lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                mend = "Wait for it, or end it first."
                raise SweepUnderWay("another process works at this sweep", where=str(folder), mend=mend) from None
            if _stands(lock.fileno(), place / _LOCK):  # else it was taken away while we waited for it
                yield
                return


def _stands(handle: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(handle), path.stat())
    except FileNotFoundError:
        return False


def _plan_at(folder: Path) -> SweepPlan | None:
    """Return the plan kept in `folder`; None where there is none of this version."""
    try:
        return from_plain(SweepPlan, json.loads((folder / _PLAN).read_text(encoding="utf-8")))
    except FileNotFoundError:
        return None
    except ValueError:  # of another version: nothing of it can be used
        return None


def require_same(begun: SweepPlan, now: SweepPlan, folder: Path) -> None:
    """Do nothing where `begun` is what is asked for `now`.

    Raises:
        AnotherSweep: it is not; with every difference.
    """
    odd = differences(begun, now)
    if odd:
        raise AnotherSweep(odd, folder)


def _read(data: bytes) -> Iterator[tuple[str, Outcome]]:
    for line in data.split(b"\n"):
        sign, _, text = line.decode("utf-8", "replace").partition(" ")
        if text and sign == _sign(text):
            outcome = from_plain(Outcome, json.loads(text))
            yield outcome.key, outcome


def _sign(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:_DIGEST]


__all__ = ["AnotherSweep", "Begun", "SweepLog", "SweepUnderWay", "begun_in", "clear", "opened", "require_same"]
