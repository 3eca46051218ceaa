"""Reads and writes plans of faults as JSON, strictly: what is not understood is refused, not skipped."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import fields
from datetime import time
from pathlib import Path
from typing import Final

from tbot_bot.config.error_handler import DataError
from tbot_bot.sandbox.faults import FaultKind, FaultRule

Json = Mapping[str, "Json"] | Sequence["Json"] | str | int | float | bool | None

_NAMES: Final = tuple(field.name for field in fields(FaultRule))
_NUMBERS: Final = {"chance": (0.0, 1.0), "fraction": (0.0, 1.0), "seconds": (-86_400.0, 86_400.0)}
_COUNTS: Final = {"skip": (0, 1_000_000), "times": (0, 1_000_000), "status": (400, 599)}
_SEED_MAX: Final = 2**63


def read_plan(path: Path) -> tuple[tuple[FaultRule, ...], int]:
    """Return the rules and the seed of a file.

    Raises:
        DataError: unreadable, not JSON, or not a plan.
    """
    try:
        return parse_plan(path.read_text(encoding="utf-8"), where=str(path))
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"cannot be read: {error}", where=str(path)) from None


def parse_plan(text: str, *, where: str) -> tuple[tuple[FaultRule, ...], int]:
    """Return rules and seed of `{"seed": 1, "faults": [{"kind": "latency", "seconds": 0.5}]}`.

    Raises:
        DataError: not a plan; says which entry and what it may be.
    """
    try:
        plan: Json = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise DataError(f"not JSON: {error}", where=where) from None
    if not isinstance(plan, Mapping) or not set(plan) <= {"seed", "faults"}:
        raise DataError("a plan is an object with `faults` and perhaps `seed`", where=where)
    seed, faults = plan.get("seed", 1), plan.get("faults", [])
    if not isinstance(seed, int) or isinstance(seed, bool) or not 0 <= seed < _SEED_MAX:
        raise DataError(f"seed {seed!r} is not a whole number from 0", where=where)
    if not isinstance(faults, Sequence) or isinstance(faults, str):
        raise DataError("`faults` is not a list", where=where)
    return tuple(_rule(entry, f"{where}: fault {number}") for number, entry in enumerate(faults, 1)), seed


def plan_plain(rules: Sequence[FaultRule], seed: int) -> Json:
    """Return what `parse_plan` reads back; fields with their usual value are left out."""
    return {"seed": seed, "faults": [rule_plain(rule) for rule in rules]}


def rule_plain(rule: FaultRule) -> Json:
    """Return one rule as it stands in a file."""
    usual = FaultRule(kind=rule.kind)
    plain: dict[str, Json] = {"kind": rule.kind.value}
    for name in _NAMES:
        value = getattr(rule, name)
        if value != getattr(usual, name):
            plain[name] = (
                value.isoformat("seconds" if value.second else "minutes") if isinstance(value, time) else value
            )
    return plain


def _rule(entry: Json, where: str) -> FaultRule:
    if not isinstance(entry, Mapping):
        raise DataError("not an object", where=where)
    strange = sorted(set(entry) - set(_NAMES))
    if strange:
        raise DataError(f"unknown {', '.join(strange)}", where=where, mend=f"Known: {', '.join(_NAMES)}.")
    kinds = {kind.value: kind for kind in FaultKind}
    kind = kinds.get(str(entry.get("kind")))
    if kind is None:
        raise DataError(f"kind {entry.get('kind')!r}", where=where, mend=f"Known: {', '.join(kinds)}.")
    return FaultRule(
        kind=kind,
        vendor=_text(entry, "vendor", where),
        place=_text(entry, "place", where),
        chance=_number(entry, "chance", 1.0, where),
        skip=_count(entry, "skip", 0, where) or 0,
        times=_count(entry, "times", None, where),
        seconds=_number(entry, "seconds", 0.0, where),
        status=_count(entry, "status", 503, where) or 503,
        fraction=_number(entry, "fraction", 0.0, where),
        symbols=_symbols(entry.get("symbols", ()), where),
        since=_time(entry, "since", where),
        until=_time(entry, "until", where),
    )


def _text(entry: Mapping[str, Json], name: str, where: str) -> str:
    value = entry.get(name, "*")
    if not isinstance(value, str) or not value:
        raise DataError(f"{name} {value!r} is not a pattern such as *", where=where)
    return value


def _number(entry: Mapping[str, Json], name: str, usual: float, where: str) -> float:
    low, high = _NUMBERS[name]
    value = entry.get(name, usual)
    if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
        raise DataError(f"{name} {value!r} is not a number from {low:g} to {high:g}", where=where)
    return float(value)


def _count(entry: Mapping[str, Json], name: str, usual: int | None, where: str) -> int | None:
    low, high = _COUNTS[name]
    value = entry.get(name, usual)
    if value is None and usual is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise DataError(f"{name} {value!r} is not a whole number from {low} to {high}", where=where)
    return value


def _symbols(value: Json, where: str) -> tuple[str, ...]:
    if not isinstance(value, Sequence) or isinstance(value, str) or not all(isinstance(item, str) for item in value):
        raise DataError("`symbols` is not a list of symbols", where=where)
    return tuple(str(item) for item in value)


def _time(entry: Mapping[str, Json], name: str, where: str) -> time | None:
    value = entry.get(name)
    if value is None:
        return None
    try:
        return time.fromisoformat(str(value))
    except ValueError:
        raise DataError(f"{name} {value!r} is not a New York time of day such as 10:30", where=where) from None
