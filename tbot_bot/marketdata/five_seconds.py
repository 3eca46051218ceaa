"""Bars of five seconds folded to minutes, as far as none of them is missing. Pure.

A minute is told only if all its pieces came, one after another; a gap, and the minute in which listening began, are
left to whoever asks for history. Pieces without volume carry the last price along: no trade, so no part of the bar.
"""

from typing import Final

from tbot_bot.core.bars import Bar
from tbot_bot.core.instants import MINUTE, SECOND, Instant

PIECE: Final = 5 * SECOND


class MinuteFold:
    """One symbol's pieces on their way to minutes."""

    def __init__(self, symbol: str) -> None:
        """Begin with nothing heard."""
        self._symbol = symbol
        self._traded: list[Bar] = []
        self.since: Instant | None = None
        """The minute from whose begin on no piece is missing; it may lie ahead."""
        self.until: Instant | None = None
        """End of the last piece."""

    def add(self, piece: Bar) -> Bar | None:
        """Take the next piece in; return the minute that it completes, if shares were traded in it.

        Pieces that came before, or overlap with one that did, change nothing.
        """
        start, end = Instant(piece.start), Instant(piece.end)
        if self.until is not None and start < self.until:
            return None
        if self.since is None or start != self.until:
            self.since = Instant(-(-start // MINUTE) * MINUTE)
            self._traded.clear()
        self.until = end
        if start >= self.since and piece.volume > 0:
            self._traded.append(piece)
        if end % MINUTE:
            return None
        traded, self._traded = self._traded, []
        return _minute(self._symbol, end, traded) if traded else None


def _minute(symbol: str, end: Instant, traded: list[Bar]) -> Bar:
    return Bar(
        symbol,
        end - MINUTE,
        end,
        traded[0].open,
        max(piece.high for piece in traded),
        min(piece.low for piece in traded),
        traded[-1].close,
        sum(piece.volume for piece in traded),
    )


__all__ = ["PIECE", "MinuteFold"]
