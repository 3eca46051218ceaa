"""Floats and the reserve: targets, deviations, and who sends how much to whom. Pure: no clock, no bank, no journal.

Of the capital a fraction is reserve; the rest is shared equally among the active brokers. Amounts are whole
cents. A float is what its broker's account was worth when last read, corrected by what was moved since.
"""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from enum import StrEnum
from typing import Final

from tbot_bot.core.calendar import exchange_time, is_trading_day, next_trading_day, previous_trading_day, trading_day
from tbot_bot.core.codec import dumps, record
from tbot_bot.core.instants import Instant
from tbot_bot.core.money import CENT, ONE, ZERO, cents_down, floor_to

RESERVE: Final = "reserve"
"""Where the money stands that no broker may touch; no broker has this name."""
TWICE_A_WEEK: Final = (0, 3)
"""Monday and Thursday: the least that defense mode checks."""
_HALF: Final = Decimal("0.5")
_ONE_DAY: Final = timedelta(days=1)


class FloatState(StrEnum):
    """How well a float is known."""

    FRESH = "fresh"
    STALE = "stale"
    """Not read since the bell of the last trading day."""
    UNKNOWN = "unknown"
    """Never read."""


class KeptBy(StrEnum):
    """What keeps a part of a plan for a later day."""

    BANK_LIMIT = "the bank's daily limit"
    CASH = "cash that has not settled"


@record
@dataclass(frozen=True, slots=True, kw_only=True)
class FloatRules:
    """What the owner chose."""

    brokers: tuple[str, ...]
    """The active ones, in order of configuration."""
    total_capital: Decimal
    reserve_fraction: Decimal
    tolerance: Decimal
    """Fraction of the target by which a float may deviate."""
    check_weekdays: tuple[int, ...]
    """Monday is 0; empty: never."""
    trading_weekdays: tuple[int, ...]
    """On which sessions run and accounts are read."""
    defense: bool = False


@record
@dataclass(frozen=True, slots=True, kw_only=True)
class FloatReading:
    """A broker's account as a session's open found it, corrected by the transfers made since; dollars."""

    broker: str
    equity: Decimal
    settled_cash: Decimal
    """What can be sent at most: positions and unsettled sales cannot."""
    read_at: Instant


@record
@dataclass(frozen=True, slots=True, kw_only=True)
class FloatLine:
    """One broker in the plan."""

    broker: str
    target: Decimal
    current: Decimal | None
    state: FloatState
    read_at: Instant | None
    outside: bool
    """Whether it deviates by more than the tolerance."""

    @property
    def deviation(self) -> Decimal | None:
        """Return the deviation as a fraction of the target; None where the float is unknown."""
        return None if self.current is None else (self.current - self.target) / self.target


@record
@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedTransfer:
    """Dollars from one broker (or the reserve) to another broker."""

    source: str
    destination: str
    amount: Decimal


@record
@dataclass(frozen=True, slots=True, kw_only=True)
class CarriedTransfer:
    """The part of a transfer that has to wait for a later day."""

    source: str
    destination: str
    amount: Decimal
    why: KeptBy


@record
@dataclass(frozen=True, slots=True, kw_only=True)
class RebalancePlan:
    """Who sends how much to whom; nobody where all is within tolerance or something forbids it."""

    day: date
    """New York's."""
    lines: tuple[FloatLine, ...]
    transfers: tuple[PlannedTransfer, ...] = ()
    carried: tuple[CarriedTransfer, ...] = ()
    from_reserve: Decimal = ZERO
    """What the reserve gives, by an authorization of its own."""
    reserve_needed: Decimal = ZERO
    """What the brokers lack together, where no sharing among them brings all within tolerance."""
    excess: Decimal = ZERO
    """What they have too much together, likewise."""
    blocked: tuple[str, ...] = ()
    """Why there is no plan."""

    @property
    def plan_id(self) -> str:
        """Return the plan's name: derived from all that it says, so that another plan has another one."""
        digest = hashlib.sha256(b"tbot-rebalance-plan-1\0" + dumps(self).encode()).hexdigest()
        return f"rp-{self.day:%Y%m%d}-{digest[:12]}"

    def after(self) -> dict[str, Decimal]:
        """Return each known float as the plan leaves it."""
        floats = {line.broker: line.current for line in self.lines if line.current is not None}
        for transfer in self.transfers:
            for name, amount in ((transfer.source, -transfer.amount), (transfer.destination, transfer.amount)):
                if name in floats:
                    floats[name] += amount
        return floats


def float_target(total_capital: Decimal, reserve_fraction: Decimal, brokers: int) -> Decimal:
    """Return one broker's share of what is not reserve, rounded down to the cent.

    The cents that do not divide stay with the reserve: the shares never exceed the whole.
    """
    return cents_down(total_capital * (ONE - reserve_fraction) / brokers)


