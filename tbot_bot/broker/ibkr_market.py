"""Market data from Interactive Brokers: puts on offer, the VIX, auction imbalances, borrowable shares, past bars.

What a subscription or an exchange does not give is missing, with the gateway's reason, and never a made-up number.
Source of the tick numbers: TWS API, "Available tick types" (generic 225: auction; 236: shortable).
"""

import asyncio
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Final, Protocol

from tbot_bot.broker.ibkr_contracts import (
    CURRENCY,
    SMART,
    VIX_SYMBOL,
    expiry_of,
    instrument_of,
    known_number,
    vix_contract,
)
from tbot_bot.broker.ibkr_link import GatewayLink, RequestFailed
from tbot_bot.broker.ibkr_lookup import ContractDesk
from tbot_bot.core.bars import Bar, Imbalance, Quote, VixReading
from tbot_bot.core.calendar import NotATradingDay, exchange_time, previous_trading_day, trading_day
from tbot_bot.core.commands import ReadPutQuotes
from tbot_bot.core.errors import BrokerProblem, BrokerRefused, UnknownMessage
from tbot_bot.core.events import PutQuotesRead
from tbot_bot.core.instants import MINUTE, SECOND, Instant, instant, later, to_datetime
from tbot_bot.core.money import ZERO
from tbot_bot.core.options import PutQuote

if TYPE_CHECKING:
    from ib_async import IB, BarData, Contract, OptionChain, Ticker

STRIKES_EACH_SIDE: Final = 6
"""Of the money: enough to find a delta of -0.5 among."""
AUCTION_AND_BORROW: Final = "225,236"
READ_SECONDS: Final = 4.0
"""How long the first ticks of a subscription may take."""
DELTA_SECONDS: Final = 1.0
"""How long deltas may take after the quotes; without them the strike nearest the money is chosen."""
EASY_FROM: Final = 2.5
"""Tick 46 above it: at least 1,000 shares can be borrowed at once. Source: TWS API, tick "Shortable"."""
_CLOSE_KNOWN_AFTER: Final = 15 * MINUTE
"""The VIX is computed until a quarter past the closing bell."""
_NO_DATA: Final = 162
_WINDOW_SECONDS_MAX: Final = 86_400
"""Longest history of one-minute bars in one request that IB does not count as a burden."""
_DELTA_STEP: Final = Decimal("0.0001")


class PutQuoteSource(Protocol):
    """Answers the engine's question for puts; the adapters that trade options have one."""

    async def put_quotes(self, request: ReadPutQuotes) -> PutQuotesRead:
        """Return the puts on offer, or why there are none."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class AuctionImbalance:
    """What the exchange publishes before an auction."""

    symbol: str
    read_at: Instant
    imbalance: Decimal
    """Shares without another side, signed as the exchange tells it: positive is buying interest."""
    volume: Decimal | None
    """Shares that would trade now."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Borrow:
    """Whether shares can be borrowed for a short sale; None where IB does not say."""

    easy: bool | None
    shares: Decimal | None


