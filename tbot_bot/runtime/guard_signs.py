"""Whether anybody is alive who minds our positions, and for how long nobody has been. Pure but for two files read."""

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, Self

from tbot_bot.core.instants import SECOND, Instant
from tbot_bot.runtime.files import write_atomically
from tbot_bot.runtime.heartbeat import read_beat
from tbot_bot.runtime.locks import SUPERVISOR_LOCK, holder

GUARD_FILE: Final = "guard.json"
LOOK_SECONDS_MAX: Final = 2.0
"""No look counts for more: a suspended machine makes nobody silent."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LifeSigns:
    """What the bot's processes have left of themselves; a living one changes it many times a minute."""

    supervisor: str
    """Its process id and when it last touched its lock; empty where nobody holds it."""
    runner: str
    """Its process id and its last beat; empty where there is none."""
    supervisor_at: Instant
    """The machine's time of the supervisor's last sign; 0: none."""
    runner_at: Instant


def life_signs(control: Path) -> LifeSigns:
    """Read them from the control folder."""
    pid, beat = holder(control / SUPERVISOR_LOCK), read_beat(control)
    touched = 0
    if pid is not None:
        try:
            touched = (control / SUPERVISOR_LOCK).stat().st_mtime_ns
        except OSError:
            touched = 0
    return LifeSigns(
        supervisor="" if pid is None else f"{pid}:{touched}",
        runner="" if beat is None else f"{beat.pid}:{beat.count}:{beat.real_time}",
        supervisor_at=Instant(touched),
        runner_at=Instant(0) if beat is None else beat.real_time,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Silence:
    """For how long no sign has changed, in seconds of looking on."""

    looked_at: float
    """Monotonic seconds of the last look."""
    signs: LifeSigns | None = None
    seconds: float = 0.0

    def look(self, signs: LifeSigns, monotonic: float) -> Self:
        """Return the silence after one more look."""
        passed = min(max(monotonic - self.looked_at, 0.0), LOOK_SECONDS_MAX)
        if signs != self.signs:
            return replace(self, looked_at=monotonic, signs=signs, seconds=0.0)
        return replace(self, looked_at=monotonic, seconds=self.seconds + passed)


def silent_by_the_clock(signs: LifeSigns, now: Instant) -> float:
    """Return for how many seconds both have been silent by the machine's time: for a single look."""
    return max(0.0, (now - max(signs.supervisor_at, signs.runner_at)) / SECOND)


@dataclass(frozen=True, slots=True, kw_only=True)
class Deed:
    """What a guard has done, or was about to do: left in `control/guard.json`, so that none does it twice."""

    runner: str
    """The last life sign of the runner whose work it took over."""
    state: str
    """`acting`, `done` or `left`."""
    policy: str
    at: str
    why: str
    outcome: str = ""
    tries: int = 1

    def save(self, control: Path) -> None:
        """Leave it, whole or not at all.

        Raises:
            OSError: it could not be written.
        """
        content = {
            "runner": self.runner,
            "state": self.state,
            "policy": self.policy,
            "at": self.at,
            "why": self.why,
            "outcome": self.outcome,
            "tries": self.tries,
        }
        write_atomically(control / GUARD_FILE, json.dumps(content))


def last_deed(control: Path) -> Deed | None:
    """Return what a guard did last here; None where there is nothing that can be read."""
    try:
        data = json.loads((control / GUARD_FILE).read_text(encoding="utf-8"))
        return Deed(
            runner=str(data["runner"]),
            state=str(data["state"]),
            policy=str(data["policy"]),
            at=str(data["at"]),
            why=str(data["why"]),
            outcome=str(data["outcome"]),
            tries=int(data["tries"]),
        )
    except (OSError, ValueError, KeyError, TypeError):
        return None
