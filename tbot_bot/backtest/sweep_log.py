"""The finished tasks of a sweep, one line each, in a folder beside the result's: what a kill cannot undo.

A line counts where its digest says that it is whole. The plan beside the lines says what they are of: other
outcomes are never taken for these. One process at a time; the kernel lets the lock go when its holder dies.
"""

import fcntl
import hashlib
import json
import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import ClassVar, Final

from tbot_bot.backtest.sweep_errand import Outcome
from tbot_bot.backtest.sweep_plan import SweepPlan, differences
from tbot_bot.config.error_handler import TbotError
from tbot_bot.config.files import write_atomically
from tbot_bot.reporting.shapes import from_plain, text_of, to_plain

_PLAN: Final = "plan.json"
_DONE: Final = "done.jsonl"
_LOCK: Final = "lock"
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
    """Give the log of what will be at `folder`; it is removed where all went well, and stays where not.

    `anew`: forget what an earlier attempt has left.

    Raises:
        AnotherSweep: what was begun there is something else; the message says in what.
        SweepUnderWay: another process works at it.
    """
    place = folder.parent / f".{folder.name}.sweep"
    place.mkdir(parents=True, exist_ok=True)
    with (place / _LOCK).open("ab") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            mend = "Wait for it, or end it first."
            raise SweepUnderWay("another process works at this sweep", where=str(folder), mend=mend) from None
        done = place / _DONE
        begun = _plan_at(place) if not anew and done.exists() and done.stat().st_size else None
        if begun is None:
            done.unlink(missing_ok=True)
            write_atomically(place / _PLAN, f"{text_of(to_plain(plan), indent=1)}\n")
        else:
            require_same(begun, plan, folder)
        yield SweepLog(place, plan)
        shutil.rmtree(place)


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


__all__ = ["AnotherSweep", "SweepLog", "SweepUnderWay", "opened", "require_same"]
