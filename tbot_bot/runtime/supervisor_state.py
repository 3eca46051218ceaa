"""What a supervisor leaves for the one after it: which day it was running, on which clock, from which data."""

import json
from dataclasses import asdict, dataclass, replace
from datetime import date
from pathlib import Path
from typing import Final

from tbot_bot.runtime.clock import RunClock, clock_of
from tbot_bot.runtime.files import write_atomically

STATE_FILE: Final = "supervisor.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class DayInHand:
    """One trading day as a supervisor runs it; the same values again recover the same sessions."""

    day: date
    run: int
    anchor: str = ""
    """Of the compressed clock; empty: the real one."""
    speed: float = 1.0
    data: Path | None = None
    vix: Path | None = None
    seed: int | None = None
    rehearsal: bool = False

    @property
    def clock(self) -> RunClock:
        """Return the market's clock."""
        return clock_of(self.anchor, self.speed)

    def on(self, clock: RunClock) -> "DayInHand":
        """Return the same day on another clock."""
        anchor = getattr(clock, "anchor", None)
        return replace(self, anchor=anchor() if anchor is not None else "", speed=clock.speed)


def save(control: Path, hand: DayInHand) -> None:
    """Leave `hand` in the control folder, whole or not at all."""
    values = {name: None if value is None else value for name, value in asdict(hand).items()}
    write_atomically(control / STATE_FILE, json.dumps(values, default=str))


def saved(control: Path) -> DayInHand | None:
    """Return what the supervisor before us left; None where there is nothing that can be read."""
    try:
        values = json.loads((control / STATE_FILE).read_text(encoding="utf-8"))
        return DayInHand(
            day=date.fromisoformat(values["day"]),
            run=int(values["run"]),
            anchor=str(values["anchor"]),
            speed=float(values["speed"]),
            data=Path(values["data"]) if values["data"] else None,
            vix=Path(values["vix"]) if values["vix"] else None,
            seed=values["seed"],
            rehearsal=bool(values["rehearsal"]),
        )
    except (OSError, ValueError, KeyError, TypeError):
        return None


def forget(control: Path) -> None:
    """The day is over: nothing is left to take up."""
    (control / STATE_FILE).unlink(missing_ok=True)