class IbkrMarket:
    """Reads market data over a broker's line; subscriptions are made again where they were lost."""

    def __init__(self, link: GatewayLink, contracts: ContractDesk, now: Callable[[], Instant]) -> None:
        """`now` stamps readings: market time."""
        self._link, self._contracts, self._now = link, contracts, now
        self._tickers: dict[str, tuple[object, Ticker]] = {}
        """By symbol, with the connection that it lives on."""
        self._problems: dict[int, str] = {}
        self._moved = asyncio.Event()
        self.losses = 0
        """How often the gateway said that subscriptions were lost."""

    # --- what the gateway says unasked -------------------------------------------------------------------------------

    def messaged(self, number: int, code: int, text: str) -> None:
        """Remember why a subscription gives nothing."""
        if number >= 0:
            self._problems[number] = f"{code}: {text}"
            self._moved.set()

    def data_lost(self) -> None:
        """Forget all subscriptions; the next reading makes them again."""
        self.losses += 1
        self._tickers.clear()
        self._problems.clear()

    def problem_of(self, number: int) -> str:
        """Return what the gateway said against request `number`, code first; empty where it said nothing."""
        return self._problems.get(number, "")

    # --- puts --------------------------------------------------------------------------------------------------------

    async def put_quotes(self, request: ReadPutQuotes) -> PutQuotesRead:
        """Return the puts of the nearest expiry that is late enough, around the money; never raises for the broker."""
        try:
            quotes = await self._puts(request)
            problem = "" if quotes else "no put round the money has a bid and an ask"
        except BrokerProblem as error:
            quotes, problem = (), str(error)
        return PutQuotesRead(at=request.at, trade_id=request.trade_id, quotes=quotes, problem=problem)

    async def _puts(self, request: ReadPutQuotes) -> tuple[PutQuote, ...]:
        underlying = await self._contracts.of_stock(request.underlying)
        chains = await self._link.ask(
            f"option chain of {request.underlying}",
            lambda ib: ib.reqSecDefOptParamsAsync(underlying.symbol, "", underlying.secType, underlying.conId),
            family="option chains",
        )
        expiry = nearest_expiry(chains, underlying.symbol, request)
        wanted = _all_puts(underlying.symbol, expiry)
        details = await self._link.ask(
            f"puts on {request.underlying}",
            lambda ib: ib.reqContractDetailsAsync(wanted),
            seconds=2 * READ_SECONDS,
            family="option chains",
        )
        contracts = [one.contract for one in details if one.contract is not None]
        contracts.sort(key=lambda one: abs(Decimal(repr(one.strike)) - request.spot))
        nearest = sorted(contracts[: 2 * STRIKES_EACH_SIDE + 1], key=lambda one: one.strike)
        for one in nearest:
            one.exchange = SMART
        return await self._quoted(nearest)

    async def _quoted(self, contracts: "Sequence[Contract]") -> tuple[PutQuote, ...]:
        """Return the puts that have a bid and an ask; subscribes for a moment, for a snapshot has no delta."""
        ib = self._link.ib
        tickers = [_fresh(ib, contract, "") for contract in contracts]
        try:
            await self._until(ib, lambda: all(_two_sided(one) for one in tickers), READ_SECONDS)
            await self._until(ib, lambda: all(one.modelGreeks is not None for one in tickers), DELTA_SECONDS)
        finally:
            if ib.isConnected():
                for contract in contracts:
                    ib.cancelMktData(contract)
        return tuple(put for one in tickers if (put := self._put(one)) is not None)

    def _put(self, ticker: "Ticker") -> PutQuote | None:
        bid, ask = known_number(ticker.bid), known_number(ticker.ask)
        if ticker.contract is None or bid is None or ask is None or bid < ZERO or ask <= ZERO:
            return None
        instrument = instrument_of(ticker.contract)
        greeks = ticker.modelGreeks
        delta = None if greeks is None else known_number(greeks.delta)
        sizes = [known_number(size) or ZERO for size in (ticker.bidSize, ticker.askSize)]
        quote = Quote(instrument.symbol, self._now(), bid, ask, sizes[0], sizes[1], modelled=False)
        return PutQuote(
            instrument=instrument, quote=quote, delta=None if delta is None else delta.quantize(_DELTA_STEP)
        )

    # --- single readings ---------------------------------------------------------------------------------------------

    async def quote(self, symbol: str) -> Quote | None:
        """Return bid and ask of a share; None where there is none.

        Raises:
            BrokerProblem: no answer, or no such share.
        """
        ticker = await self._subscribed(symbol, _two_sided)
        bid, ask = known_number(ticker.bid), known_number(ticker.ask)
        if bid is None or ask is None or min(bid, ask) <= ZERO:
            return None
        sizes = [known_number(size) or ZERO for size in (ticker.bidSize, ticker.askSize)]
        return Quote(symbol, self._now(), bid, ask, sizes[0], sizes[1], modelled=False)

    async def imbalance(self, symbol: str) -> AuctionImbalance | None:
        """Return the auction imbalance of a share; None where the exchange publishes none, or we may not see it.

        Raises:
            BrokerProblem: no answer, or no such share.
        """
        ticker = await self._subscribed(symbol, lambda one: known_number(one.auctionImbalance) is not None)
        told = known_number(ticker.auctionImbalance)
        if told is None:
            return None
        volume = known_number(ticker.auctionVolume)
        return AuctionImbalance(symbol=symbol, read_at=self._now(), imbalance=told, volume=volume)

    async def imbalances(self, symbols: tuple[str, ...]) -> tuple[Imbalance, ...]:
        """Return the imbalances of those symbols that have one; what cannot be read is left out."""

        async def one(symbol: str) -> Imbalance | None:
            try:
                told = await self.imbalance(symbol)
            except BrokerProblem:
                return None  # missing, as where nothing is published
            if told is None or told.volume is None:
                return None
            return Imbalance(symbol, told.read_at, told.imbalance, told.volume)

        answers = await asyncio.gather(*map(one, symbols))
        return tuple(answer for answer in answers if answer is not None)

    async def borrow(self, symbol: str) -> Borrow:
        """Return whether a share can be borrowed.

        Raises:
            BrokerProblem: no answer, or no such share.
        """
        ticker = await self._subscribed(symbol, lambda one: not math.isnan(one.shortable))
        easy = None if math.isnan(ticker.shortable) else ticker.shortable > EASY_FROM
        return Borrow(easy=easy, shares=known_number(ticker.shortableShares))

    async def vix(self) -> VixReading | None:
        """Return the VIX: its last value, before the first one of a day the previous close; None where neither is told.

        Raises:
            BrokerProblem: no answer, or the gateway does not know the index.
        """
        contract = await self._contracts.qualified(f"index {VIX_SYMBOL}", vix_contract())
        _forget_ticker(self._link.ib, contract)
        [ticker] = await self._link.ask("VIX", lambda ib: ib.reqTickersAsync(contract))
        last, close = known_number(ticker.last), known_number(ticker.close)
        if last is not None and last > ZERO:
            told = self._now() if ticker.lastTimestamp is None else min(instant(ticker.lastTimestamp), self._now())
            return VixReading(last, told, "ibkr")
        if close is None or close <= ZERO:
            return None
        try:
            before = trading_day(previous_trading_day(exchange_time(self._now()).date()))
        except NotATradingDay:
            return None
        return VixReading(close, later(before.close_at, _CLOSE_KNOWN_AFTER), "ibkr")

    async def minute_bars(self, symbol: str, start: Instant, end: Instant) -> tuple[Bar, ...]:
        """Return the complete one-minute bars of regular hours from `start` to `end`, at most a day of them.

        IB allows 60 such requests in ten minutes and none twice within 15 seconds.

        Raises:
            BrokerProblem: no answer, or no such share.
        """
        contract = await self._contracts.of_stock(symbol)
        span = min(max(math.ceil((end - start) / SECOND), 60), _WINDOW_SECONDS_MAX)
        try:
            told = await self._link.ask(
                f"history of {symbol}",
                lambda ib: ib.reqHistoricalDataAsync(
                    contract, to_datetime(end), f"{span} S", "1 min", "TRADES", useRTH=True, formatDate=2, timeout=0
                ),
                seconds=4 * READ_SECONDS,
                family="history",
            )
        except RequestFailed as failed:
            if failed.code == _NO_DATA and "no data" in str(failed).lower():
                return ()
            raise
        bars = (_bar(symbol, one) for one in told)
        return tuple(bar for bar in bars if start <= bar.start and bar.end <= min(end, self._now()))

    def follow(self, symbol: str, contract: "Contract") -> "Ticker":
        """Subscribe to what moves of a share, and return where it is written; readings of it wait for nothing more.

        Raises:
            BrokerUnavailable: the line is down.
        """
        ib = self._link.ib
        held = self._tickers.get(symbol)
        if held is None or held[0] is not ib:
            held = self._tickers[symbol] = (ib, _fresh(ib, contract, AUCTION_AND_BORROW))
        return held[1]

    def unfollow(self, symbol: str) -> None:
        """End the subscription to a share, where there is one."""
        ib, ticker = self._tickers.pop(symbol, (None, None))
        if ticker is None:
            return
        ticker.updateEvent.clear()
        if ticker.contract is not None and self._link.is_up and ib is self._link.ib:
            self._link.ib.cancelMktData(ticker.contract)

    def why_missing(self, symbol: str) -> str:
        """Return what the gateway said when it gave nothing; empty where it said nothing."""
        held = self._tickers.get(symbol)
        number = None if held is None else self._link.ib.wrapper.ticker2ReqId["mktData"].get(held[1])
        return "" if number is None else self._problems.get(number, "")

    # --- inside ------------------------------------------------------------------------------------------------------

    async def _subscribed(self, symbol: str, ready: "Callable[[Ticker], bool]") -> "Ticker":
        """Return the symbol's ticker; only a new subscription is waited for, until it is `ready` or refused."""
        contract = await self._contracts.of_stock(symbol)
        ib = self._link.ib
        held = self._tickers.get(symbol)
        if held is None or held[0] is not ib:
            ticker = self.follow(symbol, contract)
            await self._until(ib, lambda: ready(ticker) or bool(self.why_missing(symbol)), READ_SECONDS)
            return ticker
        return held[1]

    async def _until(self, ib: "IB", holds: Callable[[], bool], seconds: float) -> None:
        """Wait until `holds`, but not for long: what has not come by then is missing."""

        def stir(_tickers: object) -> None:
            self._moved.set()

        ib.pendingTickersEvent += stir
        try:
            async with asyncio.timeout(seconds):
                while not holds():
                    self._moved.clear()
                    await self._moved.wait()
        except TimeoutError:
            return
        finally:
            ib.pendingTickersEvent -= stir


