"""What goes wrong in a rehearsal, and which of it somebody has to hear of. Pure.

Every kind of fault that the sandbox knows is in the plan. Faults of orders strike by count, so that they meet a
request whenever the market brings one; those of links stand for seconds of real time around the OPEN session, long
enough to be noticed and short enough that no broker is given up.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, time, timedelta
from enum import StrEnum
from typing import Final

from tbot_bot.sandbox.faults import FaultKind, FaultRule

ALPACA: Final = "alpaca"
IBKR: Final = "ibkr"
_SEED: Final = 7
_OUTAGE_SECONDS: Final = 2.5
"""Of real time: longer than the watchdog's pause, shorter than `API_TIMEOUT`."""


class Alarm(StrEnum):
    """What has to be in the journal after a fault."""

    NONE = "none"
    """It is borne without a word; that the books agree is the proof. Spreads are not looked at in test mode."""
    DOUBT = "answer lost"
    """An order whose fate is unknown, to be looked up."""
    REJECTED = "rejected"
    """An order that the broker refused."""
    LINK = "link impaired"
    """The watchdog keeps entries away from the broker, or a request that met the outage is in doubt."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedFault:
    """A rule, and what must come of it."""

    rule: FaultRule
    alarm: Alarm = Alarm.NONE

    @property
    def stands(self) -> bool:
        """Return whether it holds for a while and strikes no single call."""
        return self.rule.kind in _STANDING or (self.rule.place == "line" and self.rule.kind is FaultKind.DROPPED)

    @property
    def name(self) -> str:
        """Return it in words: `alpaca POST /v2/orders status 502`."""
        rule = self.rule
        status = f" {rule.status}" if rule.kind in {FaultKind.STATUS, FaultKind.STATUS_AFTER} else ""
        place = "" if rule.place == "*" else f" {rule.place}"
        return f"{'all' if rule.vendor == '*' else rule.vendor}{place} {rule.kind}{status}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """Where a plan's standing faults go: New York times of the OPEN session."""

    day: date
    entries: time
    """When entries begin."""
    exits: time
    """When they end."""


_STANDING: Final = frozenset(
    {
        FaultKind.PARTIAL,
        FaultKind.HALTED,
        FaultKind.STALE,
        FaultKind.CROSSED,
        FaultKind.SKEWED,
        FaultKind.MAINTENANCE,
    }
)


def fault_plan(symbols: Sequence[str], scene: Scene, *, speed: float) -> tuple[PlannedFault, ...]:
    """Return the plan over the market of `symbols`, which runs `speed` times as fast as life."""
    planned = (*_of_orders(), *_of_streams(), *_of_links(scene, speed), *_of_market(symbols, scene))
    missing = set(FaultKind) - {one.rule.kind for one in planned}
    assert not missing, f"a kind of fault is not rehearsed: {missing}"  # noqa: S101 - a new kind has to be planned
    return planned


def plan_seed() -> int:
    """Return the seed of what is drawn by chance."""
    return _SEED


def _of_orders() -> tuple[PlannedFault, ...]:
    """Return what befalls single requests, one after another; each rule counts the calls by itself."""
    order = FaultRule(kind=FaultKind.LATENCY, vendor=ALPACA, place="POST /v2/orders", skip=1, times=1, seconds=0.3)
    placed = FaultRule(kind=FaultKind.LATENCY, vendor=IBKR, place="placeOrder", skip=1, times=1, seconds=0.3)
    doubt, kind = Alarm.DOUBT, FaultKind
    return (
        PlannedFault(rule=order),
        PlannedFault(rule=replace(order, kind=kind.LOST_BEFORE, skip=2), alarm=doubt),
        PlannedFault(rule=replace(order, kind=kind.STATUS, status=502, skip=3, seconds=0.0), alarm=doubt),
        PlannedFault(rule=replace(order, kind=kind.LOST_AFTER, skip=4), alarm=doubt),
        PlannedFault(rule=replace(order, kind=kind.STATUS_AFTER, status=503, skip=5, seconds=0.0), alarm=doubt),
        PlannedFault(rule=replace(order, kind=kind.DROPPED, skip=6, seconds=0.0), alarm=doubt),
        PlannedFault(rule=FaultRule(kind=kind.REJECTED, vendor=ALPACA, place="order", times=1), alarm=Alarm.REJECTED),
        PlannedFault(rule=placed),
        PlannedFault(rule=replace(placed, kind=kind.LOST_BEFORE, skip=3), alarm=doubt),
        PlannedFault(rule=replace(placed, kind=kind.LOST_AFTER, skip=5), alarm=doubt),
        PlannedFault(
            rule=FaultRule(kind=kind.REJECTED, vendor=IBKR, place="placeOrder", times=1), alarm=Alarm.REJECTED
        ),
    )


