"""What feeds a session while the market trades, and the book that tells each minute's bars once and in order.

A feed streams some symbols and can be asked about all of them. The book does not care which way a bar came: it tells
a symbol's bars only as far as it knows that none is missing before them, for a strategy that has seen a later bar
cannot be given an earlier one any more.
"""

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from tbot_bot.core.bars import Bar, Quote
from tbot_bot.core.halts import TradingHalt
from tbot_bot.core.instants import Duration, Instant, later


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrived:
    """What a feed has heard since the last look."""

    bars: tuple[Bar, ...] = ()
    quotes: Mapping[str, Quote] = field(default_factory=dict)
    """The newest of each symbol that was quoted."""
    halts: tuple[TradingHalt, ...] = ()
    """Of trading, as they came."""


class LiveFeed(Protocol):
    """A market data vendor: minute bars and quotes as they come, and history on request."""

    arrived: asyncio.Event
    """Set when a bar has come, or when something has changed about the stream."""

    def want(self, symbols: tuple[str, ...]) -> None:
        """Stream `symbols`, the most important first: those beyond the plan's limit have to be asked for."""
        ...

    def streamed_since(self, symbol: str) -> Instant | None:
        """Return since when `symbol` has come by the stream without a gap; None where it does not."""
        ...

    def heard_until(self, symbol: str) -> Instant | None:
        """Return up to when the stream has told everything of `symbol`; None: it cannot be known, only waited for."""
        ...

    def take(self) -> Arrived:
        """Return what has come since the last call."""
        ...

    async def bars(self, symbols: tuple[str, ...], since: Instant, until: Instant) -> tuple[Bar, ...]:
        """Return the minute bars that begin at or after `since` and end by `until`.

        Raises:
            BrokerProblem: no answer, or a refusal.
        """
        ...

    async def quotes(self, symbols: tuple[str, ...]) -> tuple[Quote, ...]:
        """Return the newest quotes.

        Raises:
            BrokerProblem: no answer, or a refusal.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What the engine is to be told at a boundary, in the order in which the bars ended."""

    late: tuple[Bar, ...] = ()
    """Bars that ended before it."""
    now: tuple[Bar, ...] = ()
    """Bars that end at it."""


@dataclass(slots=True)
class _Symbol:
    covered: Instant
    """Every bar that ended by then has come."""
    told: Instant
    """End of the last bar that was told: an earlier one comes too late."""
    held: dict[Instant, Bar] = field(default_factory=dict)


class MinuteBook:
    """The bars of one session's symbols between the vendor and the engine. Pure."""

    def __init__(self, *, bell: Instant, close: Instant, span: Duration) -> None:
        """Keep the regular session's bars only, `span` nanoseconds each, from the bell on."""
        self._bell, self._close, self._span = bell, close, span
        self._symbols: dict[str, _Symbol] = {}

    @property
    def symbols(self) -> tuple[str, ...]:
        """Return what is followed, the most important first."""
        return tuple(self._symbols)

    def want(self, symbols: Iterable[str], told: Mapping[str, Instant] | None = None) -> None:
        """Follow `symbols` alone from now on; `told` says up to when the engine has seen a symbol's bars already."""
        seen = told or {}
        known, self._symbols = self._symbols, {}
        for symbol in symbols:
            begin = max(seen.get(symbol, self._bell), self._bell)
            self._symbols[symbol] = known.get(symbol) or _Symbol(covered=begin, told=begin)

    def floor(self, at: Instant) -> Instant:
        """Return the last boundary at or before `at`; the bell before the bell."""
        return later(self._bell, max(at - self._bell, 0) // self._span * self._span)

    def following(self, at: Instant) -> Instant:
        """Return the first boundary after `at`; the bell before the bell."""
        return self._bell if at < self._bell else later(self.floor(at), self._span)

    def add(self, bars: Iterable[Bar]) -> None:
        """Take bars in, in any order and any number of times; the first of its minute counts."""
        for bar in bars:
            known = self._symbols.get(bar.symbol)
            if known is None or bar.start < self._bell or bar.end > self._close:
                continue
            if bar.end > known.told:
                known.held.setdefault(Instant(bar.end), bar)

    def answered(self, symbols: Iterable[str], until: Instant) -> None:
        """Take note that every bar of `symbols` that ended by `until` has been added."""
        for symbol in symbols:
            known = self._symbols.get(symbol)
            if known is not None:
                known.covered = max(known.covered, until)

    def streamed(
        self, since: Mapping[str, Instant | None], until: Instant, heard: Mapping[str, Instant | None] | None = None
    ) -> None:
        """Take note of what the stream has told without a gap up to `until`, or as far as it was `heard`."""
        for symbol, known in self._symbols.items():
            begun, end = since.get(symbol), (heard or {}).get(symbol)
            if begun is not None and self.floor(begun) <= known.covered:
                told = until if end is None else min(until, self.floor(end))
                known.covered = max(known.covered, told)

    def lacking(self, until: Instant) -> dict[Instant, tuple[str, ...]]:
        """Return the symbols of which bars that ended by `until` may be missing, by where their gap begins."""
        found: dict[Instant, list[str]] = {}
        for symbol, known in self._symbols.items():
            if known.covered < until:
                found.setdefault(known.covered, []).append(symbol)
        return {begin: tuple(symbols) for begin, symbols in found.items()}

    def silent(self, at: Instant) -> tuple[str, ...]:
        """Return the symbols without a bar that ends at `at`: they may not have traded, or it is on its way."""
        return tuple(symbol for symbol, known in self._symbols.items() if known.told < at and at not in known.held)

    def tell(self, at: Instant) -> Told:
        """Return what can be told at the boundary `at`, and forget it."""
        found: list[Bar] = []
        for known in self._symbols.values():
            horizon = min(known.covered, at)
            ready = [end for end in known.held if end <= horizon]
            found += [known.held.pop(end) for end in ready]
            known.told = max([known.told, *ready])
        found.sort(key=lambda bar: (bar.end, bar.symbol))
        return Told(late=tuple(bar for bar in found if bar.end < at), now=tuple(bar for bar in found if bar.end == at))


__all__ = ["Arrived", "LiveFeed", "MinuteBook", "Told"]