def nearest_expiry(chains: "Sequence[OptionChain]", symbol: str, request: ReadPutQuotes) -> str:
    """Return the first expiry, as IB writes it, at least `min_days` calendar days after the request's New York day.

    Raises:
        BrokerRefused: there is none.
    """
    earliest = exchange_time(request.at).date() + timedelta(days=request.min_days)
    usual = [chain for chain in chains if chain.exchange == SMART and chain.tradingClass == symbol] or list(chains)
    offered = sorted({text for chain in usual for text in chain.expirations if expiry_of(text) >= earliest})
    if not offered:
        raise BrokerRefused(f"IB lists no options on {request.underlying} that expire from {earliest} on")
    return offered[0]


def _all_puts(symbol: str, expiry: str) -> "Contract":
    from ib_async import Option

    return Option(symbol, expiry, 0.0, "P", SMART, currency=CURRENCY)


def _fresh(ib: "IB", contract: "Contract", ticks: str) -> "Ticker":
    """Subscribe with an empty ticker: the library would hand out the one of the same contract with its old prices."""
    _forget_ticker(ib, contract)
    return ib.reqMktData(contract, ticks)


def _forget_ticker(ib: "IB", contract: "Contract") -> None:
    ib.wrapper.tickers.pop(hash(contract), None)


def _two_sided(ticker: "Ticker") -> bool:
    return known_number(ticker.bid) is not None and known_number(ticker.ask) is not None


def _bar(symbol: str, told: "BarData") -> Bar:
    moment = told.date
    if not isinstance(moment, datetime) or moment.tzinfo is None:
        raise UnknownMessage(f"history of {symbol}: {moment} names no instant")
    start = instant(moment)
    return Bar(symbol, start, start + MINUTE, told.open, told.high, told.low, told.close, told.volume)


__all__ = ["AuctionImbalance", "Borrow", "IbkrMarket", "PutQuoteSource", "nearest_expiry"]