def _of_streams() -> tuple[PlannedFault, ...]:
    kind = FaultKind
    updates = FaultRule(kind=kind.HALF_OPEN, vendor=ALPACA, place="trade_updates", skip=4, times=1)
    news = FaultRule(kind=kind.DUPLICATED, vendor=IBKR, place="orders", chance=0.25)
    bars = FaultRule(kind=kind.DROPPED, vendor=ALPACA, place="market_data", skip=400, times=1)
    rules = (
        updates,
        replace(updates, kind=kind.DROPPED, skip=1),
        replace(updates, kind=kind.DUPLICATED, skip=0, times=None, chance=0.25),
        replace(updates, kind=kind.REORDERED, skip=0, times=None, chance=0.25),
        news,
        replace(news, kind=kind.REORDERED),
        bars,
    )
    return tuple(PlannedFault(rule=rule) for rule in rules)


def _of_links(scene: Scene, speed: float) -> tuple[PlannedFault, ...]:
    kind, outage = FaultKind, timedelta(seconds=_OUTAGE_SECONDS * speed)

    def standing(what: FaultKind, vendor: str, since: time, place: str = "*", seconds: float = 0.0) -> PlannedFault:
        until = _later(scene, since, outage)
        rule = FaultRule(kind=what, vendor=vendor, place=place, seconds=seconds, since=since, until=until)
        return PlannedFault(rule=rule, alarm=Alarm.LINK)

    clock = FaultRule(kind=kind.STATUS, vendor=ALPACA, place="GET /v2/clock", times=1)
    restart = FaultRule(
        kind=kind.RESTART,
        vendor=IBKR,
        place="gateway",
        seconds=_OUTAGE_SECONDS,
        times=1,
        since=_later(scene, scene.exits, -outage),
    )
    return (
        standing(kind.MAINTENANCE, ALPACA, scene.exits),
        standing(kind.DROPPED, IBKR, _later(scene, scene.entries, -outage), place="line"),
        standing(kind.SKEWED, ALPACA, _later(scene, scene.entries, -0.8 * outage), seconds=900.0),
        PlannedFault(rule=replace(clock, status=500, since=_later(scene, scene.exits, -outage)), alarm=Alarm.LINK),
        PlannedFault(rule=replace(clock, status=429, seconds=1.0, since=scene.entries), alarm=Alarm.LINK),
        PlannedFault(rule=restart, alarm=Alarm.LINK),
    )


def _of_market(symbols: Sequence[str], scene: Scene) -> tuple[PlannedFault, ...]:
    kind, since, until = FaultKind, scene.entries, scene.exits
    stale = FaultRule(kind=kind.STALE, vendor=ALPACA, seconds=3600.0, since=since, until=until)
    halted, old, crossed = (tuple(symbols[start::5]) for start in range(3))
    return (
        PlannedFault(rule=replace(stale, symbols=old)),
        PlannedFault(rule=replace(stale, kind=kind.CROSSED, seconds=0.0, symbols=crossed)),
        PlannedFault(rule=FaultRule(kind=kind.HALTED, symbols=halted[:2], since=since, until=until)),
        PlannedFault(rule=FaultRule(kind=kind.PARTIAL, fraction=0.1, since=since, until=until)),
    )


def _later(scene: Scene, at: time, span: timedelta) -> time:
    return (datetime.combine(scene.day, at) + span).time().replace(microsecond=0)


__all__ = ["ALPACA", "IBKR", "Alarm", "PlannedFault", "Scene", "fault_plan", "plan_seed"]