def reserve_of(rules: FloatRules) -> Decimal:
    """Return what no broker may touch, in dollars: the capital without the targets."""
    share = float_target(rules.total_capital, rules.reserve_fraction, len(rules.brokers))
    return rules.total_capital - share * len(rules.brokers)


def check_weekdays(rules: FloatRules) -> tuple[int, ...]:
    """Return the weekdays on which floats are checked: in defense mode twice a week at least."""
    if rules.defense and len(set(rules.check_weekdays)) < len(TWICE_A_WEEK):
        return tuple(sorted({*rules.check_weekdays, *TWICE_A_WEEK}))
    return rules.check_weekdays


def is_check_day(rules: FloatRules, day: date) -> bool:
    """Return whether floats are checked on `day`: a named weekday, or the first trading day after one that is none."""
    if not _bot_trades(rules, day):
        return False
    named = check_weekdays(rules)
    while day.weekday() not in named:
        day -= _ONE_DAY
        if _bot_trades(rules, day) or not named:
            return False
    return True


def next_check_day(rules: FloatRules, day: date) -> date | None:
    """Return the first check day from `day` on; None where the settings name none.

    Raises:
        NotATradingDay: the calendar ends before it.
    """
    if not check_weekdays(rules) or not rules.trading_weekdays:
        return None
    if not is_trading_day(day):
        day = next_trading_day(day)
    while not is_check_day(rules, day):
        day = next_trading_day(day)
    return day


def due_day(rules: FloatRules, at: Instant) -> date:
    """Return the last day whose readings should be there at `at`: the bell has rung and the bot trades on it."""
    day = exchange_time(at).date()
    while not (_bot_trades(rules, day) and trading_day(day).open_at <= at):
        day = previous_trading_day(day)
    return day


def rebalance(
    rules: FloatRules,
    readings: Mapping[str, FloatReading],
    *,
    at: Instant,
    limits: Mapping[str, Decimal],
    from_reserve: Decimal = ZERO,
) -> RebalancePlan:
    """Return the plan that brings every broker within tolerance by the fewest transfers, or says what keeps it.

    `limits` are the dollars that may still leave each account today; an account that is not named has none.
    `from_reserve` is the most that the reserve may give, by its own authorization; nothing without one. What a
    broker has too much goes to other brokers only, never to the reserve.
    """
    share = float_target(rules.total_capital, rules.reserve_fraction, len(rules.brokers))
    due = due_day(rules, at)
    lines = tuple(_line(broker, share, readings.get(broker), due, rules.tolerance) for broker in rules.brokers)
    plan_day = exchange_time(at).date()
    blocked = tuple(_objections(rules, lines, due, from_reserve))
    if blocked:
        return RebalancePlan(day=plan_day, lines=lines, blocked=blocked)
    floats = {line.broker: floor_to(line.current, CENT) for line in lines if line.current is not None}
    together, wanted = sum(floats.values(), ZERO), share * len(lines)
    given = max(min(cents_down(from_reserve), wanted - together), ZERO)
    if not given and not any(line.outside for line in lines):
        return RebalancePlan(day=plan_day, lines=lines)
    groups = _goals(floats, share, rules.tolerance, given)
    goals = [goal for group in groups for goal in group.values()]
    bound = share * rules.tolerance
    transfers, carried = _capped(
        (one for group in groups for one in _pairs(group, floats, given)),
        {name: cents_down(limit) for name, limit in limits.items()},
        {broker: max(cents_down(readings[broker].settled_cash), ZERO) for broker in rules.brokers},
    )
    return RebalancePlan(
        day=plan_day,
        lines=lines,
        transfers=transfers,
        carried=carried,
        from_reserve=sum((one.amount for one in transfers if one.source == RESERVE), ZERO),
        reserve_needed=wanted - together - given if min(goals) < share - bound else ZERO,
        excess=together - wanted if max(goals) > share + bound else ZERO,
    )


def _bot_trades(rules: FloatRules, day: date) -> bool:
    return is_trading_day(day) and day.weekday() in rules.trading_weekdays


def _line(broker: str, target: Decimal, reading: FloatReading | None, due: date, tolerance: Decimal) -> FloatLine:
    if reading is None:
        return FloatLine(
            broker=broker, target=target, current=None, state=FloatState.UNKNOWN, read_at=None, outside=False
        )
    fresh = exchange_time(reading.read_at).date() >= due
    return FloatLine(
        broker=broker,
        target=target,
        current=reading.equity,
        state=FloatState.FRESH if fresh else FloatState.STALE,
        read_at=reading.read_at,
        outside=abs(reading.equity - target) > target * tolerance,
    )


def _objections(rules: FloatRules, lines: Sequence[FloatLine], due: date, from_reserve: Decimal) -> Iterator[str]:
    for line in lines:
        if line.state is FloatState.UNKNOWN:
            yield f"{line.broker} was never read; its first session's open will read it"
        elif line.state is FloatState.STALE and line.read_at is not None:
            read = exchange_time(line.read_at).date()
            yield f"{line.broker} was last read on {read.isoformat()}, not since the bell of {due.isoformat()}"
        if line.target <= ZERO:
            yield f"the share of {line.broker} is less than a cent: TOTAL_CAPITAL is too small for so many brokers"
    if rules.defense and from_reserve > ZERO:
        yield "defense mode takes nothing from the reserve"


