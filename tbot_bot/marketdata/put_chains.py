"""Recorded quotes of listed puts, asked as of an instant: nothing later than that is ever seen.

A quote stands until the next one of the same contract, or until it is older than a limit; after that the contract has
no recorded price. A bid or ask of 0 is nobody's.
"""

import math
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import TYPE_CHECKING, Final, NamedTuple

from tbot_bot.core.instants import Duration, Instant
from tbot_bot.core.instruments import Instrument
from tbot_bot.core.money import exact
from tbot_bot.core.options import PutSides

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class Offered(NamedTuple):
    """A put with the quote that stands; `delta` as recorded, None where the file has none."""

    instrument: Instrument
    sides: PutSides
    delta: Decimal | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """All quotes of one put, oldest first."""

    instrument: Instrument
    at: "NDArray[np.int64]"
    """Nanoseconds since the epoch, UTC, rising."""
    bid: "NDArray[np.float64]"
    ask: "NDArray[np.float64]"
    delta: "NDArray[np.float64] | None"

    def sides(self, row: int) -> PutSides:
        """Return the quote in `row`."""
        return PutSides(_number(self.bid[row]), _number(self.ask[row]))

    def standing(self, at: Instant, age: Duration) -> int:
        """Return the row of the quote that stands at `at`, -1 where there is none younger than `age`."""
        row = bisect_right(self.at, at) - 1
        return row if row >= 0 and at - int(self.at[row]) <= age else -1


class PutChains:
    """The puts of all underlyings."""

    def __init__(self, series: Sequence[Series], age: Duration) -> None:
        """Quotes older than `age` do not stand any more."""
        self.age: Final = age
        self._by_symbol: Final[Mapping[str, Series]] = {one.instrument.symbol: one for one in series}
        self._by_underlying: Final[dict[str, list[Series]]] = {}
        for one in series:
            self._by_underlying.setdefault(one.instrument.underlying, []).append(one)

    def __len__(self) -> int:
        """Return how many contracts there are."""
        return len(self._by_symbol)

    def sides(self, symbol: str, since: Instant, until: Instant) -> tuple[PutSides, ...]:
        """Return the quote of the contract that stands at `since`, and each one after it until `until`."""
        series = self._by_symbol.get(symbol)
        if series is None:
            return ()
        standing = series.standing(since, self.age)
        later = range(bisect_right(series.at, since), bisect_right(series.at, until))
        return tuple(series.sides(row) for row in (*([standing] if standing >= 0 else ()), *later))

    def offered(self, underlying: str, at: Instant, first_expiry: date) -> tuple[Offered, ...]:
        """Return the puts on `underlying` that somebody offers at `at` and that expire on `first_expiry` or later."""
        found = []
        for series in self._by_underlying.get(underlying, ()):
            expiry = series.instrument.expiry
            row = series.standing(at, self.age) if expiry is not None and expiry >= first_expiry else -1
            if row < 0 or series.ask[row] <= 0.0:
                continue
            delta = math.nan if series.delta is None else float(series.delta[row])
            known = None if math.isnan(delta) else _number(delta)
            found.append(Offered(series.instrument, series.sides(row), known))
        return tuple(found)


def _number(value: "float | np.float64") -> Decimal:
    return exact(repr(float(value)))


__all__ = ["Offered", "PutChains", "Series"]
