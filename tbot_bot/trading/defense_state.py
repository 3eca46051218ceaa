"""Being in defense mode: the rows that say so, what they come to, and which row comes next."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from types import MappingProxyType
from typing import Final

from tbot_bot.core.codec import record
from tbot_bot.core.instants import Instant
from tbot_bot.core.money import ONE, ZERO
from tbot_bot.trading.defense import History, Trigger, TriggerFound, WayOut, triggers_of, way_out

SETTING: Final = "DEFENSE_MODE_ACTIVE"


@record
@dataclass(frozen=True, slots=True, kw_only=True)
class AdjustedLimit:
    """One limit as it is otherwise, and as it is in defense mode."""

    name: str
    """Of the setting."""
    normal: Decimal
    adjusted: Decimal


@record
@dataclass(frozen=True, slots=True, kw_only=True)
class DefenseEntered:
    """Defense mode begins with the next session; or, where a setting alone had forced it, has a cause of its own."""

    at: Instant
    """Market time; real time where a person did it."""
    day: date
    """Of the judgement, New York's."""
    by: str
    why: str
    triggers: tuple[TriggerFound, ...]
    limits: tuple[AdjustedLimit, ...]


@record
@dataclass(frozen=True, slots=True, kw_only=True)
class DefenseLeft:
    """Defense mode ends with the next session."""

    at: Instant
    day: date
    by: str
    why: str
    overridden: tuple[TriggerFound, ...] = ()
    """What held nevertheless: a person's decision. From here on these look at later rows only."""


DefenseChange = DefenseEntered | DefenseLeft
ROW_NAMES: Final = tuple(f'{{"_":"{row.__name__}"' for row in (DefenseEntered, DefenseLeft))
"""How the payloads begin, so that other rows need not be decoded."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """What the rows come to."""

    causes: frozenset[Trigger] = frozenset()
    """Of the present defense mode; none: the bot is not in it."""
    entered: DefenseEntered | None = None
    """The row that began it."""
    since: int = 0
    """The row from which the way out is counted: the first with a cause other than the setting."""
    left: DefenseLeft | None = None
    """The last row that ended one."""
    disregard: Mapping[Trigger, int] = field(default_factory=lambda: MappingProxyType({}))
    """Overridden trigger to the row up to which it does not look."""

    @property
    def active(self) -> bool:
        """Return whether the rows say that the bot defends itself."""
        return bool(self.causes)

    @property
    def by_setting_alone(self) -> bool:
        """Return whether nothing but the setting has put it there."""
        return self.causes == {Trigger.SETTING}

    def after(self, row: int, change: DefenseChange) -> "Standing":
        """Return what row number `row` makes of it."""
        if isinstance(change, DefenseLeft):
            over = {found.trigger: row for found in change.overridden}
            return Standing(left=change, disregard=MappingProxyType({**self.disregard, **over}))
        own = any(found.trigger is not Trigger.SETTING for found in change.triggers)
        return Standing(
            causes=self.causes | {found.trigger for found in change.triggers},
            entered=self.entered or change,
            since=row if own else self.since,
            left=self.left,
            disregard=self.disregard,
        )


def standing_of(rows: Iterable[tuple[int, DefenseChange]]) -> Standing:
    """Return what the rows (by number, in order) come to."""
    standing = Standing()
    for row, change in rows:
        standing = standing.after(row, change)
    return standing


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """What the history says of defense mode at one moment."""

    day: date
    standing: Standing
    forced: bool
    """Whether the setting is on."""
    holding: tuple[TriggerFound, ...]
    """The computed triggers that hold."""
    way_out: WayOut

    @property
    def active(self) -> bool:
        """Return whether a session that begins now defends itself, all rows being written."""
        return self.forced or self.standing.active


def judge(history: History, standing: Standing, *, forced: bool) -> Judgement:
    """Hold `history` against the triggers and the way out."""
    out = way_out(history, standing.since) if standing.since else WayOut()
    holding = triggers_of(history, standing.disregard)
    return Judgement(day=history.day, standing=standing, forced=forced, holding=holding, way_out=out)


def change_of(judged: Judgement, *, at: Instant, by: str, limits: tuple[AdjustedLimit, ...]) -> DefenseChange | None:
    """Return the row that `judged` calls for; None where all is as the rows say.

    While a trigger holds nothing is left: it would be entered again at once. What the setting alone has brought
    about ends with the setting.
    """
    standing, found = judged.standing, judged.holding
    if not standing.active and judged.forced:
        found = (*found, setting_found())
    if found and (not standing.active or standing.by_setting_alone):
        why = "; ".join(one.text for one in found)
        return DefenseEntered(at=at, day=judged.day, by=by, why=why, triggers=found, limits=limits)
    if not standing.active or judged.forced or found:
        return None
    if standing.by_setting_alone:
        return DefenseLeft(at=at, day=judged.day, by=by, why=f"{SETTING} is false again")
    if judged.way_out.met:
        return DefenseLeft(at=at, day=judged.day, by=by, why=judged.way_out.met)
    return None


def setting_found() -> TriggerFound:
    """Return the trigger that the setting is."""
    return TriggerFound(trigger=Trigger.SETTING, value=ONE, limit=ZERO, text=f"{SETTING} is true")


def person_found(why: str) -> TriggerFound:
    """Return the trigger that a person's word is."""
    return TriggerFound(trigger=Trigger.PERSON, value=ONE, limit=ZERO, text=why)


__all__ = [
    "ROW_NAMES",
    "SETTING",
    "AdjustedLimit",
    "DefenseChange",
    "DefenseEntered",
    "DefenseLeft",
    "Judgement",
    "Standing",
    "change_of",
    "judge",
    "person_found",
    "setting_found",
    "standing_of",
]
