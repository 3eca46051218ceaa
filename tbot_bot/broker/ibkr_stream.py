"""What a gateway tells of shares by itself: bars of five seconds, and quotes as they change."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Final

from tbot_bot.broker.ibkr_contracts import known_number
from tbot_bot.broker.ibkr_link import GatewayLink
from tbot_bot.broker.ibkr_lookup import ContractDesk
from tbot_bot.broker.ibkr_market import IbkrMarket
from tbot_bot.core.bars import Bar, Quote
from tbot_bot.core.halts import TradingHalt
from tbot_bot.core.instants import SECOND, Instant, instant
from tbot_bot.core.money import ZERO

if TYPE_CHECKING:
    from ib_async import IB, RealTimeBarList, Ticker

PIECE_SECONDS: Final = 5
_HALTS: Final[Mapping[float, str]] = {0.0: "", 1.0: "halted", 2.0: "halted for volatility"}


@dataclass(frozen=True, slots=True)
class _Subscription:
    ib: "IB"
    bars: "RealTimeBarList"


class IbkrStream:
    """Subscriptions over a broker's line; they end with the connection, and are made again by whoever wants them."""

    def __init__(
        self, link: GatewayLink, contracts: ContractDesk, market: IbkrMarket, now: Callable[[], Instant]
    ) -> None:
        """`now` stamps quotes: market time."""
        self._link, self._contracts, self._market, self._now = link, contracts, market, now
        self._held: dict[str, _Subscription] = {}
        self._quotes: dict[str, Quote] = {}
        self._stopped: set[str] = set()
        self._halts: list[TradingHalt] = []

    @property
    def epoch(self) -> object | None:
        """Return what stands for the present connection and its subscriptions; None while it is down."""
        return (self._link.connections, self._market.losses) if self._link.is_up else None

    async def follow(self, symbol: str, heard: Callable[[Bar], None]) -> None:
        """Subscribe to quotes and bars; pieces go to `heard` on the loop.

        Raises:
            BrokerProblem: no answer, or no such share.
        """
        contract = await self._contracts.of_stock(symbol)
        ib = self._link.ib
        self.unfollow(symbol)
        ticker = self._market.follow(symbol, contract)
        ticker.updateEvent += lambda told: self._quoted(symbol, told)
        bars = ib.reqRealTimeBars(contract, PIECE_SECONDS, "TRADES", True)  # noqa: FBT003 - the library's own signature
        self._held[symbol] = _Subscription(ib, bars)

        def came(told: "RealTimeBarList", _is_new: object) -> None:
            pieces, told[:] = told[:], []
            for one in pieces:
                heard(_piece(symbol, one.time, (one.open_, one.high, one.low, one.close), float(one.volume)))

        bars.updateEvent += came

    def unfollow(self, symbol: str) -> None:
        """End the subscriptions to `symbol`, where there are any."""
        held = self._held.pop(symbol, None)
        self._quotes.pop(symbol, None)
        if held is not None:
            held.bars.updateEvent.clear()
            if self._link.is_up and held.ib is self._link.ib:
                held.ib.cancelRealTimeBars(held.bars)
        self._market.unfollow(symbol)

    def refusal(self, symbol: str) -> tuple[int, str] | None:
        """Return with which code and words the gateway ended, or never began, the bars of `symbol`."""
        held = self._held.get(symbol)
        words = "" if held is None else self._market.problem_of(held.bars.reqId)
        return (int(words.partition(":")[0]), words) if words else None

    def take_quotes(self) -> Mapping[str, Quote]:
        """Return the newest quotes since the last call."""
        quotes, self._quotes = self._quotes, {}
        return quotes

    def take_halts(self) -> tuple[TradingHalt, ...]:
        """Return where trading was stopped, or goes on, since the last call."""
        halts, self._halts = tuple(self._halts), []
        return halts

    async def minute_bars(self, symbol: str, start: Instant, end: Instant) -> tuple[Bar, ...]:
        """Return the complete bars of one minute; raises as `IbkrMarket.minute_bars` does."""
        return await self._market.minute_bars(symbol, start, end)

    async def quote(self, symbol: str) -> Quote | None:
        """Return bid and ask; raises as `IbkrMarket.quote` does."""
        return await self._market.quote(symbol)

    def _told_of_halts(self, symbol: str, ticker: "Ticker") -> None:
        """Hear tick 49: 0 trades, 1 halted, 2 halted for volatility; anything else (-1, nothing) says nothing."""
        word = _HALTS.get(ticker.halted)
        if word is None or bool(word) is (symbol in self._stopped):
            return
        (self._stopped.add if word else self._stopped.discard)(symbol)
        self._halts.append(TradingHalt(symbol=symbol, at=self._now(), halted=bool(word), reason=word))

    def _quoted(self, symbol: str, ticker: "Ticker") -> None:
        self._told_of_halts(symbol, ticker)
        bid, ask = known_number(ticker.bid), known_number(ticker.ask)
        if bid is None or ask is None or min(bid, ask) <= ZERO:
            return
        sizes = [known_number(size) or ZERO for size in (ticker.bidSize, ticker.askSize)]
        self._quotes[symbol] = Quote(symbol, self._now(), bid, ask, sizes[0], sizes[1], modelled=False)


def _piece(symbol: str, begun: datetime, prices: tuple[float, float, float, float], volume: float) -> Bar:
    start = instant(begun)
    return Bar(symbol, start, start + PIECE_SECONDS * SECOND, *prices, volume)


__all__ = ["IbkrStream"]