def _goals(
    floats: Mapping[str, Decimal], share: Decimal, tolerance: Decimal, given: Decimal
) -> tuple[dict[str, Decimal], ...]:
    """Return what each broker should have, by the groups that exchange money: level within each."""
    for factor in (_HALF, ONE):  # half way first: what is brought to the very edge is over it tomorrow
        groups = () if given else _groups(floats, share, tolerance, factor)
        if groups:
            return tuple(_level(group, floats, ZERO) for group in groups)
    return (_level(tuple(floats), floats, given),)


def _groups(
    floats: Mapping[str, Decimal], share: Decimal, tolerance: Decimal, factor: Decimal
) -> tuple[tuple[str, ...], ...]:
    """Return the finest division into groups that each can come within tolerance alone; empty where there is none.

    A group of n needs n - 1 transfers, so the finest division needs the fewest; of two, the one that leaves less
    deviation.
    """
    best: tuple[tuple[str, ...], ...] = ()
    best_rank = (0, ZERO)
    for groups in _divisions(tuple(floats)):
        off = [abs(sum((floats[name] - share for name in group), ZERO)) for group in groups]
        rank = (len(groups), -sum(off, ZERO))
        if rank > best_rank and all(
            much <= (share * tolerance if len(group) == 1 else (share * tolerance * factor - CENT) * len(group))
            for group, much in zip(groups, off, strict=True)
        ):
            best, best_rank = groups, rank
    return best


def _divisions(names: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], ...]]:
    """Yield every way to divide `names` into groups: 52 for five brokers."""
    if not names:
        yield ()
        return
    first = names[0]
    for groups in _divisions(names[1:]):
        yield ((first,), *groups)
        for k, group in enumerate(groups):
            yield (*groups[:k], (first, *group), *groups[k + 1 :])


def _level(group: Sequence[str], floats: Mapping[str, Decimal], given: Decimal) -> dict[str, Decimal]:
    """Return an equal part of what the group has and is given, odd cents to the first; nobody moves below zero."""
    whole = sum((floats[name] for name in group), given)
    if len(group) == 1 and not given:
        return {group[0]: whole}
    if whole < ZERO:
        return {name: floats[name] for name in group}
    part = cents_down(whole / len(group))
    odd = int((whole - part * len(group)) / CENT)
    return {name: part + (CENT if k < odd else ZERO) for k, name in enumerate(group)}


def _pairs(goals: Mapping[str, Decimal], floats: Mapping[str, Decimal], given: Decimal) -> Iterator[PlannedTransfer]:
    """Yield transfers that lead to `goals`, the largest with the largest: each settles at least one side."""
    left = {**{name: floats[name] - goal for name, goal in goals.items()}, RESERVE: given}
    while True:
        # of equals the first: `max` keeps the order of configuration
        source = max(left, key=lambda name: left[name])
        destination = min(left, key=lambda name: left[name])
        amount = min(left[source], -left[destination])
        if amount <= ZERO:
            return
        left[source] -= amount
        left[destination] += amount
        yield PlannedTransfer(source=source, destination=destination, amount=amount)


def _capped(
    wanted: Iterator[PlannedTransfer], limits: Mapping[str, Decimal], cash: Mapping[str, Decimal]
) -> tuple[tuple[PlannedTransfer, ...], tuple[CarriedTransfer, ...]]:
    """Return what can be sent today of what is `wanted`, and what has to wait and why."""
    limit_left, cash_left = dict(limits), dict(cash)
    transfers: list[PlannedTransfer] = []
    carried: list[CarriedTransfer] = []
    for one in wanted:
        by_bank = min(one.amount, max(limit_left.get(one.source, one.amount), ZERO))
        amount = min(by_bank, cash_left.get(one.source, by_bank))
        for left in (limit_left, cash_left):
            if one.source in left:
                left[one.source] -= amount
        if amount > ZERO:
            transfers.append(PlannedTransfer(source=one.source, destination=one.destination, amount=amount))
        if amount < one.amount:
            why = KeptBy.CASH if amount < by_bank else KeptBy.BANK_LIMIT
            carried.append(
                CarriedTransfer(source=one.source, destination=one.destination, amount=one.amount - amount, why=why)
            )
    return tuple(transfers), tuple(carried)


__all__ = [
    "RESERVE",
    "CarriedTransfer",
    "FloatLine",
    "FloatReading",
    "FloatRules",
    "FloatState",
    "KeptBy",
    "PlannedTransfer",
    "RebalancePlan",
    "check_weekdays",
    "due_day",
    "float_target",
    "is_check_day",
    "next_check_day",
    "rebalance",
    "reserve_of",
]
