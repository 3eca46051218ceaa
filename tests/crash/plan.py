"""What one seed means: brokers, the market day, what goes wrong at the vendors, and where the runner is killed.

Nothing here knows the bot: a plan is data, and the same seed is the same plan on every machine.
"""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

Prices = tuple[float, float, float, float]
Rule = Mapping[str, str | int | float]

LEGS: Final = ("entry", "stop", "exit")
POINTS: Final = (
    *(f"{step} {leg}" for leg in LEGS for step in ("intent.before", "intent.after")),
    *(f"{step} {leg}" for leg in (*LEGS, "cancel") for step in ("hands.before", "hands.after")),
    *(f"{step} {leg}" for leg in (*LEGS, "cancel") for step in ("request.before", "request.after", "answer")),
    *(f"{step} {leg}" for leg in LEGS for step in ("fill.told", "fill.before", "fill.after")),
    *(
        "records.before",
        "records.after",
        "file.before",
        "file.written",
        "file.renamed",
        "file.after",
        "end.before",
        "end.after",
    ),
    *("recovery.before", "recovery.after", "reconcile.before", "reconcile.after"),
)
"""The steps of the order path at which the launcher can end the runner."""
AT_RANDOM: Final = "at random"
_RECOVERY: Final = tuple(point for point in POINTS if point.startswith(("recovery", "reconcile")))
_BROKERS: Final = (("alpaca",), ("ibkr",), ("alpaca", "ibkr"))
_KILLS_MAX: Final = 3
"""A supervisor starts a runner again three times at most."""
MINUTES: Final = 390
BREAKOUT_MINUTE: Final = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class Kill:
    """Where one life of the runner ends: at the `crossing`th crossing of `point`, or by the clock."""

    point: str
    crossing: int = 1
    seconds: float = 0.0
    """For `AT_RANDOM`: after so much real time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """One run."""

    seed: int
    brokers: tuple[str, ...]
    shapes: Mapping[str, str]
    """What the market does after the breakout, by symbol."""
    settings: Mapping[str, str]
    faults: tuple[Rule, ...]
    kills: tuple[Kill, ...]
    """One for each life of the runner; the next one lives to the end."""


def plan_of(seed: int, *, kills: int = _KILLS_MAX) -> Plan:
    """Return the plan of `seed`, with at most `kills` kills."""
    dice = random.Random(seed)
    brokers = _BROKERS[seed % len(_BROKERS)]
    shapes = {symbol: dice.choice(("hold", "fall", "rise")) for symbol in ("AAA", "BBB")}
    if dice.random() < 0.5:
        shapes["BBB"] = "still"
    settings = {
        "ALPACA_ENABLED": str("alpaca" in brokers).lower(),
        "IBKR_ENABLED": str("ibkr" in brokers).lower(),
        "FRACTIONAL": dice.choice(("true", "false")),
        "ENTRY_ORDER": dice.choice(("marketable_limit", "market")),
    }
    first = POINTS[seed // len(_BROKERS) % len(POINTS)]  # so that any long range of seeds has every step
    chosen = [_kill(dice, first)]
    while len(chosen) < _KILLS_MAX and dice.random() < 0.4:
        chosen.append(_kill(dice, dice.choice((*POINTS, *_RECOVERY, AT_RANDOM, AT_RANDOM, AT_RANDOM))))
    dice.shuffle(chosen)
    if first in _RECOVERY and len(chosen) == 1:  # nothing is recovered in a first life
        chosen.insert(0, _kill(dice, dice.choice((AT_RANDOM, "fill.after entry", "hands.before stop"))))
    faults = tuple(_fault(dice, kind) for kind in dice.sample(sorted(_FAULTS), dice.choice((0, 1, 1, 2, 3))))
    return Plan(
        seed=seed, brokers=brokers, shapes=shapes, settings=settings, faults=faults, kills=tuple(chosen[:kills])
    )


def _kill(dice: random.Random, point: str) -> Kill:
    if point == AT_RANDOM:
        return Kill(point=point, seconds=round(dice.uniform(0.5, 7.0), 3))
    return Kill(point=point, crossing=dice.choice((1, 1, 1, 1, 2)))


_FAULTS: Final[Mapping[str, Rule]] = {
    "answer lost": {"kind": "lost_after", "vendor": "alpaca", "place": "POST /v2/orders", "seconds": 0.3},
    "request lost": {"kind": "lost_before", "vendor": "alpaca", "place": "POST /v2/orders", "seconds": 0.3},
    "504 with effect": {"kind": "status_after", "vendor": "alpaca", "place": "POST /v2/orders", "status": 504},
    "503 without effect": {"kind": "status", "vendor": "alpaca", "place": "POST /v2/orders", "status": 503},
    "change lost after the effect": {
        "kind": "lost_after", "vendor": "alpaca", "place": "PATCH /v2/orders/*", "seconds": 0.3,
    },
    "cancel lost after the effect": {
        "kind": "lost_after", "vendor": "alpaca", "place": "DELETE /v2/orders/*", "seconds": 0.3,
    },
    "lookup refused": {"kind": "status", "vendor": "alpaca", "place": "GET /v2/orders:*", "status": 500},
    "late answer": {"kind": "latency", "vendor": "alpaca", "place": "POST /v2/orders", "seconds": 0.5},
    "repeated update": {"kind": "duplicated", "vendor": "alpaca", "place": "trade_updates", "chance": 0.5},
    "reordered update": {"kind": "reordered", "vendor": "alpaca", "place": "trade_updates", "chance": 0.5},
    "dropped updates": {"kind": "dropped", "vendor": "alpaca", "place": "trade_updates"},
    "dropped market data": {"kind": "dropped", "vendor": "alpaca", "place": "market_data"},
    "TWS order lost after the effect": {"kind": "lost_after", "vendor": "ibkr", "place": "placeOrder", "seconds": 0.3},
    "TWS order lost": {"kind": "lost_before", "vendor": "ibkr", "place": "placeOrder", "seconds": 0.3},
    "TWS cancel lost": {"kind": "lost_after", "vendor": "ibkr", "place": "cancelOrder", "seconds": 0.3},
    "TWS repeated news": {"kind": "duplicated", "vendor": "ibkr", "place": "orders", "chance": 0.5},
    "TWS reordered news": {"kind": "reordered", "vendor": "ibkr", "place": "orders", "chance": 0.5},
    "TWS dropped": {"kind": "dropped", "vendor": "ibkr", "place": "orders"},
    "TWS line down": {"kind": "dropped", "vendor": "ibkr", "place": "line", "since": "09:37:05", "until": "09:38:05"},
    "TWS restart": {
        "kind": "restart", "vendor": "ibkr", "place": "gateway", "seconds": 0.5,
        "since": "09:37:20", "until": "09:38:20",
    },
    "maintenance": {"kind": "maintenance", "vendor": "alpaca", "since": "09:37:05", "until": "09:38:05"},
    "partial fills": {"kind": "partial", "fraction": 0.02},
}  # fmt: skip
_ENDLESS: Final = frozenset({"partial", "duplicated", "reordered"})
"""Kinds that strike as often as they are drawn; the others strike once, or at their time."""


def _fault(dice: random.Random, name: str) -> Rule:
    rule = _FAULTS[name]
    if rule["kind"] in _ENDLESS or "since" in rule:
        return rule
    return {**rule, "times": 1, "skip": dice.choice((0, 0, 1, 2, 3))}


def bars_of(shape: str, price: float) -> Sequence[Prices]:
    """Return a day of minute bars: some minutes of rest, then up and out of the range, then what `shape` says."""
    low, high = price * 0.998, price * 1.002
    rest: list[Prices] = [(price, high, low, price)] * BREAKOUT_MINUTE
    if shape == "still":
        return [(price, high, low, price)] * MINUTES
    level = price * 1.032
    bars = [*rest, (price, level * 1.001, low, level)]
    step = {"hold": 0.0, "fall": -0.012, "rise": 0.006}[shape]
    while len(bars) < MINUTES:
        last = level
        level = max(level * (1 + step), price * 0.9) if len(bars) < BREAKOUT_MINUTE + 7 else level
        bars.append((last, max(last, level) * 1.001, min(last, level) * 0.999, level))
    return bars


__all__ = ["AT_RANDOM", "POINTS", "Kill", "Plan", "bars_of", "plan_of"]
