"""The runner's pulse: a small file that the decision loop rewrites. `vital_signs.py` judges over it.

It is written by the loop that decides, not by a timer: a loop that hangs has no pulse. And it says how far the
market data goes: a loop that turns over nothing is blind.
"""

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from tbot_bot.core.instants import SECOND, Duration, Instant, seconds
from tbot_bot.runtime.clock import wall_now
from tbot_bot.runtime.files import write_atomically

HEARTBEAT_FILE: Final = "runner.json"
SILENCE_MAX: Final = seconds(15)
"""Real time between two beats after which a runner counts as dead (spec 4)."""
BEAT_EVERY: Final = seconds(0.5)
"""Real time between two writings; beats in between cost nothing."""

NEVER: Final = Instant(0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Beat:
    """What the runner said last."""

    pid: int
    session: str
    phase: str
    market_time: Instant
    real_time: Instant
    """The machine's time at the beat."""
    count: int
    data_until: Instant = NEVER
    """Market time up to which the market has been told; 0: not at all yet."""
    data_due: Instant = NEVER
    """The machine's time by which more of it has to come; 0: none is needed."""


class Heart:
    """The writing side; `beat` belongs at the top of the decision loop."""

    def __init__(self, control: Path, session: str, every: Duration = BEAT_EVERY) -> None:
        """Write `control/runner.json` at most once in `every`, and at each change of phase."""
        self._path = control / HEARTBEAT_FILE
        self._session = session
        self._every = every
        self._count = 0
        self._phase = ""
        self._written_at = Instant(0)

    def beat(self, phase: str, market_time: Instant, *, data_until: Instant = NEVER, data_due: Instant = NEVER) -> None:
        """Say that the loop came round once more, and how the data clock stands (see `Beat`)."""
        self._count += 1
        now = wall_now()
        if phase == self._phase and 0 <= now - self._written_at < self._every:
            return
        beat = Beat(
            pid=os.getpid(),
            session=self._session,
            phase=phase,
            market_time=market_time,
            real_time=now,
            count=self._count,
            data_until=data_until,
            data_due=data_due,
        )
        # not synced to disk: a pulse from before a power cut is of no use
        write_atomically(self._path, json.dumps(asdict(beat)), durable=False)
        self._phase, self._written_at = phase, now

    def stop(self) -> None:
        """Remove the file: no runner, no pulse."""
        self._path.unlink(missing_ok=True)


def read_beat(control: Path) -> Beat | None:
    """Return the last beat; None where there is none or it cannot be read."""
    try:
        data = json.loads((control / HEARTBEAT_FILE).read_text(encoding="utf-8"))
        return Beat(
            pid=int(data["pid"]),
            session=str(data["session"]),
            phase=str(data["phase"]),
            market_time=Instant(int(data["market_time"])),
            real_time=Instant(int(data["real_time"])),
            count=int(data["count"]),
            data_until=Instant(int(data.get("data_until", 0))),
            data_due=Instant(int(data.get("data_due", 0))),
        )
    except (OSError, ValueError, KeyError, TypeError):
        return None


def age_seconds(beat: Beat, now: Instant) -> float:
    """Return how long ago `beat` was, in seconds of the machine's time."""
    return (now - beat.real_time) / SECOND
