"""The last prices a venue knows, without copying a market's bars every minute."""

from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Final

from tbot_bot.core.bars import Bar
from tbot_bot.core.instruments import equity

_SHARE: Final = equity("")


class LastPrices:
    """The latest bars by reference; older prices only of symbols that somebody cares for."""

    def __init__(self, marks: Mapping[str, Decimal]) -> None:
        """`marks` are last prices of shares by symbol."""
        self._marks = dict(marks)
        self._bars: Mapping[str, Bar] = {}
        self._over = False

    def of(self, symbol: str) -> Decimal | None:
        """Return the last price of the share, None where there was none."""
        bar = self._bars.get(symbol)
        return self._marks.get(symbol) if bar is None else self._price(bar)

    def advance(self, bars: Mapping[str, Bar], *, over: bool, keep: Iterable[str]) -> None:
        """Make `bars` the latest, their opens or (`over`) their closes; keep older prices of `keep` only."""
        kept = {symbol: price for symbol in keep if (price := self.of(symbol)) is not None}
        self._marks, self._bars, self._over = kept, bars, over

    def marks(self) -> tuple[tuple[str, Decimal], ...]:
        """Return everything known."""
        known = dict(self._marks)
        known.update((symbol, self._price(bar)) for symbol, bar in self._bars.items())
        return tuple(known.items())

    def _price(self, bar: Bar) -> Decimal:
        return _SHARE.round_price(float(bar.close if self._over else bar.open))
