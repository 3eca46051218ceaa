"""A difference between two decisions in the words of a session's log: where, what was decided then, what is now."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from tbot_bot.core.codec import Json, to_json
from tbot_bot.core.commands import Decided, Output, ReadPutQuotes, ReadVix, WatchSymbols
from tbot_bot.core.events import BarsClosed, Event
from tbot_bot.core.instants import Instant, iso
from tbot_bot.core.money import plain
from tbot_bot.reporting.facts import Fact
from tbot_bot.reporting.session_report import facts_of
from tbot_bot.runtime.recovery import Difference

NOTHING: Final = "nothing"
_FIELDS_MAX: Final = 4
_SHOWN: Final = 6
"""Symbols that are named before the rest is counted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DifferenceWords:
    """A difference for people."""

    where: str
    then: str
    now: str
    fields: tuple[str, ...]
    """What differs within one decision, as `price: 51.6 is now 51.62`; empty where they are two."""


def difference_words(found: Difference) -> DifferenceWords:
    """Return `found` in words."""
    then, now = decision_words(found.then), decision_words(found.now)
    same = type(found.then) is type(found.now) and found.then is not None
    return DifferenceWords(
        where=f"{iso(found.event.at)}, input {found.number}: {event_words(found.event)}",
        then=then,
        now=now,
        fields=tuple(_changed(to_json(found.then), to_json(found.now)))[:_FIELDS_MAX] if same else (),
    )


def decision_words(output: Output | None) -> str:
    """Return one decision or command in words; `nothing` for none."""
    match output:
        case None:
            return NOTHING
        case ReadPutQuotes():
            return f"ask for puts on {output.underlying} at {plain(output.spot)}, for {output.trade_id}"
        case ReadVix():
            return "ask for the VIX"
        case WatchSymbols():
            return f"watch {_names(output.symbols)}"
        case _:
            facts = facts_of(Decided(number=1, at=Instant(0), tape_digest="", outputs=(output,)))
            return _fact_words(facts[0]) if facts else type(output).__name__


def event_words(event: Event) -> str:
    """Return what the engine was told, in words."""
    if isinstance(event, BarsClosed):
        if not event.bars:
            return "a minute without bars"
        late = " told late" if event.backfill else ""
        return f"bars{late} of {_names(sorted({bar.symbol for bar in event.bars}))}"
    facts = facts_of(event)
    return _fact_words(facts[0]) if facts else type(event).__name__


def _fact_words(fact: Fact) -> str:
    place = " ".join(part for part in (fact.symbol, fact.side, fact.broker and f"at {fact.broker}") if part)
    parts = (
        place or fact.trade_id or fact.order_id,
        "" if fact.quantity is None else f"quantity {plain(fact.quantity)}",
        "" if fact.price is None else f"price {plain(fact.price)}",
        fact.code,
        fact.text,
    )
    told = ", ".join(part for part in parts if part)
    return f"{fact.event.replace('_', ' ')}: {told}" if told else fact.event.replace("_", " ")


def _changed(then: Json, now: Json, name: str = "") -> Iterator[str]:
    """Yield the fields that differ, innermost ones by their path."""
    if then == now:
        return
    if isinstance(then, dict) and isinstance(now, dict):
        for key in dict.fromkeys((*then, *now)):
            yield from _changed(then.get(key), now.get(key), f"{name}.{key}" if name else key)
    elif isinstance(then, list) and isinstance(now, list) and len(then) == len(now):
        for place, (one, other) in enumerate(zip(then, now, strict=True), 1):
            yield from _changed(one, other, f"{name} {place}")
    else:
        yield f"{name.replace('_', ' ')}: {_plain(then)} is now {_plain(now)}"


def _plain(value: Json) -> str:
    if isinstance(value, list):
        return " ".join(map(_plain, value)) or NOTHING
    return NOTHING if value is None or value == "" else str(value)


def _names(symbols: tuple[str, ...] | list[str]) -> str:
    shown = " ".join(symbols[:_SHOWN]) or "none"
    rest = len(symbols) - _SHOWN
    return f"{shown} and {rest} more" if rest > 0 else shown


__all__ = ["NOTHING", "DifferenceWords", "decision_words", "difference_words", "event_words"]
